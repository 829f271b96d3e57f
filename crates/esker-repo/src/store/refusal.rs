//! What a store's refusal means, in words: which credentials it did not like, and why.

/// The innermost cause; the outer ones repeat the path and the library's own names.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// A store's answer without its markup: the code and the message, if it has them.
pub(super) fn answer(words: &str) -> String {
    let Some(code) = code(words) else {
        let line: String = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        return line.chars().take(400).collect();
    };
    let status = words.split_once("status code: ").and_then(|(_, rest)| rest.split_whitespace().next()).unwrap_or_default();
    let message = element(words, "Message").unwrap_or_default().lines().next().unwrap_or_default().trim();
    let message = if message.is_empty() { String::new() } else { format!(": {message}") };
    format!("{status} {code}{message}").trim().to_owned()
}

/// What to do about an answer, by its code; `None` if it is not about credentials, the bucket or the clock. `refused` says
/// that the store called it forbidden.
pub(super) fn advice(code: Option<&str>, refused: bool) -> Option<&'static str> {
    Some(match code.unwrap_or_default() {
        "InvalidAccessKeyId" => "the store does not know that access key",
        "SignatureDoesNotMatch" | "AuthenticationFailed" => {
            "the secret key is not the one of that access key, or something on the way changed the request"
        }
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "InvalidToken" => {
            "the session token is too old or not of that key: get a new one"
        }
        "RequestTimeTooSkewed" | "RequestExpired" => "this machine's clock is wrong",
        "AuthorizationHeaderMalformed" | "PermanentRedirect" => "the bucket is in another region: set the region",
        "AccessDenied" | "AuthorizationPermissionMismatch" | "AuthorizationFailure" => "they lack the right to do this here",
        "KMS.DisabledException" | "KMS.NotFoundException" | "KMS.AccessDeniedException" => "the KMS key cannot be used",
        code if is_no_bucket(code) => "esker makes no bucket: make it first",
        _ if refused => "they may not do this here",
        _ => return None,
    })
}

/// Whether a code says that an object must be thawed first.
pub(super) fn is_cold(code: &str) -> bool {
    matches!(code, "InvalidObjectState" | "BlobArchived")
}

/// Whether a code says that an object may not be deleted yet: a retention period, a hold.
pub(super) fn is_locked(code: &str) -> bool {
    const LOCKS: [&str; 5] =
        ["BlobImmutableDueToPolicy", "BlobImmutableDueToLegalHold", "RetentionPolicyNotMet", "ObjectUnderActiveHold", "ObjectLocked"];
    LOCKS.contains(&code)
}

/// Whether a code says that not an object but its bucket is missing.
pub(super) fn is_no_bucket(code: &str) -> bool {
    matches!(code, "NoSuchBucket" | "ContainerNotFound")
}

/// The error code of an answer.
pub(super) fn code(words: &str) -> Option<&str> {
    element(words, "Code")
}

fn element<'a>(words: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = words.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(inner, _)| inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSAL: &str = "Server returned non-2xx status code: 403 Forbidden: <?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code>\
                           <Message>Forbidden: no rights</Message><Resource>/b/</Resource></Error>";

    #[test]
    fn an_answer_is_read_without_its_markup() {
        assert_eq!(answer(REFUSAL), "403 AccessDenied: Forbidden: no rights");
        assert_eq!(answer("connection\n  refused"), "connection refused");
        assert_eq!(advice(code(REFUSAL), true), Some("they lack the right to do this here"));
        assert_eq!((advice(None, true), advice(Some("NoSuchKey"), false)), (Some("they may not do this here"), None));
    }
}

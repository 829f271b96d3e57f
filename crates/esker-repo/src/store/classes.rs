//! Storage classes of S3: which one an object has, and bringing it back from one that must thaw before it can be read.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use object_store::aws::AmazonS3;
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody, HttpResponse};
use object_store::path::Path as ObjectPath;
use object_store::signer::{SignedUrlOptions, Signer};
use object_store::{Error, Result};
use serde::Serialize;

/// Classes whose objects cannot be read before they are thawed.
const COLD: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];
/// The class of an object that has no header for it.
const STANDARD: &str = "STANDARD";
/// Time for which a signature holds.
const SIGNATURE: Duration = Duration::from_secs(300);
/// How often a request is made that gets no sensible answer.
const TRIES: u32 = 5;
/// The pause before the second try; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(500);

/// How far an object is from being readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Warmth {
    /// It can be read.
    Warm,
    /// It was asked for and is on its way.
    Thawing,
    /// It must be asked for.
    Cold,
}

/// How a cold object is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThawRequest {
    /// Days for which it stays readable.
    pub days: u32,
    /// How fast, and how dear.
    pub tier: ThawTier,
}

/// S3's tiers of retrieval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThawTier {
    /// Minutes, where it is offered.
    Expedited,
    /// Hours.
    Standard,
    /// Half a day or more, and cheapest.
    Bulk,
}

impl ThawTier {
    const fn name(self) -> &'static str {
        match self {
            Self::Expedited => "Expedited",
            Self::Standard => "Standard",
            Self::Bulk => "Bulk",
        }
    }
}

/// What `object_store` does not do for S3 itself.
pub(super) struct Classes {
    s3: Arc<AmazonS3>,
    client: HttpClient,
    /// Goes before every path.
    prefix: ObjectPath,
}

impl Classes {
    pub(super) fn new(s3: Arc<AmazonS3>, client: HttpClient) -> Self {
        Self { s3, client, prefix: ObjectPath::default() }
    }

    pub(super) fn below(self, prefix: ObjectPath) -> Self {
        Self { prefix, ..self }
    }

    /// The object's class, and whether it can be read.
    pub(super) async fn look(&self, at: &ObjectPath) -> Result<(String, Warmth)> {
        let answer = self.ask(Method::HEAD, at, "", HttpRequestBody::empty()).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Err(Error::NotFound { path: at.to_string(), source: "no such object".into() }),
            status if status.is_success() => {
                let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
                let class = Some(header("x-amz-storage-class")).filter(|class| !class.is_empty()).unwrap_or(STANDARD);
                Ok((class.to_owned(), warmth(class, header("x-amz-restore"))))
            }
            _ => Err(refusal(at, answer).await),
        }
    }

    /// Asks for a cold object. One that was asked for already is no error.
    pub(super) async fn thaw(&self, at: &ObjectPath, request: ThawRequest) -> Result<()> {
        let ThawRequest { days, tier } = request;
        let body = format!(
            "<RestoreRequest xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Days>{days}</Days><GlacierJobParameters><Tier>{}</Tier>\
             </GlacierJobParameters></RestoreRequest>",
            tier.name()
        );
        let answer = self.ask(Method::POST, at, "restore", body.into()).await?;
        match answer.status() {
            StatusCode::CONFLICT => Ok(()),
            status if status.is_success() => Ok(()),
            _ => Err(refusal(at, answer).await),
        }
    }

    async fn ask(&self, method: Method, at: &ObjectPath, query: &str, body: HttpRequestBody) -> Result<HttpResponse> {
        let whole: ObjectPath = self.prefix.parts().chain(at.parts()).collect();
        let options = SignedUrlOptions::default();
        let options = if query.is_empty() { options } else { options.with_query([(query, "")]) };
        let mut pause = PAUSE;
        let mut tries = 1;
        loop {
            let url = self.s3.signed_url_opts(method.clone(), &whole, SIGNATURE, &options).await?;
            let mut request = HttpRequest::new(body.clone());
            *request.method_mut() = method.clone();
            *request.uri_mut() = url.as_str().parse().map_err(|error| generic(Box::new(error)))?;
            let answer = self.client.execute(request).await;
            let is_for_now = answer.as_ref().map_or(true, |answer| answer.status().is_server_error());
            if !is_for_now || tries == TRIES {
                return answer.map_err(|error| generic(Box::new(error)));
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            tries += 1;
        }
    }
}

fn warmth(class: &str, restore: &str) -> Warmth {
    match (COLD.contains(&class), restore.contains("ongoing-request=\"true\""), restore.contains("ongoing-request=\"false\"")) {
        (false, ..) | (.., true) => Warmth::Warm,
        (_, true, _) => Warmth::Thawing,
        _ => Warmth::Cold,
    }
}

async fn refusal(at: &ObjectPath, answer: HttpResponse) -> Error {
    let status = answer.status();
    let body = answer.into_body().bytes().await.unwrap_or_default();
    // In the words of other refusals, so that one place reads them all.
    let words = format!("Server returned non-2xx status code: {status}: {}", String::from_utf8_lossy(&body));
    let path = at.to_string();
    match status {
        StatusCode::FORBIDDEN => Error::PermissionDenied { path, source: words.into() },
        StatusCode::UNAUTHORIZED => Error::Unauthenticated { path, source: words.into() },
        StatusCode::NOT_FOUND => Error::NotFound { path, source: words.into() },
        _ => generic(words.into()),
    }
}

fn generic(source: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::Generic { store: "S3", source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_warm_unless_its_class_is_cold_and_nobody_thawed_it() {
        let thawed = "ongoing-request=\"false\", expiry-date=\"Fri, 21 Dec 2029 00:00:00 GMT\"";
        assert_eq!(warmth("STANDARD_IA", ""), Warmth::Warm);
        assert_eq!(warmth("GLACIER_IR", ""), Warmth::Warm);
        assert_eq!(warmth("GLACIER", ""), Warmth::Cold);
        assert_eq!(warmth("DEEP_ARCHIVE", "ongoing-request=\"true\""), Warmth::Thawing);
        assert_eq!(warmth("DEEP_ARCHIVE", thawed), Warmth::Warm);
    }
}

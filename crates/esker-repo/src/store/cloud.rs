//! What the three protocols share: the line, the time for which a store is waited for, and where plain HTTP is allowed.

use std::sync::Arc;
use std::time::Duration;

use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use super::classes::Classes;
use super::location::Protocol;
use super::options::StoreOptions;
use super::variables::Variables;
use super::wire::{CONNECT_TIMEOUT, Requests, Tell, Wire, WireOptions};
use super::{az, gs, s3};
use crate::error::{RepoError, Result};

/// Requests at once, unless an option says otherwise.
const CONNECTIONS: u16 = 16;
/// Seconds without a byte, unless an option says otherwise.
const STALL_SECONDS: u32 = 60;
/// Seconds for which requests are tried again, unless an option says otherwise: whoever waits longer for a store should know.
const RETRY_SECONDS: u32 = 240;
/// For so long a request that was signed is valid: AWS, "Authenticating Requests", fifteen minutes.
const RETRY_SECONDS_MAX: u32 = 900;
/// The first pause before another try; each further one is longer, at random, up to `BACKOFF_MAX`.
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(15);

/// A bucket that is spoken to.
pub(super) struct Cloud {
    /// All of the bucket.
    pub(super) store: Arc<dyn ObjectStore>,
    /// Where it is, if not at the provider's own place.
    pub(super) endpoint: Option<String>,
    /// What its requests are signed with, in words.
    pub(super) credentials: String,
    /// Its storage classes, if it may have some.
    pub(super) classes: Option<Classes>,
}

/// What a builder needs.
pub(super) struct Building<'a> {
    pub(super) bucket: &'a str,
    pub(super) options: &'a StoreOptions,
    pub(super) variables: &'a Variables,
    pub(super) wire: Wire,
    pub(super) retry: RetryConfig,
}

/// Speaks to a bucket.
///
/// # Errors
/// `Setting` for options that do not fit, and missing or half credentials.
pub(super) fn open(
    protocol: Protocol,
    bucket: &str,
    options: &StoreOptions,
    variables: &Variables,
    tell: Tell,
    requests: Arc<Requests>,
) -> Result<Cloud> {
    refuse_foreign(protocol, options)?;
    if options.retry_seconds.is_some_and(|seconds| seconds > RETRY_SECONDS_MAX) {
        let why = "for so long a signed request is valid";
        return Err(RepoError::Setting(format!("store option retry_seconds is {RETRY_SECONDS_MAX} at most: {why}")));
    }
    let seconds = |given: Option<u32>, otherwise: u32| Duration::from_secs(u64::from(given.unwrap_or(otherwise)));
    let wire = WireOptions {
        connections: usize::from(options.connections.unwrap_or(CONNECTIONS)).max(1),
        stall: seconds(options.stall_seconds, STALL_SECONDS),
        certificates: certificates(options, variables)?,
        proxy: options.proxy.as_deref().map(proxy).transpose()?,
        tell,
    };
    let retry = RetryConfig {
        backoff: BackoffConfig { init_backoff: BACKOFF_FIRST, max_backoff: BACKOFF_MAX, base: 2.0 },
        // The time decides.
        max_retries: usize::MAX,
        retry_timeout: seconds(options.retry_seconds, RETRY_SECONDS),
    };
    let building = Building { bucket, options, variables, wire: Wire::new(wire, requests), retry };
    match protocol {
        Protocol::S3 => s3::open(building),
        Protocol::Gs => gs::open(building),
        Protocol::Az => az::open(building),
    }
}

/// Options of one protocol mean nothing to another, and what means nothing is not ignored.
fn refuse_foreign(protocol: Protocol, options: &StoreOptions) -> Result<()> {
    let only = [
        ("region", options.region.is_some(), Protocol::S3),
        ("path_style", options.path_style.is_some(), Protocol::S3),
        ("profile", options.profile.is_some(), Protocol::S3),
        ("sse_kms_key_id", options.sse_kms_key_id.is_some(), Protocol::S3),
        ("storage_class", options.storage_class.is_some(), Protocol::S3),
        ("account", options.account.is_some(), Protocol::Az),
    ];
    match only.into_iter().find(|(_, given, of)| *given && *of != protocol) {
        Some((name, _, of)) => Err(RepoError::Setting(format!("store option {name} is for {}:// only", of.scheme()))),
        None => Ok(()),
    }
}

/// What the builders are told of the client. `Wire` knows the rest.
pub(super) fn client_options(options: &StoreOptions, endpoint: Option<&str>) -> Result<ClientOptions> {
    let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    if let Some(endpoint) = endpoint {
        check_endpoint(endpoint, options)?;
    }
    Ok(ClientOptions::new().with_allow_http(plain).with_connect_timeout(CONNECT_TIMEOUT).with_timeout_disabled())
}

fn check_endpoint(endpoint: &str, options: &StoreOptions) -> Result<()> {
    let bad = |why: &str| Err(RepoError::Setting(format!("the store's endpoint {why}")));
    let Ok(url) = endpoint.parse::<reqwest::Url>() else { return bad("is no URL, such as https://s3.example.org") };
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return bad("may hold no user, password or query: credentials come from the environment or a profile");
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if options.allow_http == Some(true) || is_loopback(&url) => Ok(()),
        "http" => bad(&format!(
            "{endpoint} is plain http: everybody on the way sees and can change what is sent; the store option allow_http=true allows it"
        )),
        _ => bad(&format!("{endpoint} is neither https:// nor http://")),
    }
}

fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.ends_with(".localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn certificates(options: &StoreOptions, variables: &Variables) -> Result<Vec<reqwest::Certificate>> {
    let path = options.ca_file.clone().or_else(|| variables.get("AWS_CA_BUNDLE").map(Into::into));
    let Some(path) = path else { return Ok(Vec::new()) };
    let failed = |error: &dyn std::fmt::Display| RepoError::Setting(format!("cannot use the certificates in {}: {error}", path.display()));
    let text = std::fs::read(&path).map_err(|error| failed(&error))?;
    let certificates = reqwest::Certificate::from_pem_bundle(&text).map_err(|error| failed(&error))?;
    if certificates.is_empty() { Err(failed(&"it holds none")) } else { Ok(certificates) }
}

fn proxy(url: &str) -> Result<reqwest::Proxy> {
    if url.contains('@') {
        return Err(RepoError::Setting("store option proxy may not hold a user or password: put it into HTTPS_PROXY".into()));
    }
    let proxy = reqwest::Proxy::all(url).map_err(|error| RepoError::Setting(format!("store option proxy={url}: {error}")))?;
    Ok(proxy.no_proxy(reqwest::NoProxy::from_env()))
}

/// What a builder of `object_store` refuses.
pub(super) fn refused(error: &object_store::Error) -> RepoError {
    RepoError::Setting(super::refusal::innermost(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_or_asked_for_by_name() {
        let plain = StoreOptions::default();
        let asked = StoreOptions { allow_http: Some(true), ..StoreOptions::default() };
        for endpoint in ["http://127.0.0.1:9000", "http://[::1]:9000", "http://localhost", "https://s3.example.org"] {
            check_endpoint(endpoint, &plain).unwrap();
        }
        let error = check_endpoint("http://10.0.0.1:9000", &plain).unwrap_err().to_string();
        assert!(error.contains("allow_http=true"), "{error}");
        check_endpoint("http://10.0.0.1:9000", &asked).unwrap();
        for endpoint in ["ftp://x", "nonsense", "https://me:hunter2@x"] {
            let error = check_endpoint(endpoint, &asked).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn an_option_of_another_protocol_is_refused() {
        let options = StoreOptions { account: Some("a".into()), ..StoreOptions::default() };
        assert!(refuse_foreign(Protocol::Az, &options).is_ok());
        assert!(refuse_foreign(Protocol::S3, &options).unwrap_err().to_string().contains("az:// only"));
    }
}

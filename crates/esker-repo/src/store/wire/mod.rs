//! The HTTP client below every object store: counted requests, a bound on how many at once, timeouts that follow progress
//! and not size, and errors that say whether another try may help.
//!
//! `object_store` signs requests, reads answers and tries again; what it takes for worth another try is decided here by the
//! kind of error. It does not resume answers that break off other than an object's bytes, so all other answers are read
//! here to their end.

mod body;
mod contact;
mod fault;
mod requests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::future::{Either, select};
use http_body::Body as _;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use object_store::{ClientOptions, Error};
use tokio::sync::Semaphore;

pub use contact::Tell;
pub use requests::{RequestCounts, RequestKind};

pub(super) use requests::Requests;

use body::{Download, Progress, Upload};
use contact::Contact;
use fault::WireFault;
use requests::kind_of;

/// Time for a connection to come about.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The connect timeout by which `object_store` asks for a client for a machine's metadata service.
const METADATA_CONNECT_TIMEOUT: &str = "1s";
/// Time for a machine's metadata service, which is near or not there.
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);
/// An idle connection is closed after so long, before the store does.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of an answer that is no object, at most.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How a store is reached.
pub(super) struct WireOptions {
    /// Requests at once, at most.
    pub(super) connections: usize,
    /// Time without a byte after which a request has failed.
    pub(super) stall: Duration,
    /// Certificates that are trusted beside the system's.
    pub(super) certificates: Vec<reqwest::Certificate>,
    /// The proxy that was asked for.
    pub(super) proxy: Option<reqwest::Proxy>,
    /// Who hears of outages.
    pub(super) tell: Tell,
}

/// Makes the clients of one store; they share its bounds and counts.
pub(super) struct Wire {
    options: WireOptions,
    requests: Arc<Requests>,
    contact: Arc<Contact>,
    places: Arc<Semaphore>,
}

impl Wire {
    pub(super) fn new(options: WireOptions, requests: Arc<Requests>) -> Self {
        let contact = Arc::new(Contact::new(Arc::clone(&options.tell)));
        let places = Arc::new(Semaphore::new(options.connections));
        Self { options, requests, contact, places }
    }

    fn builder(&self, allow_http: bool, is_metadata: bool) -> reqwest::ClientBuilder {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("esker/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            // A store that points elsewhere is asked for the wrong region, and a signature is for one host.
            .redirect(reqwest::redirect::Policy::none())
            .https_only(!allow_http)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .tcp_keepalive(Some(IDLE_TIMEOUT))
            .tls_certs_merge(self.options.certificates.iter().cloned());
        if is_metadata {
            return builder.no_proxy().connect_timeout(METADATA_TIMEOUT).timeout(METADATA_TIMEOUT);
        }
        let builder = builder.connect_timeout(CONNECT_TIMEOUT);
        match &self.options.proxy {
            Some(proxy) => builder.proxy(proxy.clone()),
            None => builder,
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl HttpConnector for Wire {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let config = |key| options.get_config_value(&key).unwrap_or_default();
        let is_metadata = config(ClientConfigKey::ConnectTimeout) == METADATA_CONNECT_TIMEOUT;
        let client = self.builder(config(ClientConfigKey::AllowHttp) == "true", is_metadata).build();
        let client = client.map_err(|error| Error::Generic { store: "http", source: Box::new(error) })?;
        Ok(HttpClient::new(Client {
            client,
            is_metadata,
            stall: self.options.stall,
            requests: Arc::clone(&self.requests),
            contact: Arc::clone(&self.contact),
            places: Arc::clone(&self.places),
        }))
    }
}

struct Client {
    client: reqwest::Client,
    is_metadata: bool,
    stall: Duration,
    requests: Arc<Requests>,
    contact: Arc<Contact>,
    places: Arc<Semaphore>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let kind = kind_of(&request);
        if self.is_metadata {
            self.requests.count(RequestKind::Other);
            return self.ask(request, RequestKind::Other).await.map_err(|fault| no_credentials(&fault).into());
        }
        self.requests.count(kind);
        match self.ask(request, kind).await {
            // `object_store` would try again for minutes.
            Ok(answer) if answer.status() == http::StatusCode::NOT_IMPLEMENTED => {
                let words = "the store does not know this kind of request (501 Not Implemented)".to_owned();
                Err(WireFault { kind: HttpErrorKind::Unknown, words }.into())
            }
            Ok(answer) if is_for_now(answer.status()) => {
                self.requests.count_failure();
                if self.contact.failed(&format!("it answers {}", answer.status())) {
                    return Ok(answer);
                }
                let words = format!("it only answers {}", answer.status());
                Err(WireFault { kind: HttpErrorKind::Unknown, words }.into())
            }
            Ok(answer) => {
                self.contact.answered();
                Ok(answer)
            }
            Err(fault) => {
                self.requests.count_failure();
                let again = self.contact.failed(&fault.words);
                let fault = if kind == RequestKind::Delete { fault.repeatable() } else { fault };
                Err(if again { fault } else { fault.last() }.into())
            }
        }
    }
}

impl Client {
    /// Sends one request and waits for its answer: of an object the head, of all else the whole.
    async fn ask(&self, request: HttpRequest, kind: RequestKind) -> Result<HttpResponse, WireFault> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|error| WireFault { kind: HttpErrorKind::Unknown, words: error.to_string() })?;
        let progress = Progress::new();
        let sent = Box::pin(self.client.execute(to_reqwest(request, &progress)?));
        let answer = match select(sent, Box::pin(progress.stalled(self.stall))).await {
            Either::Left((answer, _)) => answer.map_err(WireFault::of)?,
            Either::Right(_) => return Err(WireFault::stalled(self.stall)),
        };
        let (parts, body) = http::Response::<reqwest::Body>::from(answer).into_parts();
        let body = Download::new(body, self.stall, place);
        let body = if kind == RequestKind::Get && parts.status.is_success() {
            HttpResponseBody::new(body)
        } else {
            HttpResponseBody::from(whole(body).await?)
        };
        Ok(HttpResponse::from_parts(parts, body))
    }
}

fn to_reqwest(request: HttpRequest, progress: &Arc<Progress>) -> Result<reqwest::Request, WireFault> {
    let (parts, body) = request.into_parts();
    let url = parts.uri.to_string().parse::<reqwest::Url>();
    let url = url.map_err(|error| WireFault { kind: HttpErrorKind::Unknown, words: format!("not a URL: {error}") })?;
    let mut request = reqwest::Request::new(parts.method, url);
    *request.headers_mut() = parts.headers;
    let is_empty = body.content_length() == 0;
    let body = if is_empty { Bytes::new().into() } else { reqwest::Body::wrap(Upload::new(body, Arc::clone(progress))) };
    *request.body_mut() = Some(body);
    Ok(request)
}

/// Reads an answer to its end.
async fn whole(mut body: Download) -> Result<Bytes, WireFault> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| WireFault { kind: error.kind(), words: super::refusal::innermost(&error) })?;
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(WireFault { kind: HttpErrorKind::Unknown, words: "its answer is too long".into() });
        }
    }
    Ok(bytes.freeze())
}

/// Whether a request failed without any answer of the store.
pub(super) fn got_no_answer(error: &Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<HttpError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether an answer means: not now.
fn is_for_now(status: http::StatusCode) -> bool {
    status.is_server_error() || matches!(status, http::StatusCode::TOO_MANY_REQUESTS | http::StatusCode::REQUEST_TIMEOUT)
}

fn no_credentials(fault: &WireFault) -> WireFault {
    let words = format!(
        "there are no credentials: none in the environment, no profile or file, and no metadata service of this machine answers ({})",
        fault.words
    );
    WireFault { kind: HttpErrorKind::Unknown, words }
}

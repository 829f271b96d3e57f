//! Why a request got no answer, in words, and whether another try may get one.

use std::error::Error;
use std::time::Duration;

use object_store::client::{HttpError, HttpErrorKind};
use thiserror::Error;

/// A request without an answer.
#[derive(Debug, Error)]
#[error("{words}")]
pub(super) struct WireFault {
    pub(super) kind: HttpErrorKind,
    pub(super) words: String,
}

impl WireFault {
    /// What the client library says, without the URL: it may hold a signature.
    pub(super) fn of(error: reqwest::Error) -> Self {
        let (is_connect, is_timeout, is_builder) = (error.is_connect(), error.is_timeout(), error.is_builder());
        let words = innermost(&error.without_url());
        let is_untrusted = words.contains("certificate") || words.contains("CertificateError");
        // Every request that is sent here may be sent twice, so all that broke off on its way is worth another try.
        let kind = match (is_untrusted || is_builder, is_connect, is_timeout) {
            (true, ..) => HttpErrorKind::Unknown,
            (_, true, _) => HttpErrorKind::Connect,
            (.., true) => HttpErrorKind::Timeout,
            _ => HttpErrorKind::Interrupted,
        };
        let words = if is_untrusted {
            format!("the store's certificate is not trusted ({words}); name its authority with the store option ca_file")
        } else {
            words
        };
        Self { kind, words }
    }

    pub(super) fn stalled(after: Duration) -> Self {
        Self { kind: HttpErrorKind::Timeout, words: format!("no byte moved for {} s", after.as_secs()) }
    }

    /// The same of a request that may be made twice although `object_store` does not think so: what is deleted stays so.
    pub(super) fn repeatable(self) -> Self {
        let broke_off = matches!(self.kind, HttpErrorKind::Interrupted | HttpErrorKind::Timeout);
        Self { kind: if broke_off { HttpErrorKind::Request } else { self.kind }, ..self }
    }

    /// The same, not to be tried again.
    pub(super) fn last(self) -> Self {
        Self { kind: HttpErrorKind::Unknown, ..self }
    }
}

impl From<WireFault> for HttpError {
    fn from(fault: WireFault) -> Self {
        Self::new(fault.kind, fault)
    }
}

fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

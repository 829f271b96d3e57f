//! What was asked of a store, by kind: what providers send bills for.

use std::sync::atomic::{AtomicU64, Ordering};

use object_store::client::HttpRequest;
use serde::Serialize;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// An object or a part of one written.
    Put,
    /// An object or a range of it read.
    Get,
    /// An object's size asked for.
    Head,
    /// A page of a listing.
    List,
    /// Objects deleted.
    Delete,
    /// Anything else: credentials, thawing.
    Other,
}

/// How many requests were made. Those that failed and were made again count each time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RequestCounts {
    /// Objects, or parts of one, written.
    pub put: u64,
    /// Objects, or ranges of one, read.
    pub get: u64,
    /// Sizes asked for.
    pub head: u64,
    /// Pages of listings.
    pub list: u64,
    /// Deletions.
    pub delete: u64,
    /// Others: for credentials, to thaw.
    pub other: u64,
    /// How many of these failed for now: no answer, or one that said to come again.
    pub failed: u64,
}

impl RequestCounts {
    /// Those of two stores together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            put: self.put + other.put,
            get: self.get + other.get,
            head: self.head + other.head,
            list: self.list + other.list,
            delete: self.delete + other.delete,
            other: self.other + other.other,
            failed: self.failed + other.failed,
        }
    }
}

/// Counters that threads share.
#[derive(Debug, Default)]
pub(in crate::store) struct Requests {
    kinds: [AtomicU64; 6],
    failed: AtomicU64,
}

impl Requests {
    pub(in crate::store) fn count(&self, kind: RequestKind) {
        if let Some(counter) = self.kinds.get(kind as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(in crate::store) fn count_failure(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::store) fn counts(&self) -> RequestCounts {
        let [put, get, head, list, delete, other] = self.kinds.each_ref().map(|counter| counter.load(Ordering::Relaxed));
        RequestCounts { put, get, head, list, delete, other, failed: self.failed.load(Ordering::Relaxed) }
    }
}

/// What a request of any protocol asks for.
pub(super) fn kind_of(request: &HttpRequest) -> RequestKind {
    let query = request.uri().query().unwrap_or_default();
    let asks = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    match request.method().as_str() {
        "PUT" => RequestKind::Put,
        "HEAD" => RequestKind::Head,
        "DELETE" => RequestKind::Delete,
        "GET" if asks("list-type") || query.split('&').any(|pair| pair == "comp=list") => RequestKind::List,
        "GET" => RequestKind::Get,
        // Azure deletes many at once with a batch.
        "POST" if asks("delete") || query.split('&').any(|pair| pair == "comp=batch") => RequestKind::Delete,
        "POST" if asks("uploads") || asks("uploadId") => RequestKind::Put,
        _ => RequestKind::Other,
    }
}

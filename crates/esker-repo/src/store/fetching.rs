//! Reads that are under way while what came before is used.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use object_store::{GetRange, ObjectStore, ObjectStoreExt};
use tokio::task::JoinHandle;

use super::{RequestKind, Store, action_of, read, wire};
use crate::error::{RepoError, Result};

/// What was asked for. Whoever drops it does not want it any more.
pub struct Fetching {
    path: String,
    what: What,
    /// None where nothing is gained by asking early.
    coming: Option<Coming>,
}

#[derive(Clone, Copy)]
enum What {
    /// The bytes from one offset to another.
    Range(u64, u64),
    /// All of an object, but not over so many bytes.
    Whole(u64),
}

struct Coming(JoinHandle<object_store::Result<Bytes>>);

impl Drop for Coming {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Store {
    /// Asks for `end - start` bytes from `start`. Only a store that is far is asked at once, others when they are waited for.
    pub fn begin_range(&self, path: &str, start: u64, end: u64) -> Fetching {
        self.begin(path, What::Range(start, end))
    }

    /// Asks in the same way for an object, but not for one over `limit` bytes.
    pub fn begin_get(&self, path: &str, limit: u64) -> Fetching {
        self.begin(path, What::Whole(limit))
    }

    fn begin(&self, path: &str, what: What) -> Fetching {
        let runtime = self.runtime.as_ref().filter(|_| self.is_far());
        let coming = runtime.map(|runtime| {
            self.calls.fetch_add(1, Ordering::Relaxed);
            let (store, at) = (Arc::clone(&self.inner), ObjectPath::from(path));
            Coming(match what {
                What::Range(start, end) => runtime.spawn(range(store, at, start, end)),
                What::Whole(limit) => runtime.spawn(whole(store, at, limit)),
            })
        });
        Fetching { path: path.to_owned(), what, coming }
    }

    /// Waits for what was asked for; of a range fewer bytes if the object ends before.
    ///
    /// # Errors
    /// `Missing`, `Store`.
    pub fn wait_for(&self, mut fetching: Fetching) -> Result<Bytes> {
        let Fetching { path, what, coming } = &mut fetching;
        match (coming, &self.runtime, *what) {
            (Some(coming), Some(runtime), _) => match runtime.block_on(&mut coming.0) {
                Ok(outcome) => outcome.map_err(|error| self.fault(action_of(RequestKind::Get), path, &error)),
                Err(error) => Err(RepoError::Internal(format!("reading {path} ended by itself: {error}"))),
            },
            (_, _, What::Range(start, end)) => self.get_range(path, start, end),
            (_, _, What::Whole(limit)) => self.get(path, limit),
        }
    }
}

/// An object, unless it has more than `limit` bytes.
pub(super) async fn whole(store: Arc<dyn ObjectStore>, at: ObjectPath, limit: u64) -> object_store::Result<Bytes> {
    let (size, bytes) = read(&*store, &at, None, limit).await?;
    if size <= limit {
        return Ok(bytes);
    }
    Err(object_store::Error::Generic { store: "store", source: format!("it has {size} bytes, over the limit of {limit}").into() })
}

/// The bytes from `start` to `end` of an object.
pub(super) async fn range(store: Arc<dyn ObjectStore>, at: ObjectPath, start: u64, end: u64) -> object_store::Result<Bytes> {
    match read(&*store, &at, Some(GetRange::Bounded(start..end)), u64::MAX).await {
        // Stores refuse a range that begins behind the end: an object was cut short, which is damage and no failure.
        Err(error @ object_store::Error::Generic { .. }) if !wire::got_no_answer(&error) => match store.head(&at).await {
            Ok(meta) if meta.size <= start => Ok(Bytes::new()),
            _ => Err(error),
        },
        read => read.map(|(_, bytes)| bytes),
    }
}

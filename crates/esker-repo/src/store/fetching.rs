//! Reads that are under way while what came before is used.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use object_store::{GetRange, ObjectStore, ObjectStoreExt};
use tokio::task::JoinHandle;

use super::{RequestKind, Store, action_of, read, wire};
use crate::error::{RepoError, Result};

/// A range that was asked for. Whoever drops it does not want it any more.
pub struct Fetching {
    path: String,
    start: u64,
    end: u64,
    /// None where nothing is gained by asking early.
    coming: Option<Coming>,
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
        let runtime = self.runtime.as_ref().filter(|_| self.is_far());
        let coming = runtime.map(|runtime| {
            self.calls.fetch_add(1, Ordering::Relaxed);
            Coming(runtime.spawn(range(Arc::clone(&self.inner), ObjectPath::from(path), start, end)))
        });
        Fetching { path: path.to_owned(), start, end, coming }
    }

    /// Waits for what was asked for; fewer bytes if the object ends before.
    ///
    /// # Errors
    /// `Missing`, `Store`.
    pub fn wait_for(&self, mut fetching: Fetching) -> Result<Bytes> {
        let Fetching { path, start, end, coming } = &mut fetching;
        let (Some(coming), Some(runtime)) = (coming, &self.runtime) else { return self.get_range(path, *start, *end) };
        match runtime.block_on(&mut coming.0) {
            Ok(outcome) => outcome.map_err(|error| self.fault(action_of(RequestKind::Get), path, &error)),
            Err(error) => Err(RepoError::Internal(format!("reading {path} ended by itself: {error}"))),
        }
    }
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

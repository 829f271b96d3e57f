//! The object store as the layers above use it: blocking calls, whole paths, errors that name the object.

use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;

use crate::error::{RepoError, Result};

/// How many threads a store keeps for its requests.
const STORE_THREADS: usize = 2;

/// A listed object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its path in the repository.
    pub path: String,
    /// Its bytes.
    pub size: u64,
}

/// An object store with a runtime for its requests.
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    runtime: Runtime,
    location: String,
    is_local: bool,
    read_only: bool,
    requests: AtomicU64,
}

impl Store {
    /// Wraps any object store; `location` is what people call it.
    ///
    /// # Errors
    /// `Internal` if no runtime can be started.
    pub fn new(inner: Arc<dyn ObjectStore>, location: impl Into<String>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(STORE_THREADS)
            .thread_name("esker-store")
            .build()
            .map_err(|error| RepoError::Internal(format!("cannot start the store's threads: {error}")))?;
        Ok(Self { inner, runtime, location: location.into(), is_local: false, read_only: false, requests: AtomicU64::new(0) })
    }

    /// A folder of this machine. It must exist, unless `create` is set.
    ///
    /// # Errors
    /// `NotARepository` if there is no such folder; `Store` if it cannot be made.
    pub fn open_local(location: &str, create: bool) -> Result<Self> {
        let path = Path::new(location);
        let failed = |error: &dyn std::fmt::Display| RepoError::Store {
            action: "open",
            path: location.to_owned(),
            why: error.to_string(),
            full: false,
        };
        if create {
            create_private(path).map_err(|error| failed(&error))?;
        } else if !path.is_dir() {
            return Err(RepoError::NotARepository { location: location.to_owned(), why: "there is no such folder".into() });
        }
        // Folders and files are flushed before a write counts: a pack that is named by a manifest must survive a power cut.
        let local = LocalFileSystem::new_with_prefix(path).map_err(|error| failed(&error))?.with_fsync(true);
        Ok(Self { is_local: true, ..Self::new(Arc::new(local), location)? })
    }

    /// The store as one that refuses every write before it is asked.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// What people call the store.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Whether it is a folder of this machine.
    pub fn is_local(&self) -> bool {
        self.is_local
    }

    /// Requests made so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Writes an object whole; returns when it is durable.
    ///
    /// # Errors
    /// `Store`.
    pub fn put(&self, path: &str, bytes: impl Into<Bytes>) -> Result<()> {
        self.check_writable("write", path)?;
        let bytes = bytes.into();
        self.run("write", path, |store, at| async move { store.put(&at, bytes.into()).await.map(|_| ()) })
    }

    /// Reads an object whole, but not one over `limit` bytes.
    ///
    /// # Errors
    /// `Missing`, `Store`.
    pub fn get(&self, path: &str, limit: u64) -> Result<Bytes> {
        let (size, bytes) = self.run("read", path, |store, at| async move {
            let found = store.get_opts(&at, GetOptions::default()).await?;
            let size = found.meta.size;
            let bytes = if size <= limit { found.bytes().await? } else { Bytes::new() };
            Ok((size, bytes))
        })?;
        if size <= limit {
            Ok(bytes)
        } else {
            Err(store_error("read", path, format!("it has {size} bytes, over the limit of {limit}"), false))
        }
    }

    /// Reads `end - start` bytes from `start`; fewer if the object ends before.
    ///
    /// # Errors
    /// `Missing`, `Store`.
    pub fn get_range(&self, path: &str, start: u64, end: u64) -> Result<Bytes> {
        let read = self.run("read", path, |store, at| async move {
            let options = GetOptions { range: Some(GetRange::Bounded(start..end)), ..GetOptions::default() };
            store.get_opts(&at, options).await?.bytes().await
        });
        match read {
            // Stores refuse a range that begins behind the end: an object was cut short, which is damage and no failure.
            Err(RepoError::Store { .. }) if self.size(path)?.is_some_and(|size| size <= start) => Ok(Bytes::new()),
            read => read,
        }
    }

    /// The size of an object, `None` if there is none.
    ///
    /// # Errors
    /// `Store`.
    pub fn size(&self, path: &str) -> Result<Option<u64>> {
        match self.run("read", path, |store, at| async move { store.head(&at).await.map(|meta| meta.size) }) {
            Ok(size) => Ok(Some(size)),
            Err(RepoError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every object below a folder, sorted by path; the empty string lists all.
    ///
    /// # Errors
    /// `Store`.
    pub fn list(&self, folder: &str) -> Result<Vec<Listed>> {
        let prefix = (!folder.is_empty()).then(|| ObjectPath::from(folder));
        let mut found: Vec<Listed> = self.run("list", folder, |store, _| async move {
            store.list(prefix.as_ref()).map_ok(|meta| Listed { path: meta.location.to_string(), size: meta.size }).try_collect().await
        })?;
        found.sort();
        Ok(found)
    }

    /// Deletes an object; one that is gone already is no error.
    ///
    /// # Errors
    /// `Store`.
    pub fn delete(&self, path: &str) -> Result<()> {
        self.check_writable("delete", path)?;
        match self.run("delete", path, |store, at| async move { store.delete(&at).await }) {
            Err(RepoError::Missing { .. }) => Ok(()),
            outcome => outcome,
        }
    }

    fn check_writable(&self, action: &'static str, path: &str) -> Result<()> {
        match self.read_only {
            true => Err(store_error(action, path, "the repository is marked read-only".into(), false)),
            false => Ok(()),
        }
    }

    fn run<T, F, Fut>(&self, action: &'static str, path: &str, request: F) -> Result<T>
    where
        F: FnOnce(Arc<dyn ObjectStore>, ObjectPath) -> Fut,
        Fut: Future<Output = object_store::Result<T>>,
    {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let outcome = self.runtime.block_on(request(Arc::clone(&self.inner), ObjectPath::from(path)));
        outcome.map_err(|error| match error {
            object_store::Error::NotFound { .. } => RepoError::Missing { path: path.to_owned() },
            error => store_error(action, path, innermost(&error), is_full(&error)),
        })
    }
}

fn store_error(action: &'static str, path: &str, why: String, full: bool) -> RepoError {
    RepoError::Store { action, path: path.to_owned(), why, full }
}

/// The innermost cause; the outer ones repeat the path and the library's own names.
fn innermost(error: &object_store::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

fn is_full(error: &object_store::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return matches!(io.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
        }
        cause = error.source();
    }
    false
}

/// Makes a folder that only its owner can enter; one that is there stays as it is.
fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

//! The object store as the layers above use it: blocking calls, whole paths, errors that name the object.
//!
//! `location` reads what people write, `options` and `variables` what a store needs beside it; `cloud` and one module for
//! each protocol make an `ObjectStore` of them, whose requests go over `wire`.

mod aws_credentials;
mod aws_profile;
mod az;
pub mod classes;
mod cloud;
mod fetching;
mod gs;
pub mod location;
pub mod options;
pub mod probe;
mod refusal;
mod s3;
pub mod variables;
mod wire;

use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use futures::TryStreamExt;
use futures::executor::block_on;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use object_store::{Attribute, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutOptions};
use tokio::runtime::Runtime;

use crate::error::{RepoError, Result};

pub use fetching::Fetching;
pub use location::{Location, Protocol};
pub use options::StoreOptions;
pub use variables::Variables;
pub use wire::{RequestCounts, RequestKind, Tell};

use classes::{Classes, ThawRequest, Warmth};
use wire::Requests;

/// How many threads a store keeps for its requests.
const STORE_THREADS: usize = 2;

/// How often an object is asked for whose bytes come short without an error.
const SHORT_ANSWERS_MAX: u32 = 3;

/// A listed object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its path in the repository.
    pub path: String,
    /// Its bytes.
    pub size: u64,
}

/// Where data packs stand.
const DATA_PACKS: &str = "packs/data/";

/// The storage class that was asked for, and whether the store was seen to keep it.
struct DataClass {
    name: String,
    is_kept: AtomicBool,
}

/// How a store is opened.
#[derive(Clone)]
pub struct StoreOpening {
    /// What it is told beside its location.
    pub options: StoreOptions,
    /// Where credentials and defaults come from.
    pub variables: Variables,
    /// Whether a folder is made if it is not there. Buckets are not made.
    pub create: bool,
    /// Who hears that it does not answer and is waited for.
    pub tell: Tell,
}

/// Counts a store's requests, and may outlive it.
#[derive(Clone)]
pub struct RequestCounter(Arc<Requests>);

impl RequestCounter {
    /// The requests made so far.
    pub fn now(&self) -> RequestCounts {
        self.0.counts()
    }
}

/// An object store, and what carries out its requests.
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    /// None for a folder: whoever calls would wait for another thread that does what it can do itself.
    runtime: Option<Runtime>,
    location: String,
    is_local: bool,
    read_only: bool,
    /// What its requests are signed with, in words; empty if they are not.
    credentials: String,
    calls: AtomicU64,
    requests: Arc<Requests>,
    /// What S3 can do beyond the other protocols.
    classes: Option<Classes>,
    /// The class of new data packs.
    data_class: Option<DataClass>,
    /// Whether `requests` are counted where they are sent, and not here.
    counted_on_the_wire: bool,
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
            .enable_all()
            .build()
            .map_err(|error| RepoError::Internal(format!("cannot start the store's threads: {error}")))?;
        Ok(Self::carried_out_by(Some(runtime), inner, location))
    }

    fn carried_out_by(runtime: Option<Runtime>, inner: Arc<dyn ObjectStore>, location: impl Into<String>) -> Self {
        Self {
            inner,
            runtime,
            location: location.into(),
            is_local: false,
            read_only: false,
            credentials: String::new(),
            calls: AtomicU64::new(0),
            requests: Arc::default(),
            classes: None,
            data_class: None,
            counted_on_the_wire: false,
        }
    }

    /// Opens what stands at a location. Nothing is sent yet.
    ///
    /// # Errors
    /// `Setting` if location, options and credentials do not fit; as `open_local` for a folder.
    pub fn open(location: &str, opening: &StoreOpening) -> Result<Self> {
        match Location::parse(location)? {
            Location::Folder(_) if opening.options != StoreOptions::default() => {
                Err(RepoError::Setting(format!("{location} is a folder: store options are for s3://, gs:// and az://")))
            }
            Location::Folder(folder) => Self::open_local(&folder.to_string_lossy(), opening.create),
            Location::Bucket { protocol, bucket, prefix } => Self::open_bucket(protocol, &bucket, prefix, opening),
        }
    }

    fn open_bucket(protocol: Protocol, bucket: &str, prefix: ObjectPath, opening: &StoreOpening) -> Result<Self> {
        let StoreOpening { options, variables, tell, .. } = opening;
        let requests = Arc::<Requests>::default();
        let cloud = cloud::open(protocol, bucket, options, variables, Arc::clone(tell), Arc::clone(&requests))?;
        let mut location = format!("{}://{bucket}", protocol.scheme());
        if !prefix.as_ref().is_empty() {
            location = format!("{location}/{prefix}");
        }
        // The same bucket name at another endpoint is another place.
        if let Some(endpoint) = &cloud.endpoint {
            location = format!("{location} ({endpoint})");
        }
        let classes = cloud.classes.map(|classes| classes.below(prefix.clone()));
        let data_class = options.storage_class.as_ref().map(|name| DataClass { name: name.clone(), is_kept: AtomicBool::new(false) });
        let inner: Arc<dyn ObjectStore> =
            if prefix.as_ref().is_empty() { cloud.store } else { Arc::new(PrefixStore::new(cloud.store, prefix)) };
        let credentials = cloud.credentials;
        Ok(Self { credentials, requests, classes, data_class, counted_on_the_wire: true, ..Self::new(inner, location)? })
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
            refused: false,
        };
        if create {
            create_private(path).map_err(|error| failed(&error))?;
        } else if !path.is_dir() {
            return Err(RepoError::NotARepository { location: location.to_owned(), why: "there is no such folder".into() });
        }
        // Folders and files are flushed before a write counts: a pack that is named by a manifest must survive a power cut.
        let local = LocalFileSystem::new_with_prefix(path).map_err(|error| failed(&error))?.with_fsync(true);
        Ok(Self { is_local: true, ..Self::carried_out_by(None, Arc::new(local), location) })
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

    /// Whether its requests go over a network, where several at once take no longer than one.
    pub fn is_far(&self) -> bool {
        self.counted_on_the_wire
    }

    /// Calls made so far; each is at least one request.
    pub fn requests(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// The requests made so far, by kind. Of a folder and a wrapped store they are the calls.
    pub fn request_counts(&self) -> RequestCounter {
        RequestCounter(Arc::clone(&self.requests))
    }

    /// Writes an object whole; returns when it is durable.
    ///
    /// # Errors
    /// `Store`.
    pub fn put(&self, path: &str, bytes: impl Into<Bytes>) -> Result<()> {
        self.check_writable("write", path)?;
        let bytes = bytes.into();
        let class = self.data_class.as_ref().filter(|_| path.starts_with(DATA_PACKS));
        let mut options = PutOptions::default();
        if let Some(class) = class {
            options.attributes.insert(Attribute::StorageClass, class.name.clone().into());
        }
        self.run(RequestKind::Put, path, |store, at| async move { store.put_opts(&at, bytes.into(), options).await.map(|_| ()) })?;
        class.map_or(Ok(()), |class| self.check_class(class, path))
    }

    /// Some stores take a storage class and forget it: the first object that is written with one is looked at.
    fn check_class(&self, class: &DataClass, path: &str) -> Result<()> {
        if class.is_kept.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (found, _) = self.look(path)?;
        if found != class.name {
            let wanted = &class.name;
            let why = format!("{} has no storage class {wanted}: it put {path} into {found}", self.location);
            return Err(RepoError::Setting(why));
        }
        class.is_kept.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Whether objects may be in storage classes that must thaw.
    pub fn has_classes(&self) -> bool {
        self.classes.is_some()
    }

    /// An object's storage class, and whether it can be read.
    ///
    /// # Errors
    /// `Missing`, `Store`.
    pub fn look(&self, path: &str) -> Result<(String, Warmth)> {
        let Some(classes) = &self.classes else { return Ok((String::new(), Warmth::Warm)) };
        self.run(RequestKind::Head, path, |_, at| async move { classes.look(&at).await })
    }

    /// Asks for a cold object; it can be read after minutes or hours.
    ///
    /// # Errors
    /// `Missing`, `Store`.
    pub fn thaw(&self, path: &str, request: ThawRequest) -> Result<()> {
        let Some(classes) = &self.classes else { return Ok(()) };
        self.run(RequestKind::Other, path, |_, at| async move { classes.thaw(&at, request).await })
    }

    /// Reads an object whole, but not one over `limit` bytes.
    ///
    /// # Errors
    /// `Missing`, `Store`.
    pub fn get(&self, path: &str, limit: u64) -> Result<Bytes> {
        self.run(RequestKind::Get, path, |store, at| fetching::whole(store, at, limit))
    }

    /// Reads `end - start` bytes from `start`; fewer if the object ends before.
    ///
    /// # Errors
    /// `Missing`, `Store`.
    pub fn get_range(&self, path: &str, start: u64, end: u64) -> Result<Bytes> {
        self.run(RequestKind::Get, path, |store, at| fetching::range(store, at, start, end))
    }

    /// The size of an object, `None` if there is none.
    ///
    /// # Errors
    /// `Store`.
    pub fn size(&self, path: &str) -> Result<Option<u64>> {
        match self.run(RequestKind::Head, path, |store, at| async move { store.head(&at).await.map(|meta| meta.size) }) {
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
        // No object is nearly as long; what a store claims must not overflow a sum.
        let listed = |meta: ObjectMeta| Listed { path: meta.location.to_string(), size: meta.size.min(u64::from(u32::MAX)) };
        let mut found: Vec<Listed> =
            self.run(RequestKind::List, folder, |store, _| async move { store.list(prefix.as_ref()).map_ok(listed).try_collect().await })?;
        found.sort();
        Ok(found)
    }

    /// The paths of every object below a folder, the newest first by the store's clock: an order to look in, and no more.
    ///
    /// # Errors
    /// `Store`.
    pub fn list_newest_first(&self, folder: &str) -> Result<Vec<String>> {
        let prefix = ObjectPath::from(folder);
        let mut found: Vec<_> = self.run(RequestKind::List, folder, |store, _| async move {
            store.list(Some(&prefix)).map_ok(|meta| (meta.last_modified, meta.location.to_string())).try_collect().await
        })?;
        found.sort_by(|first, second| second.cmp(first));
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }

    /// Some object that is there, but none below this folder; `None` if there is no other. Reads no more of the listing than
    /// it must.
    ///
    /// # Errors
    /// `Store`.
    pub fn first_but(&self, folder: &str) -> Result<Option<String>> {
        let left_out = ObjectPath::from(folder);
        self.run(RequestKind::List, "", |store, _| async move {
            let others = store.list(None).try_filter(|meta| std::future::ready(!meta.location.prefix_matches(&left_out)));
            Ok(std::pin::pin!(others).try_next().await?.map(|meta| meta.location.to_string()))
        })
    }

    /// Deletes an object unless the store refuses that, because the object is locked for now; gives the store's words then.
    ///
    /// # Errors
    /// `Store` for any other failure.
    pub fn delete_unless_locked(&self, path: &str) -> Result<Option<String>> {
        match self.delete(path) {
            Err(RepoError::Store { refused: true, why, .. }) => Ok(Some(why)),
            outcome => outcome.map(|()| None),
        }
    }

    /// Deletes an object; one that is gone already is no error.
    ///
    /// # Errors
    /// `Store`.
    pub fn delete(&self, path: &str) -> Result<()> {
        self.check_writable("delete", path)?;
        match self.run(RequestKind::Delete, path, |store, at| async move { store.delete(&at).await }) {
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

    fn run<T, F, Fut>(&self, kind: RequestKind, path: &str, request: F) -> Result<T>
    where
        F: FnOnce(Arc<dyn ObjectStore>, ObjectPath) -> Fut,
        Fut: Future<Output = object_store::Result<T>>,
    {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if !self.counted_on_the_wire {
            self.requests.count(kind);
        }
        let request = request(Arc::clone(&self.inner), ObjectPath::from(path));
        let outcome = match &self.runtime {
            Some(runtime) => runtime.block_on(request),
            None => block_on(request),
        };
        outcome.map_err(|error| self.fault(action_of(kind), path, &error))
    }

    /// A failure in words: what the store said, and where it is about credentials, which ones and what to do.
    fn fault(&self, action: &'static str, path: &str, error: &object_store::Error) -> RepoError {
        let words = refusal::innermost(error);
        let code = refusal::code(&words);
        match error {
            object_store::Error::NotFound { .. } if !code.is_some_and(refusal::is_no_bucket) => {
                return RepoError::Missing { path: path.to_owned() };
            }
            _ => {}
        }
        if code.is_some_and(refusal::is_cold) && action == "read" {
            return RepoError::Cold { path: path.to_owned() };
        }
        let refused = matches!(error, object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. });
        let mut why = refusal::answer(&words);
        if let Some(advice) = refusal::advice(code, refused) {
            why = if self.credentials.is_empty() { format!("{why} ({advice})") } else { format!("{why} ({}: {advice})", self.credentials) };
        }
        let object = if path.is_empty() { &self.location } else { path };
        let locked = code.is_some_and(refusal::is_locked);
        RepoError::Store { action, path: object.to_owned(), why, full: is_full(error), refused: refused || locked }
    }
}

/// Reads an object or a range of it: the object's size, and the bytes unless they are over the limit. A store or something
/// before it may send fewer bytes than it announced, and end as if that were all.
async fn read(store: &dyn ObjectStore, at: &ObjectPath, range: Option<GetRange>, limit: u64) -> object_store::Result<(u64, Bytes)> {
    let mut tries = 1;
    loop {
        let options = GetOptions { range: range.clone(), ..GetOptions::default() };
        let found = store.get_opts(at, options).await?;
        let (size, announced) = (found.meta.size, found.range.end - found.range.start);
        if range.is_none() && size > limit {
            return Ok((size, Bytes::new()));
        }
        let bytes = found.bytes().await?;
        if bytes.len() as u64 == announced {
            return Ok((size, bytes));
        }
        if tries == SHORT_ANSWERS_MAX {
            let source = format!("it announced {announced} bytes and sent {}", bytes.len()).into();
            return Err(object_store::Error::Generic { store: "store", source });
        }
        tries += 1;
    }
}

const fn action_of(kind: RequestKind) -> &'static str {
    match kind {
        RequestKind::Put => "write",
        RequestKind::Get | RequestKind::Head | RequestKind::Other => "read",
        RequestKind::List => "list",
        RequestKind::Delete => "delete",
    }
}

fn store_error(action: &'static str, path: &str, why: String, full: bool) -> RepoError {
    RepoError::Store { action, path: path.to_owned(), why, full, refused: false }
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

/// Makes a folder that only its owner can enter, and folders above it; their names are on disk then, too. One that is there
/// stays as it is.
fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_private(parent)?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    std::fs::File::open(parent)?.sync_all()
}

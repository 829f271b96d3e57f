//! An object store that fails, lies or refuses as a test has planned, around a real one.
//!
//! [`FaultyStore`] passes every operation on to the store it wraps; its [`FaultPlan`], shared with
//! the test, counts and records them and says which go wrong. Operations are numbered from 1 in
//! order of arrival, so a test can let the same run fail at each of its operations in turn.

mod altered;
mod multipart;
mod plan;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

pub use altered::Alteration;
pub use plan::{Effect, FaultPlan, Operation};

use multipart::FaultyUpload;

/// The name that errors made here carry.
pub const STORE_NAME: &str = "FaultyStore";

/// An object store under a [`FaultPlan`]. Clones share store and plan.
#[derive(Debug, Clone)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    plan: FaultPlan,
}

impl FaultyStore {
    /// Wraps `inner` with a plan under which nothing fails.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self::with_plan(inner, FaultPlan::default())
    }

    /// Wraps `inner` with a plan that may be shared with other stores: they then share the count,
    /// too, as the hosts of one run do.
    #[must_use]
    pub fn with_plan(inner: Arc<dyn ObjectStore>, plan: FaultPlan) -> Self {
        Self { inner, plan }
    }

    /// The plan; a handle, cheap to clone.
    #[must_use]
    pub fn plan(&self) -> FaultPlan {
        self.plan.clone()
    }

    /// The wrapped store, to look at what is really there.
    #[must_use]
    pub fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    /// Runs one operation: counted, recorded, and failed before or after its effect if planned.
    async fn run<T>(&self, operation: Operation, path: &Path, effect: impl Future<Output = Result<T>>) -> Result<T> {
        self.plan.come_to(operation, path);
        let failure_afterwards = self.plan.admit(operation, path)?;
        let outcome = effect.await?;
        failure_afterwards.map_or(Ok(outcome), Err)
    }

    async fn delete_one(&self, location: Path) -> Result<Path> {
        let effect = async {
            if self.plan.refuses_deletes() {
                return Err(refused(&location, "deletes are refused"));
            }
            self.inner.delete(&location).await
        };
        self.run(Operation::Delete, &location, effect).await?;
        Ok(location)
    }

    /// The object's metadata as this store shows them, or nothing if it is hidden from lists.
    async fn listed(self, meta: ObjectMeta) -> Result<Option<ObjectMeta>> {
        if self.plan.hides_from_list(&meta.location) {
            return Ok(None);
        }
        match self.plan.alteration(&meta.location) {
            None => Ok(Some(meta)),
            Some(alteration) => {
                let bytes = alteration.bytes(&*self.inner, &meta.location).await?;
                Ok(Some(ObjectMeta { size: bytes.len() as u64, ..meta }))
            }
        }
    }

    fn shown(&self, metas: impl stream::Stream<Item = Result<ObjectMeta>> + Send + 'static) -> BoxStream<'static, Result<ObjectMeta>> {
        let store = self.clone();
        metas.try_filter_map(move |meta| store.clone().listed(meta)).boxed()
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{STORE_NAME}({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, mut opts: PutOptions) -> Result<PutResult> {
        let guarded = self.plan.refuses_overwrites() && opts.mode != PutMode::Create;
        let effect = async {
            if guarded {
                // Atomic, unlike looking first.
                opts.mode = PutMode::Create;
            }
            let outcome = self.inner.put_opts(location, payload, opts).await;
            outcome.map_err(|error| if guarded { as_refusal(error, location) } else { error })
        };
        self.run(Operation::Put, location, effect).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let effect = self.inner.put_multipart_opts(location, opts);
        let upload = self.run(Operation::StartMultipart, location, effect).await?;
        Ok(Box::new(FaultyUpload::new(self.clone(), location.clone(), upload)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = if options.head { Operation::Head } else { Operation::Get };
        let effect = async {
            if self.plan.hides_from_get(location) {
                return Err(not_found(location));
            }
            match self.plan.alteration(location) {
                None => self.inner.get_opts(location, options).await,
                Some(alteration) => alteration.get(&*self.inner, location, options).await,
            }
        };
        let result = self.run(operation, location, effect).await?;
        if operation == Operation::Get {
            self.plan.note_fetched(location, result.range.end - result.range.start);
        }
        Ok(result)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .and_then(move |location| {
                let store = store.clone();
                async move { store.delete_one(location).await }
            })
            .boxed()
    }

    /// A failure after the effect yields all objects first, as a listing that breaks off does.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let root = Path::default();
        self.plan.come_to(Operation::List, prefix.unwrap_or(&root));
        match self.plan.admit(Operation::List, prefix.unwrap_or(&root)) {
            Err(error) => stream::once(async { Err(error) }).boxed(),
            Ok(failure_afterwards) => self.shown(self.inner.list(prefix)).chain(stream::iter(failure_afterwards.map(Err))).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let root = Path::default();
        let effect = async {
            let listing = self.inner.list_with_delimiter(prefix).await?;
            let objects = stream::iter(listing.objects.into_iter().map(Ok));
            Ok(ListResult { objects: self.shown(objects).try_collect().await?, ..listing })
        };
        self.run(Operation::List, prefix.unwrap_or(&root), effect).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, mut options: CopyOptions) -> Result<()> {
        let guarded = self.plan.refuses_overwrites() && options.mode != CopyMode::Create;
        let effect = async {
            if guarded {
                options.mode = CopyMode::Create;
            }
            let outcome = self.inner.copy_opts(from, to, options).await;
            outcome.map_err(|error| if guarded { as_refusal(error, to) } else { error })
        };
        self.run(Operation::Copy, to, effect).await
    }
}

fn as_refusal(error: Error, path: &Path) -> Error {
    match error {
        Error::AlreadyExists { .. } => refused(path, "overwrites are refused"),
        other => other,
    }
}

fn refused(path: &Path, why: &str) -> Error {
    Error::PermissionDenied { path: path.to_string(), source: why.into() }
}

fn not_found(path: &Path) -> Error {
    Error::NotFound { path: path.to_string(), source: "hidden by the fault plan".into() }
}

//! An actor's view of a shared store: each operation waits for the actor's turn.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

use super::{Fate, Turn};

/// The name that errors made here carry.
const STORE_NAME: &str = "ScheduledStore";

/// The store as one actor uses it.
#[derive(Clone)]
pub struct ScheduledStore {
    inner: Arc<dyn ObjectStore>,
    turn: Turn,
}

impl ScheduledStore {
    /// The actor with this turn over a store that all share.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, turn: Turn) -> Self {
        Self { inner, turn }
    }

    async fn run<T>(&self, what: &str, path: &str, effect: impl Future<Output = Result<T>>) -> Result<T> {
        match self.turn.step(&format!("{what} {path}")) {
            Fate::Done => effect.await,
            Fate::Unheard => {
                let _ = effect.await;
                Err(failure("the reply was lost"))
            }
            Fate::Lost => Err(failure("the request was lost")),
            Fate::Dead => Err(failure("its process is dead")),
        }
    }
}

fn failure(why: &'static str) -> Error {
    Error::Generic { store: STORE_NAME, source: why.into() }
}

impl fmt::Debug for ScheduledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STORE_NAME)
    }
}

impl fmt::Display for ScheduledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STORE_NAME)
    }
}

#[async_trait]
impl ObjectStore for ScheduledStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.run("put", location.as_ref(), self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(failure("uploads in parts are not scheduled"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let what = if options.head { "head" } else { "get" };
        self.run(what, location.as_ref(), self.inner.get_opts(location, options)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |location: Result<Path>| {
            let store = store.clone();
            async move {
                let location = location?;
                store.run("delete", location.as_ref(), store.inner.delete(&location)).await?;
                Ok(location)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let listed = async move {
            let path = prefix.clone().unwrap_or_default();
            let effect = async { Ok(store.inner.list(prefix.as_ref()).collect::<Vec<_>>().await) };
            match store.run("list", path.as_ref(), effect).await {
                Ok(found) => stream::iter(found),
                Err(error) => stream::iter(vec![Err(error)]),
            }
        };
        stream::once(listed).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let path = prefix.cloned().unwrap_or_default();
        self.run("list", path.as_ref(), self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.run("copy", to.as_ref(), self.inner.copy_opts(from, to, options)).await
    }
}

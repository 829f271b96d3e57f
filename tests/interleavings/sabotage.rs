//! What breaks the protocol, by what an actor is shown of the store: proof that the runs would notice.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};

/// A step of the protocol that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// The prune sees no manifest that came after its list.
    NoSecondMark,
    /// The prune sees no session that came before its list, but after it first looked at sessions.
    SessionsLookedAtTooEarly,
    /// The prune takes every session for ended.
    NobodyIsWaitedFor,
    /// The prune sees no list but its own.
    OtherListsIgnored,
    /// The writer sees no doomed list.
    ListsIgnored,
    /// The writer sees no fence.
    FencesIgnored,
}

impl Sabotage {
    /// Whether it is the prune that is misled, or the writer.
    pub fn is_of_prune(self) -> bool {
        !matches!(self, Self::ListsIgnored | Self::FencesIgnored)
    }
}

#[derive(Default)]
struct Shown {
    before: Vec<ObjectMeta>,
    has_list: bool,
    own_lists: BTreeSet<Path>,
}

/// A store that shows what a sabotage lets be seen.
#[derive(Clone)]
pub struct Sabotaged {
    inner: Arc<dyn ObjectStore>,
    sabotage: Sabotage,
    shown: Arc<Mutex<Shown>>,
}

impl Sabotaged {
    pub fn new(inner: Arc<dyn ObjectStore>, sabotage: Sabotage) -> Self {
        Self { inner, sabotage, shown: Arc::default() }
    }

    /// What is shown instead of what stands there.
    fn show(&self, folder: &str, found: Vec<ObjectMeta>) -> Vec<ObjectMeta> {
        let mut shown = self.shown.lock().unwrap();
        let as_before = |shown: &mut Shown, found: Vec<ObjectMeta>| {
            if !shown.has_list {
                shown.before = found;
            }
            shown.before.clone()
        };
        match (self.sabotage, folder.split('/').next().unwrap_or_default()) {
            (Sabotage::NoSecondMark, "manifests") => as_before(&mut shown, found),
            (Sabotage::SessionsLookedAtTooEarly, "sessions") if folder == "sessions" => as_before(&mut shown, found),
            (Sabotage::NobodyIsWaitedFor, "sessions") => {
                let ends: Vec<ObjectMeta> = found
                    .iter()
                    .filter_map(|meta| {
                        let session = meta.location.as_ref().strip_suffix("/open")?;
                        Some(ObjectMeta { location: Path::from(format!("{session}/end")), ..meta.clone() })
                    })
                    .collect();
                found.into_iter().chain(ends).collect()
            }
            (Sabotage::OtherListsIgnored, "doomed") => found.into_iter().filter(|meta| shown.own_lists.contains(&meta.location)).collect(),
            (Sabotage::ListsIgnored, "doomed") => Vec::new(),
            _ => found,
        }
    }
}

impl fmt::Debug for Sabotaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.sabotage)
    }
}

impl fmt::Display for Sabotaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.sabotage)
    }
}

#[async_trait]
impl ObjectStore for Sabotaged {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let outcome = self.inner.put_opts(location, payload, opts).await?;
        if location.as_ref().starts_with("doomed/") {
            let mut shown = self.shown.lock().unwrap();
            shown.has_list = true;
            shown.own_lists.insert(location.clone());
        }
        Ok(outcome)
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if self.sabotage == Sabotage::FencesIgnored && location.as_ref().starts_with("fences/") {
            return Err(Error::NotFound { path: location.to_string(), source: "hidden".into() });
        }
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, folder) = (self.clone(), prefix.map(ToString::to_string).unwrap_or_default());
        let listed = self.inner.list(prefix);
        let shown = async move {
            let found: Vec<Result<ObjectMeta>> = listed.collect().await;
            match found.into_iter().collect::<Result<Vec<_>>>() {
                Ok(found) => stream::iter(store.show(&folder, found).into_iter().map(Ok).collect::<Vec<_>>()),
                Err(error) => stream::iter(vec![Err(error)]),
            }
        };
        stream::once(shown).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

//! Where the demo's repositories are: in its folder, or in a bucket of a Garage that ends with it. What is done to them
//! behind `esker`'s back, as with `cp`, is done here.

use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use esker_testkit::server::garage::{BUCKET, Garage, KEY_ID, REGION, SECRET};
use futures::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;

use crate::Outcome;

/// A kind of place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StoreKind {
    /// The folder that everything happens in.
    Folder,
    /// Garage, an S3 server, as `scripts/setup stores` installs it.
    Garage,
}

/// All that is stored.
pub struct Place {
    store: Arc<dyn ObjectStore>,
    runtime: Runtime,
    garage: Option<Garage>,
}

impl Place {
    /// A place of this kind; folders are in `folder`.
    ///
    /// # Errors
    /// If it cannot be set up.
    pub fn open(kind: StoreKind, folder: &Path) -> Outcome<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start a thread: {error}"))?;
        let garage = (kind == StoreKind::Garage).then(Garage::start);
        let store: Arc<dyn ObjectStore> = match &garage {
            Some(garage) => {
                let bucket = AmazonS3Builder::new().with_bucket_name(BUCKET).with_region(REGION).with_endpoint(garage.endpoint());
                let bucket = bucket.with_access_key_id(KEY_ID).with_secret_access_key(SECRET).with_allow_http(true);
                Arc::new(bucket.build().map_err(|error| error.to_string())?)
            }
            None => Arc::new(LocalFileSystem::new_with_prefix(folder).map_err(|error| error.to_string())?),
        };
        Ok(Self { store, runtime, garage })
    }

    /// What `esker` is told of it by its environment.
    pub fn variables(&self) -> Vec<(String, String)> {
        self.garage.as_ref().map(Garage::variables).unwrap_or_default()
    }

    /// A repository as `esker` calls it.
    pub fn name_of(&self, repository: &str) -> String {
        if self.garage.is_some() { format!("s3://{BUCKET}/{repository}") } else { repository.to_owned() }
    }

    /// The command that copies what stands below `from`.
    pub fn copy_command(&self, from: &str, to: &str, is_one: bool) -> String {
        let (from, to) = (self.name_of(from), self.name_of(to));
        match (&self.garage, is_one) {
            (Some(_), true) => format!("aws s3 cp {from} {to}"),
            (Some(_), false) => format!("aws s3 cp --recursive {from} {to}"),
            (None, true) => format!("cp {from} {to}"),
            (None, false) => format!("cp -r {from} {to}"),
        }
    }

    /// Every object below a path, with its bytes.
    ///
    /// # Errors
    /// The store's.
    pub fn list(&self, below: &str) -> Outcome<Vec<(String, u64)>> {
        let path = ObjectPath::from(below);
        let found = self.store.list(Some(&path)).map_ok(|meta| (meta.location.to_string(), meta.size));
        self.run(below, found.try_collect())
    }

    /// Copies every object of a repository.
    ///
    /// # Errors
    /// The store's.
    pub fn copy_all(&self, from: &str, to: &str) -> Outcome<()> {
        for (path, _) in self.list(from)? {
            let rest = path.strip_prefix(from).unwrap_or(&path);
            self.copy(&path, &format!("{to}{rest}"))?;
        }
        Ok(())
    }

    /// Copies one object, over one that stands there.
    ///
    /// # Errors
    /// The store's.
    pub fn copy(&self, from: &str, to: &str) -> Outcome<()> {
        self.write(to, self.read(from)?)
    }

    /// Makes another byte of the one at `offset`.
    ///
    /// # Errors
    /// The store's.
    pub fn invert_byte(&self, path: &str, offset: u64) -> Outcome<()> {
        let mut bytes = self.read(path)?;
        let byte = usize::try_from(offset).ok().and_then(|offset| bytes.get_mut(offset));
        *byte.ok_or_else(|| format!("{path} has no byte {offset}"))? ^= 0xff;
        self.write(path, bytes)
    }

    fn read(&self, path: &str) -> Outcome<Vec<u8>> {
        self.run(path, async { self.store.get(&ObjectPath::from(path)).await?.bytes().await }).map(|bytes| bytes.to_vec())
    }

    fn write(&self, path: &str, bytes: Vec<u8>) -> Outcome<()> {
        self.run(path, async { self.store.put(&ObjectPath::from(path), bytes.into()).await }).map(|_| ())
    }

    fn run<T>(&self, path: &str, request: impl Future<Output = object_store::Result<T>>) -> Outcome<T> {
        self.runtime.block_on(request).map_err(|error| format!("{path}: {error}"))
    }
}

//! A private map on this machine's disk, for what must not grow in memory with the repository.

use std::path::Path;

use rocksdb::{DB, IteratorMode, WriteOptions};

use crate::error::Result;
use crate::index::{cache_error, create_folder, open_private, share, sweep_abandoned};
use crate::repository::Repository;

/// A map from bytes to bytes that is gone when it is dropped.
pub struct ScratchMap {
    db: DB,
    _in_use: std::fs::File,
    _folder: tempfile::TempDir,
}

impl Repository {
    /// An empty map below the cache folder.
    ///
    /// # Errors
    /// `Cache`.
    pub fn scratch_map(&self) -> Result<ScratchMap> {
        ScratchMap::new(&self.cache)
    }
}

impl ScratchMap {
    fn new(cache: &Path) -> Result<Self> {
        create_folder(cache)?;
        sweep_abandoned(cache, "scratch-");
        let folder = tempfile::Builder::new().prefix("scratch-").tempdir_in(cache).map_err(|error| cache_error(cache, &error))?;
        let in_use = share(folder.path())?;
        Ok(Self { db: open_private(folder.path())?, _in_use: in_use, _folder: folder })
    }

    /// The value of a key.
    ///
    /// # Errors
    /// `Cache`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.db.get(key).map_err(|error| cache_error(self.db.path(), &error))
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// `Cache`.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.db.put_opt(key, value, &options).map_err(|error| cache_error(self.db.path(), &error))
    }

    /// Adds a key without a value; false if it was there.
    ///
    /// # Errors
    /// `Cache`.
    pub fn insert(&self, key: &[u8]) -> Result<bool> {
        let is_new = self.get(key)?.is_none();
        if is_new {
            self.put(key, &[])?;
        }
        Ok(is_new)
    }

    /// Visits every key with its value.
    ///
    /// # Errors
    /// `Cache`, and what `visit` returns.
    pub fn for_each(&self, mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
        for row in self.db.iterator(IteratorMode::Start) {
            let (key, value) = row.map_err(|error| cache_error(self.db.path(), &error))?;
            visit(&key, &value)?;
        }
        Ok(())
    }
}

//! A private map: a small one stays in memory, a larger one moves to disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rocksdb::{DB, IteratorMode, WriteOptions};

use super::folder::ScratchFolder;
use crate::error::Result;
use crate::index::{cache_error, open_scratch};
use crate::repository::Repository;

/// Bytes above which a map moves to disk. Making a database costs as much time as a small backup.
const MEMORY_BYTES_MAX: usize = 4 << 20;
/// What a row takes in memory beside its key and value, about.
const ROW_BYTES: usize = 96;

/// A map from bytes to bytes that is gone when it is dropped.
pub struct ScratchMap {
    cache: PathBuf,
    rows: Mutex<Rows>,
}

enum Rows {
    InMemory { rows: BTreeMap<Vec<u8>, Vec<u8>>, bytes: usize },
    OnDisk(Database),
}

struct Database {
    db: DB,
    _folder: ScratchFolder,
}

impl Repository {
    /// An empty map; if it grows, below the cache folder.
    pub fn scratch_map(&self) -> ScratchMap {
        ScratchMap::new(&self.cache)
    }
}

impl ScratchMap {
    fn new(cache: &Path) -> Self {
        Self { cache: cache.to_owned(), rows: Mutex::new(Rows::InMemory { rows: BTreeMap::new(), bytes: 0 }) }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// `Cache`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.lock().get(key)
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// `Cache`.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.put_into(&mut self.lock(), key, value)
    }

    /// Adds a key without a value; false if it was there.
    ///
    /// # Errors
    /// `Cache`.
    pub fn insert(&self, key: &[u8]) -> Result<bool> {
        let mut rows = self.lock();
        let is_new = rows.get(key)?.is_none();
        if is_new {
            self.put_into(&mut rows, key, &[])?;
        }
        Ok(is_new)
    }

    /// Visits every key with its value, in the order of the keys.
    ///
    /// # Errors
    /// `Cache`, and what `visit` returns.
    pub fn for_each(&self, mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
        match &*self.lock() {
            Rows::InMemory { rows, .. } => rows.iter().try_for_each(|(key, value)| visit(key, value)),
            Rows::OnDisk(Database { db, .. }) => db.iterator(IteratorMode::Start).try_for_each(|row| {
                let (key, value) = row.map_err(|error| cache_error(db.path(), &error))?;
                visit(&key, &value)
            }),
        }
    }

    fn put_into(&self, rows: &mut Rows, key: &[u8], value: &[u8]) -> Result<()> {
        match rows {
            Rows::OnDisk(database) => database.put(key, value),
            Rows::InMemory { rows: in_memory, bytes } => {
                *bytes += ROW_BYTES + key.len() + value.len();
                if let Some(before) = in_memory.insert(key.to_vec(), value.to_vec()) {
                    *bytes -= ROW_BYTES + key.len() + before.len();
                }
                if *bytes > MEMORY_BYTES_MAX {
                    let database = Database::new(&self.cache)?;
                    in_memory.iter().try_for_each(|(key, value)| database.put(key, value))?;
                    *rows = Rows::OnDisk(database);
                }
                Ok(())
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self {
            Self::InMemory { rows, .. } => Ok(rows.get(key).cloned()),
            Self::OnDisk(Database { db, .. }) => db.get(key).map_err(|error| cache_error(db.path(), &error)),
        }
    }
}

impl Database {
    fn new(cache: &Path) -> Result<Self> {
        let folder = ScratchFolder::new(cache)?;
        Ok(Self { db: open_scratch(folder.path())?, _folder: folder })
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.db.put_opt(key, value, &options).map_err(|error| cache_error(self.db.path(), &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_that_grows_moves_to_disk_and_keeps_what_it_has() {
        let cache = tempfile::tempdir().unwrap();
        let map = ScratchMap::new(cache.path());
        let folders = || std::fs::read_dir(cache.path()).unwrap().count();
        let value = vec![7; 1 << 20];
        for number in 0u8..8 {
            assert_eq!(folders(), usize::from(usize::from(number) * value.len() >= MEMORY_BYTES_MAX), "{number}");
            assert!(map.insert(&[number, 0]).unwrap());
            map.put(&[number], &value).unwrap();
        }
        assert!(!map.insert(&[0, 0]).unwrap());
        assert_eq!(map.get(&[3]).unwrap().unwrap(), value);
        let mut keys = Vec::new();
        map.for_each(|key, _| {
            keys.push(key.to_vec());
            Ok(())
        })
        .unwrap();
        assert_eq!(keys.len(), 16);
        assert!(keys.is_sorted());
        drop(map);
        assert_eq!(folders(), 0);
    }
}

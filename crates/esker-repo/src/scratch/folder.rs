//! A private folder below the cache that is gone when it is dropped.

use std::path::Path;

use tempfile::TempDir;

use crate::error::Result;
use crate::index::{cache_error, create_folder, share, sweep_abandoned};

/// What such folders are called.
const PREFIX: &str = "scratch-";

/// The folder, marked as in use: others remove those of processes that died.
pub(super) struct ScratchFolder {
    folder: TempDir,
    _in_use: std::fs::File,
}

impl ScratchFolder {
    pub(super) fn new(cache: &Path) -> Result<Self> {
        create_folder(cache)?;
        sweep_abandoned(cache, PREFIX);
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(cache).map_err(|error| cache_error(cache, &error))?;
        let _in_use = share(folder.path())?;
        Ok(Self { folder, _in_use })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

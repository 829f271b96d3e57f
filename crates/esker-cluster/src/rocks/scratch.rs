//! A private folder of symbolic links to an engine's files.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use crate::{Error, FileKind, Result};

/// The scratch folder; it goes when this is dropped, the files it points to stay.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: TempDir,
    files: usize,
}

impl Scratch {
    /// Links every regular file of `engine` that RocksDB reads. `engine` must be absolute.
    pub(super) fn of(engine: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("esker-open-").tempdir();
        let folder = folder.map_err(|source| Error::std("create a scratch folder in", std::env::temp_dir(), source))?;
        let fail = |source| Error::std("list", engine, source);
        let mut files = 0_usize;
        for item in engine.read_dir().map_err(fail)? {
            let item = item.map_err(fail)?;
            let kind = FileKind::of(item.file_name().as_bytes());
            let is_file = item.file_type().map_err(fail)?.is_file();
            if is_file && !matches!(kind, FileKind::Other | FileKind::Identity) {
                let link = folder.path().join(item.file_name());
                symlink(item.path(), &link).map_err(|source| Error::std("create", &link, source))?;
                files = files.saturating_add(1);
            }
        }
        Ok(Self { folder, files })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Number of files linked.
    pub(super) fn files(&self) -> usize {
        self.files
    }
}

//! The temporary folder that everything happens in.

use std::path::{Path, PathBuf};

use crate::Outcome;

/// A folder that goes when it is dropped, unless it is to be kept.
pub struct WorkFolder {
    path: PathBuf,
    keep: bool,
}

impl WorkFolder {
    /// A new folder in the system's temporary folder.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn make(keep: bool) -> Outcome<Self> {
        let path = std::env::temp_dir().join(format!("esker-demo-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        Ok(Self { path, keep })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("esker-demo: cannot remove {}: {error}", self.path.display());
        }
    }
}

//! Folders of the cache: made for their owner alone, marked while in use, removed when nobody uses them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use esker_format::ObjectId;
use rustix::fs::{FlockOperation, flock};

use crate::error::{RepoError, Result};

/// Generations that stay, the one in use included.
const GENERATIONS_KEPT: usize = 2;
/// The file whose lock says that a folder is in use.
pub(super) const USE_FILE: &str = "in-use";

pub(super) fn generation_name(sources: &BTreeSet<ObjectId>) -> String {
    let mut hasher = blake3::Hasher::new();
    for id in sources {
        hasher.update(&id.0);
    }
    hasher.finalize().to_hex().chars().take(32).collect()
}

/// Whether a generation's folder is called after these sources.
pub(super) fn is_named_by(folder: &Path, sources: &BTreeSet<ObjectId>) -> bool {
    folder.file_name().is_some_and(|name| name.to_string_lossy() == format!("gen-{}", generation_name(sources)))
}

pub(super) fn generations(root: &Path) -> Vec<PathBuf> {
    let is_generation = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("gen-"));
    std::fs::read_dir(root).map(|entries| entries.flatten().map(|entry| entry.path()).filter(is_generation).collect()).unwrap_or_default()
}

pub(super) fn link_files(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (name, target) = (entry.file_name(), to.join(entry.file_name()));
        let text = name.to_string_lossy();
        if text.ends_with(".sst") {
            // RocksDB never changes a table file, so a link is as good as a copy.
            std::fs::hard_link(entry.path(), target)?;
        } else if text == "CURRENT" || text.starts_with("MANIFEST-") || text.starts_with("OPTIONS-") {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Marks a folder as in use for as long as the file is held.
pub(crate) fn share(folder: &Path) -> Result<std::fs::File> {
    let path = folder.join(USE_FILE);
    let file = std::fs::File::options().create(true).append(true).open(&path).map_err(|error| cache_error(&path, &error))?;
    // A file system without locks loses only the protection against being swept while in use, which RocksDB survives.
    let _ = flock(&file, FlockOperation::NonBlockingLockShared);
    // When it was last used decides what goes first for want of room.
    let _ = file.set_modified(std::time::SystemTime::now());
    Ok(file)
}

/// Removes a folder of the cache that nobody uses; one in use stays.
pub(super) fn remove_unused(folder: &Path) {
    let free = match std::fs::File::options().append(true).open(folder.join(USE_FILE)) {
        Ok(file) => flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok(),
        Err(_) => false,
    };
    if free {
        remove_folder(folder);
    }
}

pub(super) fn remove_folder(folder: &Path) {
    // The cache may be left with rubbish; the next process tries again.
    let _ = std::fs::remove_dir_all(folder);
}

/// Removes private folders whose process is gone.
pub(crate) fn sweep_abandoned(root: &Path, prefix: &str) {
    let Ok(entries) = std::fs::read_dir(root) else { return };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .for_each(|entry| remove_unused(&entry.path()));
}

pub(super) fn newest_first(root: &Path) -> Vec<PathBuf> {
    let modified = |path: &PathBuf| path.metadata().and_then(|meta| meta.modified()).ok();
    let mut folders: Vec<_> = generations(root).into_iter().map(|folder| (modified(&folder), folder)).collect();
    folders.sort_by(|a, b| b.cmp(a));
    folders.into_iter().map(|(_, folder)| folder).collect()
}

pub(super) fn drop_old_generations(root: &Path, current: &Path) {
    let others = newest_first(root).into_iter().filter(|folder| folder != current);
    others.skip(GENERATIONS_KEPT - 1).for_each(|folder| remove_unused(&folder));
}

/// Makes a folder of the cache that only its owner can read.
///
/// # Errors
/// `Cache`.
pub(crate) fn create_folder(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| cache_error(folder, &error))
}

pub(crate) fn cache_error(path: &Path, error: &dyn std::fmt::Display) -> RepoError {
    RepoError::Cache { path: path.display().to_string(), why: error.to_string() }
}

//! How much room the local indexes take, those of all repositories and of other versions together: the one used longest ago
//! goes first, and none that a process uses.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::folders::{USE_FILE, generations, remove_unused};

/// Bytes that local indexes may take, unless `OpenOptions` says otherwise: those of about eighty million chunks.
pub const INDEX_CACHE_BYTES: u64 = 8 << 30;
/// What folders of indexes begin with.
const INDEX_PREFIX: &str = "index-";

/// Removes generations until what stays takes no more than `limit` bytes.
pub(super) fn keep_within(cache: &Path, limit: u64) {
    let Ok(entries) = std::fs::read_dir(cache) else { return };
    let is_index = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(INDEX_PREFIX));
    let roots: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_index).collect();
    let mut folders: Vec<(Option<SystemTime>, PathBuf)> =
        roots.iter().flat_map(|root| generations(root)).map(|folder| (last_use(&folder), folder)).collect();
    folders.sort_by(|a, b| b.cmp(a));
    // Generations share most of their files with the one they were made from.
    let (mut counted, mut bytes) = (HashSet::new(), 0u64);
    for (_, folder) in folders {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if let Ok(meta) = entry.metadata()
                && counted.insert((meta.dev(), meta.ino()))
            {
                bytes = bytes.saturating_add(meta.blocks().saturating_mul(512));
            }
        }
        if bytes > limit {
            remove_unused(&folder);
        }
    }
    // Of a repository that nobody uses any more, or of another version, nothing stays; a folder that is not empty does.
    roots.iter().for_each(|root| drop(std::fs::remove_dir(root)));
}

fn last_use(folder: &Path) -> Option<SystemTime> {
    folder.join(USE_FILE).metadata().and_then(|meta| meta.modified()).ok()
}

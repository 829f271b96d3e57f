//! What killed writers leave in a folder: files that were being written under another name, and empty folders.
//!
//! A folder's store writes `<name>#<number>` and renames it. After a kill the first stays; listings do not show it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use esker_format::SessionId;
use esker_format::layout::PACKS;

use crate::error::{RepoError, Result};
use crate::repository::Repository;

/// Age after which a file that belongs to no session is nobody's any more: small objects are written in one go.
const OLD: Duration = Duration::from_secs(24 * 3600);

/// What was swept.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Removes such files of a repository in a folder, of packs only those whose session is over: ended or fenced. `only_count`
/// removes nothing.
///
/// # Errors
/// `Store`.
pub(super) fn sweep(repository: &Repository, over: &BTreeSet<SessionId>, only_count: bool) -> Result<Swept> {
    let mut swept = Swept::default();
    if repository.store.is_local() {
        sweep_folder(Path::new(repository.store.location()), "", over, only_count, &mut swept)?;
    }
    Ok(swept)
}

fn sweep_folder(folder: &Path, name: &str, over: &BTreeSet<SessionId>, only_count: bool, swept: &mut Swept) -> Result<()> {
    let failed = |action: &'static str, path: &str, error: &std::io::Error| RepoError::Store {
        refused: false,
        action,
        path: path.to_owned(),
        why: error.to_string(),
        full: false,
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("list", name, &error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| failed("list", name, &error))?;
        let file_name = entry.file_name().to_string_lossy().into_owned();
        let below = if name.is_empty() { file_name.clone() } else { format!("{name}/{file_name}") };
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() {
            sweep_folder(&entry.path(), &below, over, only_count, swept)?;
            let is_over = session_of(&below).is_some_and(|session| over.contains(&session));
            if is_over && !only_count {
                // Fails where anything is left in it.
                let _ = std::fs::remove_dir(entry.path());
            }
        } else if meta.is_file() && is_staged(&file_name) {
            let is_nobodys = match session_of(&below) {
                Some(session) => over.contains(&session),
                None => meta.modified().is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age >= OLD)),
            };
            if is_nobodys {
                match if only_count { Ok(()) } else { std::fs::remove_file(entry.path()) } {
                    // Another prune was here, or its writer was alive after all and gave it its name.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                    outcome => outcome.map_err(|error| failed("delete", &below, &error))?,
                }
                swept.files += 1;
                swept.bytes += meta.len();
            }
        }
    }
    Ok(())
}

/// Whether a store's folder holds such a file only while it is being written.
fn is_staged(name: &str) -> bool {
    name.split_once('#')
        .is_some_and(|(of, number)| !of.is_empty() && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The session of a path below `packs/data` or `packs/meta`.
fn session_of(path: &str) -> Option<SessionId> {
    let mut parts = path.split('/');
    let is_pack = parts.next() == Some(PACKS) && parts.next().is_some();
    is_pack.then(|| parts.next()).flatten().and_then(|session| SessionId::from_hex(session).ok())
}

//! What this client remembers of a repository: that it is encrypted, the newest view it had of backups and of the log, and what
//! its store can do.
//!
//! The first three are second nets against a store that is not what it was: a config swapped for an unencrypted one, a
//! store rolled back to an older state. They are files of this machine; losing them loses the net, never data.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use esker_format::{ObjectId, RepositoryId};

use crate::audit::SeenLog;
use crate::error::{RepoError, Result};
use crate::store::probe::Abilities;

/// What marks a record that none other follows.
const HEAD_MARK: &str = " head";

/// The client's memory below the cache folder.
#[derive(Debug, Clone)]
pub struct Known {
    folder: PathBuf,
}

impl Known {
    /// Below this cache folder.
    pub fn new(cache: &Path) -> Self {
        Self { folder: cache.join("known") }
    }

    /// Whether the repository at this location was encrypted when it was last opened.
    pub fn was_encrypted(&self, location: &str) -> bool {
        std::fs::read_to_string(self.location_file(location)).is_ok_and(|text| text.trim_end().ends_with(" encrypted"))
    }

    /// Remembers what the repository at this location is.
    ///
    /// # Errors
    /// `Cache`.
    pub fn remember(&self, location: &str, repository: RepositoryId, encrypted: bool) -> Result<()> {
        let mode = if encrypted { "encrypted" } else { "plain" };
        write_whole(&self.location_file(location), format!("{repository} {mode}\n").as_bytes())
    }

    /// Manifests that this client saw when it last used the repository at this location: a copy elsewhere has a history of
    /// its own.
    pub fn manifests(&self, location: &str, repository: RepositoryId) -> BTreeSet<ObjectId> {
        let text = std::fs::read_to_string(self.manifests_file(location, repository)).unwrap_or_default();
        text.lines().filter_map(|line| ObjectId::from_hex(line).ok()).collect()
    }

    /// Remembers the manifests that stand now.
    ///
    /// # Errors
    /// `Cache`.
    pub fn remember_manifests(&self, location: &str, repository: RepositoryId, manifests: &BTreeSet<ObjectId>) -> Result<()> {
        let text: String = manifests.iter().map(|id| format!("{id}\n")).collect();
        write_whole(&self.manifests_file(location, repository), text.as_bytes())
    }

    /// The audit records that this client saw when it last looked at the log of the repository at this location.
    pub fn log(&self, location: &str, repository: RepositoryId) -> SeenLog {
        let text = std::fs::read_to_string(self.log_file(location, repository)).unwrap_or_default();
        let id = |line: &str| ObjectId::from_hex(line.trim_end_matches(HEAD_MARK)).ok();
        SeenLog {
            all: text.lines().filter_map(id).collect(),
            heads: text.lines().filter(|line| line.ends_with(HEAD_MARK)).filter_map(id).collect(),
        }
    }

    /// Remembers the audit records that stand now.
    ///
    /// # Errors
    /// `Cache`.
    pub fn remember_log(&self, location: &str, repository: RepositoryId, log: &SeenLog) -> Result<()> {
        let mark = |id: &ObjectId| if log.heads.contains(id) { HEAD_MARK } else { "" };
        let text: String = log.all.iter().map(|id| format!("{id}{}\n", mark(id))).collect();
        write_whole(&self.log_file(location, repository), text.as_bytes())
    }

    /// What the store at this location could when it was last tried.
    pub fn abilities(&self, location: &str) -> Option<Abilities> {
        serde_json::from_slice(&std::fs::read(self.abilities_file(location)).ok()?).ok()
    }

    /// Remembers what the store at this location can.
    ///
    /// # Errors
    /// `Cache`.
    pub fn remember_abilities(&self, location: &str, abilities: &Abilities) -> Result<()> {
        let path = self.abilities_file(location);
        let text = serde_json::to_vec(abilities);
        let text = text.map_err(|error| RepoError::Cache { path: path.display().to_string(), why: error.to_string() })?;
        write_whole(&path, &text)
    }

    fn log_file(&self, location: &str, repository: RepositoryId) -> PathBuf {
        self.folder.join(format!("audit-{repository}-{}", place(location)))
    }

    fn abilities_file(&self, location: &str) -> PathBuf {
        self.folder.join(format!("store-{}", place(location)))
    }

    fn location_file(&self, location: &str) -> PathBuf {
        self.folder.join(format!("at-{}", place(location)))
    }

    fn manifests_file(&self, location: &str, repository: RepositoryId) -> PathBuf {
        self.folder.join(format!("manifests-{repository}-{}", place(location)))
    }
}

/// The same for the same place, however it is written.
fn place(location: &str) -> String {
    let path = std::fs::canonicalize(location).map_or_else(|_| location.to_owned(), |path| path.to_string_lossy().into_owned());
    ObjectId::of(path.as_bytes()).short()
}

/// Replaces a small file in one step, so that another process reads the old or the new.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |error: std::io::Error| RepoError::Cache { path: path.display().to_string(), why: error.to_string() };
    let folder = path.parent().unwrap_or(Path::new("."));
    crate::index::create_folder(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.persist(path).map(|_| ()).map_err(|error| failed(error.error))
}

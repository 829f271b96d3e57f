//! Finding a backup by what people call it, and choosing a part of it.

use std::sync::Arc;

use esker_cluster::path::escaped;
use esker_format::engine::EngineRecord;
use esker_repo::Repository;
use esker_repo::manifests::{Backup, Backups, Standing};
use globset::{GlobBuilder, GlobMatcher};

use crate::error::{OpsError, Result};

/// The name that stands for the newest backup.
pub const LATEST: &str = "latest";
/// Digits of an id that name a backup, at least.
const ID_DIGITS_MIN: usize = 8;

/// Finds a backup: `latest`, a label, or the beginning of an id.
///
/// A fenced backup that is not decided is found by its id only.
///
/// # Errors
/// `Usage` if there is none or several; `Store`.
pub fn find_backup(repository: &Arc<Repository>, name: &str) -> Result<Backup> {
    find_among(&repository.backups()?, name)
}

/// As `find_backup`, among backups that were read already.
///
/// # Errors
/// `Usage`; `Damage` if the name may be that of a manifest that cannot be read.
pub fn find_among(backups: &Backups, name: &str) -> Result<Backup> {
    let valid = || backups.found.iter().filter(|backup| backup.standing == Standing::Valid);
    let by_label: Vec<&Backup> = match name {
        LATEST => valid().next_back().into_iter().collect(),
        _ => valid().filter(|backup| backup.manifest.label == name).collect(),
    };
    let by_id = || backups.found.iter().filter(|backup| name.len() >= ID_DIGITS_MIN && backup.id.to_string().starts_with(name));
    let found: Vec<&Backup> = if by_label.is_empty() { by_id().collect() } else { by_label };
    match found.as_slice() {
        [backup] => Ok((*backup).clone()),
        [] if !backups.damaged.is_empty() => {
            let damaged: Vec<String> = backups.damaged.iter().map(|(_, error)| error.to_string()).collect();
            Err(OpsError::Damage(format!("no readable backup is called {name:?}, and {}: run esker fsck", damaged.join("; "))))
        }
        [] if name == LATEST => Err(OpsError::usage("the repository holds no backup yet: make one with esker backup")),
        [] => Err(OpsError::usage(format!("no backup is called {name:?}: esker list shows what there is"))),
        several => {
            let ids: Vec<String> = several.iter().map(|backup| backup.id.short()).collect();
            Err(OpsError::usage(format!("{} backups are called {name:?}: name one by its id ({})", ids.len(), ids.join(", "))))
        }
    }
}

/// A part of a backup. The default chooses all of it.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    hosts: Vec<String>,
    spaces: Vec<String>,
    paths: Vec<GlobMatcher>,
    text: String,
}

impl Selection {
    /// Chooses by host, space and path pattern; an empty list chooses all. A pattern is matched against
    /// `<path below the host's folder>`; `*` and `?` stay within a component, `**` does not.
    ///
    /// # Errors
    /// `Usage` for a pattern that is none.
    pub fn new(hosts: Vec<String>, spaces: Vec<String>, paths: &[String]) -> Result<Self> {
        let text = format!("hosts {hosts:?} spaces {spaces:?} paths {paths:?}");
        let glob = |pattern: &String| {
            let built = GlobBuilder::new(pattern).literal_separator(true).build();
            built.map(|glob| glob.compile_matcher()).map_err(|error| OpsError::usage(format!("--path {pattern}: {}", error.kind())))
        };
        Ok(Self { hosts, spaces, paths: paths.iter().map(glob).collect::<Result<_>>()?, text })
    }

    /// Whether all of a backup is chosen.
    pub fn is_all(&self) -> bool {
        self.hosts.is_empty() && self.spaces.is_empty() && self.paths.is_empty()
    }

    /// Whether less than whole hosts are chosen.
    pub(crate) fn is_narrower_than_hosts(&self) -> bool {
        !self.spaces.is_empty() || !self.paths.is_empty()
    }

    /// The choice as text, the same for the same choice.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the host is chosen.
    pub fn takes_host(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|name| name == host)
    }

    /// Whether the engine's space is chosen; files of no engine belong to no space.
    pub fn takes_space(&self, engine: Option<&EngineRecord>) -> bool {
        let space = engine.and_then(|engine| engine.space.as_deref());
        self.spaces.is_empty() || self.spaces.iter().any(|name| Some(name.as_str()) == space)
    }

    /// Whether the path below the host's folder is chosen.
    pub fn takes_path(&self, path: &[u8]) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|pattern| pattern.is_match(esker_cluster::path::as_path(path)))
    }

    /// That nothing is chosen, as an error.
    pub fn nothing(&self, backup: &Backup) -> OpsError {
        let hosts: Vec<&str> = backup.manifest.hosts.iter().map(|host| host.name.as_str()).collect();
        OpsError::usage(format!(
            "nothing in {} matches {}; its hosts are {}",
            escaped(backup.manifest.label.as_bytes()),
            self.text,
            hosts.join(", ")
        ))
    }
}

//! Which backups are copied, and which are there already.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use esker_format::ObjectId;
use esker_format::manifest::Origin;
use esker_repo::Repository;
use esker_repo::manifests::{Backup, Standing};
use esker_repo::notes::NoteState;

use super::CopyRequest;
use crate::error::{OpsError, Result};
use crate::select::find_among;

/// The backup as it was made: of a copy, the backup that it is one of.
pub(super) fn origin_of(repository: &Repository, backup: &Backup) -> Origin {
    let itself = Origin { repository: repository.config().repository, manifest: backup.id };
    backup.manifest.origin.unwrap_or(itself)
}

/// What was asked for, compared with what the target has.
pub(super) struct Choice {
    /// Backups to copy or to find there, oldest first.
    pub backups: Vec<Backup>,
    /// Of those, the undecided ones that nobody asked for by id.
    pub left_out: BTreeSet<ObjectId>,
    /// Valid backups of the target by what they are copies of.
    pub copies: BTreeMap<Origin, Backup>,
    /// Backups of the source that stand in the target, too; oldest first.
    in_both: Vec<Backup>,
    /// What people decided about backups of the source,
    pub notes: BTreeMap<ObjectId, NoteState>,
    /// and about which of the target's they decided something.
    pub decided: BTreeSet<ObjectId>,
    pub findings: Vec<String>,
    pub warnings: Vec<String>,
}

impl Choice {
    pub fn new(source: &Arc<Repository>, target: &Arc<Repository>, request: &CopyRequest) -> Result<Self> {
        let mut found = source.backups().map_err(OpsError::within(source))?;
        let (mut findings, mut warnings, mut left_out) = (Vec::new(), Vec::new(), BTreeSet::new());
        let backups = if request.backups.is_empty() {
            findings.extend(found.damaged.drain(..).map(|(_, error)| error.to_string()));
            for backup in found.found.iter().filter(|backup| backup.standing == Standing::Undecided) {
                left_out.insert(backup.id);
                warnings.push(format!(
                    "{} ({}) is undecided, because its writer was taken for dead: it is copied if you name it by its id",
                    backup.manifest.label,
                    backup.id.short()
                ));
            }
            found.found.clone()
        } else {
            named(source, &found, &request.backups)?
        };
        let there = target.backups().map_err(OpsError::within(target))?;
        warnings.extend(
            there
                .damaged
                .iter()
                .map(|(_, error)| format!("{}: {error}; if it is a copy, its backup is copied once more", target.store().location())),
        );
        let valid = there.found.into_iter().filter(|backup| backup.standing == Standing::Valid);
        let copies: BTreeMap<Origin, Backup> = valid.map(|backup| (origin_of(target, &backup), backup)).collect();
        let is_copied = |backup: &Backup| copies.contains_key(&origin_of(source, backup));
        let labels: BTreeMap<&str, &Backup> = copies.values().map(|backup| (backup.manifest.label.as_str(), backup)).collect();
        for backup in backups.iter().filter(|backup| !is_copied(backup)) {
            let label = backup.manifest.label.as_str();
            if let Some(other) = labels.get(label) {
                let (place, id) = (target.store().location(), other.id.short());
                warnings.push(format!("another backup is called {label} in {place} ({id}): name them by id there"));
            }
        }
        let (of_source, of_target) = (source.notes().map_err(OpsError::within(source))?, target.notes().map_err(OpsError::within(target))?);
        warnings.extend(of_source.damaged.iter().map(|error| format!("{error}; a hold or tags may not be carried over")));
        let mut decided: BTreeSet<ObjectId> = of_target.by_backup.into_keys().collect();
        if let Some(error) = of_target.damaged.first() {
            // What it decided is not known, so nothing is decided against it.
            warnings.push(format!("{}: {error}; holds and tags of copies that are there are left as they are", target.store().location()));
            decided.extend(copies.values().map(|backup| backup.id));
        }
        let in_both = found.found.into_iter().filter(is_copied).collect();
        Ok(Self { backups, left_out, copies, in_both, notes: of_source.by_backup, decided, findings, warnings })
    }

    /// The backup of the same cluster that comes before this one, or else the next, and that both repositories have, with its copy.
    pub fn pair_for(&self, source: &Repository, backup: &Backup) -> Option<(&Backup, &Backup)> {
        let mut of_cluster = self.in_both.iter().filter(|known| known.manifest.cluster == backup.manifest.cluster).peekable();
        let first = of_cluster.peek().copied();
        let known = of_cluster.take_while(|known| known.manifest.started_ms <= backup.manifest.started_ms).last().or(first)?;
        Some((known, self.copies.get(&origin_of(source, known))?))
    }
}

/// These backups, oldest first, each once.
fn named(source: &Repository, found: &esker_repo::manifests::Backups, names: &[String]) -> Result<Vec<Backup>> {
    let mut backups = Vec::new();
    for name in names {
        let backup = find_among(found, name).map_err(OpsError::within(source))?;
        if !backups.iter().any(|chosen: &Backup| chosen.id == backup.id) {
            backups.push(backup);
        }
    }
    backups.sort_by_key(|backup| (backup.manifest.started_ms, backup.id));
    Ok(backups)
}

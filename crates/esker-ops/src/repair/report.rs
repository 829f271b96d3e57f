//! What a repair came to.

use std::collections::{BTreeMap, BTreeSet};

use esker_format::audit::{Deed, Event};
use serde::Serialize;

/// Files that the loss of a backup names, at most.
pub(super) const FILES_NAMED: usize = 50;

/// What was mended, and what is still lost.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RepairReport {
    /// Packs that index segments name again.
    pub indexed_packs: u64,
    /// Damaged index segments that nobody needs any more and that were removed.
    pub removed_segments: u64,
    /// Objects that were brought back from a copy of this repository, by path.
    pub objects: Vec<String>,
    /// `config` or `config.copy`, if it was written again from the other.
    pub config: Option<&'static str>,
    /// Chunks that were lost and stand whole again.
    pub mended_chunks: u64,
    /// Of those: found in what is left of packs of this repository.
    pub from_packs: u64,
    /// Of those: from the second repository.
    pub from_repository: u64,
    /// Of those: made again from files of live hosts, or from files of the second repository.
    pub from_files: u64,
    /// Of those: made again by repeating a backup over the folders it was made of.
    pub from_backups: u64,
    /// Chunks that stood in damaged packs only and were copied out of them.
    pub copied_chunks: u64,
    /// Bytes written.
    pub stored_bytes: u64,
    /// Chunks that are still lost, as far as is known: a lost recipe hides what it names.
    pub lost_chunks: u64,
    /// What is still lost, backup by backup; nothing if all is mended.
    pub lost: Vec<BackupLoss>,
    /// Why something could not be made again.
    pub notes: Vec<String>,
}

/// What a backup has lost.
#[derive(Debug, Clone, Default, Serialize)]
pub struct BackupLoss {
    /// The backup's id.
    pub id: String,
    /// Its label.
    pub label: String,
    /// Files of it that cannot be restored.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files more of which not even the names are known, because the tables that name them are lost.
    pub unnamed: u64,
    /// Files by name, as `<host>/<path>`; at most 50.
    pub names: Vec<String>,
    /// Partitions that those files may hold, as `<space>/<partition>`.
    pub partitions: BTreeSet<String>,
    /// Parts of its own tables that are lost, in words, each with how often.
    pub parts: BTreeMap<String, u64>,
}

impl BackupLoss {
    /// Whether nothing is lost.
    pub(super) fn is_empty(&self) -> bool {
        self.files == 0 && self.unnamed == 0 && self.parts.is_empty()
    }

    /// Names a part that is lost.
    pub(super) fn lose_part(&mut self, part: String) {
        *self.parts.entry(part).or_default() += 1;
    }
}

impl RepairReport {
    /// Whether anything was written to the repository.
    pub fn has_written(&self) -> bool {
        self.stored_bytes > 0 || !self.objects.is_empty() || self.indexed_packs > 0 || self.removed_segments > 0 || self.config.is_some()
    }

    /// What the audit log says of it.
    pub(super) fn deed(&self) -> Deed {
        let detail = format!(
            "{} objects brought back, {} packs indexed, {} segments removed, {} chunks still lost",
            self.objects.len() + usize::from(self.config.is_some()),
            self.indexed_packs,
            self.removed_segments,
            self.lost_chunks
        );
        Deed { count: self.mended_chunks, bytes: self.stored_bytes, detail, ..Deed::done(Event::Repair) }
    }

    /// Names a reason once.
    pub(super) fn note(&mut self, text: String) {
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }
}

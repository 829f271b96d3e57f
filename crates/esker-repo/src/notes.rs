//! What people decided about backups: holds and tags.

use std::collections::{BTreeMap, BTreeSet};

use esker_format::audit::{Deed, Event};
use esker_format::layout::ObjectKind;
use esker_format::limits::TEXT_MAX;
use esker_format::manifest::Manifest;
use esker_format::note::Note;
use esker_format::verification::{BackupVerdict, Level, Verification};
use esker_format::{ObjectId, SessionId};

use crate::error::{RepoError, Result};
use crate::listing::ids;
use crate::repository::Repository;

/// What stands about one backup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoteState {
    /// Forget and prune leave it alone.
    pub held: bool,
    /// Tags that take the place of the manifest's, if a note set any.
    pub tags: Option<Vec<String>>,
    current: Vec<ObjectId>,
}

impl NoteState {
    /// The backup's tags.
    pub fn tags<'a>(&'a self, manifest: &'a Manifest) -> &'a [String] {
        self.tags.as_deref().unwrap_or(&manifest.tags)
    }
}

/// All notes, and those that could not be read.
#[derive(Debug, Default)]
pub struct Notes {
    /// By manifest.
    pub by_backup: BTreeMap<ObjectId, NoteState>,
    /// Notes that are damaged.
    pub damaged: Vec<RepoError>,
}

/// What verification is remembered of one backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// The deepest level at which it was found whole, and when, milliseconds since 1970.
    pub whole: Option<(Level, u64)>,
    /// The newest verdict that found damage, if no later one at its level or deeper found the backup whole.
    pub damaged: Option<(Level, u64, u64)>,
    /// Files that were found lost, and their bytes, as long as the backup counts as damaged.
    pub lost: Option<(u64, u64)>,
}

/// What is remembered of earlier checks.
#[derive(Debug, Default)]
pub struct Verifications {
    /// By manifest.
    pub by_backup: BTreeMap<ObjectId, Verified>,
    /// When each pack was last read whole.
    pub packs: BTreeMap<ObjectId, u64>,
    /// Records that are damaged.
    pub damaged: Vec<RepoError>,
}

impl Repository {
    /// Reads all notes.
    ///
    /// # Errors
    /// `Store`.
    pub fn notes(&self) -> Result<Notes> {
        let mut notes = BTreeMap::new();
        let mut state = Notes::default();
        for (id, read) in self.read_objects::<Note>(ObjectKind::Note, ids(&self.store, ObjectKind::Note)?.into_keys()) {
            match read {
                Ok(note) => drop(notes.insert(id, note)),
                Err(error) if error.is_damage() => state.damaged.push(error),
                Err(error) => return Err(error),
            }
        }
        let superseded: BTreeSet<ObjectId> = notes.values().flat_map(|note| note.supersedes.iter().copied()).collect();
        for (id, note) in notes.into_iter().filter(|(id, _)| !superseded.contains(id)) {
            let backup = state.by_backup.entry(note.manifest).or_default();
            backup.held |= note.hold;
            backup.tags.get_or_insert_default().extend(note.tags);
            backup.current.push(id);
        }
        for backup in state.by_backup.values_mut() {
            if let Some(tags) = &mut backup.tags {
                tags.sort();
                tags.dedup();
            }
        }
        Ok(state)
    }

    /// Writes what stands about a backup from now on.
    ///
    /// # Errors
    /// `Store`.
    pub fn write_note(
        &self,
        session: Option<SessionId>,
        (manifest, label): (ObjectId, &str),
        before: &NoteState,
        hold: bool,
        tags: Vec<String>,
    ) -> Result<()> {
        let held = if hold { "held" } else { "not held" };
        let detail = if tags.is_empty() { format!("{held}, no tags") } else { format!("{held}, tags {}", tags.join(", ")) };
        let note = Note { manifest, at_ms: self.environment.now_ms(), hold, tags, supersedes: before.current.clone() };
        let objects = |note| vec![(note, label.to_owned()), (manifest, label.to_owned())];
        let deed = |note| Deed { objects: objects(note), detail: shortened(detail), ..Deed::intended(Event::Note) };
        self.write_recorded(session, ObjectKind::Note, &note, deed).map(drop)
    }

    /// Reads what earlier checks found.
    ///
    /// # Errors
    /// `Store`.
    pub fn verifications(&self) -> Result<Verifications> {
        let mut records = Vec::new();
        let mut state = Verifications::default();
        for (_, read) in
            self.read_objects::<Verification>(ObjectKind::Verification, ids(&self.store, ObjectKind::Verification)?.into_keys())
        {
            match read {
                Ok(record) => records.push(record),
                Err(error) if error.is_damage() => state.damaged.push(error),
                Err(error) => return Err(error),
            }
        }
        records.sort_by_key(|record| record.at_ms);
        for record in records {
            for pack in &record.packs {
                state.packs.insert(*pack, record.at_ms);
            }
            for verdict in &record.backups {
                state.by_backup.entry(verdict.manifest).or_default().add(verdict, record.at_ms);
            }
            for loss in &record.losses {
                if let Some(verified) = state.by_backup.get_mut(&loss.manifest).filter(|verified| verified.damaged.is_some()) {
                    verified.lost = Some((loss.files, loss.bytes));
                }
            }
        }
        Ok(state)
    }
}

/// A text that a record may hold: thousands of tags may not.
fn shortened(mut text: String) -> String {
    let end = (0..=TEXT_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.truncate(end);
    text
}

impl Verified {
    fn add(&mut self, verdict: &BackupVerdict, at_ms: u64) {
        if verdict.findings > 0 {
            self.damaged = Some((verdict.level, at_ms, verdict.findings));
        } else if verdict.complete {
            if self.whole.is_none_or(|(level, _)| verdict.level >= level) {
                self.whole = Some((verdict.level, at_ms));
            }
            if self.damaged.is_some_and(|(level, ..)| verdict.level >= level) {
                (self.damaged, self.lost) = (None, None);
            }
        }
    }
}

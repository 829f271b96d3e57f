//! `prune --explain`: why a pack stays, or goes.

use std::sync::Arc;

use esker_repo::Repository;
use esker_repo::prune::{Explanation, explain as look};
use serde::Serialize;

use super::{SessionFacts, Told};
use crate::error::{OpsError, Result};
use crate::job::Job;

/// Why one pack stays, or goes. Bytes are bytes.
#[derive(Debug, Clone, Serialize)]
pub struct PackExplanation {
    /// Its path in the repository.
    pub pack: String,
    /// Its bytes.
    pub bytes: u64,
    /// Bytes of it that backups need.
    pub needed_bytes: u64,
    /// Of those, bytes that stand in no other pack.
    pub only_here_bytes: u64,
    /// Backups that need something of it, oldest first.
    pub needed_by: Vec<PackUser>,
    /// The session that wrote it.
    pub session: SessionFacts,
    /// Whether that session may still be at work: its packs stay until it has ended or was taken for dead.
    pub is_at_work: bool,
    /// How many doomed lists of prunes name it.
    pub doomed_lists: u64,
    /// What that comes to, in words.
    pub verdict: String,
}

/// A backup that needs something of a pack.
#[derive(Debug, Clone, Serialize)]
pub struct PackUser {
    /// Its id.
    pub id: String,
    /// Its label.
    pub label: String,
    /// Whether it is undecided.
    pub is_undecided: bool,
    /// Bytes of the pack that it needs.
    pub bytes: u64,
    /// Chunks of the pack that it needs.
    pub chunks: u64,
}

/// Explains a pack by its path, or the beginning of its id.
///
/// # Errors
/// `Usage` if there is no such pack, or several; `PruneStopped` if a backup is not whole; `Store`.
pub fn explain(repository: &Arc<Repository>, pack: &str, job: &Job) -> Result<PackExplanation> {
    let told = Told { job, phase: Default::default() };
    let found = look(repository, pack, &told)?;
    drop(told);
    let found = found
        .ok_or_else(|| OpsError::usage(format!("no pack, or several, are called {pack:?}: give its path or 8 or more digits of its id")))?;
    let verdict = verdict(&found);
    Ok(PackExplanation {
        pack: found.name.path(),
        bytes: found.bytes,
        needed_bytes: found.needed_bytes,
        only_here_bytes: found.only_here_bytes,
        needed_by: found
            .needed_by
            .into_iter()
            .map(|needed| PackUser {
                id: needed.id.to_string(),
                label: needed.label,
                is_undecided: needed.is_undecided,
                bytes: needed.bytes,
                chunks: needed.chunks,
            })
            .collect(),
        session: SessionFacts::of(&found.session),
        is_at_work: found.is_at_work,
        doomed_lists: found.lists,
        verdict,
    })
}

fn verdict(found: &Explanation) -> String {
    let session = SessionFacts::of(&found.session).text();
    match found.needed_by.len() {
        0 if found.is_at_work => {
            format!("stays for now: session {session} wrote it and may be at work; it goes when that has ended, or is taken for dead")
        }
        0 if found.lists > 0 => "goes: a prune has begun to delete it, and the next one finishes that".into(),
        0 => "goes with the next prune: no backup needs anything of it".into(),
        _ if found.only_here_bytes == 0 => "may go: all that backups need of it stands in other packs, too".into(),
        1 => "stays: a backup needs it".into(),
        several => format!("stays: {several} backups need it"),
    }
}

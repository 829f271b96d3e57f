//! Which entries of which runs the backups need: a bit for each, in memory as long as they are few, else on this machine's disk.

use esker_format::ChunkId;
use esker_format::entry_set::EntrySet;

use super::mark::Lack;
use crate::error::{RepoError, Result};
use crate::index::Location;
use crate::repository::Repository;
use crate::scratch::ScratchMap;

/// Of a run of which at least so many percent of the entries are needed no sparse form is made.
const NEARLY_WHOLE_PERCENT: u64 = 90;

/// Needed entries of runs.
pub(super) struct Uses(ScratchMap);

/// What is needed of one run.
#[derive(Default)]
pub(super) struct Use {
    pub(super) entries: EntrySet,
    /// Those of them that a backup which counts needs: if they are nowhere, the prune stops.
    pub(super) firm: EntrySet,
}

impl Uses {
    /// None yet.
    pub(super) fn new(repository: &Repository) -> Self {
        Self(repository.scratch_map())
    }

    /// Adds what a recipe piece copies from a run.
    pub(super) fn add(&self, run: &ChunkId, entries: &EntrySet, lack: Lack) -> Result<()> {
        let firm = if lack == Lack::Stops { entries.clone() } else { EntrySet::default() };
        self.join(run, &Use { entries: entries.clone(), firm })
    }

    /// Adds what is needed of a run.
    pub(super) fn join(&self, run: &ChunkId, more: &Use) -> Result<()> {
        let mut known = self.of(run)?.unwrap_or_default();
        let has_more = [known.entries.unite(&more.entries), known.firm.unite(&more.firm)];
        if has_more.contains(&true) { self.put(run, &known) } else { Ok(()) }
    }

    /// What is needed of a run, if anything is.
    pub(super) fn of(&self, run: &ChunkId) -> Result<Option<Use>> {
        Ok(self.0.get(&run.0)?.map(|value| Use::decode(&value)))
    }

    /// Visits every run of which something is needed.
    pub(super) fn for_each(&self, mut visit: impl FnMut(ChunkId, Use) -> Result<()>) -> Result<()> {
        self.0.for_each(|run, value| {
            let run = run.try_into().map(ChunkId).map_err(|_| RepoError::Internal("a chunk id of another length".into()))?;
            visit(run, Use::decode(value))
        })
    }

    fn put(&self, run: &ChunkId, needed: &Use) -> Result<()> {
        let (entries, firm) = (needed.entries.as_bytes(), needed.firm.as_bytes());
        self.0.put(&run.0, &[&(entries.len() as u64).to_le_bytes(), entries, firm].concat())
    }
}

impl Use {
    fn decode(value: &[u8]) -> Self {
        let (len, sets) = value.split_first_chunk().map_or((0, value), |(len, sets)| (u64::from_le_bytes(*len), sets));
        let (entries, firm) = sets.split_at_checked(usize::try_from(len).unwrap_or(usize::MAX)).unwrap_or((sets, &[]));
        Self { entries: EntrySet::from_bytes(entries), firm: EntrySet::from_bytes(firm) }
    }

    /// What is needed of these entries alone.
    pub(super) fn of_these(&self, entries: &EntrySet) -> Self {
        let both = |needed: &EntrySet| needed.without(&needed.without(entries));
        Self { entries: both(&self.entries), firm: both(&self.firm) }
    }

    /// Bytes at a place of the run that hold entries which nobody needs, about; 0 if they are so few that the place is best
    /// left as it is. How many entries a run has is not known before it is read: as many as the last needed one says, at least.
    pub(super) fn unneeded_bytes(&self, place: &Location) -> u64 {
        let all = u64::from(place.frame.entry.form.map_or_else(|| self.entries.end(), |form| form.entries)).max(1);
        let needed = u64::from(self.entries.count()).min(all);
        let stored = u64::from(place.frame.entry.stored_len);
        if needed * 100 >= all * NEARLY_WHOLE_PERCENT { 0 } else { stored - stored * needed / all }
    }
}

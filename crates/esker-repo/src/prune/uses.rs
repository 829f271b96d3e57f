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
pub(super) struct Use {
    pub(super) entries: EntrySet,
    /// What to do if some of them are nowhere: whether a backup that counts needs them.
    pub(super) lack: Lack,
}

impl Uses {
    /// None yet.
    pub(super) fn new(repository: &Repository) -> Self {
        Self(repository.scratch_map())
    }

    /// Adds what a recipe piece copies from a run.
    pub(super) fn add(&self, run: &ChunkId, entries: &EntrySet, lack: Lack) -> Result<()> {
        let Some(mut known) = self.of(run)? else { return self.put(run, entries, lack) };
        let is_firmer = known.lack == Lack::IsPassed && lack == Lack::Stops;
        if known.entries.unite(entries) || is_firmer {
            self.put(run, &known.entries, if is_firmer { lack } else { known.lack })?;
        }
        Ok(())
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

    fn put(&self, run: &ChunkId, entries: &EntrySet, lack: Lack) -> Result<()> {
        self.0.put(&run.0, &[&[u8::from(lack == Lack::Stops)], entries.as_bytes()].concat())
    }
}

impl Use {
    fn decode(value: &[u8]) -> Self {
        let (head, entries) = value.split_first().map_or((0, value), |(head, entries)| (*head, entries));
        Self { entries: EntrySet::from_bytes(entries), lack: if head == 1 { Lack::Stops } else { Lack::IsPassed } }
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

//! The runs that a merge copies from.

use std::collections::HashMap;
use std::sync::Arc;

use esker_format::ChunkId;
use esker_format::run::{KeyOrder, Run};
use esker_format::table_recipe::ChunkUse;

use super::ChunkStore;
use super::base::BaseRun;

/// One of them.
struct Source {
    id: ChunkId,
    first_key: Vec<u8>,
    /// None if it is not held any more and must be read again.
    run: Option<Arc<Run>>,
}

/// The runs that pieces of a merge copy from, numbered in the order in which they came up.
#[derive(Default)]
pub(super) struct Sources {
    list: Vec<Option<Source>>,
    by_id: HashMap<ChunkId, u32>,
    held_bytes: usize,
}

impl Sources {
    /// The number of a run that is being written.
    pub(super) fn announce(&mut self) -> u32 {
        self.list.push(None);
        u32::try_from(self.list.len() - 1).unwrap_or(u32::MAX)
    }

    /// The run with this number is complete.
    pub(super) fn settle(&mut self, source: u32, id: ChunkId, run: Arc<Run>) {
        if let Some(slot) = self.list.get_mut(source as usize) {
            *slot = Some(Source { id, first_key: run.key(0).to_vec(), run: Some(run) });
        }
    }

    /// The number of a stored run.
    pub(super) fn known(&mut self, id: ChunkId, run: &Arc<Run>) -> u32 {
        if let Some(source) = self.by_id.get(&id) {
            return *source;
        }
        let source = self.announce();
        self.settle(source, id, Arc::clone(run));
        self.by_id.insert(id, source);
        self.held_bytes += run.entry_bytes();
        source
    }

    /// No more entries of a stored run will be copied: lets go of it if more than `limit` bytes of such runs are held.
    pub(super) fn hold_within(&mut self, limit: usize, source: u32) {
        if self.held_bytes <= limit {
            return;
        }
        if let Some(Some(source)) = self.list.get_mut(source as usize)
            && let Some(run) = source.run.take()
        {
            self.held_bytes -= run.entry_bytes();
        }
    }

    pub(super) fn id(&self, source: u32) -> Option<ChunkId> {
        self.list.get(source as usize)?.as_ref().map(|source| source.id)
    }

    /// The runs with these numbers; what is not held is read into `again`, which keeps it for the next call and no longer.
    pub(super) fn runs<S: ChunkStore>(
        &self,
        numbers: &[u32],
        again: &mut HashMap<u32, Arc<Run>>,
        store: &mut S,
    ) -> Result<Option<Vec<Arc<Run>>>, S::Error> {
        let (mut runs, mut read) = (Vec::new(), HashMap::new());
        for number in numbers {
            let Some(Some(source)) = self.list.get(*number as usize) else { return Ok(None) };
            let run = match (&source.run, again.get(number)) {
                (Some(run), _) => Arc::clone(run),
                (None, Some(run)) => Arc::clone(read.entry(*number).or_insert(Arc::clone(run))),
                (None, None) => match store.load_run(&source.id)? {
                    Some(run) => Arc::clone(read.entry(*number).or_insert(run)),
                    None => return Ok(None),
                },
            };
            runs.push(run);
        }
        *again = read;
        Ok(Some(runs))
    }

    /// All of them as the base of another merge.
    pub(super) fn as_base(&self, order: KeyOrder) -> Vec<BaseRun> {
        let mut base: Vec<BaseRun> =
            self.list.iter().flatten().map(|source| BaseRun { id: source.id, first_key: source.first_key.clone() }).collect();
        base.sort_by(|left, right| order.compare(&left.first_key, &right.first_key).then(left.id.0.cmp(&right.id.0)));
        base.dedup_by_key(|run| run.id);
        base
    }
}

/// A store that has the runs of a merge at hand.
pub(super) struct Held<'a, S> {
    pub(super) sources: &'a Sources,
    pub(super) store: &'a mut S,
}

impl<S: ChunkStore> ChunkStore for Held<'_, S> {
    type Error = S::Error;

    fn load_run(&mut self, id: &ChunkId) -> Result<Option<Arc<Run>>, S::Error> {
        match self.sources.list.iter().flatten().find(|source| source.id == *id).and_then(|source| source.run.as_ref()) {
            Some(run) => Ok(Some(Arc::clone(run))),
            None => self.store.load_run(id),
        }
    }

    fn store_run(&mut self, bytes: Vec<u8>) -> Result<ChunkId, S::Error> {
        self.store.store_run(bytes)
    }

    fn store_bytes(&mut self, bytes: &[u8]) -> Result<ChunkUse, S::Error> {
        self.store.store_bytes(bytes)
    }
}

//! The runs that a merge copies from.

use std::collections::HashMap;
use std::sync::Arc;

use esker_format::ChunkId;
use esker_format::run::{KeyOrder, Run};
use esker_format::table_recipe::ChunkUse;

use super::ChunkStore;
use super::base::BaseRun;

/// The runs that pieces of a merge copy from, numbered in the order in which they came up.
#[derive(Default)]
pub(super) struct Sources {
    list: Vec<Option<(ChunkId, Arc<Run>)>>,
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
            *slot = Some((id, run));
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

    /// Decoded bytes of stored runs that are held.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub(super) fn id(&self, source: u32) -> Option<ChunkId> {
        self.list.get(source as usize)?.as_ref().map(|(id, _)| *id)
    }

    pub(super) fn run(&self, source: u32) -> Option<Arc<Run>> {
        self.list.get(source as usize)?.as_ref().map(|(_, run)| Arc::clone(run))
    }

    /// All of them as the base of another merge.
    pub(super) fn as_base(&self, order: KeyOrder) -> Vec<BaseRun> {
        let mut base: Vec<BaseRun> =
            self.list.iter().flatten().map(|(id, run)| BaseRun { id: *id, first_key: run.key(0).to_vec() }).collect();
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
        Ok(self.sources.list.iter().flatten().find(|(known, _)| known == id).map(|(_, run)| Arc::clone(run)))
    }

    fn store_run(&mut self, bytes: Vec<u8>) -> Result<ChunkId, S::Error> {
        self.store.store_run(bytes)
    }

    fn store_bytes(&mut self, bytes: &[u8]) -> Result<ChunkUse, S::Error> {
        self.store.store_bytes(bytes)
    }
}

//! Decoded runs while a sweep needs them: each is fetched once and dropped after its last use.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use esker_format::ChunkId;
use esker_format::run::Run;
use esker_format::sparse_run::decode_any;
use esker_repo::RepoError;
use esker_repo::index::Location;
use esker_repo::reader::{ChunkReader, ReadContext};

use crate::error::{OpsError, Result};

/// Runs whose memory waits for others, at most,
const DONE_MAX: usize = 16;
/// and the bytes of one of them, at most: nearly all runs are of a megabyte.
const DONE_BYTES_MAX: usize = 3 << 20;
/// Bytes of decoded runs that are kept for later, at most; what is dropped too early is fetched again.
const KEPT_BYTES_MAX: usize = 128 << 20;

enum Slot {
    /// Somebody is fetching it.
    Fetching,
    Here {
        run: Arc<Run>,
        since: u64,
    },
}

#[derive(Default)]
struct State {
    slots: HashMap<ChunkId, Slot>,
    /// Uses that are still to come.
    uses: HashMap<ChunkId, u32>,
    by_age: BTreeMap<u64, ChunkId>,
    kept_bytes: usize,
    clock: u64,
    /// Runs that nobody needs any more, for their memory: new memory would have to be cleared page by page.
    done: Vec<Run>,
}

/// Runs shared by the workers of a sweep.
#[derive(Default)]
pub(crate) struct RunCache {
    state: Mutex<State>,
    arrived: Condvar,
}

impl RunCache {
    /// Announces one use of each of these runs.
    pub(crate) fn announce<'a>(&self, runs: impl Iterator<Item = &'a ChunkId>) {
        let mut state = self.lock();
        for run in runs {
            *state.uses.entry(*run).or_default() += 1;
        }
    }

    /// One announced use of each of these runs is over.
    pub(crate) fn release<'a>(&self, runs: impl Iterator<Item = &'a ChunkId>) {
        let mut state = self.lock();
        for run in runs {
            if let Some(uses) = state.uses.get_mut(run) {
                *uses -= 1;
                if *uses == 0 {
                    state.uses.remove(run);
                    state.drop_run(run);
                }
            }
        }
    }

    /// The runs, in this order. Those that nobody has yet are fetched with as few requests as possible; `was_read` hears
    /// where from.
    ///
    /// # Errors
    /// `ChunkLost`, `Object`, `Store`.
    pub(crate) fn get(
        &self,
        reader: &ChunkReader,
        context: &mut ReadContext,
        runs: &[ChunkId],
        was_read: &dyn Fn(&Location) -> Result<()>,
    ) -> Result<Vec<Arc<Run>>> {
        let mut found: HashMap<ChunkId, Arc<Run>> = HashMap::new();
        let mut mine = Vec::new();
        {
            let mut state = self.lock();
            for id in runs {
                match state.slots.get(id) {
                    Some(Slot::Here { run, .. }) => drop(found.insert(*id, Arc::clone(run))),
                    Some(Slot::Fetching) => {}
                    None => {
                        state.slots.insert(*id, Slot::Fetching);
                        mine.push(*id);
                    }
                }
            }
        }
        let fetched = self.fetch(reader, context, mine, &mut found, was_read);
        self.arrived.notify_all();
        fetched?;
        runs.iter().map(|id| self.wait_for(reader, context, id, &found)).collect()
    }

    fn fetch(
        &self,
        reader: &ChunkReader,
        context: &mut ReadContext,
        wanted: Vec<ChunkId>,
        found: &mut HashMap<ChunkId, Arc<Run>>,
        was_read: &dyn Fn(&Location) -> Result<()>,
    ) -> Result<()> {
        let ordered = reader.in_store_order(wanted.clone());
        let fetched = ordered.map_err(OpsError::from).and_then(|ordered| {
            reader.read_each::<OpsError, _>(context, &ordered, |position, place, bytes| {
                let Some(id) = ordered.get(position) else { return Ok(()) };
                let done = self.lock().done.pop().unwrap_or_default();
                let run = decode_any(done, id, bytes).map_err(|source| RepoError::Object { path: format!("run {id}"), source })?;
                let run = Arc::new(run);
                found.insert(*id, Arc::clone(&run));
                self.lock().keep(*id, run);
                place.map_or(Ok(()), was_read)
            })
        });
        if fetched.is_err() {
            // Whoever waits for one of them must not wait for ever.
            let mut state = self.lock();
            for id in wanted.iter().filter(|id| !found.contains_key(id)) {
                state.slots.remove(id);
            }
        }
        fetched
    }

    fn wait_for(
        &self,
        reader: &ChunkReader,
        context: &mut ReadContext,
        id: &ChunkId,
        found: &HashMap<ChunkId, Arc<Run>>,
    ) -> Result<Arc<Run>> {
        if let Some(run) = found.get(id) {
            return Ok(Arc::clone(run));
        }
        let mut state = self.lock();
        loop {
            match state.slots.get(id) {
                Some(Slot::Here { run, .. }) => return Ok(Arc::clone(run)),
                Some(Slot::Fetching) => state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                None => break,
            }
        }
        drop(state);
        // Whoever fetched it failed, or it was dropped for want of room.
        let bytes = reader.read(context, id)?;
        Ok(Arc::new(decode_any(Run::default(), id, &bytes).map_err(RepoError::object(format!("run {id}")))?))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn keep(&mut self, id: ChunkId, run: Arc<Run>) {
        self.clock += 1;
        self.kept_bytes += run.entry_bytes();
        self.by_age.insert(self.clock, id);
        self.slots.insert(id, Slot::Here { run, since: self.clock });
        while self.kept_bytes > KEPT_BYTES_MAX {
            let Some((_, oldest)) = self.by_age.first_key_value().filter(|(_, oldest)| **oldest != id) else { break };
            let oldest = *oldest;
            self.drop_run(&oldest);
        }
    }

    fn drop_run(&mut self, id: &ChunkId) {
        if let Some(Slot::Here { run, since }) = self.slots.get(id) {
            self.kept_bytes -= run.entry_bytes();
            self.by_age.remove(since);
            if let Some(Slot::Here { run, .. }) = self.slots.remove(id)
                && self.done.len() < DONE_MAX
            {
                self.done.extend(Arc::into_inner(run).filter(|run| run.memory_bytes() <= DONE_BYTES_MAX));
            }
        }
    }
}

//! Base runs as they were decoded last. A run of a small backup reaches over the keys of many ranges, and each of them is
//! merged against it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use esker_format::ChunkId;
use esker_format::run::Run;
use esker_format::sparse_run::decode_any;

/// Bytes of memory of the runs that the merges of a group keep.
pub(super) const RECENT_BYTES: usize = 96 << 20;

/// Decoded runs that the merges of a group share.
pub(super) struct RecentRuns(Mutex<Runs>);

struct Runs {
    room: usize,
    by_id: HashMap<ChunkId, Recent>,
    bytes: usize,
    /// Counts uses.
    uses: u64,
}

struct Recent {
    run: Arc<Run>,
    last_use: u64,
}

impl RecentRuns {
    /// With room for so many bytes of memory.
    pub(super) fn new(room: usize) -> Self {
        Self(Mutex::new(Runs { room, by_id: HashMap::new(), bytes: 0, uses: 0 }))
    }

    /// A run that is still here.
    pub(super) fn get(&self, id: &ChunkId) -> Option<Arc<Run>> {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runs.uses += 1;
        let last_use = runs.uses;
        let recent = runs.by_id.get_mut(id)?;
        recent.last_use = last_use;
        Some(Arc::clone(&recent.run))
    }

    /// The run, or what its form holds, of these bytes; `None` if they are neither. It stays here.
    pub(super) fn decode(&self, id: &ChunkId, bytes: &[u8]) -> Option<Arc<Run>> {
        let run = Arc::new(decode_any(Run::default(), id, bytes).ok()?);
        self.keep(id, &run);
        Some(run)
    }

    /// A run stays here; those used longest ago go.
    pub(super) fn keep(&self, id: &ChunkId, run: &Arc<Run>) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runs.uses += 1;
        let recent = Recent { run: Arc::clone(run), last_use: runs.uses };
        runs.bytes += run.memory_bytes();
        if let Some(before) = runs.by_id.insert(*id, recent) {
            runs.bytes -= before.run.memory_bytes();
        }
        while runs.bytes > runs.room {
            let Some(oldest) = runs.by_id.iter().min_by_key(|(_, recent)| recent.last_use).map(|(id, _)| *id) else { break };
            if let Some(gone) = runs.by_id.remove(&oldest) {
                runs.bytes -= gone.run.memory_bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use esker_format::run::KeyOrder;

    use super::*;

    #[test]
    fn the_run_used_longest_ago_goes_when_there_is_no_room() {
        let mut run = Run::new(KeyOrder::Ascending, 0);
        run.push(b"key", b"value", 1, &[]);
        let bytes = run.encode().unwrap();
        let recent = RecentRuns::new(2 * Run::decode(&bytes).unwrap().memory_bytes());
        let [first, second, third] = [1, 2, 3].map(|number| ChunkId([number; 32]));
        assert!(recent.decode(&first, &bytes).is_some() && recent.decode(&second, &bytes).is_some());
        assert!(recent.get(&first).is_some());
        assert!(recent.decode(&third, &bytes).is_some());
        assert!(recent.get(&second).is_none(), "used longest ago");
        assert!(recent.get(&first).is_some_and(|found| found.key(0) == b"key") && recent.get(&third).is_some());
        assert!(recent.decode(&second, b"no run").is_none() && recent.get(&second).is_none());
    }
}

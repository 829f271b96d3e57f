//! The base of a merge: runs of earlier backups, opened when the merge comes to their keys.

use std::cell::Cell;
use std::cmp::Ordering;
use std::sync::Arc;

use esker_format::ChunkId;
use esker_format::run::{KeyOrder, Run};

use super::ChunkStore;
use super::heap::StreamHeap;
use super::sources::Sources;

/// Merges at once, at most: each needs its share of the memory.
pub const MERGES_MAX: usize = 4;
/// Key and value bytes of the ranges of all merges at once.
const RANGES_BYTES: u64 = 64 << 20;
/// Decoded bytes of the base runs that all merges have open at once, and those of one merge.
const OPEN_BYTES: usize = 256 << 20;
const OPEN_BYTES_OF_ONE: usize = 96 << 20;
/// Runs that are asked for at once: neighbours by key are neighbours in the store, where one request fetches many.
const LOADED_AHEAD: usize = 8;
/// Decoded bytes of the base runs that all merges hold.
const HELD_BYTES: usize = 64 << 20;

/// The memory of one merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Key and value bytes that it takes on, about: it holds them until all its pieces are replayed.
    pub range_bytes: u64,
    /// Base runs open at once, at most; what only others hold is stored again.
    pub open_runs: usize,
    /// Decoded bytes of the base runs open at once, at most; what only others hold is stored again.
    pub open_bytes: usize,
    /// Decoded bytes of the base runs that are held for the replay, at most; others are read once more for it.
    pub held_bytes: usize,
}

impl Budget {
    /// Of each of so many merges at once.
    pub fn shared_by(merges: usize) -> Self {
        let merges = merges.clamp(1, MERGES_MAX);
        Self {
            range_bytes: RANGES_BYTES / merges as u64,
            open_runs: 256,
            open_bytes: (OPEN_BYTES / merges).min(OPEN_BYTES_OF_ONE),
            held_bytes: HELD_BYTES / merges,
        }
    }
}

/// A run that tables of an earlier backup were made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseRun {
    /// Which.
    pub id: ChunkId,
    /// The first key that those tables have from it.
    pub first_key: Vec<u8>,
}

struct Open {
    id: ChunkId,
    /// Once an entry was copied from it.
    source: Cell<Option<u32>>,
    run: Arc<Run>,
    position: usize,
}

/// An entry of a base run.
#[derive(Clone, Copy)]
pub(super) struct BaseEntry {
    stream: usize,
    /// Its position in what is held of the run.
    position: u32,
}

/// The base runs of one merge.
pub(super) struct BaseRuns {
    order: KeyOrder,
    timestamp_size: u8,
    budget: Budget,
    /// Not yet open, the last to be opened first.
    waiting: Vec<BaseRun>,
    /// The last of those that wait, loaded; the last to be opened first.
    ahead: Vec<Option<Arc<Run>>>,
    streams: Vec<Open>,
    free: Vec<usize>,
    heap: StreamHeap,
    open: usize,
    open_bytes: usize,
    /// Streams that ended, kept until the entries of the current key are done with.
    ended: Vec<usize>,
    /// Runs that were left closed because too many were open.
    pub(super) left_closed: u64,
    /// Runs that could not be read.
    pub(super) lost: u64,
}

impl BaseRuns {
    /// Over runs sorted by first key.
    pub(super) fn new(order: KeyOrder, timestamp_size: u8, mut runs: Vec<BaseRun>, budget: Budget) -> Self {
        runs.reverse();
        Self {
            order,
            timestamp_size,
            budget,
            waiting: runs,
            ahead: Vec::new(),
            streams: Vec::new(),
            free: Vec::new(),
            heap: StreamHeap::default(),
            open: 0,
            open_bytes: 0,
            ended: Vec::new(),
            left_closed: 0,
            lost: 0,
        }
    }

    /// Brings all runs to `key` and gives every entry that has it.
    pub(super) fn at_key<S: ChunkStore>(
        &mut self,
        key: &[u8],
        sources: &mut Sources,
        store: &mut S,
        found: &mut Vec<BaseEntry>,
    ) -> Result<(), S::Error> {
        for stream in std::mem::take(&mut self.ended) {
            self.drop_stream(stream, sources);
        }
        while self.waiting.last().is_some_and(|run| self.order.compare(&run.first_key, key).is_le()) {
            self.open_next(key, store)?;
        }
        while let Some(top) = self.heap.top() {
            let Some(stream) = self.streams.get_mut(top) else { break };
            match self.order.compare(stream.run.key(stream.position), key) {
                Ordering::Greater => break,
                Ordering::Less => stream.position = stream.run.seek(stream.position, key),
                Ordering::Equal => {
                    while stream.position < stream.run.len() && stream.run.key(stream.position) == key {
                        let position = u32::try_from(stream.position).unwrap_or(u32::MAX);
                        found.push(BaseEntry { stream: top, position });
                        stream.position += 1;
                    }
                }
            }
            let is_over = stream.position >= stream.run.len();
            let (streams, order) = (&self.streams, self.order);
            if is_over {
                self.ended.push(top);
                self.heap.pop(|left, right| compare(streams, order, left, right));
            } else {
                self.heap.settle_top(|left, right| compare(streams, order, left, right));
            }
        }
        Ok(())
    }

    /// Value, trailer and timestamp of an entry that `at_key` gave last.
    #[inline]
    pub(super) fn entry(&self, entry: &BaseEntry) -> (&[u8], u64, &[u8]) {
        let position = entry.position as usize;
        match self.streams.get(entry.stream) {
            Some(stream) => (stream.run.value(position), stream.run.trailer(position), stream.run.timestamp(position)),
            None => (&[], 0, &[]),
        }
    }

    /// The position of such an entry in its run.
    #[inline]
    pub(super) fn number(&self, entry: &BaseEntry) -> u32 {
        self.streams.get(entry.stream).map_or(u32::MAX, |stream| stream.run.number(entry.position as usize))
    }

    /// The source that the run of such an entry is.
    #[inline]
    pub(super) fn source(&self, entry: &BaseEntry, sources: &mut Sources) -> u32 {
        let Some(stream) = self.streams.get(entry.stream) else { return u32::MAX };
        stream.source.get().unwrap_or_else(|| {
            let source = sources.known(stream.id, &stream.run);
            stream.source.set(Some(source));
            source
        })
    }

    fn open_next<S: ChunkStore>(&mut self, key: &[u8], store: &mut S) -> Result<(), S::Error> {
        if self.ahead.is_empty() {
            let from = self.waiting.len().saturating_sub(LOADED_AHEAD);
            let ids: Vec<ChunkId> = self.waiting.get(from..).unwrap_or_default().iter().map(|run| run.id).collect();
            self.ahead = store.load_runs(&ids)?;
        }
        let (Some(BaseRun { id, .. }), loaded) = (self.waiting.pop(), self.ahead.pop().flatten()) else { return Ok(()) };
        let Budget { open_runs, open_bytes, .. } = self.budget;
        if self.open >= open_runs || self.open_bytes >= open_bytes {
            self.left_closed += 1;
            return Ok(());
        }
        let fits = |run: &Arc<Run>| run.order() == self.order && run.timestamp_size() == self.timestamp_size;
        let Some(run) = loaded.filter(fits) else {
            self.lost += 1;
            return Ok(());
        };
        let position = run.seek(0, key);
        if position >= run.len() {
            return Ok(());
        }
        self.open += 1;
        self.open_bytes += run.entry_bytes();
        let open = Open { id, source: Cell::new(None), run, position };
        let stream = match self.free.pop() {
            Some(free) => {
                if let Some(slot) = self.streams.get_mut(free) {
                    *slot = open;
                }
                free
            }
            None => {
                self.streams.push(open);
                self.streams.len() - 1
            }
        };
        let (streams, order) = (&self.streams, self.order);
        self.heap.push(stream, |left, right| compare(streams, order, left, right));
        Ok(())
    }

    fn drop_stream(&mut self, stream: usize, sources: &mut Sources) {
        let nothing = Run::new(self.order, self.timestamp_size);
        if let Some(open) = self.streams.get_mut(stream) {
            self.open -= 1;
            self.open_bytes -= open.run.entry_bytes();
            open.run = Arc::new(nothing);
            if let Some(source) = open.source.get() {
                sources.hold_within(self.budget.held_bytes, source);
            }
            self.free.push(stream);
        }
    }
}

fn compare(streams: &[Open], order: KeyOrder, left: usize, right: usize) -> Ordering {
    let key = |stream: usize| streams.get(stream).map_or(&[][..], |open| open.run.key(open.position));
    order.compare(key(left), key(right))
}

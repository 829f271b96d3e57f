//! The runs that a merge writes: entries that no base run holds.

use std::sync::Arc;

use esker_format::limits::{RUN_ENTRIES_MAX, RUN_KEYS_MAX};
use esker_format::run::{KeyOrder, Run};

use super::sources::Sources;
use super::{ChunkStore, RUN_BYTES, SortedError};

/// Bytes at which a run is closed even between two entries of one key.
const RUN_BYTES_MAX: usize = 4 * RUN_BYTES;

/// The run that is being written.
pub(super) struct Literals {
    run: Run,
    /// The source that it will be; none while it is empty.
    source: Option<u32>,
    /// Key and value bytes that went to runs.
    pub(super) entry_bytes: u64,
}

impl Literals {
    pub(super) fn new(order: KeyOrder, timestamp_size: u8) -> Self {
        Self { run: Run::new(order, timestamp_size), source: None, entry_bytes: 0 }
    }

    /// Adds an entry; gives its source and its position there.
    pub(super) fn push(&mut self, sources: &mut Sources, key: &[u8], value: &[u8], trailer: u64, timestamp: &[u8]) -> (u32, u32) {
        let source = *self.source.get_or_insert_with(|| sources.announce());
        let position = u32::try_from(self.run.len()).unwrap_or(u32::MAX);
        self.run.push(key, value, trailer, timestamp);
        self.entry_bytes += (key.len() + value.len()) as u64;
        (source, position)
    }

    /// The value at a position of the run that is being written, if `source` is that run.
    pub(super) fn value(&self, source: u32, position: u32) -> Option<(&[u8], u64, &[u8])> {
        let position = position as usize;
        (self.source == Some(source)).then(|| (self.run.value(position), self.run.trailer(position), self.run.timestamp(position)))
    }

    /// Whether the run is long enough to be closed between two keys.
    pub(super) fn is_full(&self) -> bool {
        self.run.entry_bytes() >= RUN_BYTES || self.run.len() >= RUN_ENTRIES_MAX / 2
    }

    /// Whether the run must be closed before an entry of `bytes` is added.
    pub(super) fn is_over_full(&self, bytes: usize) -> bool {
        let after = self.run.entry_bytes() + bytes;
        !self.run.is_empty() && (after > RUN_BYTES_MAX.max(RUN_BYTES + bytes) || after > RUN_KEYS_MAX || self.run.len() >= RUN_ENTRIES_MAX)
    }

    /// Stores the run, if it has entries, and begins another.
    pub(super) fn close<S: ChunkStore>(&mut self, sources: &mut Sources, store: &mut S) -> Result<(), S::Error> {
        let Some(source) = self.source.take() else { return Ok(()) };
        let next = self.run.another();
        let run = std::mem::replace(&mut self.run, next);
        let bytes = run.encode().map_err(SortedError::from)?;
        // What is replayed later is what a reader will decode, not what was encoded.
        let decoded = Run::decode(&bytes).map_err(SortedError::from)?;
        let id = store.store_run(bytes)?;
        sources.settle(source, id, Arc::new(decoded));
        Ok(())
    }
}

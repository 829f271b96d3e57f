//! What the writes of a workload go to: an engine of some RocksDB, or a tally of them.

use super::{EntryRules, Key};

/// Takes writes. [`Writer`](super::Writer) decides which, and when to flush and compact.
pub trait Sink {
    /// Day 0: takes all entries, as SSTs ingested into an empty engine of [`INGESTED_FILE_BYTES`].
    fn load(&mut self, entries: SortedEntries<'_>);
    /// Adds one write to the batch.
    fn put(&mut self, key: &[u8], value: &[u8]);
    /// Writes the batch, which is empty afterwards.
    fn write_batch(&mut self);
    /// Flushes the memtable.
    fn flush(&mut self);
    /// Rewrites every SST into the bottommost level with the engine's own file sizes.
    fn compact_fully(&mut self);
    /// Waits until no compaction is running or due.
    fn settle(&mut self);
}

/// Keys and values in an ingested SST of the bulk load; the last one to fit may exceed it.
pub const INGESTED_FILE_BYTES: u64 = 64 << 20;

/// The entries of day 0 in key order, values made as they are asked for.
pub struct SortedEntries<'a> {
    rules: &'a EntryRules,
    rest: std::iter::Peekable<std::vec::IntoIter<(Key, u64)>>,
}

impl<'a> SortedEntries<'a> {
    /// Entries `0..entries` whose partition is wanted.
    pub(super) fn new(rules: &'a EntryRules, entries: u64, is_wanted: impl Fn(u32) -> bool) -> Self {
        let mut sorted: Vec<(Key, u64)> = (0..entries)
            .map(|entry| (rules.key(entry), entry))
            .filter(|((partition, _), _)| is_wanted(*partition))
            .map(|((_, key), entry)| (key, entry))
            .collect();
        sorted.sort_unstable();
        Self { rules, rest: sorted.into_iter().peekable() }
    }

    /// Whether none is left.
    pub fn is_done(&mut self) -> bool {
        self.rest.peek().is_none()
    }

    /// The next key, its value put into `value`.
    pub fn next_into(&mut self, value: &mut Vec<u8>) -> Option<Key> {
        let (key, entry) = self.rest.next()?;
        self.rules.value_into(entry, 0, value);
        Some(key)
    }
}

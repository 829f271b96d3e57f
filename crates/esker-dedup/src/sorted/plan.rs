//! Cutting the keys of many tables into ranges of about equal work.

use std::ops::Range;

use esker_format::run::KeyOrder;
use esker_sst::TableMap;

use super::Probe;

/// Key and value bytes between two keys that may become a boundary.
const STEP_BYTES: u64 = 1 << 20;
/// Ranges that a small incremental is cut into, so that several threads have work.
const RANGES_WANTED: u64 = 4;
/// Key and value bytes of a byte of blocks that are believed, at most.
const EXPANSION_MAX: u64 = 256;

/// Collects where tables may be cut.
#[derive(Debug)]
pub struct KeyRanges {
    order: KeyOrder,
    timestamp_size: u8,
    steps: Vec<(Vec<u8>, u64)>,
}

/// The separator behind a block, without the timestamp that it may have: bytes of timestamps are in no order.
pub fn separator(map: &TableMap, block: usize, timestamp_size: u8) -> &[u8] {
    let separator = map.separator(block);
    separator.get(..separator.len().saturating_sub(usize::from(timestamp_size))).unwrap_or_default()
}

impl KeyRanges {
    /// For tables whose keys are sorted so and have timestamps of this size.
    pub fn new(order: KeyOrder, timestamp_size: u8) -> Self {
        Self { order, timestamp_size, steps: Vec::new() }
    }

    /// Adds a table.
    pub fn add(&mut self, map: &TableMap) {
        let properties = &map.tail.properties;
        let entry_bytes = properties.raw_key_size.saturating_add(properties.raw_value_size);
        let expansion = (entry_bytes / properties.data_size.max(1)).clamp(1, EXPANSION_MAX);
        let mut since = 0;
        for block in 0..map.len() {
            since += map.handle(block).map_or(0, |handle| handle.size.saturating_mul(expansion));
            if since >= STEP_BYTES || block + 1 == map.len() {
                self.steps.push((separator(map, block, self.timestamp_size).to_vec(), since));
                since = 0;
            }
        }
    }

    /// The keys between two ranges of about so many key and value bytes, or less if there is little to do for several
    /// threads, in order: one less than there are ranges.
    pub fn boundaries(mut self, range_bytes: u64) -> Vec<Vec<u8>> {
        self.steps.sort_by(|left, right| self.order.compare(&left.0, &right.0));
        let mut boundaries: Vec<Vec<u8>> = Vec::new();
        let (mut since, mut left) = (0, self.steps.iter().map(|(_, bytes)| bytes).sum::<u64>());
        let range_bytes = (left / RANGES_WANTED).clamp(range_bytes / RANGES_WANTED, range_bytes);
        for (key, bytes) in self.steps {
            since += bytes;
            left -= bytes;
            // The last range may be half as long again rather than be followed by a short one.
            if since >= range_bytes && left >= range_bytes / 2 && boundaries.last() != Some(&key) {
                boundaries.push(key);
                since = 0;
            }
        }
        boundaries
    }
}

/// The blocks of a table that belong to the range behind `low` up to `high`: those of which the block before ends in it, so
/// that each block belongs to one range. `None` is the first key of all, or the last.
pub fn blocks_in(map: &TableMap, probe: &Probe, low: Option<&[u8]>, high: Option<&[u8]>) -> Range<usize> {
    let first_behind = |bound: &[u8]| {
        let (mut start, mut end) = (0, map.len());
        while start < end {
            let middle = start + (end - start) / 2;
            if probe.order.compare(separator(map, middle, probe.timestamp_size), bound).is_lt() {
                start = middle + 1;
            } else {
                end = middle;
            }
        }
        // Block 0 has none before it and belongs to the first range that reaches its end.
        if start == 0 { 0 } else { (start + 1).min(map.len()) }
    };
    let start = low.map_or(0, first_behind);
    let end = high.map_or(map.len(), first_behind);
    start..end.max(start)
}

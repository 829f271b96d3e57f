//! Cutting the keys of many tables into ranges of about equal work.

use std::ops::Range;

use esker_format::run::KeyOrder;
use esker_sst::TableMap;

use super::RANGE_BYTES;

/// Bytes of blocks between two keys that may become a boundary.
const STEP_BYTES: u64 = 1 << 20;

/// Collects where tables may be cut.
#[derive(Debug)]
pub struct KeyRanges {
    order: KeyOrder,
    steps: Vec<(Vec<u8>, u64)>,
}

impl KeyRanges {
    /// For tables whose keys are sorted so.
    pub fn new(order: KeyOrder) -> Self {
        Self { order, steps: Vec::new() }
    }

    /// Adds a table.
    pub fn add(&mut self, map: &TableMap) {
        let mut since = 0;
        for block in 0..map.len() {
            since += map.handle(block).map_or(0, |handle| handle.size);
            if since >= STEP_BYTES || block + 1 == map.len() {
                self.steps.push((map.separator(block).to_vec(), since));
                since = 0;
            }
        }
    }

    /// The keys between two ranges, in order: one less than there are ranges.
    pub fn boundaries(mut self) -> Vec<Vec<u8>> {
        self.steps.sort_by(|left, right| self.order.compare(&left.0, &right.0));
        let mut boundaries: Vec<Vec<u8>> = Vec::new();
        let (mut since, mut left) = (0, self.steps.iter().map(|(_, bytes)| bytes).sum::<u64>());
        for (key, bytes) in self.steps {
            since += bytes;
            left -= bytes;
            // The last range may be half as long again rather than be followed by a short one.
            if since >= RANGE_BYTES && left >= RANGE_BYTES / 2 && boundaries.last() != Some(&key) {
                boundaries.push(key);
                since = 0;
            }
        }
        boundaries
    }
}

/// The blocks of a table that belong to the range behind `low` up to `high`: those of which the block before ends in it, so
/// that each block belongs to one range. `None` is the first key of all, or the last.
pub fn blocks_in(map: &TableMap, order: KeyOrder, low: Option<&[u8]>, high: Option<&[u8]>) -> Range<usize> {
    let first_behind = |bound: &[u8]| {
        let (mut start, mut end) = (0, map.len());
        while start < end {
            let middle = start + (end - start) / 2;
            if order.compare(map.separator(middle), bound).is_lt() {
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

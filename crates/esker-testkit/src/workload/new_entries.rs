//! How small the entries of a day are on their own: what an incremental can hardly go below.

use std::collections::BTreeMap;

use super::sink::{Sink, SortedEntries};
use super::{Replica, Workload, Writer};

const LEVEL: i32 = 3;
const PIECE_BYTES: usize = 1 << 20;

/// Tells, day after day, how many bytes the day's new entries take under zstd 3.
pub struct NewEntries(Writer<Tally>);

impl NewEntries {
    /// Stands at day 0.
    #[must_use]
    pub fn of(workload: &Workload) -> Self {
        Self(Writer::load(Tally::default(), workload, &Replica::default()))
    }

    /// The next day's entries that no earlier day's engine held (every write makes one; of several
    /// under one key the last counts), in key order, keys and values without their lengths, in
    /// pieces of 1 MiB at level 3.
    pub fn next_day_zstd_bytes(&mut self) -> u64 {
        self.0.sink_mut().0.clear();
        self.0.next_day();
        let (mut piece, mut total_bytes) = (Vec::with_capacity(2 * PIECE_BYTES), 0);
        for (key, value) in &self.0.sink().0 {
            piece.extend_from_slice(key);
            piece.extend_from_slice(value);
            if piece.len() >= PIECE_BYTES {
                total_bytes += zstd_bytes(&piece);
                piece.clear();
            }
        }
        total_bytes + if piece.is_empty() { 0 } else { zstd_bytes(&piece) }
    }
}

fn zstd_bytes(piece: &[u8]) -> u64 {
    zstd::bulk::compress(piece, LEVEL).expect("compression in memory").len() as u64
}

/// The last write under each key.
#[derive(Default)]
struct Tally(BTreeMap<Vec<u8>, Vec<u8>>);

impl Sink for Tally {
    fn load(&mut self, _entries: SortedEntries<'_>) {}

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key.to_vec(), value.to_vec());
    }

    fn write_batch(&mut self) {}
    fn flush(&mut self) {}
    fn compact_fully(&mut self) {}
    fn settle(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_uniform_churn_takes_its_share_of_the_entries() {
        let workload = Workload { entries: 40_000, ..Workload::default() };
        let mut new_entries = NewEntries::of(&workload);
        for _ in 0..2 {
            // 1,000 writes, an eighth of the inserts without value: about 120 bytes each, compressed by a third.
            let bytes = new_entries.next_day_zstd_bytes();
            assert!((50_000..110_000).contains(&bytes), "{bytes}");
        }
    }
}

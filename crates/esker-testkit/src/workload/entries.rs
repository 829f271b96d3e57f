//! From an entry's number to its key and value: NebulaGraph's key layouts, values of a repeating
//! column and random words.
//!
//! Entries come in groups of eight, one group per vertex: its vertex key, its tag row, and six
//! edges. In most workloads the edges start from any earlier vertex, so an insert touches the key
//! space everywhere; where keys must rise they start from the group's own.

use super::{Kind, Workload};
use crate::seeded::{SplitMix64, mix64, scale};

const TAG: u32 = 1;
const EDGE: u32 = 2;
const SYSTEM: u32 = 4;
const VERTEX: u32 = 7;
const COMMIT_ID: u32 = 1;
const TAG_ID: u32 = 3;

const GROUP: u64 = 8;
const BLOB_EVERY: u64 = 32;
const KEY_BYTES_MAX: usize = 33;
/// Row header: NebulaGraph's version byte and a schema version.
const ROW_HEADER: [u8; 2] = [0x09, 0x01];
/// The column of a row that repeats from row to row. It is what LZ4 and Snappy find, and enough of
/// a row that RocksDB keeps their output: it stores a block raw unless an eighth is gained.
const CATEGORIES: [&[u8; 20]; 8] = [
    b"transfer, settled   ",
    b"resident account    ",
    b"merchant online     ",
    b"device of the branch",
    b"follows since spring",
    b"payment card in euro",
    b"owner of the company",
    b"campaign of autumn  ",
];
/// Five bits a byte, which zstd's entropy coder can use and LZ4 cannot.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz 01234";

/// A user key; orders as RocksDB's bytewise comparator does.
// The derived order compares the zero-padded bytes first and the length next, which is exactly
// lexicographic order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    bytes: [u8; KEY_BYTES_MAX],
    length: u8,
}

impl Key {
    fn of(parts: &[&[u8]]) -> Self {
        let mut key = Self { bytes: [0; KEY_BYTES_MAX], length: 0 };
        let mut at = 0;
        for part in parts {
            key.bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        key.length = at as u8;
        key
    }

    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

fn prefix(kind: u32, partition: u32) -> [u8; 4] {
    ((partition << 8) | kind).to_le_bytes()
}

/// The key under which storaged keeps a partition's committed Raft log id and term.
#[must_use]
pub fn commit_key(partition: u32) -> Key {
    Key::of(&[&prefix(SYSTEM, partition), &COMMIT_ID.to_le_bytes()])
}

/// Maps entry numbers, from 0 in order of insertion, to keys and values.
#[derive(Debug, Clone)]
pub struct EntryRules {
    seed: u64,
    partitions: u32,
    keys_rise: bool,
    blobs: bool,
}

impl EntryRules {
    /// The rules of a workload.
    #[must_use]
    pub fn new(workload: &Workload) -> Self {
        assert!(workload.partitions > 0, "a space has partitions");
        Self {
            seed: mix64(workload.seed),
            partitions: workload.partitions,
            keys_rise: workload.kind == Kind::Appended,
            blobs: workload.kind == Kind::Blobs,
        }
    }

    /// The partition (from 1) and the key of an entry. Distinct entries have distinct keys.
    #[must_use]
    pub fn key(&self, entry: u64) -> (u32, Key) {
        let group = entry / GROUP;
        let source = match entry % GROUP {
            0 | 1 => group,
            _ if self.keys_rise => group,
            _ => scale(mix64(self.seed ^ mix64(entry)), group + 1),
        };
        let vid = self.vid(source);
        let partition = self.partition(source);
        let key = match entry % GROUP {
            0 => Key::of(&[&prefix(VERTEX, partition), &vid]),
            1 => Key::of(&[&prefix(TAG, partition), &vid, &TAG_ID.to_le_bytes()]),
            place => self.edge_key(entry, place, partition, vid),
        };
        (partition, key)
    }

    /// Edge types 1 to 3 and their reverses; the rank is the entry's number, big-endian with the
    /// sign flipped so that ranks sort; the final byte 1 says the edge is not a lock.
    fn edge_key(&self, entry: u64, place: u64, partition: u32, source: [u8; 8]) -> Key {
        let edge_type = match place as i32 {
            forward @ 2..=4 => forward - 1,
            reverse => 4 - reverse,
        };
        let rank = entry ^ (1 << 63);
        let target = scale(mix64(self.seed ^ !mix64(entry)), entry / GROUP + 1);
        Key::of(&[&prefix(EDGE, partition), &source, &edge_type.to_le_bytes(), &rank.to_be_bytes(), &self.vid(target), &[1]])
    }

    fn vid_number(&self, group: u64) -> u64 {
        mix64(group ^ self.seed)
    }

    /// INT64 vertex ids as storaged stores them; where keys rise, fixed strings that do.
    fn vid(&self, group: u64) -> [u8; 8] {
        if self.keys_rise { group.to_be_bytes() } else { self.vid_number(group).to_le_bytes() }
    }

    fn partition(&self, group: u64) -> u32 {
        let number = if self.keys_rise { group } else { self.vid_number(group) };
        (number % u64::from(self.partitions)) as u32 + 1
    }

    /// The entry whose value an overwrite of `entry` replaces: a vertex key has no value, so its
    /// tag row is written instead.
    #[must_use]
    pub fn overwritable(entry: u64, entries: u64) -> u64 {
        match entry % GROUP {
            0 if entry + 1 < entries => entry + 1,
            0 => entry.saturating_sub(1),
            _ => entry,
        }
    }

    /// Puts into `value` what write number `write` (0 for the bulk load) stores under `entry`:
    /// nothing for a vertex, 56 to 120 bytes for a row, 4.5 to 12 KiB for a blob.
    pub fn value_into(&self, entry: u64, write: u64, value: &mut Vec<u8>) {
        value.clear();
        if entry.is_multiple_of(GROUP) {
            return;
        }
        let mut random = SplitMix64::new(self.seed ^ mix64(entry) ^ mix64(!write));
        let length = if self.blobs && entry % BLOB_EVERY == 1 { 4_608 + random.below(7_681) } else { 56 + random.below(65) };
        value.extend_from_slice(&ROW_HEADER);
        value.extend_from_slice(CATEGORIES[random.below(8) as usize]);
        while (value.len() as u64) < length {
            let mut bits = random.next_u64();
            let letters = (length - value.len() as u64).min(12);
            for _ in 0..letters {
                value.push(ALPHABET[(bits & 31) as usize]);
                bits >>= 5;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn commit_key_is_nebulagraphs() {
        assert_eq!(commit_key(1).as_bytes(), [4, 1, 0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn keys_are_distinct_and_entries_are_about_105_bytes() {
        let rules = EntryRules::new(&Workload::default());
        let mut keys = BTreeSet::new();
        let (mut bytes, mut value) = (0, Vec::new());
        for entry in 0..16_000 {
            let (partition, key) = rules.key(entry);
            assert!((1..=16).contains(&partition));
            rules.value_into(entry, 0, &mut value);
            bytes += key.as_bytes().len() + value.len();
            assert!(keys.insert(key));
        }
        assert!((103..=107).contains(&(bytes / 16_000)));
    }

    #[test]
    fn key_order_is_bytewise_order() {
        let rules = EntryRules::new(&Workload::default());
        let mut keys: Vec<Key> = (0..2_000).map(|entry| rules.key(entry).1).collect();
        keys.sort_unstable();
        assert!(keys.is_sorted_by(|a, b| a.as_bytes() < b.as_bytes()));
    }

    #[test]
    fn appended_keys_rise_within_each_partition_and_key_type() {
        let rules = EntryRules::new(&Workload { kind: Kind::Appended, ..Workload::default() });
        let mut last = std::collections::BTreeMap::new();
        for group in 0..2_000 {
            let (partition, key) = rules.key(group * GROUP);
            let before = last.insert(partition, key);
            assert!(before.is_none_or(|before| before < key));
        }
    }
}

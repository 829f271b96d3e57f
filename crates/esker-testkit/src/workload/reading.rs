//! Reading an engine or a checkpoint back: its entries, and its commit positions.

use std::path::Path;

use rocksdb::{DB, Direction, IteratorMode};

use super::commit_key;
use super::options::reading_options;

/// How far a replica of a partition has applied its Raft log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommitPosition {
    /// The partition, from 1.
    pub partition: u32,
    /// The committed log id.
    pub log_id: u64,
    /// The term of that log.
    pub term: u64,
}

impl CommitPosition {
    /// The value NebulaGraph stores under [`commit_key`]: log id and term, little-endian.
    #[must_use]
    pub fn to_value(self) -> [u8; 16] {
        let mut value = [0; 16];
        value[..8].copy_from_slice(&self.log_id.to_le_bytes());
        value[8..].copy_from_slice(&self.term.to_le_bytes());
        value
    }
}

/// The number of entries and a BLAKE3 hash over all of them in key order (lengths as u32 LE before
/// each key and value): equal for equal contents, whatever the SSTs look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentDigest {
    /// Live entries, commit positions included.
    pub entries: u64,
    /// The hash.
    pub blake3: [u8; 32],
}

/// Calls `visit` with every key and value of the checkpoint at `dir`, in key order, writes that
/// stand only in its WAL included. Leaves the folder as it is.
pub fn for_each_entry(dir: &Path, visit: impl FnMut(&[u8], &[u8])) {
    visit_all(&open(dir), visit);
}

/// Digests the contents of the checkpoint at `dir`.
#[must_use]
pub fn content_digest(dir: &Path) -> ContentDigest {
    digest_of(&open(dir))
}

/// The commit positions of the checkpoint at `dir`, by partition, its WAL replayed.
#[must_use]
pub fn commit_positions_in(dir: &Path) -> Vec<CommitPosition> {
    positions_of(&open(dir))
}

fn open(dir: &Path) -> DB {
    DB::open_for_read_only(&reading_options(), dir, false).unwrap_or_else(|error| panic!("open {}: {error}", dir.display()))
}

fn visit_all(db: &DB, mut visit: impl FnMut(&[u8], &[u8])) {
    for entry in db.iterator(IteratorMode::Start) {
        let (key, value) = entry.expect("readable entry");
        visit(&key, &value);
    }
}

pub(super) fn digest_of(db: &DB) -> ContentDigest {
    let mut hasher = blake3::Hasher::new();
    let mut entries = 0;
    visit_all(db, |key, value| {
        entries += 1;
        for field in [key, value] {
            hasher.update(&(field.len() as u32).to_le_bytes());
            hasher.update(field);
        }
    });
    ContentDigest { entries, blake3: *hasher.finalize().as_bytes() }
}

pub(super) fn positions_of(db: &DB) -> Vec<CommitPosition> {
    let mut positions = Vec::new();
    let from = commit_key(0);
    for entry in db.iterator(IteratorMode::From(from.as_bytes(), Direction::Forward)) {
        let (key, value) = entry.expect("readable entry");
        if key.first() != from.as_bytes().first() {
            break;
        }
        positions.extend(parse(&key, &value));
    }
    // Partition numbers are little-endian in keys, so key order is not their order.
    positions.sort_unstable();
    positions
}

fn parse(key: &[u8], value: &[u8]) -> Option<CommitPosition> {
    let prefix = u32::from_le_bytes(*key.first_chunk()?);
    let partition = prefix >> 8;
    let position =
        CommitPosition { partition, log_id: u64::from_le_bytes(*value.first_chunk()?), term: u64::from_le_bytes(*value.last_chunk()?) };
    (key == commit_key(partition).as_bytes() && value.len() == 16).then_some(position)
}

//! One RocksDB engine with NebulaGraph-like content, its daily churn, and its checkpoints.
//!
//! Day 0 is a bulk load and one full compaction. Each further day overwrites 2 % of the entries and
//! inserts 0.5 %, then flushes, lets the compactions settle, and is ready for a checkpoint. What is
//! written depends on the [`Workload`] alone; where flushes and compactions cut it into SSTs
//! depends on the [`Replica`] and on timing, as it does in a real cluster.

mod bundled;
mod churn;
mod debian;
mod engine;
mod entries;
mod new_entries;
mod options;
mod reading;
mod sink;
mod writer;
mod zipf;

use clap::ValueEnum;

pub use churn::{Churn, Write};
pub use debian::{DebianEngine, DebianRocksDb};
pub use engine::Engine;
pub use entries::{EntryRules, Key, commit_key};
pub use new_entries::NewEntries;
pub use reading::{CommitPosition, ContentDigest, commit_positions_in, content_digest, for_each_entry};
pub use sink::{Sink, SortedEntries};
pub use writer::{Replica, Writer};

/// Which entries a day's churn touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Overwrites and inserts evenly over the key space: the worst case.
    Uniform,
    /// Overwrites by a Zipf law of exponent 0.99, hot entries scattered over the key space.
    Zipf,
    /// Overwrites mostly of what was inserted last.
    Recent,
    /// As `Uniform`, and a forced full compaction at the end of each day.
    Compacted,
    /// Inserts only, keys rising within each partition.
    Appended,
    /// As `Uniform`, with integrated BlobDB and one entry in 32 above 4 KiB.
    Blobs,
}

/// Compression of data blocks (and of blobs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    /// Blocks as they are.
    None,
    /// LZ4, what NebulaGraph is deployed with.
    Lz4,
    /// Zstandard at RocksDB's default level.
    Zstd,
    /// Snappy, NebulaGraph's built-in default.
    Snappy,
}

/// What an engine holds and how it churns. Equal workloads write equal entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Which entries a day's churn touches.
    pub kind: Kind,
    /// Entries of the bulk load; an entry is about 105 bytes (key and value), with `Blobs` about 360.
    pub entries: u64,
    /// Partitions of the space, numbered from 1.
    pub partitions: u32,
    /// The seed of all keys, values and choices.
    pub seed: u64,
    /// Compression of data blocks.
    pub compression: Compression,
    /// RocksDB's block-based table format, 2 to 7.
    pub format_version: u32,
}

impl Default for Workload {
    fn default() -> Self {
        Self { kind: Kind::Uniform, entries: 100_000, partitions: 16, seed: 1, compression: Compression::Lz4, format_version: 5 }
    }
}

impl Workload {
    /// Entries overwritten on one day, drawn with replacement: 2 % of `entries`.
    #[must_use]
    pub fn overwritten_per_day(&self) -> u64 {
        match self.kind {
            Kind::Appended => 0,
            _ => self.entries / 50,
        }
    }

    /// Entries inserted on one day: 0.5 % of `entries`.
    #[must_use]
    pub fn inserted_per_day(&self) -> u64 {
        self.entries / 200
    }
}

//! Comparing engines by their keys, without restoring them: `diff --keys` and `fsck --replicas`.
//!
//! ```text
//! MANIFEST ──► tables of a column family ──► ranges that may differ ──► merge of each side ──► keys that differ
//!              and what the log adds          (from hashes, recipes)    (from runs, blocks)
//! ```
//!
//! What is compared is what a read would find: of each key the newest entry, or the operands down to what they are merged
//! with; not sequence numbers, and not what a deletion hides. Nothing is rebuilt and nothing is written. Memory is bounded by
//! how many tables have keys in common, not by how many there are.

mod blobs;
mod changed;
mod compare;
mod cursor;
mod diff;
mod engine;
mod family;
mod partition;
mod ranges;
mod replicas;
mod side;
mod store;
mod stored_file;
mod table;
mod tombstone;
mod visible;

pub use diff::{KeyCounts, KeyDiff, KeyDiffRequest, KeyLine, KeyRow, diff_keys};
pub use replicas::{Divergence, PartitionReplicas, ReplicaAt, ReplicasReport, compare_replicas};

/// A key or timestamp in hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

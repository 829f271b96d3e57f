//! Opening an engine's folder with RocksDB without writing anything into it.
//!
//! RocksDB creates a `LOG` in every folder it opens, also read-only. So it is given a private scratch folder with
//! symbolic links to the engine's files, and the engine's own folder only ever sees reads. Nothing is compacted: a
//! compaction filter of the application could delete entries.
//!
//! Memory: a block cache of 32 MiB, which also holds index and filter blocks, plus what the write-ahead log replays
//! into, which is as long as the log itself.

mod comparators;
mod engine;
mod scratch;

pub(crate) use engine::{OpenFiles, ReadOnlyEngine};

//! A live engine of the bundled RocksDB under a workload.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rocksdb::{DB, checkpoint::Checkpoint};

use super::bundled::Bundled;
use super::reading::{digest_of, positions_of};
use super::{Churn, CommitPosition, ContentDigest, Replica, Workload, Writer};

/// A live engine; dropping it closes the database.
pub struct Engine {
    writer: Writer<Bundled>,
    dir: PathBuf,
}

impl Engine {
    /// Makes an engine of all partitions in the new folder `dir` and loads day 0.
    #[must_use]
    pub fn create(dir: &Path, workload: &Workload) -> Self {
        Self::create_replica(dir, workload, &Replica::default())
    }

    /// As [`Engine::create`], for one replica of the same content.
    #[must_use]
    pub fn create_replica(dir: &Path, workload: &Workload, replica: &Replica) -> Self {
        let parent = dir.parent().expect("a folder to hold the engine");
        std::fs::create_dir_all(parent).expect("parent folder");
        let bundled = Bundled::create(dir, workload, replica);
        Self { writer: Writer::load(bundled, workload, replica), dir: dir.to_path_buf() }
    }

    /// Applies the writes of the next day, flushes, and lets the compactions settle.
    pub fn next_day(&mut self) {
        self.writer.next_day();
    }

    /// Overwrites a few entries more and leaves them in WAL and memtable, commit positions advanced.
    /// Keep it well below a write buffer: 10,000 writes are about 1.3 MB.
    pub fn write_unflushed(&mut self, writes: u64) {
        self.writer.write_unflushed(writes);
    }

    /// Makes a checkpoint in the new folder `dest`, flushing first, as storaged does.
    pub fn checkpoint(&self, dest: &Path) {
        self.checkpoint_above(dest, 0);
    }

    /// Makes a checkpoint in the new folder `dest` without flushing: unflushed writes stand in its
    /// `.log` file, and reading them needs WAL replay.
    pub fn checkpoint_with_wal(&self, dest: &Path) {
        self.checkpoint_above(dest, u64::MAX);
    }

    /// The engine's commit positions, by partition.
    #[must_use]
    pub fn commit_positions(&self) -> Vec<CommitPosition> {
        positions_of(self.db())
    }

    /// Digests the live contents.
    #[must_use]
    pub fn content_digest(&self) -> ContentDigest {
        digest_of(self.db())
    }

    /// The writes so far and the Raft logs behind them.
    #[must_use]
    pub fn churn(&self) -> &Churn {
        self.writer.churn()
    }

    /// The partitions this engine holds.
    #[must_use]
    pub fn partitions(&self) -> &BTreeSet<u32> {
        self.writer.partitions()
    }

    /// The live database, for writes a workload does not make.
    #[must_use]
    pub fn db(&self) -> &DB {
        &self.writer.sink().db
    }

    /// The live engine's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn checkpoint_above(&self, dest: &Path, log_bytes_for_flush: u64) {
        let parent = dest.parent().expect("a folder to hold the checkpoint");
        std::fs::create_dir_all(parent).expect("parent folder");
        Checkpoint::new(self.db())
            .and_then(|checkpoint| checkpoint.create_checkpoint_with_log_size(dest, log_bytes_for_flush))
            .unwrap_or_else(|error| panic!("checkpoint {}: {error}", dest.display()));
    }
}

//! A live RocksDB engine under a workload.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rocksdb::{DB, WaitForCompactOptions, WriteBatch, checkpoint::Checkpoint};

use super::bulk_load::{bulk_load, compact_fully};
use super::churn::{Churn, Write};
use super::options::engine_options;
use super::reading::{digest_of, positions_of};
use super::{CommitPosition, ContentDigest, Kind, Workload, commit_key};

const WRITES_PER_BATCH: usize = 256;

/// Which copy of the workload's content an engine is: the entries are the same, the SSTs are not.
#[derive(Debug, Clone, Default)]
pub struct Replica {
    /// Varies write buffer, target file size and flush points; 0 flushes by write buffer alone.
    pub number: u32,
    /// The partitions this engine holds; all of the workload's if `None`.
    pub partitions: Option<BTreeSet<u32>>,
    /// The last writes of each day that this replica applies a day late.
    pub late_writes: usize,
}

/// A live engine; dropping it closes the database.
pub struct Engine {
    db: DB,
    churn: Churn,
    workload: Workload,
    dir: PathBuf,
    partitions: BTreeSet<u32>,
    flush_every: Option<usize>,
    late_writes: usize,
    late: Vec<Write>,
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
        let options = engine_options(workload, replica.number);
        let engine = Self {
            db: DB::open(&options, dir).expect("new engine"),
            churn: Churn::after_bulk_load(workload),
            workload: workload.clone(),
            dir: dir.to_path_buf(),
            partitions: (replica.partitions.clone()).unwrap_or_else(|| (1..=workload.partitions).collect()),
            flush_every: (replica.number > 0).then_some(20_000 + 7_000 * replica.number as usize),
            late_writes: replica.late_writes,
            late: Vec::new(),
        };
        bulk_load(&engine.db, &options, engine.churn.rules(), workload.entries, &engine.partitions, &dir.with_extension("ingest"));
        engine.write_positions();
        compact_fully(&engine.db);
        engine.settle();
        engine
    }

    /// Applies the writes of the next day, flushes, and lets the compactions settle.
    pub fn next_day(&mut self) {
        let day = self.churn.next_day();
        let mut writes = std::mem::take(&mut self.late);
        writes.extend(day.into_iter().filter(|w| self.partitions.contains(&w.partition)));
        self.late = writes.split_off(writes.len().saturating_sub(self.late_writes));
        self.apply(&writes);
        self.db.flush().expect("flush");
        if self.workload.kind == Kind::Compacted {
            compact_fully(&self.db);
        }
        self.settle();
    }

    /// Overwrites a few entries more and leaves them in WAL and memtable, commit positions advanced.
    /// Keep it well below a write buffer: 10,000 writes are about 1.3 MB.
    pub fn write_unflushed(&mut self, writes: u64) {
        let mut extra = std::mem::take(&mut self.late);
        extra.extend(self.churn.extra(writes));
        extra.retain(|write| self.partitions.contains(&write.partition));
        self.write(&extra);
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
        positions_of(&self.db)
    }

    /// Digests the live contents.
    #[must_use]
    pub fn content_digest(&self) -> ContentDigest {
        digest_of(&self.db)
    }

    /// The writes so far and the Raft logs behind them.
    #[must_use]
    pub fn churn(&self) -> &Churn {
        &self.churn
    }

    /// The partitions this engine holds.
    #[must_use]
    pub fn partitions(&self) -> &BTreeSet<u32> {
        &self.partitions
    }

    /// The live database, for writes a workload does not make.
    #[must_use]
    pub fn db(&self) -> &DB {
        &self.db
    }

    /// The live engine's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn apply(&self, writes: &[Write]) {
        let Some(flush_every) = self.flush_every else {
            return self.write(writes);
        };
        for until_flush in writes.chunks(flush_every) {
            self.write(until_flush);
            self.db.flush().expect("flush");
        }
    }

    /// Each batch carries the commit positions it reaches, as storaged writes them.
    fn write(&self, writes: &[Write]) {
        let mut value = Vec::new();
        for writes in writes.chunks(WRITES_PER_BATCH) {
            let mut batch = WriteBatch::default();
            let mut reached = vec![None; self.workload.partitions as usize];
            for write in writes {
                let (partition, key) = self.churn.rules().key(write.entry);
                (self.churn.rules()).value_into(write.entry, write.number, &mut value);
                batch.put(key.as_bytes(), &value);
                reached[partition as usize - 1] = Some(CommitPosition { partition, log_id: write.log_id, term: write.term });
            }
            for position in reached.into_iter().flatten() {
                batch.put(commit_key(position.partition).as_bytes(), position.to_value());
            }
            self.db.write(batch).expect("write");
        }
    }

    fn write_positions(&self) {
        let mut batch = WriteBatch::default();
        for &partition in &self.partitions {
            let position = self.churn.position(partition);
            batch.put(commit_key(partition).as_bytes(), position.to_value());
        }
        self.db.write(batch).expect("write");
        self.db.flush().expect("flush");
    }

    fn settle(&self) {
        (self.db.wait_for_compact(&WaitForCompactOptions::default())).expect("compactions");
    }

    fn checkpoint_above(&self, dest: &Path, log_bytes_for_flush: u64) {
        let parent = dest.parent().expect("a folder to hold the checkpoint");
        std::fs::create_dir_all(parent).expect("parent folder");
        Checkpoint::new(&self.db)
            .and_then(|checkpoint| checkpoint.create_checkpoint_with_log_size(dest, log_bytes_for_flush))
            .unwrap_or_else(|error| panic!("checkpoint {}: {error}", dest.display()));
    }
}

//! Writes a workload, as one replica of it, to whatever takes writes.

use std::collections::BTreeSet;

use super::churn::{Churn, Write};
use super::sink::{Sink, SortedEntries};
use super::{CommitPosition, Kind, Workload, commit_key};

const WRITES_PER_BATCH: usize = 256;

/// Which copy of the workload's content an engine is: the entries are the same, the SSTs are not.
#[derive(Debug, Clone, Default)]
pub struct Replica {
    /// Varies write buffer, target file size and flush points; 0 flushes by write buffer, and at a
    /// day's end, alone.
    pub number: u32,
    /// The partitions this engine holds; all of the workload's if `None`.
    pub partitions: Option<BTreeSet<u32>>,
    /// The last writes of each day that this replica applies a day late.
    pub late_writes: usize,
}

/// A workload on its way into a [`Sink`].
#[derive(Debug)]
pub struct Writer<S> {
    sink: S,
    churn: Churn,
    workload: Workload,
    partitions: BTreeSet<u32>,
    flush_every: Option<usize>,
    late_writes: usize,
    late: Vec<Write>,
}

impl<S: Sink> Writer<S> {
    /// Writes day 0: a bulk load and one full compaction.
    pub fn load(sink: S, workload: &Workload, replica: &Replica) -> Self {
        let mut writer = Self {
            sink,
            churn: Churn::after_bulk_load(workload),
            workload: workload.clone(),
            partitions: (replica.partitions.clone()).unwrap_or_else(|| (1..=workload.partitions).collect()),
            flush_every: flush_every(workload, replica),
            late_writes: replica.late_writes,
            late: Vec::new(),
        };
        let held = &writer.partitions;
        writer.sink.load(SortedEntries::new(writer.churn.rules(), workload.entries, |partition| held.contains(&partition)));
        let positions: Vec<CommitPosition> = writer.partitions.iter().map(|&partition| writer.churn.position(partition)).collect();
        writer.write_batch_of(positions);
        writer.sink.flush();
        writer.sink.compact_fully();
        writer.sink.settle();
        writer
    }

    /// Writes the next day, flushes, and lets the compactions settle.
    pub fn next_day(&mut self) {
        let day = self.churn.next_day();
        let mut writes = std::mem::take(&mut self.late);
        writes.extend(day.into_iter().filter(|w| self.partitions.contains(&w.partition)));
        self.late = writes.split_off(writes.len().saturating_sub(self.late_writes));
        for until_flush in writes.chunks(self.flush_every.unwrap_or(usize::MAX)) {
            self.write(until_flush);
            self.sink.flush();
        }
        self.sink.flush();
        if self.workload.kind == Kind::Compacted {
            self.sink.compact_fully();
        }
        self.sink.settle();
    }

    /// Overwrites a few entries more without a flush, commit positions advanced.
    pub fn write_unflushed(&mut self, writes: u64) {
        let mut extra = std::mem::take(&mut self.late);
        extra.extend(self.churn.extra(writes));
        extra.retain(|write| self.partitions.contains(&write.partition));
        self.write(&extra);
    }

    /// The writes so far and the Raft logs behind them.
    pub fn churn(&self) -> &Churn {
        &self.churn
    }

    /// The partitions whose writes are passed on.
    pub fn partitions(&self) -> &BTreeSet<u32> {
        &self.partitions
    }

    /// What the writes go to.
    pub fn sink(&self) -> &S {
        &self.sink
    }

    /// The same, to be changed.
    pub fn sink_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Each batch carries the commit positions it reaches, as storaged writes them.
    fn write(&mut self, writes: &[Write]) {
        let mut value = Vec::new();
        for writes in writes.chunks(WRITES_PER_BATCH) {
            let mut reached = vec![None; self.workload.partitions as usize];
            for write in writes {
                let (partition, key) = self.churn.rules().key(write.entry);
                (self.churn.rules()).value_into(write.entry, write.number, &mut value);
                self.sink.put(key.as_bytes(), &value);
                reached[partition as usize - 1] = Some(CommitPosition { partition, log_id: write.log_id, term: write.term });
            }
            self.write_batch_of(reached.into_iter().flatten());
        }
    }

    fn write_batch_of(&mut self, positions: impl IntoIterator<Item = CommitPosition>) {
        for position in positions {
            self.sink.put(commit_key(position.partition).as_bytes(), &position.to_value());
        }
        self.sink.write_batch();
    }
}

/// A part of the day's writes that is another for every replica, so that even a day that fits into
/// one write buffer makes other SSTs on each: 0.55 for replica 1, then 0.37, 0.28 and so on.
fn flush_every(workload: &Workload, replica: &Replica) -> Option<usize> {
    let writes_per_day = (workload.overwritten_per_day() + workload.inserted_per_day()) as usize;
    (replica.number > 0).then(|| (writes_per_day * 11 / (10 * (replica.number as usize + 1))).max(1))
}

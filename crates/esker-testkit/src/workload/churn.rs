//! Which entries are written when, and under which Raft log id: the part of a workload that all
//! replicas share.

use std::collections::VecDeque;

use super::zipf::Zipf;
use super::{CommitPosition, EntryRules, Kind, Workload};
use crate::seeded::{SplitMix64, mix64, scale};

/// Raft logs per partition that a sample WAL holds.
const TAIL_LOGS: usize = 64;
/// A new term begins every this many days, as after an election.
const DAYS_PER_TERM: u64 = 4;

/// One applied log: the write of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write {
    /// Which entry.
    pub entry: u64,
    /// The write's number in the workload, from 1; the value depends on it. 0 is the bulk load.
    pub number: u64,
    /// The entry's partition.
    pub partition: u32,
    /// The Raft log id of the write in its partition, from 1 and without gaps.
    pub log_id: u64,
    /// The Raft term.
    pub term: u64,
}

/// The writes of a workload, day by day. Equal workloads yield equal writes.
#[derive(Debug, Clone)]
pub struct Churn {
    workload: Workload,
    rules: EntryRules,
    random: SplitMix64,
    zipf: Option<Zipf>,
    entries: u64,
    writes: u64,
    day: u64,
    /// By partition, from partition 1.
    log_ids: Vec<u64>,
    tails: Vec<VecDeque<Write>>,
}

impl Churn {
    /// The state after the bulk load, which counts as one log per entry.
    #[must_use]
    pub fn after_bulk_load(workload: &Workload) -> Self {
        assert!(workload.entries > 0, "an engine holds entries");
        let partitions = workload.partitions as usize;
        let mut churn = Self {
            workload: workload.clone(),
            rules: EntryRules::new(workload),
            random: SplitMix64::new(mix64(!workload.seed)),
            zipf: (workload.kind == Kind::Zipf).then(|| Zipf::new(workload.entries)),
            entries: workload.entries,
            writes: 0,
            day: 0,
            log_ids: vec![0; partitions],
            tails: vec![VecDeque::with_capacity(TAIL_LOGS); partitions],
        };
        for entry in 0..workload.entries {
            churn.log(entry, 0);
        }
        churn
    }

    /// The writes of the next day, one insert after every four overwrites.
    pub fn next_day(&mut self) -> Vec<Write> {
        self.day += 1;
        let (overwrites, inserts) = (self.workload.overwritten_per_day(), self.workload.inserted_per_day());
        let writes = overwrites + inserts;
        let mut inserted = 0;
        (0..writes)
            .map(|done| {
                if (done + 1) * inserts / writes > inserted {
                    inserted += 1;
                    self.insert()
                } else {
                    self.overwrite()
                }
            })
            .collect()
    }

    /// Further overwrites outside the daily rhythm (inserts where the workload only appends).
    pub fn extra(&mut self, writes: u64) -> Vec<Write> {
        (0..writes)
            .map(|_| match self.workload.kind {
                Kind::Appended => self.insert(),
                _ => self.overwrite(),
            })
            .collect()
    }

    /// Keys and values of the writes.
    #[must_use]
    pub fn rules(&self) -> &EntryRules {
        &self.rules
    }

    /// Entries that exist by now.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Days since the bulk load.
    #[must_use]
    pub fn day(&self) -> u64 {
        self.day
    }

    /// The last log of a partition: what its leader has committed.
    #[must_use]
    pub fn position(&self, partition: u32) -> CommitPosition {
        CommitPosition { partition, log_id: self.log_ids[partition as usize - 1], term: self.term() }
    }

    /// The last logs of a partition, oldest first, at most 64.
    pub fn tail(&self, partition: u32) -> impl ExactSizeIterator<Item = &Write> {
        self.tails[partition as usize - 1].iter()
    }

    fn term(&self) -> u64 {
        1 + self.day / DAYS_PER_TERM
    }

    fn insert(&mut self) -> Write {
        self.entries += 1;
        self.writes += 1;
        self.log(self.entries - 1, self.writes)
    }

    fn overwrite(&mut self) -> Write {
        let chosen = self.choose();
        self.writes += 1;
        self.log(EntryRules::overwritable(chosen, self.entries), self.writes)
    }

    fn choose(&mut self) -> u64 {
        match (&self.zipf, self.workload.kind) {
            // Ranks are scattered over the entries of day 0, so the hot ones stay hot.
            (Some(zipf), _) => {
                let rank = zipf.draw(&mut self.random);
                scale(mix64(rank ^ self.workload.seed), self.workload.entries)
            }
            // Exponentially distributed age, on average a twentieth of all entries.
            (None, Kind::Recent) => {
                let age = -(1.0 - self.random.unit()).ln() * self.entries as f64 / 20.0;
                (self.entries - 1).saturating_sub(age as u64)
            }
            _ => self.random.below(self.entries),
        }
    }

    fn log(&mut self, entry: u64, number: u64) -> Write {
        let (partition, _) = self.rules.key(entry);
        let slot = partition as usize - 1;
        self.log_ids[slot] += 1;
        let write = Write { entry, number, partition, log_id: self.log_ids[slot], term: self.term() };
        let tail = &mut self.tails[slot];
        if tail.len() == TAIL_LOGS {
            tail.pop_front();
        }
        tail.push_back(write);
        write
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_overwrites_two_percent_and_inserts_half_a_percent() {
        let mut churn = Churn::after_bulk_load(&Workload::default());
        assert_eq!(churn.next_day().len(), 2_500);
        assert_eq!(churn.entries(), 100_500);
    }

    #[test]
    fn appended_only_inserts() {
        let workload = Workload { kind: Kind::Appended, ..Workload::default() };
        let day = Churn::after_bulk_load(&workload).next_day();
        assert_eq!(day.len(), 500);
        assert!(day.iter().all(|write| write.entry >= workload.entries));
    }

    #[test]
    fn recent_overwrites_what_is_young() {
        let workload = Workload { kind: Kind::Recent, ..Workload::default() };
        let day = Churn::after_bulk_load(&workload).next_day();
        let young = day.iter().filter(|write| write.entry > 80_000).count();
        assert!(young * 100 > day.len() * 95);
    }

    #[test]
    fn log_ids_have_no_gaps_and_the_tail_ends_at_the_position() {
        let mut churn = Churn::after_bulk_load(&Workload::default());
        let before = churn.position(1).log_id;
        let day = churn.next_day();
        let of_one: Vec<u64> = day.iter().filter(|write| write.partition == 1).map(|write| write.log_id).collect();
        assert_eq!(of_one.first(), Some(&(before + 1)));
        assert!(of_one.is_sorted_by(|a, b| a + 1 == *b));
        assert_eq!(of_one.last(), Some(&churn.position(1).log_id));
        assert_eq!(churn.tail(1).last().map(|write| write.log_id), Some(churn.position(1).log_id));
    }
}

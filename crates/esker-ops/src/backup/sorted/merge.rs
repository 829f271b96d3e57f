//! Merging the new tables of a group, range by range, on several threads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use esker_cluster::SourceFile;
use esker_dedup::sorted::merge::MergedBlocks;
use esker_dedup::sorted::plan::blocks_in;
use esker_dedup::sorted::{Budget, MERGES_MAX, Merge, Refusal, TableInput};
use esker_format::file_table::FileContent;
use esker_repo::reader::ReadContext;
use esker_repo::{Repository, Writer};

use super::Pending;
use super::base::BaseIndex;
use super::complete::complete;
use super::recent::{RECENT_BYTES, RecentRuns};
use super::survey::{Class, Surveyed, read_map, survey};
use super::worker::{StoredCounts, Worker};
use crate::backup::file::Source;
use crate::error::{OpsError, Result};
use crate::job::{FirstFault, Job};

/// What became of a new table.
pub(super) enum Fate {
    /// It is stored as sorted runs.
    Sorted {
        content: FileContent,
        /// Bytes of it that are kept as they are.
        kept_bytes: u64,
    },
    /// It must be stored as bytes.
    Refused(Refusal),
}

/// What became of all of a group.
pub(super) struct MergedGroup {
    /// By pending table.
    pub(super) fates: Vec<Fate>,
    pub(super) stored: StoredCounts,
    pub(super) read_bytes: u64,
    /// Key and value bytes of all entries, and of those that were stored.
    pub(super) entry_bytes: u64,
    pub(super) literal_bytes: u64,
    pub(super) lost_runs: u64,
    pub(super) encoders: BTreeSet<u32>,
}

/// How far a table is.
struct Progress {
    /// Merges that still have blocks of it.
    left: usize,
    parts: BTreeMap<usize, MergedBlocks>,
    fate: Option<Fate>,
}

/// One merge.
struct Range {
    class: usize,
    low: Option<Vec<u8>>,
    high: Option<Vec<u8>>,
    /// Positions in the class.
    tables: Vec<usize>,
}

struct Group<'a, 's, 'h> {
    job: &'a Job,
    pending: &'a [Pending<'s, 'h>],
    budget: Budget,
    classes: Vec<Class>,
    ranges: Vec<Range>,
    base: BaseIndex,
    progress: Vec<Mutex<Progress>>,
    totals: Mutex<Totals>,
}

#[derive(Default)]
struct Totals {
    stored: StoredCounts,
    read_bytes: u64,
    entry_bytes: u64,
    literal_bytes: u64,
    lost_runs: u64,
    encoders: BTreeSet<u32>,
}

/// Stores tables as sorted runs against a base.
pub(super) fn merge_group(
    repository: &Repository,
    job: &Job,
    writer: &Writer,
    pending: &[Pending<'_, '_>],
    base: &[&FileContent],
) -> Result<MergedGroup> {
    let merges = job.threads.clamp(1, MERGES_MAX);
    let budget = Budget::shared_by(merges);
    let mut refused = BTreeMap::new();
    let classes = survey(pending, budget.range_bytes, |number, refusal| {
        refused.insert(number, refusal);
    })?;
    let ranges: Vec<Range> = classes.iter().enumerate().flat_map(|(number, class)| ranges_of(number, class)).collect();
    let mut progress: Vec<Progress> = (0..pending.len())
        .map(|number| Progress { left: 0, parts: BTreeMap::new(), fate: refused.remove(&number).map(Fate::Refused) })
        .collect();
    for range in &ranges {
        let class = classes.get(range.class).map_or(&[][..], |class| &class.tables);
        for table in range.tables.iter().filter_map(|table| class.get(*table)) {
            if let Some(progress) = progress.get_mut(table.pending) {
                progress.left += 1;
            }
        }
    }
    let base = BaseIndex::new(writer, &mut ReadContext::new()?, base)?;
    let progress = progress.into_iter().map(Mutex::new).collect();
    let group = Group { job, pending, budget, classes, ranges, base, progress, totals: Mutex::default() };
    let (next, fault, recent) = (AtomicUsize::new(0), FirstFault::default(), RecentRuns::new(RECENT_BYTES));
    std::thread::scope(|scope| {
        for _ in 0..merges {
            scope.spawn(|| {
                fault.note(Worker::new(repository, writer, &recent).and_then(|mut worker| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(range) = group.ranges.get(number).filter(|_| !fault.is_set()) else { break };
                        group.merge(number, range, &mut worker)?;
                    }
                    let stored = worker.stored;
                    let mut totals = lock(&group.totals);
                    totals.stored.new_chunks += stored.new_chunks;
                    totals.stored.new_bytes += stored.new_bytes;
                    totals.stored.left_over_bytes += stored.left_over_bytes;
                    Ok(())
                }));
            });
        }
    });
    fault.into_result()?;
    let fates = group.progress.into_iter().map(|progress| {
        let fate = progress.into_inner().unwrap_or_else(PoisonError::into_inner).fate;
        fate.ok_or_else(|| OpsError::Damage("a table was left out of every merge".into()))
    });
    let fates = fates.collect::<Result<_>>()?;
    let Totals { stored, read_bytes, entry_bytes, literal_bytes, lost_runs, encoders } =
        group.totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(MergedGroup { fates, stored, read_bytes, entry_bytes, literal_bytes, lost_runs, encoders })
}

fn ranges_of(number: usize, class: &Class) -> Vec<Range> {
    let bounds: Vec<Option<Vec<u8>>> =
        std::iter::once(None).chain(class.boundaries.iter().cloned().map(Some)).chain(std::iter::once(None)).collect();
    let range = |pair: &[Option<Vec<u8>>]| {
        let (low, high) = (pair.first().cloned().flatten(), pair.last().cloned().flatten());
        let is_in = |table: &Surveyed| table.may_be_in(class.order, low.as_deref(), high.as_deref());
        let tables = class.tables.iter().enumerate().filter(|(_, table)| is_in(table)).map(|(position, _)| position).collect();
        Range { class: number, low, high, tables }
    };
    bounds.windows(2).map(range).collect()
}

impl Group<'_, '_, '_> {
    fn merge(&self, number: usize, range: &Range, worker: &mut Worker<'_>) -> Result<()> {
        self.job.cancel.check()?;
        let Some(class) = self.classes.get(range.class) else { return Ok(()) };
        let (low, high) = (range.low.as_deref(), range.high.as_deref());
        let mut open = Vec::new();
        for table in range.tables.iter().filter_map(|table| class.tables.get(*table)) {
            let Some(pending) = self.pending.get(table.pending) else { continue };
            let source = SourceFile::open(pending.table.root, pending.table.entry)?;
            let map =
                read_map(&source, pending).map_err(|error| OpsError::Damage(format!("the index changed while it was read: {error}")))?;
            open.push((table, source, map));
        }
        let sources: Vec<Source<'_, '_>> = open.iter().map(|(_, source, _)| Source(source)).collect();
        let inputs = open.iter().zip(&sources).map(|((table, _, map), file)| TableInput {
            file,
            map,
            probe: &table.probe,
            blocks: blocks_in(map, &table.probe, low, high),
        });
        let base = self.base.runs(worker.writer, &mut worker.context, class.order, low, high)?;
        let (order, timestamp_size, chunker) = (class.order, class.timestamp_size, worker.repository.config().chunker);
        let merge = Merge { order, timestamp_size, chunker, base, budget: self.budget };
        let outcome = merge.run(inputs.collect(), worker)?;
        {
            let mut totals = lock(&self.totals);
            totals.entry_bytes += outcome.entry_bytes;
            totals.literal_bytes += outcome.literal_bytes;
            totals.lost_runs += outcome.lost_runs;
        }
        let tables: Vec<&Surveyed> = open.iter().map(|(table, ..)| *table).collect();
        for (_, source, _) in open {
            source.finish()?;
        }
        for (table, merged) in tables.into_iter().zip(outcome.tables) {
            self.advance(table, number, merged.outcome, worker)?;
        }
        Ok(())
    }

    /// Notes what a merge made of a table; with the last of its merges the table is completed.
    fn advance(
        &self,
        table: &Surveyed,
        range: usize,
        outcome: std::result::Result<MergedBlocks, Refusal>,
        worker: &mut Worker<'_>,
    ) -> Result<()> {
        let (Some(progress), Some(pending)) = (self.progress.get(table.pending), self.pending.get(table.pending)) else { return Ok(()) };
        let parts = {
            let mut progress = lock(progress);
            progress.left -= 1;
            match outcome {
                Ok(blocks) => drop(progress.parts.insert(range, blocks)),
                Err(refusal) => progress.fate = Some(Fate::Refused(refusal)),
            }
            if progress.left > 0 || progress.fate.is_some() {
                return Ok(());
            }
            std::mem::take(&mut progress.parts)
        };
        let mut encoders = BTreeSet::new();
        for piece in parts.values().flat_map(|blocks| &blocks.pieces) {
            encoders.extend(piece.forms.iter().map(|form| form.encoder).filter(|id| *id != 0));
        }
        let fate = complete(pending, parts.into_values().collect(), &table.probe, worker, &mut encoders)?;
        if let Fate::Sorted { content, .. } = &fate {
            self.job.progress.advance(content.size);
            let mut totals = lock(&self.totals);
            totals.read_bytes += content.size;
            totals.encoders.extend(encoders);
        }
        lock(progress).fate = Some(fate);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

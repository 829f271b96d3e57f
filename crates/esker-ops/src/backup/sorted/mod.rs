//! Storing new tables as sorted runs.
//!
//! Engines that hold the same space, on whatever hosts, are merged together: an entry that three replicas hold is stored
//! once, whoever has it, and none of them leads. What the merge is told of earlier backups are the tables that have gone
//! since, because compaction moves entries out of these; a replica that is new to a space is told of all tables of the
//! others. See `esker_dedup::sorted`.

mod base;
mod complete;
mod merge;
mod recent;
mod survey;
mod worker;

use std::collections::{BTreeMap, BTreeSet};

use esker_cluster::{FileKind, SourceFile};
use esker_format::file_table::{FileContent, Node};
use esker_format::sorted_totals::{Fallback, SortedTotals};
use esker_repo::Writer;

use super::Run;
use super::engine::ScannedEngine;
use super::file::NewTable;
use crate::error::Result;

pub(super) use base::known_piece;
use merge::{Fate, merge_group};

/// What sorted runs came to, over all tables of a backup.
#[derive(Debug, Default, Clone)]
pub(super) struct SortedCounts {
    /// Tables stored as sorted runs, and their bytes.
    pub(super) tables: u64,
    pub(super) bytes: u64,
    /// Key and value bytes of all their entries, and of those that were new.
    pub(super) entry_bytes: u64,
    pub(super) literal_bytes: u64,
    /// Bytes of these tables that were kept as they are.
    pub(super) kept_bytes: u64,
    /// Base runs that could not be read.
    pub(super) lost_runs: u64,
    /// Tables stored as bytes, by reason: how many, and their bytes.
    pub(super) refused: BTreeMap<String, (u64, u64)>,
}

impl SortedCounts {
    /// As the manifest records it.
    pub(super) fn totals(&self) -> SortedTotals {
        let fallback = |(reason, (files, bytes)): (&String, &(u64, u64))| Fallback { reason: reason.clone(), files: *files, bytes: *bytes };
        SortedTotals {
            files: self.tables,
            bytes: self.bytes,
            copied_bytes: self.entry_bytes.saturating_sub(self.literal_bytes),
            literal_bytes: self.literal_bytes,
            kept_bytes: self.kept_bytes,
            fallbacks: self.refused.iter().map(fallback).collect(),
        }
    }
}

/// A new table and where its row stands.
pub(super) struct Pending<'s, 'h> {
    engine: usize,
    row: usize,
    pub(super) table: &'s NewTable<'h>,
}

impl Run<'_> {
    /// Stores the new tables of all engines and fills in the contents of their rows; gives the encoders that they need.
    pub(super) fn new_tables(&mut self, writer: &Writer, scanned: &mut [ScannedEngine<'_>]) -> Result<BTreeSet<u32>> {
        let mut encoders = BTreeSet::new();
        for engines in groups(scanned) {
            let contents = self.group(writer, scanned, &engines, &mut encoders)?;
            for (engine, row, content) in contents {
                if let Some(row) = scanned.get_mut(engine).and_then(|engine| engine.rows.get_mut(row)) {
                    row.node = Node::File(content);
                }
            }
        }
        let lost = self.sorted.lost_runs;
        if lost > 0 {
            self.report.warn(format!("{lost} runs of earlier backups cannot be read; what they held was stored anew: run esker fsck"));
        }
        Ok(encoders)
    }

    fn group(
        &mut self,
        writer: &Writer,
        scanned: &[ScannedEngine<'_>],
        engines: &[usize],
        encoders: &mut BTreeSet<u32>,
    ) -> Result<Vec<(usize, usize, FileContent)>> {
        let of_group = || engines.iter().filter_map(|number| scanned.get(*number).map(|engine| (*number, engine)));
        let pending: Vec<Pending<'_, '_>> = of_group()
            .flat_map(|(number, engine)| engine.tables.iter().map(move |(row, table)| Pending { engine: number, row: *row, table }))
            .collect();
        if pending.is_empty() {
            return Ok(Vec::new());
        }
        let is_new = |engine: &ScannedEngine<'_>| engine.gone.is_empty() && engine.kept.is_empty();
        let has_newcomer = of_group().any(|(_, engine)| is_new(engine));
        let gone = of_group().flat_map(|(_, engine)| &engine.gone);
        let kept = of_group().flat_map(|(_, engine)| &engine.kept).filter(|_| has_newcomer);
        let base: Vec<&FileContent> = gone.chain(kept).collect();
        let merged = merge_group(self.repository, self.job, writer, &pending, &base)?;
        self.totals.new_chunks += merged.stored.new_chunks;
        self.totals.new_bytes += merged.stored.new_bytes;
        self.report.left_over_bytes += merged.stored.left_over_bytes;
        self.totals.read_bytes += merged.read_bytes;
        self.sorted.literal_bytes += merged.literal_bytes;
        self.sorted.entry_bytes += merged.entry_bytes;
        self.sorted.lost_runs += merged.lost_runs;
        encoders.extend(merged.encoders);
        let mut contents = Vec::new();
        for (pending, fate) in pending.iter().zip(merged.fates) {
            let content = match fate {
                Fate::Sorted { content, kept_bytes } => {
                    self.sorted.tables += 1;
                    self.sorted.bytes += content.size;
                    self.sorted.kept_bytes += kept_bytes;
                    self.totals.chunks += content.chunks;
                    content
                }
                Fate::Refused(reason) => {
                    let NewTable { root, entry, identity, .. } = pending.table;
                    let refused = self.sorted.refused.entry(reason.to_string()).or_default();
                    *refused = (refused.0 + 1, refused.1 + entry.size);
                    self.read_bytes(writer, SourceFile::open(root, entry)?, entry, FileKind::Table, *identity)?
                }
            };
            contents.push((pending.engine, pending.row, content));
        }
        Ok(contents)
    }
}

/// Engines that may hold the same entries: those of one space; without a space, those at the same place below their hosts.
fn groups(scanned: &[ScannedEngine<'_>]) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<(Option<&str>, &str), Vec<usize>> = BTreeMap::new();
    for (number, scanned) in scanned.iter().enumerate() {
        let identity = &scanned.engine.identity;
        let place = if identity.space.is_some() { "" } else { identity.data_path.as_str() };
        groups.entry((identity.space.as_deref(), place)).or_default().push(number);
    }
    groups.into_values().collect()
}

//! `stats`: what backups take, and what deleting one would free.

mod needs;
mod users;

use std::collections::BTreeMap;
use std::sync::Arc;

use esker_format::file_table::{FileRow, Node};
use esker_format::recipe::Piece;
use esker_format::table::decode_piece;
use esker_format::{ChunkId, ObjectId};
use esker_repo::listing::Listing;
use esker_repo::manifests::{Backup, read_engine};
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::scratch::ScratchRows;
use esker_repo::{RepoError, Repository};
use serde::Serialize;

use crate::error::Result;
use crate::job::Job;
use crate::select::find_among;
use crate::sorted_report::SortedReport;

use needs::{each_with_users, need, note_unmeasured, read_each_once};
use users::{SumsByNumber, Users};

/// Sizes of a repository. All in bytes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Stats {
    /// Backups.
    pub backups: u64,
    /// Sum of the backups' files.
    pub logical_bytes: u64,
    /// Bytes of data packs in the store.
    pub data_pack_bytes: u64,
    /// Bytes of metadata packs and index segments in the store.
    pub meta_bytes: u64,
    /// Packs in the store.
    pub packs: u64,
    /// Chunks that backups need.
    pub chunks: u64,
    /// Their bytes as stored.
    pub needed_bytes: u64,
    /// Bytes in packs that no backup needs; prune will free them.
    pub unneeded_bytes: u64,
    /// How the bytes of tables went, in all backups or the one that was named.
    pub sorted: SortedReport,
    /// Each backup.
    pub per_backup: Vec<UsageLine>,
    /// Each host, over all backups looked at.
    pub per_host: Vec<UsageLine>,
}

/// What one backup or host takes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct UsageLine {
    /// The backup's label or the host's name.
    pub name: String,
    /// The backup's id.
    pub id: Option<String>,
    /// Bytes of its files.
    pub logical_bytes: u64,
    /// Stored bytes of all chunks it needs.
    pub stored_bytes: u64,
    /// Of those, what nobody else needs: what deleting it would free.
    pub unique_bytes: u64,
    /// Of those, what others need too.
    pub shared_bytes: u64,
}

/// Adds up a repository, or one backup of it (whose unique bytes are still told against all others).
///
/// # Errors
/// `Usage` if the backup is not found; `ChunkLost`, `Store`.
pub fn stats(repository: &Arc<Repository>, only: Option<&str>, job: &Job) -> Result<Stats> {
    let backups = repository.backups()?;
    let shown = only.map(|name| find_among(&backups, name)).transpose()?;
    let reader = ChunkReader::open(repository)?;
    let (mut sums, context) = (Sums::new(repository), &mut ReadContext::new()?);
    job.progress.phase("adding up", 0);
    for (number, backup) in backups.found.iter().enumerate() {
        job.cancel.check()?;
        sums.add(&reader, context, backup, u32::try_from(number).unwrap_or(u32::MAX))?;
    }
    sums.add_tables(&reader, job)?;
    job.progress.finish();
    let listing = Listing::read(repository.store())?;
    let mut stats = Stats { backups: backups.found.len() as u64, ..Stats::default() };
    for (pack, size) in &listing.packs {
        stats.packs += 1;
        match pack.kind {
            esker_format::layout::PackKind::Data => stats.data_pack_bytes += size,
            esker_format::layout::PackKind::Meta => stats.meta_bytes += size,
        }
    }
    stats.meta_bytes += listing.segments.values().sum::<u64>();
    let shown = shown.map(|backup| backup.id);
    let is_shown = |backup: &&Backup| shown.is_none_or(|id| id == backup.id);
    stats.sorted = SortedReport::sum(backups.found.iter().filter(is_shown).filter_map(|backup| backup.manifest.sorted.as_ref()));
    sums.finish(&mut stats, &backups.found, shown)?;
    Ok(stats)
}

/// What is added up in steps, so that what backups share is looked at once: which backups and hosts need which piece of a
/// table, then piece by piece which need which recipe, then recipe by recipe which need which chunk.
struct Sums {
    tables: ScratchRows,
    chunks: ScratchRows,
    logical_by_host: BTreeMap<u32, u64>,
    hosts: Vec<String>,
}

impl Sums {
    fn new(repository: &Repository) -> Self {
        let (tables, chunks) = (repository.scratch_rows(), repository.scratch_rows());
        Self { tables, chunks, logical_by_host: BTreeMap::new(), hosts: Vec::new() }
    }

    fn add(&mut self, reader: &ChunkReader, context: &mut ReadContext, backup: &Backup, number: u32) -> Result<()> {
        let index = reader.index();
        for host in &backup.manifest.hosts {
            let host_number = self.host(&host.name);
            let logical = self.logical_by_host.entry(host_number).or_default();
            *logical = logical.saturating_add(host.bytes);
            let users = Users::of(number, host_number).encode();
            let mut need = |piece: &ChunkId| need(&mut self.chunks, &index, piece, &users);
            backup.manifest.seen.pieces.iter().try_for_each(&mut need)?;
            let mut note_table = |piece: &ChunkId| note_unmeasured(&mut self.tables, piece, &users);
            host.tree.pieces.iter().try_for_each(&mut note_table)?;
            for id in &host.engines {
                need(id)?;
                let engine = read_engine(reader, context, id)?;
                engine.replicas.pieces.iter().try_for_each(&mut need)?;
                engine.files.pieces.iter().try_for_each(&mut note_table)?;
            }
        }
        Ok(())
    }

    /// Whoever needs a table needs its recipes, and their chunks.
    fn add_tables(&mut self, reader: &ChunkReader, job: &Job) -> Result<()> {
        let index = reader.index();
        let mut recipes = reader.repository().scratch_rows();
        let tables = std::mem::replace(&mut self.tables, reader.repository().scratch_rows());
        read_each_once(reader, tables, job, |id, users, bytes| {
            need(&mut self.chunks, &index, id, users)?;
            for row in decode_piece::<FileRow>(bytes).map_err(RepoError::object(format!("table piece {id}")))? {
                let Node::File(content) = row.node else { continue };
                content.recipe.iter().try_for_each(|piece| note_unmeasured(&mut recipes, piece, users))?;
            }
            Ok(())
        })?;
        read_each_once(reader, recipes, job, |id, users, bytes| {
            need(&mut self.chunks, &index, id, users)?;
            let piece = Piece::decode(bytes).map_err(RepoError::object(format!("recipe piece {id}")))?;
            piece.chunks().try_for_each(|chunk| need(&mut self.chunks, &index, &chunk.id, users))
        })
    }

    fn host(&mut self, name: &str) -> u32 {
        let position = self.hosts.iter().position(|known| known == name).unwrap_or_else(|| {
            self.hosts.push(name.to_owned());
            self.hosts.len() - 1
        });
        u32::try_from(position).unwrap_or(u32::MAX)
    }

    fn finish(self, stats: &mut Stats, backups: &[Backup], only: Option<ObjectId>) -> Result<()> {
        let (mut by_backup, mut by_host) = (SumsByNumber::default(), SumsByNumber::default());
        let (mut unique_by_backup, mut unique_by_host): (BTreeMap<u32, u64>, BTreeMap<u32, u64>) = Default::default();
        each_with_users(self.chunks, |_, stored, users| {
            stats.chunks += 1;
            stats.needed_bytes += stored;
            by_backup.add(&users.backups, stored);
            by_host.add(&users.hosts, stored);
            if let Some(backup) = users.backups.only() {
                *unique_by_backup.entry(backup).or_default() += stored;
            }
            if let Some(host) = users.hosts.only() {
                *unique_by_host.entry(host).or_default() += stored;
            }
            Ok(())
        })?;
        stats.unneeded_bytes = stats.data_pack_bytes.saturating_add(stats.meta_bytes).saturating_sub(stats.needed_bytes);
        for ((number, backup), stored) in (0u32..).zip(backups).zip(by_backup.sums().chain(std::iter::repeat(0))) {
            stats.logical_bytes = stats.logical_bytes.saturating_add(backup.manifest.totals.bytes);
            if only.is_none_or(|id| id == backup.id) {
                let unique = unique_by_backup.get(&number).copied().unwrap_or_default();
                let id = Some(backup.id.to_string());
                stats.per_backup.push(usage(backup.manifest.label.clone(), id, backup.manifest.totals.bytes, stored, unique));
            }
        }
        for ((number, name), stored) in (0u32..).zip(self.hosts).zip(by_host.sums().chain(std::iter::repeat(0))) {
            let of = |map: &BTreeMap<u32, u64>| map.get(&number).copied().unwrap_or_default();
            stats.per_host.push(usage(name, None, of(&self.logical_by_host), stored, of(&unique_by_host)));
        }
        Ok(())
    }
}

fn usage(name: String, id: Option<String>, logical_bytes: u64, stored_bytes: u64, unique_bytes: u64) -> UsageLine {
    let shared_bytes = stored_bytes.saturating_sub(unique_bytes);
    UsageLine { name, id, logical_bytes, stored_bytes, unique_bytes, shared_bytes }
}

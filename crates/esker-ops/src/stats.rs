//! `stats`: what backups take, and what deleting one would free.

use std::collections::BTreeMap;
use std::sync::Arc;

use esker_format::ObjectId;
use esker_format::manifest::Manifest;
use esker_repo::Repository;
use esker_repo::listing::Listing;
use esker_repo::manifests::{Backup, walk_chunks};
use esker_repo::reader::ChunkReader;
use esker_repo::scratch::ScratchMap;
use serde::Serialize;

use crate::error::Result;
use crate::job::Job;
use crate::select::find_among;
use crate::sorted_report::SortedReport;

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

/// Who needs a chunk.
struct Needed {
    stored: u32,
    /// The backup that was last seen to need it, and whether it is the only one.
    backup: u32,
    one_backup: bool,
    /// The hosts that need it, in any backup.
    hosts: Vec<u32>,
}

impl Needed {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(9 + 4 * self.hosts.len());
        bytes.extend_from_slice(&self.stored.to_le_bytes());
        bytes.extend_from_slice(&self.backup.to_le_bytes());
        bytes.push(u8::from(self.one_backup));
        self.hosts.iter().for_each(|host| bytes.extend_from_slice(&host.to_le_bytes()));
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (stored, rest) = bytes.split_first_chunk()?;
        let (backup, rest) = rest.split_first_chunk()?;
        let (one_backup, hosts) = rest.split_first()?;
        let hosts = hosts.chunks_exact(4).filter_map(|host| host.first_chunk()).map(|host| u32::from_le_bytes(*host));
        Some(Self {
            stored: u32::from_le_bytes(*stored),
            backup: u32::from_le_bytes(*backup),
            one_backup: *one_backup == 1,
            hosts: hosts.collect(),
        })
    }
}

/// Adds up a repository, or one backup of it (whose unique bytes are still told against all others).
///
/// # Errors
/// `Usage` if the backup is not found; `ChunkLost`, `Store`.
pub fn stats(repository: &Arc<Repository>, only: Option<&str>, job: &Job) -> Result<Stats> {
    let backups = repository.backups()?;
    let shown = only.map(|name| find_among(&backups, name)).transpose()?;
    let reader = ChunkReader::open(repository)?;
    let mut sums = Sums::new(repository.scratch_map());
    job.progress.phase("adding up", 0);
    for (number, backup) in backups.found.iter().enumerate() {
        job.cancel.check()?;
        sums.add(&reader, backup, u32::try_from(number).unwrap_or(u32::MAX))?;
    }
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

struct Sums {
    chunks: ScratchMap,
    stored_by_backup: BTreeMap<u32, u64>,
    stored_by_host: BTreeMap<u32, u64>,
    logical_by_host: BTreeMap<u32, u64>,
    hosts: Vec<String>,
}

impl Sums {
    fn new(chunks: ScratchMap) -> Self {
        let (stored_by_backup, stored_by_host, logical_by_host) = Default::default();
        Self { chunks, stored_by_backup, stored_by_host, logical_by_host, hosts: Vec::new() }
    }

    fn add(&mut self, reader: &ChunkReader, backup: &Backup, number: u32) -> Result<()> {
        let index = reader.index();
        for host in &backup.manifest.hosts {
            let host_number = self.host(&host.name);
            *self.logical_by_host.entry(host_number).or_default() += host.bytes;
            let one_host = Manifest { hosts: vec![host.clone()], ..backup.manifest.clone() };
            walk_chunks(reader, &one_host, |chunk| {
                let known = self.chunks.get(&chunk.0)?.and_then(|bytes| Needed::decode(&bytes));
                let mut needed = match known {
                    Some(needed) if needed.backup == number && needed.hosts.contains(&host_number) => return Ok(()),
                    Some(needed) => needed,
                    None => {
                        let stored = index.locate(&chunk)?.first().map_or(0, |place| place.frame.entry.stored_len);
                        *self.stored_by_backup.entry(number).or_default() += u64::from(stored);
                        Needed { stored, backup: number, one_backup: true, hosts: Vec::new() }
                    }
                };
                if needed.backup != number {
                    *self.stored_by_backup.entry(number).or_default() += u64::from(needed.stored);
                    (needed.backup, needed.one_backup) = (number, false);
                }
                if !needed.hosts.contains(&host_number) {
                    *self.stored_by_host.entry(host_number).or_default() += u64::from(needed.stored);
                    needed.hosts.push(host_number);
                }
                self.chunks.put(&chunk.0, &needed.encode())
            })?;
        }
        Ok(())
    }

    fn host(&mut self, name: &str) -> u32 {
        let position = self.hosts.iter().position(|known| known == name).unwrap_or_else(|| {
            self.hosts.push(name.to_owned());
            self.hosts.len() - 1
        });
        u32::try_from(position).unwrap_or(u32::MAX)
    }

    fn finish(self, stats: &mut Stats, backups: &[Backup], only: Option<ObjectId>) -> Result<()> {
        let mut unique_by_backup: BTreeMap<u32, u64> = BTreeMap::new();
        let mut unique_by_host: BTreeMap<u32, u64> = BTreeMap::new();
        self.chunks.for_each(|_, value| {
            let Some(needed) = Needed::decode(value) else { return Ok(()) };
            stats.chunks += 1;
            stats.needed_bytes += u64::from(needed.stored);
            if needed.one_backup {
                *unique_by_backup.entry(needed.backup).or_default() += u64::from(needed.stored);
            }
            if let [host] = needed.hosts.as_slice() {
                *unique_by_host.entry(*host).or_default() += u64::from(needed.stored);
            }
            Ok(())
        })?;
        stats.unneeded_bytes = stats.data_pack_bytes.saturating_add(stats.meta_bytes).saturating_sub(stats.needed_bytes);
        for (number, backup) in (0u32..).zip(backups) {
            stats.logical_bytes += backup.manifest.totals.bytes;
            if only.is_none_or(|id| id == backup.id) {
                let stored = self.stored_by_backup.get(&number).copied().unwrap_or_default();
                let unique = unique_by_backup.get(&number).copied().unwrap_or_default();
                let id = Some(backup.id.to_string());
                stats.per_backup.push(usage(backup.manifest.label.clone(), id, backup.manifest.totals.bytes, stored, unique));
            }
        }
        for (number, name) in (0u32..).zip(self.hosts) {
            let of = |map: &BTreeMap<u32, u64>| map.get(&number).copied().unwrap_or_default();
            let stored = of(&self.stored_by_host);
            stats.per_host.push(usage(name, None, of(&self.logical_by_host), stored, of(&unique_by_host)));
        }
        Ok(())
    }
}

fn usage(name: String, id: Option<String>, logical_bytes: u64, stored_bytes: u64, unique_bytes: u64) -> UsageLine {
    let shared_bytes = stored_bytes.saturating_sub(unique_bytes);
    UsageLine { name, id, logical_bytes, stored_bytes, unique_bytes, shared_bytes }
}

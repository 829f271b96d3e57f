//! `diff --keys`: entries added, changed and deleted between two backups.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use esker_format::ChunkId;
use esker_format::engine::{EngineRecord, PartitionScheme};
use esker_format::manifest::Manifest;
use esker_repo::Repository;
use esker_repo::manifests::read_engine;
use esker_repo::reader::ChunkReader;
use serde::Serialize;

use super::compare::{Difference, Effort, FamilyOf, Task, compare};
use super::engine::{EngineView, FamilyView};
use super::hex;
use super::partition::{partition_of, ranges_of};
use super::store::Store;
use super::visible::{Comparison, Visible};
use crate::error::{OpsError, Result};
use crate::job::Job;
use crate::select::{Selection, find_among};

/// What to compare.
#[derive(Debug, Clone, Default)]
pub struct KeyDiffRequest {
    /// The first backup.
    pub from: String,
    /// The second.
    pub to: String,
    /// Which hosts and spaces; paths are not looked at.
    pub selection: Selection,
    /// Which partitions; all if there are none.
    pub partitions: BTreeSet<u32>,
}

/// Entries that differ, counted. Bytes are those of keys and values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct KeyCounts {
    /// Keys that only the second has.
    pub added: u64,
    /// Their bytes.
    pub added_bytes: u64,
    /// Keys that both have, with other values.
    pub changed: u64,
    /// Their bytes, as in the second.
    pub changed_bytes: u64,
    /// Keys that only the first has.
    pub deleted: u64,
    /// Their bytes.
    pub deleted_bytes: u64,
    /// Keys that both have of which only who knows the merge operator can tell, or reads more compressions in blob files.
    pub undecided: u64,
}

/// One partition of one engine that differs.
#[derive(Debug, Clone, Serialize)]
pub struct KeyRow {
    /// The host.
    pub host: String,
    /// The space, if known.
    pub space: Option<String>,
    /// The data path.
    pub data_path: String,
    /// The column family.
    pub column_family: String,
    /// The partition; `None` for keys that belong to none.
    pub partition: Option<u32>,
    /// How much differs.
    #[serde(flatten)]
    pub counts: KeyCounts,
}

/// One key that differs.
#[derive(Debug, Clone, Serialize)]
pub struct KeyLine {
    /// `added`, `changed`, `deleted` or `undecided`.
    pub change: &'static str,
    /// The host.
    pub host: String,
    /// The space, if known.
    pub space: Option<String>,
    /// The column family.
    pub column_family: String,
    /// The partition, if it belongs to one.
    pub partition: Option<u32>,
    /// The key in hexadecimal digits.
    pub key: String,
    /// The timestamp of the newest entry in hexadecimal digits, if keys have timestamps.
    pub timestamp: Option<String>,
    /// Bytes of the value in the first.
    pub value_bytes_from: Option<u64>,
    /// Bytes of the value in the second.
    pub value_bytes_to: Option<u64>,
}

/// How the keys of two backups differ.
#[derive(Debug, Clone, Default, Serialize)]
pub struct KeyDiff {
    /// The first backup's label.
    pub from: String,
    /// The second's.
    pub to: String,
    /// Partitions that differ.
    pub rows: Vec<KeyRow>,
    /// All of them together.
    #[serde(flatten)]
    pub counts: KeyCounts,
    /// Engines and column families that could not be compared, and why.
    pub not_compared: Vec<String>,
    /// Engines that were compared.
    pub engines: u64,
    /// Their tables on both sides.
    pub tables: u64,
    /// Their bytes.
    pub table_bytes: u64,
    /// Of those, bytes of which no entry had to be looked at.
    pub skipped_bytes: u64,
    /// Entries that were looked at.
    pub entries_read: u64,
    /// Tables of one side that were open at once, at most: what memory goes by.
    pub tables_open: u64,
    /// Plain bytes of runs and chunks of files that were read.
    pub read_bytes: u64,
}

impl KeyDiff {
    /// Whether something could not be told.
    pub fn is_incomplete(&self) -> bool {
        !self.not_compared.is_empty() || self.counts.undecided > 0
    }

    fn add_effort(&mut self, effort: Effort) {
        self.tables += effort.tables;
        self.table_bytes += effort.table_bytes;
        self.skipped_bytes += effort.skipped_bytes;
        self.entries_read += effort.entries;
        self.tables_open = self.tables_open.max(effort.open);
    }
}

impl KeyCounts {
    fn add(&mut self, difference: &Difference<'_>) {
        let bytes = |side: Option<&Visible>| side.map_or(0, |visible| difference.key.len() as u64 + visible.value_bytes());
        match difference.comparison {
            Comparison::Equal => {}
            Comparison::Added => {
                self.added += 1;
                self.added_bytes = self.added_bytes.saturating_add(bytes(difference.second));
            }
            Comparison::Changed => {
                self.changed += 1;
                self.changed_bytes = self.changed_bytes.saturating_add(bytes(difference.second));
            }
            Comparison::Deleted => {
                self.deleted += 1;
                self.deleted_bytes = self.deleted_bytes.saturating_add(bytes(difference.first));
            }
            Comparison::Undecided => self.undecided += 1,
        }
    }

    fn plus(&mut self, more: &Self) {
        self.added += more.added;
        self.added_bytes = self.added_bytes.saturating_add(more.added_bytes);
        self.changed += more.changed;
        self.changed_bytes = self.changed_bytes.saturating_add(more.changed_bytes);
        self.deleted += more.deleted;
        self.deleted_bytes = self.deleted_bytes.saturating_add(more.deleted_bytes);
        self.undecided += more.undecided;
    }
}

/// An engine, whatever its checkpoint is called: host, space, data path.
type EngineKey = (String, Option<String>, String);

/// Compares the keys of two backups, host with host. Every key that differs goes to `list`, engine by engine and in order.
///
/// # Errors
/// `Usage` if a backup is not found or nothing is chosen; `ChunkLost`, `Store`, `Cancelled`, and what `list` returns.
pub fn diff_keys(
    repository: &Arc<Repository>,
    request: &KeyDiffRequest,
    job: &Job,
    list: &mut dyn FnMut(KeyLine) -> Result<()>,
) -> Result<KeyDiff> {
    let backups = repository.backups()?;
    let (from, to) = (find_among(&backups, &request.from)?, find_among(&backups, &request.to)?);
    let reader = ChunkReader::open(repository)?;
    let store = Store::new(&reader, job)?;
    let (first, second) = (engines(&store, &from.manifest, request)?, engines(&store, &to.manifest, request)?);
    let keys: BTreeSet<&EngineKey> = first.keys().chain(second.keys()).collect();
    if keys.is_empty() && !request.selection.is_all() {
        return Err(request.selection.nothing(&to));
    }
    let mut diff = KeyDiff { from: from.manifest.label, to: to.manifest.label, ..KeyDiff::default() };
    for key in keys {
        job.cancel.check()?;
        let pair = [first.get(key), second.get(key)];
        EnginePair { store: &store, key, pair, partitions: &request.partitions }.compare(&mut diff, list)?;
    }
    diff.read_bytes = store.read_bytes();
    Ok(diff)
}

/// The engines that are chosen.
fn engines(store: &Store<'_>, manifest: &Manifest, request: &KeyDiffRequest) -> Result<BTreeMap<EngineKey, EngineRecord>> {
    let mut engines = BTreeMap::new();
    for host in manifest.hosts.iter().filter(|host| request.selection.takes_host(&host.name)) {
        for id in &host.engines {
            let engine = record(store, id)?;
            if request.selection.takes_space(Some(&engine)) {
                engines.insert((host.name.clone(), engine.space.clone(), engine.data_path.clone()), engine);
            }
        }
    }
    Ok(engines)
}

/// An engine's record.
pub(super) fn record(store: &Store<'_>, id: &ChunkId) -> Result<EngineRecord> {
    Ok(store.with_context(|context| read_engine(store.reader, context, id))?)
}

/// One engine in both backups, or in one of them.
struct EnginePair<'p, 'r> {
    store: &'p Store<'r>,
    key: &'p EngineKey,
    pair: [Option<&'p EngineRecord>; 2],
    partitions: &'p BTreeSet<u32>,
}

impl EnginePair<'_, '_> {
    fn compare(&self, diff: &mut KeyDiff, list: &mut dyn FnMut(KeyLine) -> Result<()>) -> Result<()> {
        let (host, space, data_path) = self.key;
        let name = format!("{host}: {} {data_path}", space.as_deref().unwrap_or("-"));
        let has_partitions = self.pair.iter().flatten().any(|engine| engine.scheme == PartitionScheme::Nebula);
        if !self.partitions.is_empty() && !has_partitions {
            diff.not_compared.push(format!("{name}: its keys do not tell partitions"));
            return Ok(());
        }
        let read = |engine: Option<&EngineRecord>| match engine {
            Some(engine) => EngineView::read(self.store, host, engine),
            None => Ok(EngineView::default()),
        };
        let [first, second] = self.pair.map(read);
        let (first, second) = match (first, second) {
            (Ok(first), Ok(second)) => (first, second),
            (Err(OpsError::Unreadable(why)), _) | (_, Err(OpsError::Unreadable(why))) => {
                diff.not_compared.push(format!("{name}: {why}"));
                return Ok(());
            }
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        diff.engines += 1;
        let families: BTreeSet<&String> = first.families.keys().chain(second.families.keys()).collect();
        for family in families {
            match self.compare_family(family, [&first, &second], has_partitions, list) {
                Ok((rows, effort)) => {
                    rows.values().for_each(|counts| diff.counts.plus(counts));
                    diff.add_effort(effort);
                    diff.rows.extend(rows.into_iter().map(|(partition, counts)| KeyRow {
                        host: host.clone(),
                        space: space.clone(),
                        data_path: data_path.clone(),
                        column_family: family.clone(),
                        partition,
                        counts,
                    }));
                }
                Err(OpsError::Unreadable(why)) => diff.not_compared.push(format!("{name}, column family {family}: {why}")),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn compare_family(
        &self,
        family: &str,
        engines: [&EngineView; 2],
        has_partitions: bool,
        list: &mut dyn FnMut(KeyLine) -> Result<()>,
    ) -> Result<(BTreeMap<Option<u32>, KeyCounts>, Effort)> {
        let (host, space, _) = self.key;
        let absent = FamilyView::default();
        let [first, second] =
            engines.map(|engine| FamilyOf { family: engine.families.get(family).unwrap_or(&absent), blobs: Rc::clone(&engine.blobs) });
        let only = (!self.partitions.is_empty()).then(|| ranges_of(self.partitions.iter().copied()));
        let task = Task { only: only.as_deref(), exact_numbers: false };
        let mut rows: BTreeMap<Option<u32>, KeyCounts> = BTreeMap::new();
        let effort = compare(self.store, &first, &second, &task, &mut |difference| {
            let partition = if has_partitions { partition_of(difference.key) } else { None };
            rows.entry(partition).or_default().add(difference);
            let of = |side: Option<&Visible>| side.map(Visible::value_bytes);
            let timestamp = difference.second.or(difference.first).map(Visible::timestamp).unwrap_or_default();
            list(KeyLine {
                change: match difference.comparison {
                    Comparison::Added => "added",
                    Comparison::Deleted => "deleted",
                    Comparison::Changed => "changed",
                    Comparison::Undecided | Comparison::Equal => "undecided",
                },
                host: host.clone(),
                space: space.clone(),
                column_family: family.to_owned(),
                partition,
                key: hex(difference.key),
                timestamp: (!timestamp.is_empty()).then(|| hex(timestamp)),
                value_bytes_from: of(difference.first),
                value_bytes_to: of(difference.second),
            })
        })?;
        Ok((rows, effort))
    }
}

//! An engine of a backup as its MANIFEST has it: column families and their tables, and what the write-ahead log adds.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use esker_cluster::path::{as_path, escaped};
use esker_cluster::{LiveFamily, LiveTable, Logged, live_tables, read_log};
use esker_format::engine::EngineRecord;
use esker_format::file_table::{FileContent, FileRole, FileRow, Node};
use esker_format::run::Run;
use esker_repo::tables::read_table;

use super::blobs::BlobFiles;
use super::family::{KeyForm, time_of};
use super::ranges::Upper;
use super::store::Store;
use super::stored_file::{Sequential, StoredFile};
use super::table::{Content, SEQUENCE_MAX, Table};
use super::tombstone::Tombstone;
use super::visible::kind;
use crate::error::{OpsError, Result};

/// Bytes of entries of a write-ahead log that are held in memory, at most.
const LOGGED_BYTES_MAX: usize = 32 << 20;
/// Longer than any name of a MANIFEST.
const CURRENT_BYTES_MAX: u64 = 4096;

/// The engine.
#[derive(Default)]
pub(super) struct EngineView {
    pub(super) families: BTreeMap<String, FamilyView>,
    pub(super) blobs: Rc<BlobFiles>,
}

/// A column family of it.
#[derive(Default)]
pub(super) struct FamilyView {
    pub(super) comparator: Option<String>,
    pub(super) tables: Vec<Rc<Table>>,
    /// Why its keys cannot be compared, if they cannot.
    pub(super) fault: Option<String>,
}

/// Files of an engine by their numbers.
#[derive(Default)]
struct Files {
    tables: BTreeMap<u64, (String, FileContent)>,
    blobs: BlobFiles,
    logs: BTreeMap<u64, (String, FileContent)>,
    manifests: BTreeMap<Vec<u8>, FileContent>,
    current: Option<FileContent>,
}

impl EngineView {
    /// Reads MANIFEST and write-ahead log.
    ///
    /// # Errors
    /// `ChunkLost`, `Store`; `Unreadable` if they cannot be made sense of.
    pub(super) fn read(store: &Store<'_>, host: &str, engine: &EngineRecord) -> Result<Self> {
        let files = Files::read(store, host, engine)?;
        let folder = format!("{host}/{}", escaped(&engine.folder));
        let unreadable = |what: String| OpsError::Unreadable(format!("{folder}: {what}"));
        let name = files.manifest_name(store, &folder)?;
        let content = files.manifests.get(&name).ok_or_else(|| unreadable("CURRENT names a MANIFEST that is not in the backup".into()))?;
        let path = as_path(&name).to_owned();
        let manifest = StoredFile::open(store, content)?;
        let live = live_tables(Sequential::new(&manifest), &path).map_err(|error| store.fault(&folder, error))?;
        let logged = files.logged(store, live.log_number_min, live.families.keys().copied());
        let mut view = Self::default();
        for (id, family) in live.families {
            let (name, comparator) = (family.name.clone(), family.comparator.clone());
            let tables = files.tables_of(&family);
            let (tables, fault) = match tables {
                Ok(tables) => (tables, None),
                Err(error) => (Vec::new(), Some(error.to_string())),
            };
            let mut found = FamilyView { comparator, tables, fault };
            match &logged {
                Ok(logged) if found.fault.is_none() => match logged.table(id, &family, files.log_identity(family.log_number)) {
                    Ok(table) => found.tables.extend(table.map(Rc::new)),
                    Err(error) => found.fault = Some(error.to_string()),
                },
                Ok(_) => {}
                Err(error) => found.fault = found.fault.or(Some(error.to_string())),
            }
            view.families.insert(name, found);
        }
        if let Err(error) = logged
            && !matches!(error, OpsError::Unreadable(_))
        {
            return Err(error);
        }
        view.blobs = Rc::new(files.blobs);
        Ok(view)
    }
}

impl Files {
    fn read(store: &Store<'_>, host: &str, engine: &EngineRecord) -> Result<Self> {
        let mut files = Self::default();
        let folder = format!("{host}/{}", escaped(&engine.folder));
        store.with_context(|context| {
            read_table::<FileRow, OpsError>(store.reader, context, &engine.files, |row| {
                let Node::File(content) = row.node else { return Ok(()) };
                let name = format!("{folder}/{}", escaped(&row.path));
                match (content.role, number_in(&row.path)) {
                    (FileRole::Table, Some(number)) => drop(files.tables.insert(number, (name, content))),
                    (FileRole::Wal, Some(number)) => drop(files.logs.insert(number, (name, content))),
                    (FileRole::Blob, Some(number)) => drop(files.blobs.insert(number, content)),
                    (FileRole::Manifest, _) => drop(files.manifests.insert(row.path, content)),
                    (FileRole::Current, _) => files.current = Some(content),
                    _ => {}
                }
                Ok(())
            })
        })?;
        Ok(files)
    }

    fn manifest_name(&self, store: &Store<'_>, folder: &str) -> Result<Vec<u8>> {
        let Some(current) = self.current.as_ref().filter(|current| current.size <= CURRENT_BYTES_MAX) else {
            return Err(OpsError::Unreadable(format!("{folder}: it has no CURRENT")));
        };
        let file = StoredFile::open(store, current)?;
        let mut name = Vec::new();
        std::io::Read::read_to_end(&mut Sequential::new(&file), &mut name).map_err(|error| store.fault(folder, error))?;
        Ok(name.trim_ascii_end().to_vec())
    }

    fn tables_of(&self, family: &LiveFamily) -> Result<Vec<Rc<Table>>> {
        let form = KeyForm::of(family.comparator.as_deref())?;
        family.tables.iter().map(|(number, live)| self.table(*number, live, form).map(Rc::new)).collect()
    }

    fn table(&self, number: u64, live: &LiveTable, form: KeyForm) -> Result<Table> {
        let unreadable = |what: &str| OpsError::Unreadable(format!("table {number}: {what}"));
        let (name, content) = self.tables.get(&number).ok_or_else(|| unreadable("the MANIFEST names it, the backup does not have it"))?;
        if form.timestamp_size > 0 && !live.has_timestamps {
            return Err(unreadable("its keys were written without their timestamps"));
        }
        let (Some(smallest), Some(largest)) = (form.split(&live.smallest), form.split(&live.largest)) else {
            return Err(unreadable("the MANIFEST has keys of it that are too short"));
        };
        let is_open = largest.kind == kind::RANGE_DELETION && largest.sequence == SEQUENCE_MAX;
        let last = largest.key.to_vec();
        Ok(Table {
            name: name.clone(),
            identity: (content.hash, live.largest_sequence),
            size: content.size,
            from: smallest.key.to_vec(),
            upper: if is_open { Upper::Below(last) } else { Upper::To(last) },
            bounds: (smallest.sequence, largest.sequence),
            content: Content::Stored(content.clone()),
        })
    }

    /// Equal if the logs that a family needs are.
    fn log_identity(&self, log_number: u64) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for (_, (_, content)) in self.logs.range(log_number..) {
            hasher.update(&content.hash);
        }
        *hasher.finalize().as_bytes()
    }

    /// Reads the logs that may hold what is in no table.
    fn logged(&self, store: &Store<'_>, log_number_min: u64, families: impl Iterator<Item = u32>) -> Result<LoggedEntries> {
        let mut logged = LoggedEntries { families: families.map(|id| (id, Vec::new())).collect(), bytes: 0 };
        for (number, (name, content)) in self.logs.range(log_number_min..) {
            let file = StoredFile::open(store, content)?;
            let path = Path::new(name);
            let read = read_log(Sequential::new(&file), path, *number, &mut |entry| logged.take(*number, &entry));
            read.map_err(|error| store.fault(name, error))?;
            if logged.bytes > LOGGED_BYTES_MAX {
                let limit = LOGGED_BYTES_MAX >> 20;
                return Err(OpsError::Unreadable(format!(
                    "{name}: more than {limit} MiB of entries are in no table yet; flush before a backup"
                )));
            }
        }
        Ok(logged)
    }
}

/// Entries of write-ahead logs.
struct LoggedEntries {
    families: BTreeMap<u32, Vec<LoggedEntry>>,
    bytes: usize,
}

struct LoggedEntry {
    log: u64,
    sequence: u64,
    kind: u8,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl LoggedEntries {
    fn take(&mut self, log: u64, entry: &Logged<'_>) {
        let Some(entries) = self.families.get_mut(&entry.family) else { return };
        self.bytes += entry.key.len() + entry.value.len() + size_of::<LoggedEntry>();
        if self.bytes <= LOGGED_BYTES_MAX {
            let Logged { sequence, kind, .. } = *entry;
            entries.push(LoggedEntry { log, sequence, kind, key: entry.key.to_vec(), value: entry.value.to_vec() });
        }
    }

    /// What a family's logs add to its tables, as one more table.
    fn table(&self, id: u32, family: &LiveFamily, identity: [u8; 32]) -> Result<Option<Table>> {
        let form = KeyForm::of(family.comparator.as_deref())?;
        let short = || OpsError::Unreadable("the write-ahead log has a key that is too short for its timestamp".into());
        let entries = self.families.get(&id).into_iter().flatten().filter(|entry| entry.log >= family.log_number);
        let mut deletions = Vec::new();
        let mut sorted: Vec<(&[u8], &[u8], &LoggedEntry)> = Vec::new();
        for entry in entries {
            let (key, timestamp) = form.split_user(&entry.key).ok_or_else(short)?;
            if entry.kind == kind::RANGE_DELETION {
                let (end, _) = form.split_user(&entry.value).ok_or_else(short)?;
                deletions.push(Tombstone {
                    start: key.to_vec(),
                    start_sequence_max: u64::MAX,
                    end: end.to_vec(),
                    end_sequence_min: None,
                    sequence: entry.sequence,
                    time: if form.timestamp_size == 0 { u64::MAX } else { time_of(timestamp) },
                });
            } else {
                sorted.push((key, timestamp, entry));
            }
        }
        sorted.sort_by(|left, right| form.order.compare(left.0, right.0));
        let mut run = Run::new(form.order, u8::try_from(form.timestamp_size).unwrap_or(0));
        for (key, timestamp, entry) in &sorted {
            run.push(key, &entry.value, entry.sequence << 8 | u64::from(entry.kind), timestamp);
        }
        let starts = sorted.first().map(|(key, ..)| *key).into_iter().chain(deletions.iter().map(|deletion| deletion.start.as_slice()));
        let ends = sorted.last().map(|(key, ..)| *key).into_iter().chain(deletions.iter().map(|deletion| deletion.end.as_slice()));
        let first = starts.min_by(|left, right| form.order.compare(left, right)).map(<[u8]>::to_vec);
        let last = ends.max_by(|left, right| form.order.compare(left, right)).map(<[u8]>::to_vec);
        let (Some(from), Some(last)) = (first, last) else { return Ok(None) };
        Ok(Some(Table {
            name: "the write-ahead log".into(),
            content: Content::Logged { entries: Arc::new(run), deletions },
            identity: (identity, 0),
            size: 0,
            from,
            upper: Upper::To(last),
            bounds: (0, 0),
        }))
    }
}

/// The number in `n.sst`, `n.blob` or `n.log`.
fn number_in(name: &[u8]) -> Option<u64> {
    let digits = name.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(name.get(..digits)?).ok()?.parse().ok()
}

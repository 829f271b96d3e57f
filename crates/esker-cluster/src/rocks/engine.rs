//! An engine opened read-only through a scratch folder, its write-ahead log replayed in memory.

use std::path::{Path, PathBuf};

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBRawIterator, DBRecoveryMode, LogLevel, MergeOperands, Options, ReadOptions,
};
use rustix::process::{Resource, getrlimit};

use super::comparators::Known;
use super::scratch::Scratch;
use crate::engine::manifest_named_in;
use crate::manifest_facts::facts_in;
use crate::path::shown;
use crate::{EngineFacts, Error, Result, Root};

/// Block cache of one opened engine; index and filter blocks are in it too.
const CACHE_BYTES: usize = 32 << 20;
/// How far a sequential read looks ahead.
const READAHEAD_BYTES: usize = 2 << 20;
/// Handles left to the rest of the process when all of an engine's files are opened at once.
const SPARE_HANDLES: u64 = 256;
/// Handles kept open where only a few files are read.
const FEW_FILES: i32 = 64;

/// How many of an engine's files are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenFiles {
    /// Those that are read. Merge operands met are an error.
    AsNeeded,
    /// All, at open, as far as the limit of open files allows. Merge operands are read and not merged.
    All,
}

/// An engine opened read-only. The fields' order is the order in which they are dropped.
pub(crate) struct ReadOnlyEngine {
    db: DB,
    families: Vec<(String, Known)>,
    path: PathBuf,
    _scratch: Scratch,
}

impl ReadOnlyEngine {
    /// Opens the engine in `folder` with all its column families.
    ///
    /// A write-ahead log that is torn at its end is read to there; damage before its end is an error
    /// (`kTolerateCorruptedTailRecords`), which point-in-time recovery would pass over in silence.
    ///
    /// # Errors
    /// [`Error::NeedsComparator`]; [`Error::RocksDb`] for whatever RocksDB refuses; [`Error::BadCurrent`].
    pub(crate) fn open(folder: &Path, open_files: OpenFiles) -> Result<Self> {
        let root = Root::open(folder)?;
        let manifest = manifest_named_in(&root, b"")?;
        let facts = facts_in(&root, b"", &manifest)?;
        let path = root.path().to_path_buf();
        let scratch = Scratch::of(&path)?;
        let mut options = database_options(open_files, scratch.files());
        let names = DB::list_cf(&options, scratch.path());
        let names = names.map_err(|error| refused("list the column families of", &path, &scratch, &error))?;
        let mut families = Vec::with_capacity(names.len());
        for name in names {
            let known = comparator_of(&facts, &name, &path)?;
            families.push((name, known));
        }
        // The database's own options are also those of `default`.
        options.create_if_missing(false);
        let cache = Cache::new_lru_cache(CACHE_BYTES);
        let descriptors =
            families.iter().map(|(name, known)| ColumnFamilyDescriptor::new(name.as_str(), family_options(*known, open_files, &cache)));
        let db = DB::open_cf_descriptors_read_only(&options, scratch.path(), descriptors.collect::<Vec<_>>(), false);
        let db = db.map_err(|error| refused("open", &path, &scratch, &error))?;
        Ok(Self { db, families, path, _scratch: scratch })
    }

    /// The engine's own folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Names of the column families.
    pub(crate) fn families(&self) -> impl Iterator<Item = &str> {
        self.families.iter().map(|(name, _)| name.as_str())
    }

    /// Whether the keys of a column family are in plain byte order.
    pub(crate) fn is_bytewise(&self, family: &str) -> bool {
        self.families.iter().any(|(name, known)| name == family && known.is_bytewise())
    }

    /// An iterator over a column family that sees every key in order, whatever prefix filters its tables have, and
    /// checks every block it reads. It stands nowhere yet.
    pub(crate) fn iterate(&self, family: &str, bound: Option<&[u8]>) -> Result<DBRawIterator<'_>> {
        let found = self.families.iter().find(|(name, _)| name == family).zip(self.db.cf_handle(family));
        let Some(((_, known), handle)) = found else {
            let message = format!("it has no column family {family:?}");
            return Err(Error::RocksDb { action: "read", path: self.path.clone(), message });
        };
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        options.set_verify_checksums(true);
        options.fill_cache(false);
        match bound {
            Some(bound) => options.set_iterate_upper_bound(bound),
            None => options.set_readahead_size(READAHEAD_BYTES),
        }
        if let Some(timestamp) = known.newest_timestamp() {
            options.set_timestamp(timestamp);
        }
        Ok(self.db.raw_iterator_cf_opt(handle, options))
    }

    /// Turns what an iterator met into an error of this crate.
    pub(crate) fn refused(&self, action: &'static str, error: &rocksdb::Error) -> Error {
        refused(action, &self.path, &self._scratch, error)
    }
}

fn database_options(open_files: OpenFiles, files: usize) -> Options {
    let mut options = Options::default();
    options.set_max_open_files(match open_files {
        OpenFiles::AsNeeded => FEW_FILES,
        OpenFiles::All => handles_for(files),
    });
    options.set_max_file_opening_threads(2);
    options.set_skip_stats_update_on_db_open(true);
    options.set_log_level(LogLevel::Fatal);
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options
}

/// What `max_open_files` must be to hold `files` open: -1, all, if the process may.
fn handles_for(files: usize) -> i32 {
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).saturating_sub(SPARE_HANDLES);
    if files as u64 <= allowed {
        return -1;
    }
    i32::try_from(allowed).unwrap_or(i32::MAX).max(FEW_FILES)
}

fn family_options(known: Known, open_files: OpenFiles, cache: &Cache) -> Options {
    let mut options = Options::default();
    known.set(&mut options);
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(cache);
    tables.set_cache_index_and_filter_blocks(true);
    options.set_block_based_table_factory(&tables);
    // Without any merge operator RocksDB does not even replay a log that holds merges.
    match open_files {
        OpenFiles::AsNeeded => options.set_merge_operator_associative("esker.refuse", |_, _, _| None),
        OpenFiles::All => options.set_merge_operator("esker.last", last_operand, |_, _, _| None),
    }
    options
}

/// Stands in for the application's operator where values are read but not used.
fn last_operand(_: &[u8], base: Option<&[u8]>, operands: &MergeOperands) -> Option<Vec<u8>> {
    Some(operands.iter().last().or(base).unwrap_or_default().to_vec())
}

fn comparator_of(facts: &EngineFacts, family: &str, path: &Path) -> Result<Known> {
    let found = facts.column_families.iter().find(|found| found.name == family);
    let name = found.and_then(|found| found.comparator.as_deref());
    let comparator = name.unwrap_or("unknown");
    Known::named(comparator).ok_or_else(|| Error::NeedsComparator {
        path: path.to_path_buf(),
        column_family: family.to_owned(),
        comparator: comparator.to_owned(),
    })
}

/// RocksDB names files of the scratch folder; the operator knows only the engine's.
fn refused(action: &'static str, path: &Path, scratch: &Scratch, error: &rocksdb::Error) -> Error {
    let message = error.to_string().replace(&scratch.path().display().to_string(), &shown(path));
    Error::RocksDb { action, path: path.to_path_buf(), message }
}

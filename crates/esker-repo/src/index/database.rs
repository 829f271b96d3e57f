//! RocksDB as the local index and scratch maps use it.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use esker_format::{ChunkId, ObjectId};
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DB, DBCompactionStyle, DBCompressionType, Direction, InfoLogger, IteratorMode, LogLevel,
    LruCacheOptions, Options,
};

use super::folders::cache_error;
use super::nearby::SEVERAL_MAX;
use super::rows::{PACK, PACK_NUMBER, REPLACED, SEVERAL, SOURCE, pack_number};
use crate::error::Result;

/// Blocks that one open database keeps in memory, index and filter partitions included.
const READ_CACHE_BYTES: usize = 16 << 20;
/// The same of a database that is being written, which is asked mostly for what it does not have.
const WRITE_CACHE_BYTES: usize = 4 << 20;
/// Bytes of one memtable; there are two at most.
const WRITE_BUFFER_BYTES: usize = 2 << 20;
/// The two of a scratch map.
const SCRATCH_CACHE_BYTES: usize = 8 << 20;
const SCRATCH_BUFFER_BYTES: usize = 8 << 20;
/// Share of a memtable that says what is not in it.
const MEMTABLE_BLOOM_RATIO: f64 = 0.1;
/// Bytes that a compaction reads of each of its files at a time.
const COMPACTION_READ_BYTES: usize = 64 << 10;
/// A cache shard must be far larger than any block, or it keeps none: two shards.
const CACHE_SHARD_BITS: i32 = 1;

pub(super) fn write_options() -> Options {
    options(WRITE_CACHE_BYTES)
}

fn options(cache_bytes: usize) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_bloom_filter(10.0, false);
    let mut cache = LruCacheOptions::default();
    cache.set_capacity(cache_bytes);
    cache.set_num_shard_bits(CACHE_SHARD_BITS);
    table.set_block_cache(&Cache::new_lru_cache_opts(&cache));
    // Index and filters in partitions of a block each: a look-up reads a few blocks, however many chunks there are.
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_top_level_index_and_filter(true);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(2);
    options.set_max_open_files(256);
    options.set_max_file_opening_threads(1);
    options.set_compaction_readahead_size(COMPACTION_READ_BYTES);
    // RocksDB's own log would be written into folders that other processes read.
    options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Fatal, |_, _| ()));
    options
}

pub(super) fn open_read_only(folder: &Path) -> Result<DB> {
    // RocksDB would make a folder that is not there in order to log that it is not there.
    if !folder.join("CURRENT").exists() {
        return Err(cache_error(folder, &"there is no database"));
    }
    DB::open_for_read_only(&options(READ_CACHE_BYTES), folder, false).map_err(|error| cache_error(folder, &error))
}

pub(super) fn open_private(folder: &Path) -> Result<DB> {
    let mut options = write_options();
    options.create_if_missing(true);
    DB::open(&options, folder).map_err(|error| cache_error(folder, &error))
}

/// A database that is asked and changed at random, and gone with its process.
pub(crate) fn open_scratch(folder: &Path) -> Result<DB> {
    let mut options = options(SCRATCH_CACHE_BYTES);
    options.create_if_missing(true);
    options.set_write_buffer_size(SCRATCH_BUFFER_BYTES);
    // Files of about a size are merged: each row is written again once for each doubling, not once for each flush.
    options.set_compaction_style(DBCompactionStyle::Universal);
    // Most keys that are asked for are new.
    options.set_memtable_whole_key_filtering(true);
    options.set_memtable_prefix_bloom_ratio(MEMTABLE_BLOOM_RATIO);
    DB::open(&options, folder).map_err(|error| cache_error(folder, &error))
}

/// The segments and unindexed packs that are in here.
pub(super) fn sources_of(db: &DB) -> Result<BTreeSet<ObjectId>> {
    ids_of(db, SOURCE)
}

/// The segments that those in here stand for.
pub(super) fn replaced_of(db: &DB) -> Result<BTreeSet<ObjectId>> {
    ids_of(db, REPLACED)
}

fn ids_of(db: &DB, kind: u8) -> Result<BTreeSet<ObjectId>> {
    let mut ids = BTreeSet::new();
    for row in db.iterator(IteratorMode::From(&[kind], Direction::Forward)) {
        let (key, _) = row.map_err(|error| cache_error(db.path(), &error))?;
        let Some(id) = key.strip_prefix(&[kind]) else { break };
        ids.insert(ObjectId(id.try_into().map_err(|_| cache_error(db.path(), &"it is damaged"))?));
    }
    Ok(ids)
}

/// The chunks that stand at several places; `None` if there are too many to keep them in memory.
pub(super) fn several_of(db: &DB) -> Result<Option<HashSet<ChunkId>>> {
    let mut several = HashSet::new();
    for row in db.iterator(IteratorMode::From(&[SEVERAL], Direction::Forward)) {
        let (key, _) = row.map_err(|error| cache_error(db.path(), &error))?;
        let Some(id) = key.strip_prefix(&[SEVERAL]) else { break };
        several.insert(ChunkId(id.try_into().map_err(|_| cache_error(db.path(), &"it is damaged"))?));
        if several.len() > SEVERAL_MAX {
            return Ok(None);
        }
    }
    Ok(Some(several))
}

/// The number that the next pack gets.
pub(super) fn next_pack(db: &DB) -> Result<u32> {
    let mut last = db.iterator(IteratorMode::From(&[PACK_NUMBER], Direction::Reverse));
    match last.next().transpose().map_err(|error| cache_error(db.path(), &error))? {
        Some((key, _)) if key.first() == Some(&PACK) => Ok(pack_number(&key).map_or(0, |number| number + 1)),
        _ => Ok(0),
    }
}

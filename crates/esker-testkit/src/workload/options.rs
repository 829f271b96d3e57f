//! RocksDB options: NebulaGraph's block layout, level sizes scaled down so that an engine of a few
//! hundred megabytes has the levels and compactions of a large one.

use rocksdb::{BlockBasedIndexType, BlockBasedOptions, DBCompressionType, InfoLogger, LogLevel, Options};

use super::{Compression, Kind, Workload};

const MIB: u64 = 1 << 20;
const BLOCK_BYTES: usize = 8 << 10;
const BLOOM_BITS_PER_KEY: f64 = 10.0;
/// The bound above which `Kind::Blobs` moves values into blob files.
const BLOB_BYTES_MIN: u64 = 4 << 10;

/// Options of a live engine. Replicas differ in write buffer and target file size, so that no SST
/// of one has the bounds of another's: 2 to 5 MiB and 4 to 7 MiB.
pub fn engine_options(workload: &Workload, replica: u32) -> Options {
    let steps = u64::from(replica % 4);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_error_if_exists(true);
    options.set_block_based_table_factory(&table_options(workload));
    options.set_compression_type(compression_type(workload.compression));
    options.set_write_buffer_size(((2 + steps) * MIB) as usize);
    options.set_max_write_buffer_number(4);
    options.set_target_file_size_base((4 + steps) * MIB);
    options.set_max_bytes_for_level_base(8 * MIB);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_max_background_jobs(2);
    options.set_max_subcompactions(2);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_log_level(LogLevel::Warn);
    if workload.kind == Kind::Blobs {
        options.set_enable_blob_files(true);
        options.set_min_blob_size(BLOB_BYTES_MIN);
        options.set_blob_file_size(4 * MIB);
        options.set_blob_compression_type(compression_type(workload.compression));
        options.set_enable_blob_gc(true);
    }
    options
}

/// Options to read a checkpoint with, which leave no info LOG in it.
pub fn reading_options() -> Options {
    let mut options = Options::default();
    options.set_info_logger(InfoLogger::new_stderr_logger(LogLevel::Fatal, None::<&str>));
    options
}

fn table_options(workload: &Workload) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_size(BLOCK_BYTES);
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
    let format_version = i32::try_from(workload.format_version).expect("a small number");
    table.set_format_version(format_version);
    table
}

fn compression_type(compression: Compression) -> DBCompressionType {
    match compression {
        Compression::None => DBCompressionType::None,
        Compression::Lz4 => DBCompressionType::Lz4,
        Compression::Zstd => DBCompressionType::Zstd,
        Compression::Snappy => DBCompressionType::Snappy,
    }
}

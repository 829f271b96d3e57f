//! RocksDB options: NebulaGraph's block layout, level sizes scaled down so that an engine of a few
//! hundred megabytes has the levels and compactions of a large one.

use rocksdb::{InfoLogger, LogLevel, Options};

use super::{Compression, Kind, Workload};

const MIB: u64 = 1 << 20;
const BLOCK_BYTES: u64 = 8 << 10;
const BLOOM_BITS_PER_KEY: u32 = 10;
/// The bound above which `Kind::Blobs` moves values into blob files.
const BLOB_BYTES_MIN: u64 = 4 << 10;

/// Options of a live engine as RocksDB's option string, which every version of RocksDB parses: so
/// engines of the bundled and of another RocksDB are told the same. Replicas differ in write buffer
/// and target file size, so that no SST of one has the bounds of another's: 2 to 5 MiB and 4 to 7 MiB.
pub fn engine_option_string(workload: &Workload, replica: u32) -> String {
    let steps = u64::from(replica % 4);
    let table = format!(
        "block_size={BLOCK_BYTES};index_type=kTwoLevelIndexSearch;partition_filters=true;\
         filter_policy=bloomfilter:{BLOOM_BITS_PER_KEY}:false;format_version={}",
        workload.format_version
    );
    let mut options = format!(
        "create_if_missing=true;error_if_exists=true;compression={};write_buffer_size={};max_write_buffer_number=4;\
         target_file_size_base={};max_bytes_for_level_base={};level_compaction_dynamic_level_bytes=true;\
         max_background_jobs=2;max_subcompactions=2;stats_dump_period_sec=0;stats_persist_period_sec=0;\
         info_log_level=WARN_LEVEL;block_based_table_factory={{{table}}};",
        compression_name(workload.compression),
        (2 + steps) * MIB,
        (4 + steps) * MIB,
        8 * MIB,
    );
    if workload.kind == Kind::Blobs {
        options += &format!(
            "enable_blob_files=true;min_blob_size={BLOB_BYTES_MIN};blob_file_size={};blob_compression_type={};\
             enable_blob_garbage_collection=true;",
            4 * MIB,
            compression_name(workload.compression),
        );
    }
    options
}

/// The same for the bundled RocksDB.
pub fn engine_options(workload: &Workload, replica: u32) -> Options {
    let string = engine_option_string(workload, replica);
    Options::default().get_options_from_string(&string).unwrap_or_else(|error| panic!("{string}: {error}"))
}

/// Options to read a checkpoint with, which leave no info LOG in it.
pub fn reading_options() -> Options {
    let mut options = Options::default();
    options.set_info_logger(InfoLogger::new_stderr_logger(LogLevel::Fatal, None::<&str>));
    options
}

const fn compression_name(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "kNoCompression",
        Compression::Lz4 => "kLZ4Compression",
        Compression::Zstd => "kZSTD",
        Compression::Snappy => "kSnappyCompression",
    }
}

//! Real tables, written by the RocksDB that the `rocksdb` crate bundles (11.8).

pub mod random;
pub mod rest;

use std::path::{Path, PathBuf};

use esker_sst::TableTail;
use rocksdb::{BlockBasedOptions, ChecksumType, DB, DBCompressionType, MergeOperands, Options};

/// Every checksum type of RocksDB, with the byte that stands for it in a footer.
pub fn checksum_types() -> [(ChecksumType, esker_sst::ChecksumType); 5] {
    use esker_sst::ChecksumType as Ours;
    [
        (ChecksumType::NoChecksum, Ours::None),
        (ChecksumType::CRC32c, Ours::Crc32c),
        (ChecksumType::XXHash, Ours::XxHash),
        (ChecksumType::XXHash64, Ours::XxHash64),
        (ChecksumType::XXH3, Ours::Xxh3),
    ]
}

/// Every compression that the bundled RocksDB is built with, with its name in the properties.
pub const COMPRESSIONS: [(DBCompressionType, &str); 5] = [
    (DBCompressionType::None, "NoCompression"),
    (DBCompressionType::Snappy, "Snappy"),
    (DBCompressionType::Lz4, "LZ4"),
    (DBCompressionType::Lz4hc, "LZ4HC"),
    (DBCompressionType::Zstd, "ZSTD"),
];

/// Options that keep every flushed file as it is.
pub fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_disable_auto_compactions(true);
    options.set_merge_operator_associative("esker.test.last", last_operand);
    options
}

fn last_operand(_key: &[u8], existing: Option<&[u8]>, operands: &MergeOperands) -> Option<Vec<u8>> {
    operands.iter().last().or(existing).map(<[u8]>::to_vec)
}

/// Table options of one format_version and checksum type.
pub fn table_options(format_version: i32, checksum: ChecksumType) -> BlockBasedOptions {
    let mut options = BlockBasedOptions::default();
    options.set_format_version(format_version);
    options.set_checksum_type(checksum);
    options
}

/// Writes one table of `entries` puts, uncompressed, with a database of its own and returns its bytes.
pub fn one_table(table: &BlockBasedOptions, entries: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options();
    options.set_compression_type(DBCompressionType::None);
    options.set_block_based_table_factory(table);
    let db = DB::open(&options, folder.path()).unwrap();
    for entry in 0..entries {
        db.put(format!("key{entry:06}"), format!("value of {entry}")).unwrap();
    }
    db.flush().unwrap();
    let files = tables_in(folder.path());
    assert_eq!(files.len(), 1);
    std::fs::read(&files[0]).unwrap()
}

/// The table files of a database, sorted by number.
pub fn tables_in(folder: &Path) -> Vec<PathBuf> {
    files_in(folder, |name| name.ends_with(".sst"))
}

/// The files in `folder` whose names are `wanted`, sorted.
pub fn files_in(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|file| wanted(file.file_name().unwrap().to_str().unwrap()))
        .collect();
    files.sort();
    files
}

/// Reads a table's tail from its bytes.
pub fn tail(bytes: &[u8]) -> TableTail {
    TableTail::read(bytes).unwrap()
}

/// Property text as a string, "" if absent.
pub fn text(property: Option<&Vec<u8>>) -> &str {
    property.map_or("", |bytes| std::str::from_utf8(bytes).unwrap())
}

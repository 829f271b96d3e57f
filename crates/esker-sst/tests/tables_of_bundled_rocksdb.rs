//! Tables of every format_version, checksum type and compression, as RocksDB 11.8 writes them.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[allow(dead_code)]
mod common;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use common::{COMPRESSIONS, checksum_types, options, table_options, tables_in, tail, text};
use esker_sst::block::verify_meta_block;
use esker_sst::meta_entries::MetaEntries;
use esker_sst::{InternalUniqueId, MetaBlock, TableTail, identify};
use rocksdb::{BlockBasedIndexType, BlockBasedOptions, ColumnFamilyDescriptor, DB, DBCompressionType, Options};
use rocksdb::{SstFileWriter, WriteOptions};

/// One column family, its tables, and what their properties must say.
struct Written {
    name: String,
    format_version: i32,
    checksum: esker_sst::ChecksumType,
    compression: &'static str,
    options: Options,
}

/// A column family per checksum type and compression.
fn families(format_version: i32) -> Vec<Written> {
    let mut families = Vec::new();
    for (checksum, ours) in checksum_types() {
        let table = table_options(format_version, checksum);
        for (compression, compression_name) in COMPRESSIONS {
            let mut options = options();
            options.set_compression_type(compression);
            options.set_block_based_table_factory(&table);
            families.push(Written {
                name: format!("{ours:?} {compression_name}"),
                format_version,
                checksum: ours,
                compression: compression_name,
                options,
            });
        }
    }
    families
}

fn open(folder: &Path, families: &[Written]) -> DB {
    let descriptors = families.iter().map(|family| ColumnFamilyDescriptor::new(&family.name, family.options.clone()));
    DB::open_cf_descriptors(&options(), folder, descriptors).unwrap()
}

/// 100 puts, 10 deletions, 3 merges, 1 range deletion; all in one table, as all keys differ.
fn fill(db: &DB, family: &str) {
    let family = db.cf_handle(family).unwrap();
    for entry in 0..100 {
        db.put_cf(&family, format!("put{entry:03}"), "all the same ".repeat(8)).unwrap();
    }
    for entry in 0..10 {
        db.delete_cf(&family, format!("delete{entry:03}")).unwrap();
    }
    for entry in 0..3 {
        db.merge_cf(&family, format!("merge{entry:03}"), "operand").unwrap();
    }
    db.delete_range_cf_opt(&family, "range000", "range999", &WriteOptions::default()).unwrap();
    db.flush_cf(&family).unwrap();
}

fn check_properties(written: &Written, tail: &TableTail, file: &Path, folder: &Path) {
    let properties = &tail.properties;
    assert_eq!(tail.footer.format_version as i32, written.format_version, "{}", written.name);
    assert_eq!(tail.footer.checksum_type, written.checksum, "{}", written.name);
    assert_eq!(tail.footer.base_context_checksum != 0, written.format_version >= 6);
    assert_eq!(tail.footer.index.is_some(), written.format_version < 6);

    assert_eq!(properties.entries, 114, "puts, deletions, merges and the range deletion");
    assert_eq!(properties.deletions, 11, "deletions and the range deletion");
    assert_eq!(properties.range_deletions, 1);
    assert_eq!(properties.merge_operands, 3);
    assert_eq!(properties.raw_key_size, 100 * (6 + 8) + 10 * (9 + 8) + 3 * (8 + 8) + 8 + 8);
    assert_eq!(properties.raw_value_size, 100 * 8 * 13 + 3 * 7 + 8);
    assert_eq!(properties.format_version as i32, written.format_version);
    assert_eq!(properties.global_seqno, None);
    assert_eq!(properties.external_version, None);

    assert_eq!(text(properties.comparator.as_ref()), "leveldb.BytewiseComparator");
    assert_eq!(text(properties.merge_operator.as_ref()), "esker.test.last");
    assert_eq!(text(properties.column_family_name.as_ref()), written.name);
    let compression = text(properties.compression.as_ref());
    if written.format_version < 7 {
        assert_eq!(compression, written.compression);
    } else {
        let expected = match written.compression {
            "NoCompression" => ";;",
            "Snappy" => "BuiltinV2;01;",
            "LZ4" => "BuiltinV2;04;",
            "LZ4HC" => "BuiltinV2;05;",
            _ => "BuiltinV2;07;",
        };
        assert_eq!(compression, expected, "{}", written.name);
    }

    let number: u64 = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    assert_eq!(properties.original_file_number, number);
    let db_id = std::fs::read_to_string(folder.join("IDENTITY")).unwrap();
    assert_eq!(text(properties.db_id.as_ref()), db_id);
    assert_eq!(text(properties.db_session_id.as_ref()).len(), 20);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(text(properties.host_id.as_ref()), host.trim_end());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    for time in [properties.creation_time_s, properties.file_creation_time_s] {
        assert!((now - 600..=now).contains(&time), "{time} is not near {now}");
    }
}

/// The order that the identity rests on: all other meta blocks, properties, metaindex, footer, without gaps.
fn check_order(tail: &TableTail, bytes: &[u8]) {
    let properties = tail.properties_block;
    let metaindex = tail.footer.metaindex;
    assert!(tail.index.end().unwrap() <= properties.offset);
    assert_eq!(properties.end().unwrap(), metaindex.offset);
    assert_eq!(metaindex.end().unwrap(), tail.footer.offset);
    assert_eq!(tail.footer.offset + 53, bytes.len() as u64);

    let serialized = &bytes[metaindex.offset as usize..tail.footer.offset as usize];
    let contents = verify_meta_block(&tail.footer, MetaBlock::MetaIndex, metaindex, serialized).unwrap();
    let mut entries = MetaEntries::new(MetaBlock::MetaIndex, contents).unwrap();
    let mut last = None;
    while let Some(entry) = entries.next_entry().unwrap() {
        let handle = esker_sst::metaindex::decode_handle(entry.value).unwrap();
        assert!(handle.end().unwrap() <= metaindex.offset);
        last = last.max(Some((handle.offset, entry.key.to_vec())));
    }
    assert_eq!(last.unwrap(), (properties.offset, b"rocksdb.properties".to_vec()));
}

/// The MANIFEST holds the first two words of the internal id of every table: RocksDB's own computation.
fn check_manifest(folder: &Path, tails: &[TableTail]) {
    let manifests = common::files_in(folder, |name| name.starts_with("MANIFEST-"));
    let manifest = std::fs::read(manifests.last().unwrap()).unwrap();
    assert!(manifest.len() < 32 << 10, "one log block, so that no record is split");
    for tail in tails {
        let [first, second, _] = InternalUniqueId::from_properties(&tail.properties).unwrap().words();
        // Tag 12 is NewFileCustomTag::kUniqueId, db/version_edit.h, RocksDB 11.8.
        let record = [&[12, 16][..], &first.to_le_bytes(), &second.to_le_bytes()].concat();
        assert_eq!(manifest.windows(record.len()).filter(|window| *window == record).count(), 1);
    }
}

#[test]
fn tables_of_every_format_say_what_was_set_and_have_the_ids_of_the_manifest() {
    for format_version in 2..=7 {
        let folder = tempfile::tempdir().unwrap();
        let families = families(format_version);
        let db = open(folder.path(), &families);
        families.iter().for_each(|family| fill(&db, &family.name));

        let mut tails = Vec::new();
        for file in tables_in(folder.path()) {
            let bytes = std::fs::read(&file).unwrap();
            let tail = tail(&bytes);
            let name = text(tail.properties.column_family_name.as_ref());
            let place = families.iter().position(|family| family.name == name).unwrap();
            assert_eq!(tail.properties.column_family_id, Some(place as u32 + 1));
            check_properties(&families[place], &tail, &file, folder.path());
            check_order(&tail, &bytes);
            tails.push(tail);
        }
        assert_eq!(tails.len(), families.len());
        check_manifest(folder.path(), &tails);
    }
}

#[test]
fn partitioned_index_and_filters_stand_before_the_properties() {
    for format_version in 2..=7 {
        let mut table = table_options(format_version, rocksdb::ChecksumType::XXH3);
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_partition_filters(true);
        table.set_bloom_filter(10.0, false);
        table.set_metadata_block_size(256);
        table.set_block_size(256);
        let bytes = common::one_table(&table, 2000);
        let tail = tail(&bytes);
        assert_eq!(tail.properties.entries, 2000);
        check_order(&tail, &bytes);
        assert!(tail.identity().unwrap().tail_size() < 4096);
    }
}

#[test]
fn zstd_dictionary_stands_before_the_properties() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options();
    options.set_compression_type(DBCompressionType::Zstd);
    options.set_compression_options(-14, 3, 0, 4096);
    options.set_block_based_table_factory(&BlockBasedOptions::default());
    let db = DB::open(&options, folder.path()).unwrap();
    for entry in 0..5000 {
        db.put(format!("key{entry:06}"), format!("{entry} is the value of {entry}")).unwrap();
    }
    db.flush().unwrap();
    // Dictionaries are for the last level only, so compact.
    db.compact_range(None::<&[u8]>, None::<&[u8]>);
    let file = tables_in(folder.path()).pop().unwrap();
    let bytes = std::fs::read(file).unwrap();
    assert!(bytes.windows(24).any(|window| window == b"rocksdb.compression_dict"));
    check_order(&tail(&bytes), &bytes);
}

#[test]
fn two_tables_of_one_session_differ_and_a_copy_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let db = DB::open(&options(), folder.path()).unwrap();
    for _ in 0..2 {
        db.put("the same key", "the same value").unwrap();
        db.flush().unwrap();
    }
    let tables: Vec<_> = tables_in(folder.path()).iter().map(|file| std::fs::read(file).unwrap()).collect();
    let ids: Vec<_> = tables.iter().map(|table| identify(&table[..]).unwrap()).collect();
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0].unique_id, ids[1].unique_id);

    let copy = folder.path().join("copy under another name");
    std::fs::copy(&tables_in(folder.path())[0], &copy).unwrap();
    assert_eq!(identify(&std::fs::read(copy).unwrap()[..]).unwrap(), ids[0]);
}

#[test]
fn a_table_of_the_file_writer_keeps_its_id_when_ingested() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside.sst");
    let options = options();
    let mut writer = SstFileWriter::create(&options);
    writer.open(&outside).unwrap();
    writer.put("a", "1").unwrap();
    writer.put("b", "2").unwrap();
    writer.finish().unwrap();
    let before = std::fs::read(&outside).unwrap();
    let properties = tail(&before).properties;
    assert_eq!(text(properties.db_id.as_ref()), "SST Writer");
    assert_eq!(properties.external_version, Some(2));
    assert_eq!(properties.global_seqno, Some(0));
    assert_eq!(properties.column_family_id, None);

    let db = DB::open(&options, folder.path().join("db")).unwrap();
    // Take file numbers, so that the table gets another one than it was written with.
    db.put("c", "3").unwrap();
    db.flush().unwrap();
    db.ingest_external_file(vec![&outside]).unwrap();
    let ids: Vec<_> =
        tables_in(&folder.path().join("db")).iter().map(|file| identify(&std::fs::read(file).unwrap()[..]).unwrap()).collect();
    assert_eq!(ids.len(), 2);
    assert!(ids.contains(&identify(&before[..]).unwrap()));
}

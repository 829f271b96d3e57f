//! Indexes that are damaged, compressed, or made to claim too much.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[allow(dead_code)]
mod common;

use std::cell::RefCell;
use std::sync::OnceLock;

use common::random::map;
use esker_sst::table_map::{MAX_INDEX_BLOCK_SIZE, TableMap};
use esker_sst::{Error, MetaBlock, ReadAt, TableTail};
use proptest::collection::vec;
use proptest::prelude::{any, prop_oneof, proptest};
use rocksdb::BlockBasedIndexType;

fn read(bytes: &[u8]) -> Result<TableMap, Error> {
    TableMap::read(bytes, TableTail::read(bytes)?, &mut |_, _, _, _| false)
}

/// Tables with a plain and with a partitioned index, without checksums, so that damage gets past the first check.
fn unchecked_tables() -> &'static [Vec<u8>; 2] {
    static TABLES: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    TABLES.get_or_init(|| {
        [BlockBasedIndexType::BinarySearch, BlockBasedIndexType::TwoLevelIndexSearch].map(|index_type| {
            let mut table = common::table_options(5, rocksdb::ChecksumType::NoChecksum);
            table.set_index_type(index_type);
            table.set_block_size(128);
            table.set_metadata_block_size(64);
            common::one_table(&table, 200)
        })
    })
}

proptest! {
    #[test]
    fn damaged_indexes_never_panic(
        partitioned in 0usize..2,
        damage in vec((any::<usize>(), prop_oneof![any::<u8>(), 0u8..20]), 1..6),
    ) {
        let mut file = unchecked_tables()[partitioned].clone();
        let start = map(&file).data_end as usize;
        for (at, value) in damage {
            let place = start + at % (file.len() - start);
            file[place] = value;
        }
        if let Ok(map) = read(&file) {
            for index in 0..map.len() {
                let end = map.handle(index).unwrap().end().unwrap();
                assert!(end <= map.data_end && map.data_end <= file.len() as u64);
                let _ = map.separator(index);
            }
        }
    }
}

#[test]
fn a_partitioned_index_is_read_in_few_pieces() {
    struct Counted<'a>(&'a [u8], RefCell<Vec<usize>>);
    impl ReadAt for Counted<'_> {
        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
            self.1.borrow_mut().push(buf.len());
            self.0.read_exact_at(buf, offset)
        }
        fn len(&self) -> u64 {
            self.0.len() as u64
        }
    }
    let bytes = &unchecked_tables()[1][..];
    let file = Counted(bytes, RefCell::new(Vec::new()));
    let map = TableMap::read(&file, TableTail::read(bytes).unwrap(), &mut |_, _, _, _| false).unwrap();
    assert!(map.index_partitions.len() > 10);
    assert_eq!(file.1.borrow().len(), 2, "the top level, and all partitions");
}

#[test]
fn a_compressed_index_goes_through_the_callers_function() {
    let mut file = unchecked_tables()[0].clone();
    let plain = map(&file);
    let type_byte = plain.tail.index.offset + plain.tail.index.size;
    file[type_byte as usize] = 9;
    let tail = TableTail::read(&file[..]).unwrap();

    let mut asked = Vec::new();
    let map = TableMap::read(&file[..], tail.clone(), &mut |compression_type, payload, limit, out| {
        asked.push((compression_type, payload.len() as u64, limit as u64));
        out.extend_from_slice(payload);
        true
    });
    assert_eq!(map.unwrap(), plain);
    assert_eq!(asked, [(9, plain.tail.index.size, MAX_INDEX_BLOCK_SIZE)]);

    let refused = TableMap::read(&file[..], tail, &mut |_, _, _, _| false).unwrap_err();
    assert!(matches!(refused, Error::NotDecompressed { block: MetaBlock::Index, compression_type: 9, .. }));
    assert!(refused.is_foreign());
}

#[test]
fn an_index_whose_checksum_fails_is_damage() {
    for (format_version, partitioned) in [(5, false), (6, false), (5, true), (7, true)] {
        let mut table = common::table_options(format_version, rocksdb::ChecksumType::XXH3);
        table.set_block_size(128);
        if partitioned {
            table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        }
        let file = common::one_table(&table, 100);
        let map = map(&file);
        let blocks = map.index_partitions.iter().chain([&map.tail.index]);
        for handle in blocks {
            let mut damaged = file.clone();
            damaged[handle.offset as usize] ^= 1;
            assert!(matches!(read(&damaged), Err(Error::BlockChecksum { block: MetaBlock::Index, .. })));
        }
    }
}

#[test]
fn a_table_of_range_deletions_only_has_no_data_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = common::options();
    options.set_compression_type(rocksdb::DBCompressionType::None);
    let db = rocksdb::DB::open_cf(&options, folder.path(), ["default"]).unwrap();
    db.delete_range_cf(db.cf_handle("default").unwrap(), "a", "b").unwrap();
    db.flush().unwrap();
    let file = std::fs::read(&common::tables_in(folder.path())[0]).unwrap();
    let map = map(&file);
    assert!(map.is_empty());
    assert_eq!((map.len(), map.data_end), (0, 0));
    assert!(map.tail.meta_block(b"rocksdb.range_del").is_some());
}

#[test]
fn a_dictionary_comes_with_the_map() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = common::options();
    options.set_compression_type(rocksdb::DBCompressionType::Zstd);
    options.set_compression_options(-14, 3, 0, 4096);
    let mut table = common::table_options(5, rocksdb::ChecksumType::XXH3);
    table.set_block_size(1024);
    options.set_block_based_table_factory(&table);
    let db = rocksdb::DB::open(&options, folder.path()).unwrap();
    for entry in 0..5000 {
        db.put(format!("key{entry:06}"), format!("{entry} is the value of {entry}")).unwrap();
    }
    db.flush().unwrap();
    db.compact_range(None::<&[u8]>, None::<&[u8]>);
    let file = std::fs::read(common::tables_in(folder.path()).pop().unwrap()).unwrap();
    let tail = TableTail::read(&file[..]).unwrap();
    // The index is compressed too: take it for an index without blocks.
    let map = TableMap::read(&file[..], tail, &mut |_, _, _, out| {
        out.extend([0, 0, 0, 0, 1, 0, 0, 0]);
        true
    });
    assert_eq!(map.unwrap().dictionary.unwrap().len(), 4096);
}

#[test]
fn names_in_the_properties_are_told() {
    let mut table = common::table_options(5, rocksdb::ChecksumType::XXH3);
    table.set_bloom_filter(10.0, false);
    table.set_index_block_restart_interval(4);
    table.set_block_restart_interval(7);
    let properties = map(&common::one_table(&table, 50)).tail.properties;
    assert_eq!(common::text(properties.filter_policy.as_ref()), "bloomfilter");
    assert_eq!(properties.prefix_extractor, None);
    assert_eq!((properties.whole_key_filtering, properties.prefix_filtering), (Some(true), Some(false)));
    assert_eq!((properties.data_restart_interval, properties.index_restart_interval), (7, 4));
    assert_eq!((properties.index_type, properties.index_partitions), (Some(0), 0));
    assert_eq!((properties.data_blocks, properties.filter_entries), (1, 50));
    assert!(properties.index_key_is_user_key && properties.index_value_is_delta_encoded && !properties.timestamps_stripped);
    assert_eq!(properties.tail_start, properties.data_size);
}

//! Data blocks of real tables: opened, decoded, and built again byte for byte.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[allow(dead_code)]
mod common;

use common::random::{Drawn, map, table};
use esker_sst::internal_key::user_key;
use esker_sst::table_map::TableMap;
use esker_sst::{Entries, data_block};

/// Tables written for each test; more with `ESKER_TABLES`.
fn seeds() -> std::ops::Range<u64> {
    0..std::env::var("ESKER_TABLES").map_or(40, |count| count.parse().unwrap())
}

/// The stored bytes of a data block, trailer included.
fn stored(bytes: &[u8], map: &TableMap, index: usize) -> (u64, Vec<u8>) {
    let handle = map.handle(index).unwrap();
    (handle.offset, bytes[handle.offset as usize..handle.end().unwrap() as usize].to_vec())
}

/// Decodes every block and builds it again; hands each block's entries on. Returns the number of entries.
fn rebuild_all(bytes: &[u8], map: &TableMap, drawn: &Drawn, mut each: impl FnMut(usize, &Entries)) -> u64 {
    let checksum = map.tail.footer.block_checksum();
    let mut entries = Entries::new();
    let mut count = 0;
    for index in 0..map.len() {
        let (offset, stored) = stored(bytes, map, index);
        let block = checksum.open(&stored, offset).unwrap();
        assert_eq!(block.compression_type, 0);
        let form = data_block::decode(block.payload, &mut entries).unwrap();
        assert_eq!(form.separate_values, drawn.separate_values, "{}", drawn.text);
        assert!(form.restart_interval == 0 || form.restart_interval == drawn.restart_interval, "{}", drawn.text);
        assert!(form.hash_buckets == 0 || drawn.hash_index, "{}", drawn.text);

        let mut rebuilt = b"before".to_vec();
        data_block::encode(&form, &entries, 0..entries.len(), &mut rebuilt).unwrap();
        checksum.seal(6, offset, block.compression_type, &mut rebuilt);
        assert!(rebuilt[6..] == stored, "block {index} of {}", drawn.text);
        count += entries.len() as u64;
        each(index, &entries);
    }
    count
}

#[test]
fn every_data_block_of_tables_at_random_is_built_again() {
    let mut kinds = [0; 6];
    let mut blocks = 0;
    for seed in seeds() {
        let (bytes, drawn) = table(seed);
        let map = map(&bytes);
        let properties = &map.tail.properties;
        assert_eq!(map.len() as u64, properties.data_blocks, "{}", drawn.text);
        let mut hash_blocks = 0;
        let count = rebuild_all(&bytes, &map, &drawn, |_, _| hash_blocks += 1);
        assert_eq!(count + properties.range_deletions, properties.entries, "{}", drawn.text);
        blocks += map.len();
        let seen = [drawn.partitioned, drawn.separate_values, drawn.hash_index, !drawn.shares_prefixes, properties.range_deletions > 0];
        for (kind, seen) in kinds.iter_mut().zip(seen) {
            *kind += usize::from(seen);
        }
        let gaps = (1..map.len()).any(|index| map.handle(index - 1).unwrap().end().unwrap() < map.handle(index).unwrap().offset);
        kinds[5] += usize::from(gaps);
    }
    println!("{blocks} blocks; partitioned, separate, hashed, whole keys, range deletions, gaps: {kinds:?}");
    assert!(kinds.iter().all(|kind| *kind > 0), "every kind of table was met: {kinds:?}");
}

#[test]
fn separators_stand_between_the_blocks_they_separate() {
    for seed in seeds() {
        let (bytes, drawn) = table(seed);
        let map = map(&bytes);
        assert_eq!(map.is_empty(), map.tail.properties.data_blocks == 0);
        rebuild_all(&bytes, &map, &drawn, |index, entries| {
            let first = user_key(entries.key(0)).unwrap();
            let last = user_key(entries.key(entries.len() - 1)).unwrap();
            assert!(map.separator(index) >= last, "{}", drawn.text);
            assert!(index == 0 || map.separator(index - 1) <= first, "{}", drawn.text);
        });
        assert_eq!(map.separator(map.len()), b"");
        assert_eq!(map.handle(map.len()), None);
        assert_eq!(map.index_partitions.is_empty(), !drawn.partitioned);
        assert!(map.data_end <= map.tail.index.offset);
    }
}

//! Tables, facts and descriptions that contradict each other: bytes are kept, nothing panics.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[allow(dead_code)]
mod common;

use common::random::Random;
use common::rest::{descriptions, facts, map};
use esker_sst::rest::{BuiltBlock, FilterKeys, KeyHash, RestBuilder, RestPart, TableFacts, plan};
use esker_sst::{BlockHandle, Entries, TableMap};
use rocksdb::{BlockBasedIndexType, ChecksumType};

const GOLDEN: &[u8] = include_bytes!("golden/rest_partitions.sst");

/// A table whose damage no checksum shows.
fn unchecked_table() -> Vec<u8> {
    let mut options = common::table_options(5, ChecksumType::NoChecksum);
    options.set_bloom_filter(10.0, false);
    options.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    options.set_partition_filters(true);
    options.set_metadata_block_size(128);
    options.set_block_size(256);
    options.set_index_block_restart_interval(3);
    common::one_table(&options, 600)
}

/// What a plan gives, built and kept bytes together.
fn replayed(map: &TableMap, rest: &[u8], facts: &TableFacts) -> Vec<u8> {
    let mut builder = RestBuilder::new(facts, map.tail.footer.block_checksum());
    let mut out = Vec::new();
    for part in plan(map, rest, map.data_end, facts) {
        match part {
            RestPart::Kept { len } => out.extend_from_slice(&rest[out.len()..][..len as usize]),
            RestPart::Built { block, .. } => builder.build(&block, map.data_end + out.len() as u64, &mut out).unwrap(),
        }
    }
    out
}

#[test]
fn the_plan_of_a_damaged_rest_still_gives_its_bytes() {
    let table = unchecked_table();
    let map = map(&table);
    let sound = &table[map.data_end as usize..];
    let keys = FilterKeys::of(&map, sound, map.data_end);
    assert_eq!(keys.hash, Some(KeyHash::Xxph3));
    let facts = facts(&table, &map, keys);
    let mut random = Random(1);
    for _ in 0..2000 {
        let mut rest = sound.to_vec();
        for _ in 0..1 + random.below(4) {
            let place = random.below(rest.len() as u64) as usize;
            rest[place] = random.next() as u8;
        }
        assert!(replayed(&map, &rest, &facts) == rest);
        FilterKeys::of(&map, &rest, map.data_end);
    }
}

#[test]
fn every_truncated_rest_is_kept_or_built_up_to_its_end() {
    let map = map(GOLDEN);
    let sound = &GOLDEN[map.data_end as usize..];
    let facts = facts(GOLDEN, &map, FilterKeys::of(&map, sound, map.data_end));
    for len in 0..sound.len() {
        assert!(replayed(&map, &sound[..len], &facts) == sound[..len]);
        FilterKeys::of(&map, &sound[..len], map.data_end);
    }
}

#[test]
fn facts_of_another_table_make_all_bytes_kept() {
    let map = map(GOLDEN);
    let rest = &GOLDEN[map.data_end as usize..];
    let keys = FilterKeys::of(&map, rest, map.data_end);
    let all = vec![RestPart::Kept { len: rest.len() as u64 }];
    assert_eq!(plan(&map, rest, map.data_end, &TableFacts::new(keys)), all);
    let mut other = TableFacts::new(keys);
    let mut entries = Entries::new();
    for number in 0..map.len() {
        entries.clear();
        entries.push_parts(&number.to_be_bytes(), &[1; 8], b"value");
        other.push_block(BlockHandle { offset: 0, size: u64::MAX }, &entries);
    }
    assert_eq!(plan(&map, rest, map.data_end, &other), all);
    assert_eq!(plan(&map, b"", map.data_end, &other), vec![]);
}

#[test]
fn descriptions_at_random_build_a_block_or_fail_and_leave_nothing() {
    let map = map(GOLDEN);
    let rest = &GOLDEN[map.data_end as usize..];
    let facts = facts(GOLDEN, &map, FilterKeys::of(&map, rest, map.data_end));
    let mut builder = RestBuilder::new(&facts, map.tail.footer.block_checksum());
    let sound: Vec<_> = descriptions(GOLDEN).iter().map(BuiltBlock::to_numbers).collect();
    let mut random = Random(2);
    let mut out = b"before".to_vec();
    let (mut built, mut failed) = (0, 0);
    for _ in 0..20_000 {
        let (kind, mut numbers) = sound[random.below(sound.len() as u64) as usize].clone();
        let place = random.below(numbers.len() as u64) as usize;
        let bits = random.below(64);
        numbers[place] = random.next() >> bits;
        let Ok(block) = BuiltBlock::from_numbers(kind, &numbers) else { continue };
        out.truncate(6);
        match builder.build(&block, random.next(), &mut out) {
            Ok(()) => built += 1,
            Err(_) => {
                assert_eq!(out, b"before");
                failed += 1;
            }
        }
    }
    assert!(built > 1000 && failed > 1000, "{built} built, {failed} failed");
}

#[test]
fn filters_are_not_built_of_keys_hashed_otherwise() {
    let map = map(GOLDEN);
    let block = descriptions(GOLDEN).into_iter().find(|block| matches!(block, BuiltBlock::Filter { .. })).unwrap();
    for keys in [FilterKeys::NONE, FilterKeys { hash: Some(KeyHash::Murmur), timestamp_size: 0 }] {
        let facts = facts(GOLDEN, &map, keys);
        assert!(RestBuilder::new(&facts, map.tail.footer.block_checksum()).build(&block, 0, &mut Vec::new()).is_err());
    }
}

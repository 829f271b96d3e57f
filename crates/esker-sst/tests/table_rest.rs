//! Filters and indexes of real tables, built again from their entries.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[allow(dead_code)]
mod common;

use common::random::Random;
use common::rest::{Counts, rebuilt};
use common::{COMPRESSIONS, options, tables_in};
use rocksdb::{BlockBasedIndexType, BlockBasedOptions, ColumnFamilyDescriptor, DB, DBCompressionType, Options};

/// Options of tables drawn at random; those that the crate has no function for are in `more`.
struct Drawn {
    table: BlockBasedOptions,
    more: String,
    compression: DBCompressionType,
    /// There is a block that cannot be built: the top of filters that are cut inside data blocks.
    keeps_filter_top: bool,
    filters: bool,
    partitioned: bool,
}

fn drawn(random: &mut Random) -> Drawn {
    let mut table = BlockBasedOptions::default();
    let format_version = 2 + random.below(6) as i32;
    table.set_format_version(format_version);
    table.set_block_size(256 << random.below(6));
    table.set_block_restart_interval(1 + random.below(20) as i32);
    table.set_index_block_restart_interval(1 + (random.below(3) * random.below(20)) as i32);
    table.set_metadata_block_size(128 << random.below(6));
    let filters = random.below(4) > 0;
    if filters {
        table.set_bloom_filter(1.0 + random.below(300) as f64 / 10.0, false);
        table.set_optimize_filters_for_memory(random.below(3) == 0);
    }
    let partitioned = random.below(2) == 0;
    let partition_filters = partitioned && random.below(3) > 0;
    table.set_partition_filters(partition_filters);
    let decouple = random.below(2) == 0;
    let shortening = ["kNoShortening", "kShortenSeparators", "kShortenSeparatorsAndSuccessor"][random.below(3) as usize];
    let mut more = format!("{{decouple_partitioned_filters={decouple};index_shortening={shortening};");
    if partitioned {
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    } else if random.below(3) == 0 {
        more += "index_type=kBinarySearchWithFirstKey;";
    }
    let (compression, _) = random.one_of(&COMPRESSIONS);
    if random.one_in(3) {
        more += "enable_index_compression=false;";
    }
    if compression == DBCompressionType::None && random.one_in(2) {
        more += "block_align=true;";
    } else if random.below(4) == 0 {
        more += "super_block_alignment_size=16384;super_block_alignment_space_overhead_ratio=4;";
    }
    if random.below(3) == 0 {
        more += "uniform_cv_threshold=0.9;";
    }
    more += "}";
    Drawn { table, more, compression, keeps_filter_top: filters && partition_filters && decouple, filters, partitioned }
}

fn key(random: &mut Random, keys: u64) -> Vec<u8> {
    let number = random.below(keys);
    let mut key = format!("{:06}", number * 7919 % 1_000_000).into_bytes();
    // Keys of up to 300 bytes, always the same for the same number.
    key.resize(6 + (number * number % if number.is_multiple_of(50) { 300 } else { 40 }) as usize, (number % 256) as u8);
    key
}

/// Fills a database so that its tables hold versions, deletions and merges; every key below is held by a snapshot.
fn fill(db: &DB, random: &mut Random) {
    let keys = 50 + random.below(4000);
    let rounds = 1 + random.below(3);
    let mut snapshots = Vec::new();
    for _ in 0..rounds {
        for _ in 0..keys {
            let key = key(random, keys);
            let value = vec![random.below(256) as u8; random.below(60) as usize];
            match random.below(10) {
                0 => db.delete(&key).unwrap(),
                1 => db.merge(&key, &value).unwrap(),
                _ => db.put(&key, &value).unwrap(),
            }
            if random.below(100) == 0 {
                snapshots.push(db.snapshot());
            }
        }
        if random.below(3) == 0 {
            let family = db.cf_handle("default").expect("every database has it");
            db.delete_range_cf(&family, "000200", "000300").unwrap();
        }
        snapshots.push(db.snapshot());
        // One key with more versions than a block has room for.
        for version in 0..random.below(300) {
            db.put("555555", version.to_le_bytes()).unwrap();
            snapshots.push(db.snapshot());
        }
        db.flush().unwrap();
        if random.below(2) == 0 {
            db.compact_range(None::<&[u8]>, None::<&[u8]>);
        }
    }
}

fn tables(random: &mut Random, drawn: &Drawn, mut options: Options) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    options.set_compression_type(drawn.compression);
    options.set_block_based_table_factory(&drawn.table);
    let db = DB::open_cf_descriptors(&options, folder.path(), [ColumnFamilyDescriptor::new("default", options.clone())]).unwrap();
    db.set_options(&[("block_based_table_factory", &drawn.more)]).unwrap();
    fill(&db, random);
    tables_in(folder.path()).iter().map(|file| std::fs::read(file).unwrap()).collect()
}

#[test]
fn every_filter_and_index_block_of_tables_with_random_options_is_built_again() {
    let mut all = Counts::default();
    for seed in 0..60 {
        let mut random = Random(seed);
        let drawn = drawn(&mut random);
        for table in tables(&mut random, &drawn, options()) {
            let counts = rebuilt(&table);
            assert_eq!(counts.index_built, counts.index, "seed {seed} {}", drawn.more);
            assert_eq!(counts.top_built, counts.top - u64::from(drawn.keeps_filter_top && counts.filter > 0), "seed {seed} {}", drawn.more);
            assert_eq!(counts.filter_built, counts.filter, "seed {seed} {}", drawn.more);
            assert!(!drawn.filters || counts.filter > 0);
            assert!(!drawn.partitioned || counts.top > 0);
            all += counts;
        }
    }
    assert!(all.compressed > 50, "index blocks that are compressed");
}

//! Tables at random, the same for the same seed.

use esker_sst::TableTail;
use esker_sst::table_map::TableMap;
use rocksdb::{BlockBasedIndexType, BlockBasedOptions, ColumnFamilyDescriptor, DB, DataBlockIndexType, Options, SliceTransform};

use super::{checksum_types, options, tables_in};

/// A small generator of random numbers (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    pub fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// What a random table was written with that a test wants to know.
pub struct Drawn {
    pub partitioned: bool,
    pub separate_values: bool,
    pub hash_index: bool,
    pub shares_prefixes: bool,
    pub restart_interval: u32,
    /// All of it, to print when a test fails.
    pub text: String,
}

/// Options at random: those that the crate has setters for, and the others as text for `DB::set_options`.
fn draw(random: &mut Random) -> (BlockBasedOptions, Options, String, Drawn) {
    let format_version = 2 + random.below(6) as i32;
    let block_size = random.one_of(&[256, 1000, 4096, 16 << 10, 64 << 10]);
    let restart_interval = random.one_of(&[1, 2, 3, 8, 16, 64]);
    let index_interval = random.one_of(&[1, 1, 2, 16]);
    let (checksum, _) = checksum_types().into_iter().nth(random.below(5) as usize).unwrap();
    let hash_index = random.one_in(2);
    let ratio = random.one_of(&[0.3, 0.75, 1.0, 3.0]);
    let index_type = random.below(4);
    let shares_prefixes = !random.one_in(4);
    let separate_values = random.one_in(3);

    let mut table = BlockBasedOptions::default();
    table.set_format_version(format_version);
    table.set_block_size(block_size);
    table.set_block_restart_interval(restart_interval);
    table.set_checksum_type(checksum);
    table.set_data_block_index_type(if hash_index { DataBlockIndexType::BinaryAndHash } else { DataBlockIndexType::BinarySearch });
    table.set_data_block_hash_ratio(ratio);
    table.set_metadata_block_size(random.one_of(&[256, 4096]));
    if random.one_in(2) {
        table.set_bloom_filter(10.0, false);
    }
    let mut options = options();
    options.set_compression_type(rocksdb::DBCompressionType::None);
    if index_type == 1 {
        table.set_index_type(BlockBasedIndexType::HashSearch);
        options.set_prefix_extractor(SliceTransform::create_fixed_prefix(2));
    } else {
        table.set_index_block_restart_interval(index_interval);
    }
    if index_type == 2 {
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_partition_filters(random.one_in(2));
    }
    options.set_block_based_table_factory(&table);

    let mut text = format!("use_delta_encoding={shares_prefixes};separate_key_value_in_data_block={separate_values};");
    if index_type == 3 {
        text += "index_type=kBinarySearchWithFirstKey;";
    }
    if random.one_in(3) {
        text += "index_shortening=kNoShortening;";
    }
    if random.one_in(3) {
        text += "uniform_cv_threshold=100;";
    }
    match random.below(4) {
        0 => text += "super_block_alignment_size=32768;super_block_alignment_space_overhead_ratio=2;",
        1 if block_size == 4096 => text += "block_align=true;",
        _ => {}
    }
    let drawn = Drawn {
        partitioned: index_type == 2,
        separate_values,
        hash_index,
        shares_prefixes,
        restart_interval: restart_interval as u32,
        text: format!("fv {format_version} size {block_size} restart {restart_interval}/{index_interval} {ratio} type {index_type} {text}"),
    };
    (table, options, text, drawn)
}

/// Entries of every kind, with versions that a snapshot keeps.
fn fill(db: &DB, random: &mut Random) {
    let groups = 1 + random.below(6);
    let puts = random.one_of(&[1, 30, 2000, 6000]);
    let key_len = random.one_of(&[1, 8, 40, 300]);
    let value_len = random.one_of(&[1, 20, 200, 3000]);
    let mut keys: Vec<Vec<u8>> = Vec::new();
    for place in 0..puts {
        let group = random.below(groups);
        let mut key = format!("{group:02}-common-part-{}", random.below(9)).into_bytes();
        let tail = random.below(key_len);
        key.extend(random.bytes(tail));
        let value = random.below(value_len);
        let value = if random.one_in(500) { random.bytes(100_000) } else { random.bytes(value) };
        match random.below(20) {
            0 => db.delete(&key).unwrap(),
            1 => db.merge(&key, &value).unwrap(),
            2 if place % 64 == 2 => db.put(random.bytes(20_000), &value).unwrap(),
            _ => db.put(&key, &value).unwrap(),
        }
        keys.push(key);
    }
    // Each snapshot keeps the versions that are overwritten after it.
    let mut snapshots = vec![db.snapshot()];
    for _ in 0..puts / 3 {
        let key = &keys[random.below(keys.len() as u64) as usize];
        let versions = if random.one_in(200) { 100 } else { 1 };
        for version in 0..versions {
            db.put(key, format!("version {version}")).unwrap();
            if versions > 1 {
                snapshots.push(db.snapshot());
            }
        }
    }
    if random.one_in(2) {
        db.delete_range_cf(db.cf_handle("default").unwrap(), "01", "02").unwrap();
    }
    db.flush().unwrap();
    drop(snapshots);
}

/// The bytes of a table written with options, and of entries, that follow from `seed`.
pub fn table(seed: u64) -> (Vec<u8>, Drawn) {
    let random = &mut Random(seed);
    let (_table, options, text, drawn) = draw(random);
    let folder = tempfile::tempdir().unwrap();
    let family = ColumnFamilyDescriptor::new("default", options.clone());
    let db = DB::open_cf_descriptors(&options, folder.path(), [family]).unwrap();
    db.set_options(&[("block_based_table_factory", &format!("{{{text}}}"))]).unwrap();
    fill(&db, random);
    let files = tables_in(folder.path());
    assert_eq!(files.len(), 1);
    (std::fs::read(&files[0]).unwrap(), drawn)
}

/// The map of a table without compressed index blocks.
pub fn map(bytes: &[u8]) -> TableMap {
    TableMap::read(bytes, TableTail::read(bytes).unwrap(), &mut |_, _, _, _| false).unwrap()
}

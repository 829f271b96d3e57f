//! Options of a column family drawn at random, as a string that RocksDB parses.

use esker_testkit::seeded::SplitMix64;
use rocksdb::Options;

/// Bytes of RocksDB's own timestamps.
pub const TIMESTAMP_BYTES: usize = 8;

/// How a family's keys are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    Ascending,
    Descending,
    /// By their length first: no order that is known.
    ByLength,
}

/// Whether keys have timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamps {
    None,
    Kept,
    /// In the memtable only.
    Stripped,
}

/// A family's options.
#[derive(Debug, Clone)]
pub struct Drawn {
    pub keys: Keys,
    pub timestamps: Timestamps,
    pub has_blobs: bool,
    /// Whether every block was written by an encoder that is tried.
    pub is_exact: bool,
    /// All of it, to print when a test fails.
    pub text: String,
}

pub fn one_of<T: Copy>(random: &mut SplitMix64, choices: &[T]) -> T {
    choices[random.below(choices.len() as u64) as usize]
}

pub fn one_in(random: &mut SplitMix64, count: u64) -> bool {
    random.below(count) == 0
}

impl Drawn {
    pub fn draw(random: &mut SplitMix64) -> Self {
        let (keys, timestamps) = match random.below(16) {
            0..=9 => (Keys::Ascending, Timestamps::None),
            10 | 11 => (Keys::Descending, Timestamps::None),
            12 => (Keys::ByLength, Timestamps::None),
            13 => (Keys::Ascending, Timestamps::Kept),
            14 => (Keys::Ascending, Timestamps::Stripped),
            _ => (Keys::Descending, Timestamps::Kept),
        };
        let mut text = match (keys, timestamps) {
            (Keys::Descending, Timestamps::None) => "comparator=rocksdb.ReverseBytewiseComparator;",
            (Keys::Descending, _) => "comparator=rocksdb.ReverseBytewiseComparator.u64ts;",
            (_, Timestamps::None) => "",
            (_, _) => "comparator=leveldb.BytewiseComparator.u64ts;",
        }
        .to_owned();
        if timestamps == Timestamps::Stripped {
            text += "persist_user_defined_timestamps=false;";
        }
        let mut is_exact = true;
        text += &compression(random, "", &mut is_exact);
        if one_in(random, 4) {
            text += &compression(random, "bottommost_", &mut is_exact);
        }
        let has_blobs = one_in(random, 10) && timestamps == Timestamps::None;
        if has_blobs {
            text += &format!("enable_blob_files=true;min_blob_size={};", one_of(random, &[0, 100, 1000]));
        }
        text += &format!("block_based_table_factory={{{}}};", table(random, &text));
        if one_in(random, 3) {
            text += one_of(random, &["prefix_extractor=fixed:3;", "prefix_extractor=capped:5;"]);
        }
        text += &format!("target_file_size_base={};", one_of(random, &[16 << 10, 64 << 10, 1 << 20]));
        Self { keys, timestamps, has_blobs, is_exact, text }
    }

    /// As RocksDB takes them.
    pub fn options(&self) -> Options {
        let mut base = Options::default();
        base.set_disable_auto_compactions(true);
        base.set_merge_operator_associative("esker.test.join", |_, existing, operands| {
            Some(existing.into_iter().chain(operands).flatten().copied().collect())
        });
        base.set_allow_concurrent_memtable_write(false);
        let mut options = base.get_options_from_string(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text));
        if self.keys == Keys::ByLength {
            options.set_comparator("esker.test.by_length", Box::new(|left, right| (left.len(), left).cmp(&(right.len(), right))));
        }
        options
    }
}

fn compression(random: &mut SplitMix64, which: &str, is_exact: &mut bool) -> String {
    let (name, levels): (&str, &[i32]) = one_of(
        random,
        &[
            ("kNoCompression", &[][..]),
            ("kSnappyCompression", &[]),
            ("kLZ4Compression", &[]),
            ("kLZ4Compression", &[-1, -4, -30]),
            ("kLZ4HCCompression", &[]),
            ("kLZ4HCCompression", &[3, 4, 6, 9, 12, 5]),
            ("kZSTD", &[]),
            ("kZSTD", &[1, 2, 3, 6, 9, -1, 5, 12, -30]),
        ],
    );
    let level = if levels.is_empty() { 32_767 } else { one_of(random, levels) };
    let is_tried = match name {
        "kLZ4Compression" => matches!(level, 32_767 | -1),
        "kLZ4HCCompression" => level != 5,
        "kZSTD" => !matches!(level, 12 | -30),
        _ => true,
    };
    let dictionary = if one_in(random, 4) { one_of(random, &[200, 4096, 16 << 10]) } else { 0 };
    let train = if one_in(random, 2) { 100 * dictionary } else { 0 };
    // LZ4HC has no encoder that takes a dictionary.
    *is_exact &= is_tried && !(name == "kLZ4HCCompression" && dictionary > 0);
    let mut options = format!("level={level};max_dict_bytes={dictionary};zstd_max_train_bytes={train};");
    if one_in(random, 4) {
        options += &format!("max_compressed_bytes_per_kb={};", one_of(random, &[300, 1023]));
    }
    if one_in(random, 8) {
        options += "parallel_threads=3;";
    }
    if !which.is_empty() {
        options += "enabled=true;";
    }
    format!("{which}compression={name};{which}compression_opts={{{options}}};")
}

/// Options of the table factory.
fn table(random: &mut SplitMix64, more: &str) -> String {
    let mut text = format!("format_version={};", 2 + random.below(6));
    let block_size = one_of(random, &[256, 1000, 4096, 4096, 8192, 16 << 10, 64 << 10]);
    text += &format!("block_size={block_size};block_size_deviation={};", one_of(random, &[0, 10, 50]));
    text += &format!("block_restart_interval={};", one_of(random, &[1, 2, 3, 8, 16, 16, 64]));
    text += &format!("checksum={};", one_of(random, &["kNoChecksum", "kCRC32c", "kxxHash", "kxxHash64", "kXXH3"]));
    text += &format!("metadata_block_size={};", one_of(random, &[256, 4096]));
    text += &format!("use_delta_encoding={};", !one_in(random, 4));
    text += &format!("enable_index_compression={};", !one_in(random, 3));
    text += &format!("index_block_restart_interval={};", one_of(random, &[1, 1, 2, 16]));
    text += one_of(random, &["index_shortening=kNoShortening;", "", "index_shortening=kShortenSeparatorsAndSuccessor;"]);
    if one_in(random, 3) {
        text += &format!(
            "data_block_index_type=kDataBlockBinaryAndHash;data_block_hash_table_util_ratio={};",
            one_of(random, &[0.3, 0.75, 3.0])
        );
    }
    if one_in(random, 4) {
        text += "separate_key_value_in_data_block=true;";
    }
    if one_in(random, 4) {
        text += "uniform_cv_threshold=0.9;";
    }
    match random.below(5) {
        0 | 1 => text += &format!("index_type=kTwoLevelIndexSearch;partition_filters={};", !one_in(random, 3)),
        2 => text += "index_type=kBinarySearchWithFirstKey;",
        _ => {}
    }
    match random.below(4) {
        0 => text += &format!("filter_policy=bloomfilter:{}:false;", 1 + random.below(20)),
        1 => text += "filter_policy=bloomfilter:10:false;",
        2 if one_in(random, 3) => text += "filter_policy=ribbonfilter:10;",
        _ => {}
    }
    text += &format!("whole_key_filtering={};decouple_partitioned_filters={};", !one_in(random, 5), one_in(random, 3));
    if one_in(random, 6) {
        text += "super_block_alignment_size=32768;super_block_alignment_space_overhead_ratio=4;";
    } else if more.contains("compression=kNoCompression;") && !more.contains("bottommost") && block_size == 4096 && one_in(random, 3) {
        text += "block_align=true;";
    }
    text
}

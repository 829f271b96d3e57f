//! Filters and indexes of RocksDB 7.8.3, built again byte for byte.
//!
//! The tables `golden/rest_*` were written through Debian's librocksdb 7.8.3 with the options named beside each: 90 or 160
//! puts and deletions of about 100 keys, all versions held by snapshots, and 40 versions of one key.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[allow(dead_code)]
mod common;

use common::rest::{Counts, descriptions, rebuilt};
use esker_sst::rest::{BuiltBlock, SeparatorRule};

struct Golden {
    options: &'static str,
    bytes: &'static [u8],
    filters: u64,
    indexes: u64,
    tops: u64,
    rule: SeparatorRule,
    compressed: u64,
}

const GOLDEN: [Golden; 7] = [
    Golden {
        options: "format_version 5, partitioned filter and index, index_block_restart_interval 5, kShortenSeparatorsAndSuccessor",
        bytes: include_bytes!("golden/rest_partitions.sst"),
        filters: 5,
        indexes: 5,
        tops: 2,
        rule: SeparatorRule::ShortenedToTheEnd,
        compressed: 0,
    },
    Golden {
        options: "format_version 4, partitioned filter and index, kNoShortening",
        bytes: include_bytes!("golden/rest_old_partitions.sst"),
        filters: 6,
        indexes: 6,
        tops: 2,
        rule: SeparatorRule::LastKey,
        compressed: 0,
    },
    Golden {
        options: "format_version 5, partitioned filter and index, index_block_restart_interval 11, ReverseBytewiseComparator",
        bytes: include_bytes!("golden/rest_descending.sst"),
        filters: 2,
        indexes: 2,
        tops: 2,
        rule: SeparatorRule::ShortenedDescending,
        compressed: 0,
    },
    Golden {
        options: "format_version 2, LZ4, partitioned filter and index, index_block_restart_interval 4",
        bytes: include_bytes!("golden/rest_lz4.sst"),
        filters: 4,
        indexes: 4,
        tops: 2,
        rule: SeparatorRule::ShortenedToTheEnd,
        compressed: 5,
    },
    Golden {
        options: "format_version 2, Snappy, index_block_restart_interval 11",
        bytes: include_bytes!("golden/rest_snappy.sst"),
        filters: 1,
        indexes: 1,
        tops: 0,
        rule: SeparatorRule::Shortened,
        compressed: 1,
    },
    Golden {
        options: "format_version 4, index with first keys, index_block_restart_interval 37",
        bytes: include_bytes!("golden/rest_first_keys.sst"),
        filters: 1,
        indexes: 1,
        tops: 0,
        rule: SeparatorRule::ShortenedToTheEnd,
        compressed: 0,
    },
    Golden {
        options: "format_version 4, block_align, partitioned filter and index, index_block_restart_interval 10",
        bytes: include_bytes!("golden/rest_aligned.sst"),
        filters: 1,
        indexes: 1,
        tops: 2,
        rule: SeparatorRule::Shortened,
        compressed: 0,
    },
];

#[test]
fn golden_filters_and_indexes_are_built_again() {
    for golden in &GOLDEN {
        let Counts { index, index_built, filter, filter_built, top, top_built, compressed, .. } = rebuilt(golden.bytes);
        assert_eq!((index_built, filter_built, top_built), (golden.indexes, golden.filters, golden.tops), "{}", golden.options);
        assert_eq!((index, filter, top), (golden.indexes, golden.filters, golden.tops), "{}", golden.options);
        assert_eq!(compressed, golden.compressed, "{}", golden.options);
        for block in descriptions(golden.bytes) {
            if let BuiltBlock::Index { form, .. } = block {
                assert_eq!(form.rule, golden.rule, "{}", golden.options);
            }
        }
    }
}

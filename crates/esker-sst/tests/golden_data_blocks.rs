//! Data blocks of RocksDB 7.8.3, built again byte for byte.
//!
//! The tables `golden/blocks_*` were written by Debian's `db_bench` 7.8.3 (`--benchmarks=fillseq,flush --num=60
//! --key_size=20 --value_size=24 --block_size=512 --compression_type=none`, with the options named beside each).

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[allow(dead_code)]
mod common;

use common::random::map;
use esker_sst::internal_key::user_key;
use esker_sst::{BlockForm, Entries, data_block};

struct Golden {
    /// Options of `db_bench`, or the name under which golden.rs has the table.
    options: &'static str,
    bytes: &'static [u8],
    blocks: usize,
    entries: usize,
    partitions: usize,
    /// Of the first block.
    form: BlockForm,
}

/// The form of most blocks: one restart.
const ONE_RESTART: BlockForm =
    BlockForm { restart_interval: 0, shares_prefixes: true, hash_buckets: 0, separate_values: false, uniform_keys: false };

const GOLDEN: [Golden; 8] = [
    Golden {
        options: "--use_data_block_hash_index=1 --data_block_hash_table_util_ratio=0.6 --block_restart_interval=3",
        bytes: include_bytes!("golden/blocks_hash_index.sst"),
        blocks: 7,
        entries: 60,
        partitions: 0,
        form: BlockForm { restart_interval: 3, hash_buckets: 15, ..ONE_RESTART },
    },
    Golden {
        options: "--index_with_first_key=1 --index_block_restart_interval=3 --index_shortening_mode=0 --checksum_type=1",
        bytes: include_bytes!("golden/blocks_first_keys.sst"),
        blocks: 6,
        entries: 60,
        partitions: 0,
        form: ONE_RESTART,
    },
    Golden {
        options: "--block_align=1 --num=40",
        bytes: include_bytes!("golden/blocks_aligned.sst"),
        blocks: 4,
        entries: 40,
        partitions: 0,
        form: ONE_RESTART,
    },
    Golden {
        options: "--partition_index=1 --metadata_block_size=64 --num=120",
        bytes: include_bytes!("golden/blocks_partitions.sst"),
        blocks: 12,
        entries: 120,
        partitions: 3,
        form: ONE_RESTART,
    },
    Golden {
        options: "--user_timestamp_size=8",
        bytes: include_bytes!("golden/blocks_timestamps.sst"),
        blocks: 6,
        entries: 60,
        partitions: 0,
        form: ONE_RESTART,
    },
    Golden {
        options: "fv2_crc32c",
        bytes: include_bytes!("golden/fv2_crc32c.sst"),
        blocks: 1,
        entries: 40,
        partitions: 0,
        form: BlockForm { restart_interval: 16, ..ONE_RESTART },
    },
    Golden {
        options: "fv5_none",
        bytes: include_bytes!("golden/fv5_none.sst"),
        blocks: 1,
        entries: 40,
        partitions: 0,
        form: BlockForm { restart_interval: 16, ..ONE_RESTART },
    },
    Golden {
        options: "fv5_partitioned",
        bytes: include_bytes!("golden/fv5_partitioned.sst"),
        blocks: 9,
        entries: 90,
        partitions: 1,
        form: ONE_RESTART,
    },
];

#[test]
fn golden_blocks_are_built_again_and_stand_between_their_separators() {
    for golden in &GOLDEN {
        let map = map(golden.bytes);
        assert_eq!((map.len(), map.index_partitions.len()), (golden.blocks, golden.partitions), "{}", golden.options);
        let checksum = map.tail.footer.block_checksum();
        let mut entries = Entries::new();
        let mut count = 0;
        for index in 0..map.len() {
            let handle = map.handle(index).unwrap();
            let stored = &golden.bytes[handle.offset as usize..handle.end().unwrap() as usize];
            let block = checksum.open(stored, handle.offset).unwrap();
            let form = data_block::decode(block.payload, &mut entries).unwrap();
            assert!(index > 0 || form == golden.form, "{form:?} of {}", golden.options);
            let mut rebuilt = Vec::new();
            data_block::encode(&form, &entries, 0..entries.len(), &mut rebuilt).unwrap();
            checksum.seal(0, handle.offset, 0, &mut rebuilt);
            assert_eq!(rebuilt, stored, "block {index} of {}", golden.options);

            assert!(map.separator(index) >= user_key(entries.key(entries.len() - 1)).unwrap());
            assert!(index == 0 || map.separator(index - 1) < user_key(entries.key(0)).unwrap());
            count += entries.len();
        }
        assert_eq!(count, golden.entries, "{}", golden.options);
    }
}

#[test]
fn aligned_blocks_leave_gaps_and_the_last_one_ends_before_its_padding() {
    let map = map(include_bytes!("golden/blocks_aligned.sst"));
    for index in 0..map.len() {
        assert_eq!(map.handle(index).unwrap().offset, 512 * index as u64);
    }
    assert_eq!(map.data_end, map.handle(3).unwrap().end().unwrap());
    assert_eq!(map.tail.properties.data_size, 2048);
    assert!(map.data_end < 2048);
}

//! The vectors of `format-spec/16-table-rest.md`: filters and indexes that RocksDB wrote, built from what the vectors say.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::collections::HashMap;

use esker_sst::rest::{BuiltBlock, FilterKeys, RestBuilder, TableFacts};
use esker_sst::{BlockChecksum, BlockHandle, ChecksumType, Entries};

const VECTORS: &str = include_str!("../../../format-spec/vectors/16-table-rest.txt");

struct Vector(HashMap<&'static str, &'static str>);

impl Vector {
    fn all() -> impl Iterator<Item = Self> {
        let fields = |block: &'static str| block.lines().filter_map(|line| line.split_once(" = ")).collect();
        VECTORS.split("\n\n").map(move |block| Self(fields(block))).filter(|vector| vector.0.contains_key("checksum_type"))
    }

    fn has(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }

    fn number(&self, field: &str) -> u64 {
        self.0[field].parse().unwrap()
    }

    fn bytes(&self, field: &str) -> Vec<u8> {
        let digits = self.0[field];
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    /// Offset, description and bytes of every block to be built.
    fn parts(&self) -> Vec<(u64, BuiltBlock, Vec<u8>)> {
        let numbers = |part: usize| {
            let fields = (0..).map(move |place| format!("parts.{part}.numbers.{place}"));
            fields.take_while(|field| self.has(field)).map(|field| self.number(&field)).collect::<Vec<_>>()
        };
        (0..)
            .take_while(|part| self.has(&format!("parts.{part}.kind")))
            .map(|part| {
                let kind = self.number(&format!("parts.{part}.kind")) as u8;
                let block = BuiltBlock::from_numbers(kind, &numbers(part)).unwrap();
                (self.number(&format!("parts.{part}.offset")), block, self.bytes(&format!("parts.{part}.bytes")))
            })
            .collect()
    }

    fn facts(&self, keys: FilterKeys) -> TableFacts {
        let mut facts = TableFacts::new(keys);
        let mut entries = Entries::new();
        for block in (0..).take_while(|block| self.has(&format!("blocks.{block}.offset"))) {
            entries.clear();
            for field in (0..).map(|key| format!("blocks.{block}.keys.{key}")).take_while(|field| self.has(field)) {
                entries.push(&self.bytes(&field), b"");
            }
            let number = |field: &str| self.number(&format!("blocks.{block}.{field}"));
            facts.push_block(BlockHandle { offset: number("offset"), size: number("size") }, &entries);
        }
        facts
    }
}

#[test]
fn every_block_of_the_vectors_is_built() {
    let mut seen = 0;
    for vector in Vector::all() {
        let checksum = BlockChecksum {
            checksum_type: ChecksumType::from_byte(vector.number("checksum_type") as u8).unwrap(),
            base_context_checksum: vector.number("base") as u32,
        };
        let parts = vector.parts();
        let keys = parts.iter().find_map(|(_, block, _)| block.filter_keys()).unwrap();
        let facts = vector.facts(keys);
        let mut builder = RestBuilder::new(&facts, checksum);
        for (offset, block, bytes) in parts {
            let mut built = Vec::new();
            builder.build(&block, offset, &mut built).unwrap();
            assert_eq!(built, bytes, "{block:?} of {}", vector.0["name"]);
            seen += 1;
        }
    }
    assert_eq!(seen, 40);
}

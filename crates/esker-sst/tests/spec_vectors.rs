//! The vectors of `format-spec/14-table-blocks.md`: blocks that RocksDB wrote, decoded, and built from what the vectors say.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::collections::HashMap;

use esker_sst::{BlockChecksum, BlockForm, ChecksumType, Entries, data_block};

const VECTORS: &str = include_str!("../../../format-spec/vectors/14-table-blocks.txt");

struct Vector(HashMap<&'static str, &'static str>);

impl Vector {
    fn all() -> impl Iterator<Item = Self> {
        let fields = |block: &'static str| block.lines().filter_map(|line| line.split_once(" = ")).collect();
        VECTORS.split("\n\n").map(move |block| Self(fields(block))).filter(|vector| !vector.0.is_empty())
    }

    fn number<T: TryFrom<u64>>(&self, field: &str) -> T {
        self.0[field].parse::<u64>().ok().and_then(|number| T::try_from(number).ok()).unwrap()
    }

    fn flag(&self, field: &str) -> bool {
        self.number::<u8>(field) == 1
    }

    fn bytes(&self, field: &str) -> Vec<u8> {
        let digits = self.0[field];
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    fn form(&self) -> BlockForm {
        BlockForm {
            restart_interval: self.number("restart_interval"),
            shares_prefixes: self.flag("shares_prefixes"),
            hash_buckets: self.number("hash_buckets"),
            separate_values: self.flag("separate_values"),
            uniform_keys: self.flag("uniform_keys"),
        }
    }

    fn entries(&self) -> Entries {
        let mut entries = Entries::new();
        for index in (0..).take_while(|index| self.0.contains_key(&*format!("keys.{index}"))) {
            entries.push(&self.bytes(&format!("keys.{index}")), &self.bytes(&format!("values.{index}")));
        }
        entries
    }
}

#[test]
fn every_vector_is_decoded_and_built_again() {
    let mut seen = 0;
    for vector in Vector::all() {
        let name = vector.0["name"];
        let checksum = BlockChecksum {
            checksum_type: ChecksumType::from_byte(vector.number("checksum_type")).unwrap(),
            base_context_checksum: vector.number("base"),
        };
        let (stored, offset) = (vector.bytes("bytes"), vector.number("offset"));
        let block = checksum.open(&stored, offset).unwrap();
        let mut entries = Entries::new();
        assert_eq!(data_block::decode(block.payload, &mut entries).unwrap(), vector.form(), "{name}");
        assert_eq!(entries, vector.entries(), "{name}");

        let mut built = Vec::new();
        data_block::encode(&vector.form(), &vector.entries(), 0..entries.len(), &mut built).unwrap();
        checksum.seal(0, offset, vector.number("compression_type"), &mut built);
        assert_eq!(built, stored, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 8);
}

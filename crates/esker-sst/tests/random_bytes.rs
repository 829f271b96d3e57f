//! Bytes that nobody wrote on purpose never panic.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[allow(dead_code)]
mod common;

use std::sync::OnceLock;

use esker_sst::metaindex::MetaIndex;
use esker_sst::session_id::SessionId;
use esker_sst::{Footer, InternalUniqueId, TableProperties, TableTail, identify};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof, proptest};

const MAGIC: [u8; 8] = 0x88e2_41b7_85f4_cff7_u64.to_le_bytes();

/// Bytes of which many are small, as lengths and counts are.
fn bytes(max_len: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![any::<u8>(), 0u8..20], 0..max_len)
}

/// A table without checksums, so that damage gets past the first check.
fn unchecked_table() -> &'static [u8] {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    TABLE.get_or_init(|| common::one_table(&common::table_options(5, rocksdb::ChecksumType::NoChecksum), 20))
}

proptest! {
    #[test]
    fn random_files_are_errors(file in bytes(4096)) {
        assert!(identify(&file[..]).is_err());
    }

    #[test]
    fn random_files_that_end_like_a_table_do_not_panic(mut file in bytes(512), version in 0u32..9) {
        file.extend(version.to_le_bytes());
        file.extend(MAGIC);
        let _ = identify(&file[..]);
    }

    #[test]
    fn footers_of_random_lengths_do_not_panic(last in bytes(100), file_size: u64) {
        let _ = Footer::decode(&last, file_size);
        let _ = Footer::decode(&[&last[..], &MAGIC].concat(), file_size);
    }

    #[test]
    fn random_block_contents_do_not_panic(contents in bytes(300), restarts in 0u32..4) {
        let contents = [&contents[..], &restarts.to_le_bytes()].concat();
        let _ = MetaIndex::decode(&contents);
        let _ = TableProperties::decode(&contents);
    }

    #[test]
    fn tables_with_several_damaged_bytes_do_not_panic(damage in vec((any::<usize>(), any::<u8>()), 1..8)) {
        let mut file = unchecked_table().to_vec();
        let tail = TableTail::read(&file[..]).unwrap().properties_block.offset as usize;
        for (at, value) in damage {
            let place = tail + at % (file.len() - tail);
            file[place] = value;
        }
        let _ = identify(&file[..]);
    }

    #[test]
    fn session_ids_of_any_bytes_do_not_panic(text in vec(any::<u8>(), 0..30), digits in "[0-9A-Za-z]{13,24}", number: u64) {
        let _ = SessionId::decode(&text);
        assert!(SessionId::decode(digits.as_bytes()).is_some());
        let id = InternalUniqueId::new(&text, digits.as_bytes(), number);
        assert_eq!(id.is_ok(), !text.is_empty() && number != 0);
    }
}

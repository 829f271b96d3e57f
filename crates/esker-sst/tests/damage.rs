//! Damaged, truncated and foreign files: an error or the same identity, never a panic.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[allow(dead_code)]
mod common;

use common::{checksum_types, one_table, table_options};
use esker_sst::{Error, NoUniqueId, TableTail, identify};

/// Tables of every format_version and checksum type that has a check.
fn checked_tables() -> Vec<(i32, Vec<u8>)> {
    let mut tables = Vec::new();
    for format_version in 2..=7 {
        for (checksum, ours) in checksum_types() {
            if ours != esker_sst::ChecksumType::None {
                tables.push((format_version, one_table(&table_options(format_version, checksum), 20)));
            }
        }
    }
    tables
}

#[test]
fn any_changed_byte_of_the_tail_is_an_error_or_changes_nothing() {
    for (format_version, mut table) in checked_tables() {
        let identity = identify(&table[..]).unwrap();
        let properties = TableTail::read(&table[..]).unwrap().properties;
        for at in identity.tail_offset as usize..table.len() {
            for flip in 1..=255 {
                table[at] ^= flip;
                if let Ok(tail) = TableTail::read(&table[..]) {
                    assert_eq!(tail.identity().unwrap(), identity, "byte {at} xor {flip}");
                    assert_eq!(tail.properties, properties, "byte {at} xor {flip}");
                    assert!(format_version < 6, "from format_version 6 on no byte of the tail is unchecked, but {at} is");
                }
                table[at] ^= flip;
            }
        }
    }
}

#[test]
fn any_changed_byte_of_a_table_without_checksums_does_not_panic() {
    for format_version in 2..=7 {
        let mut table = one_table(&table_options(format_version, rocksdb::ChecksumType::NoChecksum), 20);
        let tail_offset = identify(&table[..]).unwrap().tail_offset as usize;
        for at in tail_offset..table.len() {
            for flip in 1..=255 {
                table[at] ^= flip;
                let _: Result<_, Error> = identify(&table[..]);
                table[at] ^= flip;
            }
        }
    }
}

#[test]
fn every_truncation_is_an_error() {
    for (_, table) in checked_tables() {
        for len in 0..table.len() {
            let error = identify(&table[..len]).unwrap_err();
            assert_eq!(len == 0, matches!(error, Error::Empty));
            assert!(!error.is_foreign(), "{error}");
        }
    }
}

#[test]
fn a_table_with_bytes_behind_its_end_is_an_error() {
    let mut table = one_table(&table_options(7, rocksdb::ChecksumType::XXH3), 20);
    table.push(0);
    assert!(matches!(identify(&table[..]), Err(Error::UnknownMagic { .. })));
}

#[test]
fn a_tail_of_format_version_7_at_another_offset_is_an_error() {
    let table = one_table(&table_options(7, rocksdb::ChecksumType::XXH3), 20);
    let longer = [&b"more data"[..], &table].concat();
    assert!(matches!(identify(&longer[..]), Err(Error::FooterChecksum { .. })));
}

#[test]
fn a_global_seqno_written_in_place_is_accepted_and_read() {
    for format_version in 2..=7 {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("external.sst");
        let mut options = common::options();
        options.set_block_based_table_factory(&table_options(format_version, rocksdb::ChecksumType::XXH3));
        let mut writer = rocksdb::SstFileWriter::create(&options);
        writer.open(&file).unwrap();
        writer.put("a", "1").unwrap();
        writer.finish().unwrap();
        let mut table = std::fs::read(&file).unwrap();
        let before = identify(&table[..]).unwrap();

        let name = b"global_seqno";
        let value = table.windows(name.len()).position(|window| window == name).unwrap() + name.len();
        table[value..value + 8].copy_from_slice(&0x0001_0203_0405_0607_u64.to_le_bytes());
        let tail = TableTail::read(&table[..]).unwrap();
        assert_eq!(tail.properties.global_seqno, Some(0x0001_0203_0405_0607));
        assert_eq!(tail.identity().unwrap(), before, "the id stays, only the tail's hash tells");

        // No other byte of the block gains from this.
        table[value - name.len()] ^= 1;
        assert!(matches!(identify(&table[..]), Err(Error::BlockChecksum { .. })));
        table[value - name.len()] ^= 1;
        table[value + 8] ^= 1;
        assert!(matches!(identify(&table[..]), Err(Error::BlockChecksum { .. })));
    }
}

#[test]
fn a_table_without_session_is_healthy_and_has_no_identity() {
    let table = one_table(&table_options(7, rocksdb::ChecksumType::XXH3), 20);
    let mut tail = TableTail::read(&table[..]).unwrap();
    tail.properties.db_session_id = None;
    let error = tail.identity().unwrap_err();
    assert!(matches!(error, Error::NoUniqueId(NoUniqueId::NoSessionId)));
    assert!(error.is_foreign());
}

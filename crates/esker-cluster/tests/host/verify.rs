//! Engines opened and read to the last entry.

use std::os::unix::fs::FileExt as _;

use esker_cluster::{Error, PartitionScheme, Replica, verify};
use rocksdb::{DB, Options};

use crate::samples::{fingerprint, flushed_checkpoint, small_checkpoint};
use crate::survey::odd_checkpoint;

#[test]
fn every_entry_is_read_and_the_folder_is_not_written_to() {
    let host = tempfile::tempdir().unwrap();
    let folder = host.path().join("db");
    small_checkpoint(&folder);
    let before = fingerprint(host.path());
    let verified = verify(&folder, PartitionScheme::Nebula).unwrap();
    assert_eq!(verified.entries, 104);
    let replica = |partition, commit_id, term| Replica { partition, commit_id, term };
    assert_eq!(verified.positions, [replica(1, 11, 1), replica(2, 22, 2)]);
    assert_eq!(verify(&folder, PartitionScheme::None).unwrap().positions, []);
    assert_eq!(fingerprint(host.path()), before);
}

#[test]
fn reverse_order_merges_and_dropped_families_are_read() {
    let host = tempfile::tempdir().unwrap();
    let folder = host.path().join("db");
    odd_checkpoint(&folder);
    let verified = verify(&folder, PartitionScheme::None).unwrap();
    let families: Vec<_> = verified.column_families.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(families, [("default", 100), ("back", 100), ("sum", 1)]);
    assert_eq!(verified.entries, 201);
}

#[test]
fn blobs_are_read_with_their_checksums() {
    let (live, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_enable_blob_files(true);
    options.set_min_blob_size(100);
    let db = DB::open(&options, live.path()).unwrap();
    for number in 0..50_u32 {
        db.put(number.to_be_bytes(), vec![number as u8; 5_000]).unwrap();
    }
    let folder = host.path().join("db");
    flushed_checkpoint(&db, &folder);
    assert_eq!(verify(&folder, PartitionScheme::None).unwrap().entries, 50);
    flip(&folder, "blob", 100_000);
    assert!(matches!(verify(&folder, PartitionScheme::None), Err(Error::RocksDb { .. })));
}

#[test]
fn a_flipped_bit_and_a_missing_table_are_found() {
    let host = tempfile::tempdir().unwrap();
    let folder = host.path().join("db");
    small_checkpoint(&folder);
    let table = flip(&folder, "sst", 200);
    let error = verify(&folder, PartitionScheme::None).unwrap_err();
    assert!(error.to_string().contains("/db"), "{error}");
    std::fs::remove_file(table).unwrap();
    assert!(verify(&folder, PartitionScheme::None).is_err());
}

#[test]
fn keys_with_timestamps_are_read() {
    let (live, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cut = |key: &[u8], has: bool| key[..key.len() - if has { 8 } else { 0 }].to_vec();
    let times = |left: &[u8], right: &[u8]| left.iter().rev().cmp(right.iter().rev());
    let whole = move |left: &[u8], right: &[u8]| {
        let by_key = cut(left, true).cmp(&cut(right, true));
        by_key.then_with(|| times(&right[right.len() - 8..], &left[left.len() - 8..]))
    };
    let without = move |left: &[u8], l: bool, right: &[u8], r: bool| cut(left, l).cmp(&cut(right, r));
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_comparator_with_ts("leveldb.BytewiseComparator.u64ts", 8, Box::new(whole), Box::new(times), Box::new(without));
    let db = DB::open(&options, live.path()).unwrap();
    for (number, time) in [(1_u32, 256_u64), (2, 1), (1, 3)].into_iter().chain((3..100).map(|number| (number, 5))) {
        db.put_with_ts(number.to_be_bytes(), time.to_le_bytes(), b"v").unwrap();
    }
    let folder = host.path().join("db");
    flushed_checkpoint(&db, &folder);
    assert_eq!(verify(&folder, PartitionScheme::None).unwrap().entries, 99);
}

/// Flips a bit in a copy of the only file with that extension, so that hard links elsewhere stay.
fn flip(folder: &std::path::Path, extension: &str, at: u64) -> std::path::PathBuf {
    let mut files = folder.read_dir().unwrap().map(|item| item.unwrap().path());
    let path = files.find(|path| path.extension().is_some_and(|found| found == extension)).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[bytes[at as usize] ^ 1], at).unwrap();
    path
}

//! A damaged table is backed up as it is: whatever one byte of it says, every byte comes back.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use esker_ops::backup::{BackupReport, BackupRequest, backup};
use rocksdb::{BlockBasedOptions, DB, DBCompressionType, Options};

use crate::kit::{Shelf, TestEnvironment, checkpoint_of, job, request};

/// Backups that one repository takes before a copy of the first one goes on.
const BACKUPS: usize = 40;

/// A checkpoint in `folder` of an engine with one small table of several blocks; gives the table's path.
fn one_table(folder: &Path, compression: DBCompressionType) -> PathBuf {
    let live = tempfile::tempdir_in(folder.parent().unwrap()).unwrap();
    let mut table = BlockBasedOptions::default();
    table.set_block_size(256);
    table.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_compression_type(compression);
    options.set_block_based_table_factory(&table);
    let db = DB::open(&options, live.path()).unwrap();
    for entry in 0..60 {
        db.put(format!("key{entry:04}"), format!("the value of {}", entry % 7)).unwrap();
    }
    db.delete("key0003").unwrap();
    checkpoint_of(&db, folder);
    let is_table = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "sst");
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).find(is_table).unwrap()
}

/// What reads every file again and trusts nothing.
fn reread(shelf: &Shelf, label: &str, host: &Path) -> BackupReport {
    backup(&shelf.open(), &BackupRequest { reread: true, ..request(label, host) }, &job()).unwrap()
}

fn restored(shelf: &Shelf, label: &str, table: &Path) -> Vec<u8> {
    let target = tempfile::tempdir_in(table.parent().unwrap().parent().unwrap()).unwrap();
    shelf.restore(label, &target.path().join("t")).unwrap();
    fs::read(target.path().join("t/h").join(table.file_name().unwrap())).unwrap()
}

/// Backs up variants of a table into a repository that holds the original, and compares what is restored. `change` makes the
/// variant that belongs to a place in the table.
fn every_variant_comes_back(
    compression: DBCompressionType,
    places: impl Fn(usize) -> Vec<usize>,
    change: impl Fn(&Path, &[u8], usize) + Sync,
) {
    let shelf = Shelf::new(None, 1_800_000_000_000);
    let source = shelf.path("source");
    let table = one_table(&source, compression);
    let bytes = fs::read(&table).unwrap();
    shelf.backup("first", &source).unwrap();
    assert_eq!(shelf.sorted("first").files, 1);
    let (objects, next, variants) = (shelf.objects(), AtomicUsize::new(0), places(bytes.len()));
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (bytes, objects, next, change, source, table, variants) = (&bytes, &objects, &next, &change, &source, &table, &variants);
            scope.spawn(move || {
                let folder = source.with_file_name(format!("source of {worker}"));
                esker_testkit::tree::copy_tree(source, &folder);
                let table = folder.join(table.file_name().unwrap());
                let mut client = None;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(place) = variants.get(number) else { break };
                    if number % BACKUPS < 2 || client.is_none() {
                        client =
                            Some(Shelf::over(Shelf::store_of(objects), None, TestEnvironment::at(1_900_000_000_000, number as u64 + 9)));
                    }
                    let client = client.as_ref().unwrap();
                    change(&table, bytes, *place);
                    let expected = fs::read(&table).unwrap();
                    let label = format!("variant {place}");
                    reread(client, &label, &folder);
                    assert!(restored(client, &label, &table) == expected, "{label}");
                    assert!(number % 16 > 0 || restored(client, "first", &table) == *bytes, "the first, after {label}");
                }
            });
        }
    });
}

fn flip(table: &Path, bytes: &[u8], place: usize) {
    let mut bytes = bytes.to_vec();
    bytes[place] ^= 1 << (place % 8);
    fs::write(table, bytes).unwrap();
}

#[test]
fn a_table_with_any_one_byte_flipped_comes_back_flipped() {
    every_variant_comes_back(DBCompressionType::Lz4, |len| (0..len).collect(), flip);
}

#[test]
fn an_uncompressed_table_with_a_byte_flipped_comes_back_flipped() {
    every_variant_comes_back(DBCompressionType::None, |len| (0..len).step_by(7).collect(), flip);
}

#[test]
fn a_table_cut_short_comes_back_as_short() {
    let places = |len| (0..len).filter(|place| place % 11 == 0 || place + 60 > len).collect();
    every_variant_comes_back(DBCompressionType::Lz4, places, |table, bytes, place| fs::write(table, &bytes[..place]).unwrap());
}

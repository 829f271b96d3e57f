//! Commit positions read from engines.

use esker_cluster::{Error, Replica, positions};
use rocksdb::{DB, Options};

use crate::samples::{commit, fingerprint, flushed_checkpoint, nebula_options, system_key, unflushed_checkpoint, vertices};

fn replica(partition: u32, commit_id: u64, term: u64) -> Replica {
    Replica { partition, commit_id, term }
}

#[test]
fn positions_are_read_with_the_log_replayed_and_the_source_stays_as_it_was() {
    let (live, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let db = DB::open(&nebula_options(), live.path()).unwrap();
    for partition in [1, 2, 255, 256, 70_000, 0xff_ffff] {
        vertices(&db, partition, 20);
        commit(&db, partition, 100, 1);
    }
    db.flush().unwrap();
    db.delete(system_key(2, 1)).unwrap();
    commit(&db, 256, 205, 3);
    let folder = host.path().join("db");
    unflushed_checkpoint(&db, &folder);
    commit(&db, 1, 999, 9);
    let logs = folder.read_dir().unwrap().filter(|item| item.as_ref().unwrap().path().extension().is_some_and(|e| e == "log"));
    assert!(logs.count() > 0, "the checkpoint has its last writes in a log");

    let before = fingerprint(host.path());
    let expected = [replica(1, 100, 1), replica(255, 100, 1), replica(256, 205, 3), replica(70_000, 100, 1), replica(0xff_ffff, 100, 1)];
    assert_eq!(positions(&folder).unwrap(), expected);
    assert_eq!(fingerprint(host.path()), before);
}

#[test]
fn many_other_system_keys_are_passed_over() {
    let (live, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let db = DB::open(&nebula_options(), live.path()).unwrap();
    for kind in 2..2_000 {
        db.put(system_key(9, kind), b"other").unwrap();
    }
    db.put([4], b"short").unwrap();
    db.put([4, 9, 0], b"short").unwrap();
    db.put([5, 0, 0, 0, 1, 0, 0, 0], [0; 16]).unwrap();
    commit(&db, 9, 7, 1);
    commit(&db, 10, 8, 1);
    let folder = host.path().join("db");
    flushed_checkpoint(&db, &folder);
    assert_eq!(positions(&folder).unwrap(), [replica(9, 7, 1), replica(10, 8, 1)]);
}

#[test]
fn malformed_records_are_named_by_partition() {
    for value in [vec![1; 15], [(-5_i64).to_le_bytes(), 1_i64.to_le_bytes()].concat()] {
        let (live, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let db = DB::open(&nebula_options(), live.path()).unwrap();
        db.put(system_key(6, 1), value).unwrap();
        let folder = host.path().join("db");
        flushed_checkpoint(&db, &folder);
        let error = positions(&folder).unwrap_err();
        assert!(matches!(error, Error::BadPosition { partition: 6, .. }), "{error}");
    }
}

#[test]
fn an_engine_that_needs_its_applications_comparator_says_so() {
    let (live, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_comparator("acme.Odd", Box::new(|left, right| left.len().cmp(&right.len()).then(left.cmp(right))));
    let db = DB::open(&options, live.path()).unwrap();
    db.put(b"k", b"v").unwrap();
    let folder = host.path().join("db");
    flushed_checkpoint(&db, &folder);
    let error = positions(&folder).unwrap_err();
    assert!(matches!(&error, Error::NeedsComparator { comparator, .. } if comparator == "acme.Odd"), "{error}");
}

#[test]
fn positions_behind_merges_are_unreadable_and_other_merges_do_no_harm() {
    let (live, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut options = nebula_options();
    options.set_merge_operator_associative("acme.Merge", |_, _, operands| operands.iter().last().map(<[u8]>::to_vec));
    let db = DB::open(&options, live.path()).unwrap();
    db.merge(b"zzzz-elsewhere", b"x").unwrap();
    commit(&db, 1, 5, 1);
    let folder = host.path().join("a");
    unflushed_checkpoint(&db, &folder);
    assert_eq!(positions(&folder).unwrap(), [replica(1, 5, 1)]);
    db.merge(system_key(1, 1), [0; 16]).unwrap();
    let folder = host.path().join("b");
    unflushed_checkpoint(&db, &folder);
    assert!(matches!(positions(&folder), Err(Error::NeedsMergeOperator(_))));
}

#[test]
fn a_log_damaged_in_its_middle_is_not_passed_over() {
    let (live, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let db = DB::open(&nebula_options(), live.path()).unwrap();
    vertices(&db, 1, 2_000);
    commit(&db, 1, 4, 1);
    db.put(system_key(1, 1), [5_i64.to_le_bytes(), 1_i64.to_le_bytes()].concat()).unwrap();
    let folder = host.path().join("db");
    unflushed_checkpoint(&db, &folder);
    let log = folder.read_dir().unwrap().map(|item| item.unwrap().path());
    let log = log.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let log = log.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&log).unwrap();
    let whole = bytes.clone();
    bytes[50_000] ^= 0xff;
    std::fs::remove_file(&log).unwrap();
    std::fs::write(&log, &bytes).unwrap();
    let error = positions(&folder).unwrap_err();
    assert!(matches!(error, Error::RocksDb { .. }), "{error}");
    assert!(!error.to_string().contains("esker-open-"), "{error}");
    std::fs::write(&log, &whole[..whole.len() - 3]).unwrap();
    assert_eq!(positions(&folder).unwrap(), [replica(1, 4, 1)], "a torn tail ends the log before its last record");
}

#[test]
fn an_engine_in_another_order_is_not_taken_for_one_without_positions() {
    let (live, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_comparator("rocksdb.ReverseBytewiseComparator", Box::new(|left, right| right.cmp(left)));
    let db = DB::open(&options, live.path()).unwrap();
    commit(&db, 1, 5, 1);
    let folder = host.path().join("db");
    flushed_checkpoint(&db, &folder);
    assert!(matches!(positions(&folder), Err(Error::NotNebula(_))));
}

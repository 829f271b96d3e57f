//! Engines found, named and split from the rest.

use std::path::Path;

use esker_cluster::{Error, FileKind, LeftOutReason, OptionsFile, Root, Warning, manifest_facts, survey, walk};
use rocksdb::{ColumnFamilyDescriptor, DB, MergeOperands, Options};

use crate::samples::{flushed_checkpoint, only_engine, small_checkpoint, surveyed, unflushed_checkpoint};

#[test]
fn a_checkpoint_is_an_engine_and_all_else_is_bytes() {
    let host = tempfile::tempdir().unwrap();
    let folder = host.path().join("data0/nebula/12/checkpoints/BACKUP_1/data");
    small_checkpoint(&folder);
    let wal = host.path().join("data0/nebula/12/checkpoints/BACKUP_1/wal/1");
    std::fs::create_dir_all(&wal).unwrap();
    std::fs::write(wal.join("0000000000000000001.wal"), b"").unwrap();
    std::fs::write(folder.join("notes.txt"), b"").unwrap();
    std::os::unix::fs::symlink("x", folder.join("link")).unwrap();
    let (root, survey) = surveyed(host.path());
    let [engine] = survey.engines.as_slice() else { panic!("one engine") };
    assert_eq!(engine.path, b"data0/nebula/12/checkpoints/BACKUP_1/data");
    assert_eq!(engine.identity.space.as_deref(), Some("12"));
    assert_eq!(engine.identity.data_path, "data0");
    let kinds: Vec<FileKind> = engine.files.iter().map(|file| file.kind).collect();
    for kind in [FileKind::Current, FileKind::Manifest, FileKind::Options, FileKind::Table, FileKind::Other] {
        assert!(kinds.contains(&kind), "{kind:?}");
    }
    assert!(survey.loose.iter().any(|entry| entry.path.ends_with(b".wal")));
    assert!(survey.loose.iter().any(|entry| entry.path.ends_with(b"/link")));
    assert_eq!(survey.loose.len() + engine.files.len(), walk(&root).unwrap().len());
    assert!(survey.warnings.is_empty() && survey.left_out.is_empty());
}

#[test]
fn what_belongs_to_a_running_database_is_left_out_and_counted_only_in_engines() {
    let host = tempfile::tempdir().unwrap();
    small_checkpoint(&host.path().join("db"));
    let names = ["LOCK", "LOG", "LOG.old.1", "000009.dbtmp", "000008.sst.trash", "archive/1.log", "lost/2.sst", "LOGBOOK"];
    for name in names {
        for folder in ["db", "plain"] {
            let path = host.path().join(folder).join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"12345").unwrap();
        }
    }
    std::fs::create_dir_all(host.path().join("db/archive/deep/deeper")).unwrap();
    std::fs::write(host.path().join("db/archive/deep/deeper/x"), b"1").unwrap();
    let (_, survey) = surveyed(host.path());
    let counts: Vec<_> = survey.left_out.iter().map(|(reason, count)| (*reason, count.files, count.bytes)).collect();
    let expected = [
        (LeftOutReason::Lock, 1, 5),
        (LeftOutReason::Log, 2, 10),
        (LeftOutReason::Unfinished, 1, 5),
        (LeftOutReason::Trash, 1, 5),
        (LeftOutReason::Archive, 2, 6),
        (LeftOutReason::Lost, 1, 5),
    ];
    assert_eq!(counts, expected);
    for name in names {
        let kept = format!("plain/{name}");
        assert!(survey.loose.iter().any(|entry| entry.path == kept.as_bytes()), "{kept}");
    }
    assert!(survey.engines[0].files.iter().any(|file| file.entry.path == b"db/LOGBOOK"));
}

#[test]
fn a_current_that_names_nothing_is_damage() {
    let host = tempfile::tempdir().unwrap();
    small_checkpoint(&host.path().join("db"));
    let current = host.path().join("db/CURRENT");
    for (text, words) in [("MANIFEST-999999\n", "not there"), ("MANIFEST-000005", "reads"), ("", "reads"), ("junk\n", "reads")] {
        std::fs::write(&current, text).unwrap();
        let root = Root::open(host.path()).unwrap();
        let error = survey(&root, walk(&root).unwrap()).unwrap_err();
        assert!(matches!(error, Error::BadCurrent { .. }));
        assert!(error.to_string().contains("db/CURRENT") && error.to_string().contains(words), "{error}");
    }
}

#[test]
fn staging_folders_and_half_engines_are_named() {
    let host = tempfile::tempdir().unwrap();
    small_checkpoint(&host.path().join("half"));
    std::fs::remove_file(host.path().join("half/CURRENT")).unwrap();
    small_checkpoint(&host.path().join("day01.tmp"));
    std::fs::remove_file(host.path().join("day01.tmp/CURRENT")).unwrap();
    let (_, survey) = surveyed(host.path());
    let staging = Warning::StagingFolder { path: b"day01.tmp".to_vec() };
    assert_eq!(survey.warnings, [staging, Warning::NoCurrent { path: b"half".to_vec() }]);
    assert!(survey.engines.is_empty() && !survey.loose.is_empty());
}

#[test]
fn two_checkpoints_of_one_engine_stay_apart_and_are_named() {
    let host = tempfile::tempdir().unwrap();
    for name in ["A", "B"] {
        small_checkpoint(&host.path().join(format!("d/nebula/3/checkpoints/{name}/data")));
    }
    let (_, survey) = surveyed(host.path());
    let paths: Vec<_> = survey.engines.iter().map(|engine| engine.identity.data_path.clone()).collect();
    assert_eq!(paths, ["d/nebula/3/checkpoints/A/data", "d/nebula/3/checkpoints/B/data"]);
    assert!(matches!(survey.warnings.as_slice(), [Warning::SameEngine { paths }] if paths.len() == 2));
}

#[test]
fn a_space_given_by_name_goes_to_engines_that_tell_none() {
    let host = tempfile::tempdir().unwrap();
    small_checkpoint(&host.path().join("nebula/5/data"));
    small_checkpoint(&host.path().join("other"));
    let (_, mut survey) = surveyed(host.path());
    survey.name_space("people");
    let spaces: Vec<_> = survey.engines.iter().map(|engine| engine.identity.space.clone().unwrap()).collect();
    assert_eq!(spaces, ["5", "people"]);
}

#[test]
fn the_root_itself_may_be_an_engine_and_an_empty_one_too() {
    let host = tempfile::tempdir().unwrap();
    let live = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.create_if_missing(true);
    let db = DB::open(&options, live.path()).unwrap();
    let folder = host.path().join("day00");
    unflushed_checkpoint(&db, &folder);
    let (root, engine) = only_engine(&folder);
    assert_eq!((engine.path.as_slice(), engine.identity.data_path.as_str()), (&b""[..], "."));
    let facts = manifest_facts(&root, &engine).unwrap();
    assert_eq!(facts.comparator.as_deref(), Some("leveldb.BytewiseComparator"));
    assert_eq!(facts.column_families.len(), 1);
}

#[test]
fn facts_come_from_the_manifest_and_the_newest_options() {
    let host = tempfile::tempdir().unwrap();
    let folder = host.path().join("db");
    odd_checkpoint(&folder);
    let (root, engine) = only_engine(host.path());
    let mut facts = manifest_facts(&root, &engine).unwrap();
    facts.add_options(&OptionsFile::newest(&root, &engine).unwrap());
    facts.add_format_version(5);
    facts.add_format_version(2);
    assert_eq!(facts.max_format_version, Some(5));
    assert_eq!(facts.comparator.as_deref(), Some("leveldb.BytewiseComparator"));
    let families = facts.column_families.iter();
    let families: Vec<_> =
        families.map(|family| (family.name.as_str(), family.comparator.as_deref().unwrap(), family.merge_operator.as_deref())).collect();
    let expected = [
        ("default", "leveldb.BytewiseComparator", None),
        ("back", "rocksdb.ReverseBytewiseComparator", None),
        ("sum", "leveldb.BytewiseComparator", Some("test.Append")),
    ];
    assert_eq!(families, expected);
    assert_eq!(facts.db_id.as_ref().map(String::len), Some(36));
    std::fs::remove_file(options_file(&folder)).unwrap();
    let (root, engine) = only_engine(host.path());
    assert_eq!(OptionsFile::newest(&root, &engine).unwrap(), OptionsFile::default());
    assert_eq!(manifest_facts(&root, &engine).unwrap().column_families.len(), 3);
}

#[test]
fn absolute_paths_in_options_are_named_and_the_file_stays_as_it_is() {
    let host = tempfile::tempdir().unwrap();
    let (live, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_wal_dir(logs.path());
    let db = DB::open(&options, live.path()).unwrap();
    db.put(b"k", b"v").unwrap();
    flushed_checkpoint(&db, &host.path().join("db"));
    let (root, engine) = only_engine(host.path());
    let found = OptionsFile::newest(&root, &engine).unwrap().foreign_paths;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].option.as_str(), Path::new(&found[0].value)), ("wal_dir", logs.path()));
}

fn options_file(folder: &Path) -> std::path::PathBuf {
    let mut files = folder.read_dir().unwrap().map(|item| item.unwrap().path());
    files.find(|path| path.file_name().unwrap().to_string_lossy().starts_with("OPTIONS")).unwrap()
}

/// An engine with a family in reverse order, one with merges, and one that was dropped.
pub fn odd_checkpoint(folder: &Path) {
    let live = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let mut back = Options::default();
    back.set_comparator("rocksdb.ReverseBytewiseComparator", Box::new(|left, right| right.cmp(left)));
    let mut sum = Options::default();
    sum.set_merge_operator_associative("test.Append", |_, base: Option<&[u8]>, operands: &MergeOperands| {
        Some(base.into_iter().chain(operands).flatten().copied().collect())
    });
    let families = [("default", Options::default()), ("back", back), ("gone", Options::default()), ("sum", sum)];
    let families = families.map(|(name, options)| ColumnFamilyDescriptor::new(name, options));
    let mut db = DB::open_cf_descriptors(&options, live.path(), families).unwrap();
    db.drop_cf("gone").unwrap();
    for number in 0..100_u32 {
        let key = number.to_be_bytes();
        db.put(key, b"v").unwrap();
        db.put_cf(db.cf_handle("back").unwrap(), key, b"v").unwrap();
        db.merge_cf(db.cf_handle("sum").unwrap(), b"total", b"x").unwrap();
        if number == 50 {
            db.flush_cf(db.cf_handle("sum").unwrap()).unwrap();
        }
    }
    unflushed_checkpoint(&db, folder);
}

//! What keeps people from losing their last good copy: verified backups, holds, stores that refuse to delete, alarms.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use esker_ops::OpsError;
use esker_ops::audit::{AuditRequest, audit};
use esker_ops::prune::{PruneRequest, prune};
use esker_repo::listing::Listing;
use esker_testkit::faulty_store::FaultyStore;

use crate::kit::{Esker, Shelf, assert_restored, host, job, names, noise};

/// A repository with backups `day0` to `day2` of a folder that changes a little.
fn three_days() -> (Esker, PathBuf) {
    let esker = Esker::plain(&[]);
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("always"), noise(1, 2 << 20)).unwrap();
    for day in 0..3 {
        fs::write(source.join(format!("day{day}")), noise(10 + day, 1000)).unwrap();
        backup(&esker, &source, &format!("day{day}"));
    }
    (esker, source)
}

#[track_caller]
fn backup(esker: &Esker, source: &Path, label: &str) -> Vec<String> {
    let report = esker.json(&["backup", "--host", &host("h", source), "--label", label], 4);
    report["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_last_verified_backup_stays_whatever_the_policy_until_another_is_verified() {
    let (esker, source) = three_days();
    esker.run(&["fsck", "day0", "--level", "files"]).exits(0);
    let report = esker.json(&["forget", "--keep-last", "1"], 0);
    assert_eq!(names(&report["forgotten"], "label"), ["day1"]);
    let kept = report["kept"].as_array().unwrap();
    assert!(kept.iter().any(|line| line["label"] == "day0" && line["reasons"][0] == "last verified"), "{report}");
    esker.run(&["prune"]).exits(0);
    esker.run(&["fsck", "--level", "files"]).exits(0);
    // All that stand are verified now.
    backup(&esker, &source, "day3");
    esker.run(&["fsck", "day3", "--level", "files"]).exits(0);
    let report = esker.json(&["forget", "--keep-last", "1"], 0);
    assert_eq!(names(&report["forgotten"], "label"), ["day2", "day0"]);
}

#[test]
fn the_last_verified_backup_goes_by_name_only_with_force() {
    let (esker, _) = three_days();
    // A check that reads less proves less.
    esker.run(&["fsck", "day2", "--level", "data"]).exits(0);
    esker.run(&["forget", "day2"]).exits(0);
    esker.run(&["fsck", "day0", "--level", "files"]).exits(0);
    esker.run(&["forget", "day0"]).exits(2).says("the last backup of cluster default that was verified").says("--force");
    esker.run(&["forget", "day0", "day1"]).exits(2);
    assert_eq!(esker.labels(), ["day0", "day1"]);
    esker.run(&["forget", "--force"]).exits(2);
    esker.run(&["forget", "day0", "--force"]).exits(0);
    assert_eq!(esker.labels(), ["day1"]);
}

#[test]
fn what_is_held_outlives_every_policy_and_prune() {
    let (esker, source) = three_days();
    fs::remove_file(source.join("always")).unwrap();
    esker.run(&["forget", "day0", "--hold"]).exits(0);
    backup(&esker, &source, "day3");
    esker.run(&["forget", "--keep-last", "1"]).exits(0);
    esker.run(&["forget", "day0", "--force"]).exits(2).says("is held");
    esker.run(&["prune"]).exits(0);
    assert_eq!(esker.labels(), ["day0", "day3"]);
    let target = esker.path("t");
    esker.run(&["restore", "day0", "--target", target.to_str().unwrap()]).exits(0);
    assert_eq!(fs::read(target.join("h/always")).unwrap(), noise(1, 2 << 20));
    esker.run(&["fsck", "--level", "files"]).exits(0);
}

#[test]
fn credentials_that_cannot_overwrite_or_delete_suffice_for_all_but_forget_and_prune() {
    let first = Shelf::new(None, 1_800_000_000_000);
    let source = first.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), noise(1, 5000)).unwrap();
    let store = FaultyStore::new(Arc::clone(&first.store));
    store.plan().append_only();
    let shelf = Shelf::over(Arc::new(store), None, Arc::clone(&first.environment));
    for label in ["one", "two"] {
        shelf.environment.clock.advance_ms(1000);
        fs::write(source.join(label), noise(2, 3000)).unwrap();
        shelf.backup(label, &source).unwrap();
    }
    assert_eq!(shelf.damage(), Vec::<String>::new());
    let remembered = esker_ops::fsck::FsckRequest {
        backup: None,
        level: esker_format::verification::Level::Files,
        sample_percent: 100,
        time_limit: None,
        scratch: None,
        remember: true,
    };
    assert!(esker_ops::fsck::fsck(&shelf.open(), &remembered, &job()).unwrap().protected);
    shelf.restore("two", &shelf.path("t")).unwrap();
    assert_restored(&source, &shelf.path("t").join("h"), &[]);
    // Each left its record, and nothing stands without one.
    let log = audit(&shelf.open(), &AuditRequest::default(), &job()).unwrap();
    assert!(!log.is_damaged(), "{:?}", log.findings);
    assert_eq!(log.entries.iter().map(|entry| entry.event).collect::<Vec<_>>(), ["init", "backup", "backup", "verification"]);
    // With rights to delete somebody forgets; without, a prune does not even say what it would like to delete.
    let names = vec!["one".to_owned()];
    esker_ops::forget::forget(&first.open(), &esker_ops::forget::ForgetRequest { names, ..Default::default() }).unwrap();
    fs::remove_file(source.join("one")).unwrap();
    shelf.environment.clock.advance_ms(1000);
    shelf.backup("three", &source).unwrap();
    let two = vec!["two".to_owned()];
    let force = true;
    esker_ops::forget::forget(&first.open(), &esker_ops::forget::ForgetRequest { names: two, force, ..Default::default() }).unwrap();
    let error = prune(&shelf.open(), &PruneRequest::default(), &job()).unwrap_err();
    assert!(matches!(error, OpsError::Repository(_)) && error.to_string().contains("deletes are refused"), "{error}");
    assert!(Listing::read(first.open().store()).unwrap().doomed.is_empty());
    prune(&first.open(), &PruneRequest::default(), &job()).unwrap();
    assert_eq!(first.damage(), Vec::<String>::new());
}

#[test]
fn a_backup_that_shrank_or_is_all_new_says_so() {
    let (esker, source) = three_days();
    let named = |warnings: &[String], words: &str| warnings.iter().any(|warning| warning.contains(words));
    let quiet = backup(&esker, &source, "quiet");
    assert!(!named(&quiet, "shrank") && !named(&quiet, "had") && !named(&quiet, "was known"), "{quiet:?}");
    fs::write(source.join("always"), noise(99, 2 << 20)).unwrap();
    let all_new = backup(&esker, &source, "new");
    assert!(named(&all_new, "almost nothing of this backup was known, although backup quiet"), "{all_new:?}");
    fs::remove_file(source.join("always")).unwrap();
    let shrunk = backup(&esker, &source, "shrunk");
    assert!(named(&shrunk, "host h has 3000 bytes where backup new had"), "{shrunk:?}");
    let shown = esker.json(&["show", "shrunk"], 0);
    assert!(shown["warning_texts"].as_array().unwrap().iter().any(|text| text.as_str().unwrap().contains("was data dropped")));
}

//! Data packs in cold storage: cheap to keep, slow to read. The bucket refuses to read them until they were asked for.

use std::fs;
use std::path::{Path, PathBuf};

use esker_testkit::server::bucket::{Bucket, BucketRules};
use esker_testkit::server::garage::{BUCKET, Garage};
use esker_testkit::tree::assert_same_tree;
use serde_json::Value;

use crate::kit::{Esker, host, noise};

/// A bucket with a repository of small packs, and a folder of noise that was backed up into cold storage.
fn cold_backup(bucket: &Bucket) -> (Esker, PathBuf) {
    let esker = Esker::in_store("s3://b/cold", bucket.s3_variables());
    let sizes = ["--pack-size", "131072", "--chunk-min", "16384", "--chunk-avg", "65536", "--chunk-max", "131072"];
    esker.run(&[&["init"][..], &sizes].concat()).exits(0);
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    for file in 0..3 {
        fs::write(source.join(format!("file{file}")), noise(file, 400_000)).unwrap();
    }
    backup(&esker, "cold", &source);
    (esker, source)
}

fn backup(esker: &Esker, label: &str, source: &Path) {
    // No engine is in the folder: that is a warning.
    esker.run(&["backup", "--label", label, "--storage-class", "DEEP_ARCHIVE", "--host", &host("h", source)]).exits(4);
}

fn restore(esker: &Esker, target: &str, more: &[&str]) -> crate::kit::Run {
    let target = esker.path(target).display().to_string();
    esker.run(&[&["restore", "cold", "--target", &target], more].concat())
}

/// Data packs, and how many of them were asked for so far.
fn packs_and_thaws(bucket: &Bucket) -> (usize, usize) {
    let packs = bucket.objects().iter().filter(|(name, _)| name.contains("packs/data/")).count();
    (packs, bucket.journal().iter().filter(|line| line.starts_with("POST ")).count())
}

#[test]
fn only_data_packs_are_cold_and_all_else_works_without_them() {
    let bucket = Bucket::start(BucketRules::default());
    let (esker, source) = cold_backup(&bucket);
    for (name, class) in bucket.objects() {
        assert_eq!(class, if name.contains("packs/data/") { "DEEP_ARCHIVE" } else { "" }, "{name}");
    }
    assert_eq!(esker.labels(), ["cold"]);
    esker.run(&["ls", "cold"]).exits(0);
    let checked = esker.json(&["fsck", "--level", "structure"], 0);
    assert!(checked["findings"][0]["what"].as_str().unwrap().contains("are in cold storage"), "{checked}");
    esker.run(&["fsck", "--level", "files"]).exits(1).says("--level structure is as deep as fsck can look");
    // What is known already is not read to store it again.
    fs::write(source.join("new"), "new").unwrap();
    backup(&esker, "second", &source);
    assert_eq!(packs_and_thaws(&bucket).1, 0);
    esker.run(&["dump", "cold", "file0"]).exits(1).says("is in cold storage");
}

#[test]
fn a_restore_asks_for_what_it_needs_and_goes_on_once_that_is_thawed() {
    let bucket = Bucket::start(BucketRules { thaw_polls: 1, ..BucketRules::default() });
    let (esker, source) = cold_backup(&bucket);
    let (packs, _) = packs_and_thaws(&bucket);
    assert!(packs > 5);
    let would = restore(&esker, "out", &["-n", "--json"]).exits(0).says("must thaw").json();
    assert_eq!((would["cold"].as_array().unwrap().len(), packs_and_thaws(&bucket).1), (packs, 0), "{would}");

    let asked = restore(&esker, "out", &["--json"]).exits(1).says("must thaw").says("run the same command again");
    let lines = asked.json_lines();
    assert_eq!(lines[0]["thawing"].as_array().unwrap().len(), packs, "{lines:?}");
    assert_eq!(packs_and_thaws(&bucket), (packs, packs));
    restore(&esker, "out", &[]).exits(1).says("thawing already");
    assert_eq!(packs_and_thaws(&bucket), (packs, packs), "nothing is asked for twice");
    restore(&esker, "out", &[]).exits(0);
    assert_same_tree(&source, &esker.path("out/h"), &[]);
    esker.run(&["fsck", "--level", "files"]).exits(0);
}

#[test]
fn a_restore_waits_if_it_is_told_to() {
    let bucket = Bucket::start(BucketRules { thaw_polls: 2, ..BucketRules::default() });
    let (esker, source) = cold_backup(&bucket);
    let restored = restore(&esker, "out", &["--wait-for-thaw", "--thaw-tier", "bulk", "--json"]).exits(0).json();
    assert_eq!(restored["cold"][0]["state"], "cold", "{restored}");
    assert_same_tree(&source, &esker.path("out/h"), &[]);
}

#[test]
fn a_part_of_a_backup_thaws_only_what_it_needs() {
    let bucket = Bucket::start(BucketRules::default());
    let (esker, source) = cold_backup(&bucket);
    restore(&esker, "out", &["--path", "file1", "--wait-for-thaw"]).exits(0);
    assert_eq!(fs::read(esker.path("out/h/file1")).unwrap(), fs::read(source.join("file1")).unwrap());
    let (packs, thaws) = packs_and_thaws(&bucket);
    // Files are read at once and may share packs, but not all with the last one.
    assert!(thaws > 0 && thaws < packs, "{thaws} of {packs}");
}

#[test]
fn a_partial_restore_asks_for_what_is_left_and_names_what_is_lost() {
    let bucket = Bucket::start(BucketRules { thaw_polls: 1, ..BucketRules::default() });
    let (esker, source) = cold_backup(&bucket);
    let (packs, _) = packs_and_thaws(&bucket);
    let lost = bucket.objects().into_iter().map(|(name, _)| name).find(|name| name.contains("packs/data/")).unwrap();
    bucket.lose(&lost);
    restore(&esker, "out", &["--wait-for-thaw"]).exits(3).says("no pack in the store holds it");
    assert_eq!(packs_and_thaws(&bucket).1, 0, "what cannot be restored whole is not paid for");

    let asked = restore(&esker, "out", &["--partial", "--json"]).exits(1).says("must thaw").says("is lost, whatever thaws");
    let said = asked.json_lines();
    let files: Vec<String> = said[0]["lost"].as_array().unwrap().iter().map(|file| file.as_str().unwrap().to_owned()).collect();
    assert!((1..3).contains(&files.len()), "{said:?}");
    assert_eq!(said[0]["thawing"].as_array().unwrap().len(), packs_and_thaws(&bucket).1);
    assert!(packs_and_thaws(&bucket).1 < packs);

    let report = restore(&esker, "out", &["--partial", "--wait-for-thaw", "--json"]).exits(4).json();
    let missing: Vec<String> = crate::kit::names(&report["missing"], "path").iter().map(|path| format!("h/{path}")).collect();
    assert_eq!(missing, files);
    for file in ["file0", "file1", "file2"].iter().filter(|file| !files.contains(&format!("h/{file}"))) {
        assert_eq!(fs::read(esker.path("out/h").join(file)).unwrap(), fs::read(source.join(file)).unwrap());
    }
    for file in &files {
        assert!(!esker.path("out").join(file).exists(), "{file}");
        assert!(fs::read_to_string(esker.path("out/.esker-missing")).unwrap().contains(file));
    }
}

#[test]
fn packs_that_a_rule_of_the_bucket_made_cold_are_found_too() {
    let bucket = Bucket::start(BucketRules::default());
    let esker = Esker::in_store("s3://b/x", bucket.s3_variables());
    esker.run(&["init"]).exits(0);
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), noise(1, 100_000)).unwrap();
    esker.run(&["backup", "--label", "cold", "--host", &host("h", &source)]).exits(4);
    assert!(bucket.objects().iter().all(|(_, class)| class.is_empty()));
    bucket.move_to_class("x/packs/data/", "GLACIER");
    restore(&esker, "out", &["--wait-for-thaw"]).exits(0).says("is in GLACIER: must thaw");
    assert_same_tree(&source, &esker.path("out/h"), &[]);
}

#[test]
fn a_store_without_storage_classes_is_told_so_by_name() {
    let garage = Garage::shared();
    let esker = Esker::in_store(&format!("s3://{BUCKET}/classes"), garage.variables());
    esker.run(&["init"]).exits(0);
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), noise(1, 100_000)).unwrap();
    let here = host("h", &source);
    esker.run(&["backup", "--storage-class", "GLACIER", "--host", &here]).exits(2).says("has no storage class GLACIER");
    assert_eq!(esker.json(&["list"], 0)["backups"], Value::Array(Vec::new()));
    let folder = Esker::plain(&[]);
    folder.run(&["backup", "--storage-class", "GLACIER", "--host", &here]).exits(2).says("store options are for");
    let mut google = Esker::in_store("gs://b/x", vec![("GOOGLE_BEARER_TOKEN".into(), "token".into())]);
    google.options = vec!["storage_class=ARCHIVE".into()];
    google.run(&["list"]).exits(2).says("storage_class is for s3:// only");
}

//! Buckets that let nobody delete: with versions and object lock, where a deletion only hides; with a period of retention,
//! where it is refused until the period is over.

use std::fs;
use std::path::{Path, PathBuf};

use esker_testkit::server::bucket::{Bucket, BucketRules};
use serde_json::Value;

use crate::kit::{Esker, assert_restored, host, names, noise, number};

const UNTIL: &str = "2031-05-01T00:00:00Z";

/// A repository with backups `day0` and `day1` of a file that is another one on the second day.
fn two_days(bucket: &Bucket, place: &str) -> (Esker, PathBuf) {
    let esker = Esker::in_store(place, bucket.s3_variables());
    esker.run(&["init"]).exits(0);
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    for day in 0..2 {
        back_up(&esker, &source, day);
    }
    (esker, source)
}

#[track_caller]
fn back_up(esker: &Esker, source: &Path, day: u64) {
    fs::write(source.join("file"), noise(day, 2 << 20)).unwrap();
    esker.run(&["backup", "--host", &host("h", source), "--label", &format!("day{day}")]).exits(4);
}

#[track_caller]
fn restores(esker: &Esker, label: &str, source: &Path) {
    let target = esker.path(&format!("restored {label}"));
    let _ = fs::remove_dir_all(&target);
    esker.run(&["restore", label, "--target", target.to_str().unwrap()]).exits(0);
    assert_restored(source, &target.join("h"), &[]);
}

fn packs(bucket: &Bucket) -> usize {
    bucket.objects().iter().filter(|(name, _)| name.contains("/packs/") || name.starts_with("packs/")).count()
}

#[test]
fn in_a_bucket_with_versions_and_object_lock_all_works_and_what_is_deleted_can_be_brought_back() {
    let rules = BucketRules { keeps_versions: true, locked_until: Some(UNTIL.into()), ..BucketRules::default() };
    let bucket = Bucket::start(rules);
    let (esker, source) = two_days(&bucket, "s3://b/locked");
    esker.run(&["forget", "day0"]).exits(0);
    let before = packs(&bucket);
    let pruned = esker.json(&["prune"], 0);
    assert!(number(&pruned, "deleted_bytes") > 2 << 20 && pruned["refused"] == Value::Array(Vec::new()), "{pruned}");
    assert!(packs(&bucket) < before);
    assert!(bucket.hidden().iter().any(|name| name.contains("packs/data/")), "the bucket keeps it all the same");
    esker.run(&["fsck", "--level", "files"]).exits(0);
    esker.run(&["audit"]).exits(0);
    back_up(&esker, &source, 2);
    restores(&esker, "day2", &source);
    // The rule that deletes what is hidden leaves alone what is locked; a later one does not.
    let hidden = bucket.hidden().len();
    bucket.expire_hidden();
    assert_eq!(bucket.hidden().len(), hidden);

    // Somebody with all rights of the bucket's users deletes everything.
    let everything = names_of(&bucket);
    let thief = Esker::in_store("s3://b/locked", bucket.s3_variables());
    let repository = thief_opens(&bucket);
    everything.iter().for_each(|name| repository.delete(name.strip_prefix("locked/").unwrap()).unwrap());
    thief.run(&["list"]).exits(1);
    // Its owner takes the markers away: what was forgotten and pruned is back as well, and goes again.
    bucket.undelete();
    let listed = esker.json(&["list"], 0);
    assert_eq!(names(&listed["backups"], "label"), ["day0", "day1", "day2"]);
    restores(&esker, "day2", &source);
    esker.run(&["fsck", "--level", "files"]).exits(0);
    esker.run(&["audit"]).exits(0);
    esker.run(&["forget", "day0"]).exits(0);
    esker.run(&["prune"]).exits(0);
    esker.run(&["fsck", "--level", "files"]).exits(0);
    assert_eq!(esker.labels(), ["day1", "day2"]);
}

#[test]
fn packs_that_are_locked_are_named_with_their_end_and_go_with_the_prune_after_it() {
    let bucket = Bucket::start(BucketRules::default());
    let (esker, source) = two_days(&bucket, "s3://b/retained");
    esker.run(&["forget", "day0"]).exits(0);
    bucket.lock("retained/packs/", Some(UNTIL));
    let before = packs(&bucket);
    esker.run(&["prune"]).exits(4).says("cannot delete packs/").says(&format!("locked until {UNTIL}"));
    let pruned = esker.json(&["prune"], 4);
    let refused = pruned["refused"].as_array().unwrap();
    assert!(refused.iter().any(|refused| refused["object"].as_str().unwrap().starts_with("packs/")), "{pruned}");
    assert_eq!((packs(&bucket), pruned["packs"].as_array().unwrap().len()), (before, 0), "{pruned}");
    // Nothing is lost, and nobody relies on what is to go.
    esker.run(&["fsck", "--level", "files"]).exits(0);
    restores(&esker, "day1", &source);
    back_up(&esker, &source, 0);
    restores(&esker, "day0", &source);
    bucket.lock("retained/", None);
    let pruned = esker.json(&["prune"], 0);
    assert!(number(&pruned, "deleted_bytes") > 2 << 20, "{pruned}");
    esker.run(&["fsck", "--level", "files"]).exits(0);
    assert!(!bucket.objects().iter().any(|(name, _)| name.contains("/doomed/")));
    restores(&esker, "day0", &source);
    esker.run(&["audit"]).exits(0);
}

#[test]
fn where_all_is_locked_from_its_writing_on_forget_says_until_when_and_prune_deletes_what_is_old() {
    let bucket = Bucket::start(BucketRules { locked_until: Some(UNTIL.into()), ..BucketRules::default() });
    let (esker, source) = two_days(&bucket, "s3://b/immutable");
    esker.run(&["forget", "day0"]).exits(1).says("cannot delete manifests/").says(UNTIL);
    assert_eq!(esker.labels(), ["day0", "day1"]);
    // The period of all that stands is over; what is written from now on is locked again.
    bucket.lock("immutable/", None);
    esker.run(&["forget", "day0"]).exits(0);
    let pruned = esker.json(&["prune"], 4);
    assert!(number(&pruned, "deleted_bytes") > 2 << 20, "{pruned}");
    let refused = names(&pruned["refused"], "object");
    assert!(refused.iter().all(|object| object.starts_with("doomed/")), "{pruned}");
    esker.run(&["fsck", "--level", "files"]).exits(0);
    back_up(&esker, &source, 2);
    restores(&esker, "day2", &source);
    bucket.lock("immutable/", None);
    esker.run(&["prune"]).exits(0);
    assert!(!bucket.objects().iter().any(|(name, _)| name.contains("/doomed/")));
    esker.run(&["fsck", "--level", "files"]).exits(0);
}

#[test]
fn index_segments_that_are_locked_keep_the_packs_that_they_name() {
    let bucket = Bucket::start(BucketRules::default());
    let (esker, source) = two_days(&bucket, "s3://b/segments");
    esker.run(&["forget", "day0"]).exits(0);
    bucket.lock("segments/index/", Some(UNTIL));
    let before = packs(&bucket);
    let pruned = esker.json(&["prune"], 4);
    assert_eq!(packs(&bucket), before, "{pruned}");
    assert!(names(&pruned["refused"], "object").iter().any(|object| object.starts_with("index/")), "{pruned}");
    esker.run(&["fsck", "--level", "files"]).exits(0);
    restores(&esker, "day1", &source);
    bucket.lock("segments/", None);
    esker.run(&["prune"]).exits(0);
    assert!(packs(&bucket) < before);
    esker.run(&["fsck", "--level", "files"]).exits(0);
    restores(&esker, "day1", &source);
}

fn names_of(bucket: &Bucket) -> Vec<String> {
    bucket.objects().into_iter().map(|(name, _)| name).collect()
}

/// The store as somebody who found the credentials opens it.
fn thief_opens(bucket: &Bucket) -> esker_repo::Store {
    let variables = bucket.s3_variables().into_iter().collect();
    let opening = esker_repo::StoreOpening {
        options: esker_repo::StoreOptions::default(),
        variables,
        create: false,
        tell: std::sync::Arc::new(|_| {}),
    };
    esker_repo::Store::open("s3://b/locked", &opening).unwrap()
}

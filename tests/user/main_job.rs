//! The main job: a cluster is backed up, day after day, and every day comes back exactly.

use std::fs;
use std::path::Path;

use esker_testkit::cluster::host_name;
use serde_json::Value;

use crate::kit::{Esker, Host, assert_restored, host, id_of, noise, number, small_engine};

#[track_caller]
fn back_up(esker: &Esker, day: &Path, label: &str) -> Value {
    let hosts = Host::arguments(day);
    let mut args = vec!["backup", "--label", label, "--reread-share", "0"];
    args.extend(hosts.iter().map(String::as_str));
    esker.json(&args, 0)
}

#[track_caller]
fn restores_exactly(esker: &Esker, backup: &str, day: &Path, target: &str) {
    let target = esker.path(target);
    esker.run(&["restore", backup, "--target", target.to_str().unwrap()]).exits(0);
    for number in 0..3 {
        assert_restored(&day.join(host_name(number)), &target.join(host_name(number)), &[]);
    }
}

#[test]
fn three_hosts_two_spaces_and_two_incrementals_come_back_to_the_byte() {
    let esker = Esker::encrypted();
    let days = Host::cluster(esker.folder(), 3, 6000);
    let reports: Vec<Value> = days.iter().enumerate().map(|(day, folder)| back_up(&esker, folder, &format!("day{day}"))).collect();
    assert_eq!((number(&reports[0], "engines"), number(&reports[0], "read_bytes")), (6, number(&reports[0], "bytes")));
    for report in &reports[1..] {
        assert!(number(report, "reused_bytes") > 0, "tables that did not change are not read: {report}");
        assert_eq!(number(report, "read_bytes") + number(report, "reused_bytes"), number(report, "bytes"));
        assert!(number(report, "stored_bytes") < number(&reports[0], "stored_bytes"));
    }
    for (day, folder) in days.iter().enumerate() {
        restores_exactly(&esker, &format!("day{day}"), folder, &format!("restored{day}"));
    }
    let checked = esker.json(&["fsck", "--level", "engine"], 0);
    assert_eq!((number(&checked, "backups"), number(&checked, "engines")), (3, 18));
    assert_eq!(checked["findings"].as_array().unwrap().len(), 0, "{checked}");
    let listed = esker.json(&["list"], 0);
    assert!(listed["backups"].as_array().unwrap().iter().all(|line| line["verified_level"] == "engine" && line["status"] == "ok"));
}

#[test]
fn where_raft_stood_is_read_from_every_replica() {
    let esker = Esker::encrypted();
    let days = Host::cluster(esker.folder(), 2, 2000);
    let report = back_up(&esker, &days[1], "day1");
    assert_eq!(number(&report, "partitions"), 8, "four partitions of two spaces");
    // The last host of the sample cluster applies the end of a day late, so its replicas are behind.
    assert!(!report["spread"].as_array().unwrap().is_empty());
    let shown = esker.json(&["show", "day1"], 0);
    let spread = shown["spread"].as_array().unwrap();
    assert_eq!(spread.len(), 8);
    for partition in spread {
        assert_eq!(number(partition, "replicas"), 3);
        assert!(number(partition, "commit_min") <= number(partition, "commit_max"));
    }
    let engine = &shown["tree"][0]["engines"][0];
    assert_eq!((&engine["space"], &engine["data_path"]), (&"1".into(), &"data0".into()));
    assert!(engine["replicas"][0]["wal_last_id"].as_u64() >= engine["replicas"][0]["commit_id"].as_u64());
}

#[test]
fn forgetting_one_backup_leaves_the_others_whole() {
    let esker = Esker::encrypted();
    let days = Host::cluster(esker.folder(), 3, 2000);
    days.iter().enumerate().for_each(|(day, folder)| drop(back_up(&esker, folder, &format!("day{day}"))));
    esker.run(&["forget", "day0"]).exits(0);
    assert_eq!(esker.labels(), ["day1", "day2"]);
    esker.run(&["restore", "day0", "--target", esker.path("t").to_str().unwrap()]).exits(2).says("no backup is called");
    esker.run(&["fsck", "--level", "files"]).exits(0);
    restores_exactly(&esker, "day1", &days[1], "one");
    restores_exactly(&esker, "day2", &days[2], "two");
}

#[test]
fn what_forgetting_frees_is_what_stats_told() {
    let esker = Esker::encrypted();
    let days = Host::cluster(esker.folder(), 3, 2000);
    days.iter().enumerate().for_each(|(day, folder)| drop(back_up(&esker, folder, &format!("day{day}"))));
    let before = esker.json(&["stats"], 0);
    let lines = before["per_backup"].as_array().unwrap();
    for line in lines.iter().chain(before["per_host"].as_array().unwrap()) {
        assert_eq!(number(line, "unique_bytes") + number(line, "shared_bytes"), number(line, "stored_bytes"), "{line}");
    }
    let logical: u64 = lines.iter().map(|line| number(line, "logical_bytes")).sum();
    let listed = esker.json(&["list"], 0);
    let of_list: u64 = listed["backups"].as_array().unwrap().iter().map(|line| number(line, "bytes")).sum();
    assert_eq!((logical, logical), (of_list, number(&before, "logical_bytes")));
    let packs = [bytes_below(&esker.repo().join("packs/data")), bytes_below(&esker.repo().join("packs/meta"))];
    assert_eq!(packs[0], number(&before, "data_pack_bytes"));
    assert_eq!(packs[1] + bytes_below(&esker.repo().join("index")), number(&before, "meta_bytes"));
    let stored = packs[0] + number(&before, "meta_bytes");
    assert_eq!(number(&before, "needed_bytes") + number(&before, "unneeded_bytes"), stored);
    let one = esker.json(&["stats", "day1"], 0);
    assert_eq!(one["per_backup"][0], lines[1]);
    let unique = number(&lines[1], "unique_bytes");
    assert!(unique > 0);
    esker.run(&["forget", "day1"]).exits(0);
    let after = esker.json(&["stats"], 0);
    assert_eq!(number(&after, "unneeded_bytes") - number(&before, "unneeded_bytes"), unique);
}

fn bytes_below(folder: &Path) -> u64 {
    esker_testkit::tree::tree_bytes(folder)
}

#[test]
fn diff_tells_what_a_day_changed_and_that_nothing_did() {
    let esker = Esker::encrypted();
    let days = Host::cluster(esker.folder(), 2, 2000);
    back_up(&esker, &days[0], "day0");
    back_up(&esker, &days[1], "day1");
    back_up(&esker, &days[1], "again");
    let changed = esker.json(&["diff", "day0", "day1"], 0);
    let files = changed["files"].as_array().unwrap();
    let engines = changed["engines"].as_array().unwrap();
    for kind in ["added", "removed", "changed"] {
        let listed = files.iter().filter(|file| file["change"] == kind).count() as u64;
        assert_eq!(engines.iter().map(|engine| number(engine, kind)).sum::<u64>(), listed, "{kind}");
    }
    let is_new_table = |file: &&Value| file["change"] == "added" && file["path"].as_str().unwrap().ends_with(".sst");
    assert!(files.iter().any(|file| is_new_table(&file)), "the day's writes stand in new tables");
    assert!(number(&changed, "chunks_added") > 0);
    let back = esker.json(&["diff", "day1", "day0"], 0);
    assert_eq!(number(&back, "chunks_added"), number(&changed, "chunks_removed"));
    let same = esker.json(&["diff", "day1", "again"], 0);
    assert_eq!((same["files"].as_array().unwrap().len(), number(&same, "chunks_added")), (0, 0));
    assert!(esker.run(&["diff", "day1", "again"]).exits(0).text().contains("no file differs"));
    esker.run(&["diff", "day1", "yesterday"]).exits(2);
}

#[test]
fn a_cache_that_was_deleted_or_garbled_costs_nothing_but_time() {
    let esker = Esker::encrypted();
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    small_engine(&source.join("engine"), 300);
    fs::write(source.join("noise"), noise(1, 300_000)).unwrap();
    esker.run(&["backup", "--host", &host("h", &source), "--label", "one"]).exits(0);
    fs::remove_dir_all(esker.cache()).unwrap();
    let restore = |name: &str| {
        let target = esker.path(name);
        let run = esker.run(&["restore", "one", "--target", target.to_str().unwrap()]);
        (run, target.join("h"))
    };
    let (run, restored) = restore("without");
    run.exits(0);
    assert_restored(&source, &restored, &[]);
    for (seed, shorten) in [(1, true), (2, false)] {
        garble(&esker.cache(), seed, shorten);
        let (run, restored) = restore(&format!("garbled{seed}"));
        match run.code {
            Some(0) => assert_restored(&source, &restored, &[]),
            _ => drop(run.exits(1).says("cache")),
        }
        fs::remove_dir_all(esker.cache()).unwrap();
        esker.run(&["fsck", "--level", "files"]).exits(0);
    }
    esker.run(&["backup", "--host", &host("h", &source), "--label", "two"]).exits(0);
}

/// Damages every file of a cache.
fn garble(folder: &Path, seed: u64, shorten: bool) {
    for path in esker_testkit::tree::inventory(folder).into_keys().map(|name| folder.join(name)).filter(|path| path.is_file()) {
        let mut bytes = fs::read(&path).unwrap();
        let half = bytes.len() / 2;
        if shorten {
            bytes.truncate(half);
        } else if let Some(byte) = bytes.get_mut(half) {
            *byte ^= 1 << (seed % 8);
        }
        fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn an_encrypted_repository_shows_nothing_of_what_it_holds() {
    let esker = Esker::encrypted();
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    let marker = "what nobody else may read ".repeat(40);
    fs::write(source.join("telltale-name.txt"), &marker).unwrap();
    let report = esker.json(&["backup", "--host", &host("telltale-host", &source), "--label", "telltale-label"], 4);
    assert!(report["warnings"][0].as_str().unwrap().contains("no engine"), "{report}");
    assert_eq!(id_of(&report).len(), 64);
    for name in esker_testkit::tree::inventory(&esker.repo()).into_keys() {
        let path = esker.repo().join(&name);
        assert!(!name.to_string_lossy().contains("telltale"));
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            for secret in ["telltale", "nobody else"] {
                assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{} shows {secret}", name.display());
            }
        }
    }
}

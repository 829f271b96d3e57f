//! Tables that are stored as sorted runs, as their owner meets them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use esker_testkit::cluster::{checkpoint_dir, host_name};
use esker_testkit::tree::tree_bytes;
use rocksdb::{BottommostLevelCompaction, CompactOptions, DB, DBCompressionType, Options};
use serde_json::{Value, json};

use crate::kit::{Esker, Host, Shelf, assert_restored, checkpoint_of, comes_back, host, noise, number, small_engine};

#[track_caller]
fn back_up(esker: &Esker, folder: &Path, label: &str, more: &[&str]) -> Value {
    let host = host("h", folder);
    esker.json(&[&["backup", "--host", &host, "--label", label, "--reread-share", "0"], more].concat(), 0)
}

fn tables(folder: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".sst")).collect()
}

/// A live engine with `rounds` tables, which all have the same keys and other values.
fn live(folder: &Path, rounds: u64) -> DB {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_disable_auto_compactions(true);
    let db = DB::open(&options, folder).unwrap();
    (0..rounds).for_each(|round| write(&db, round));
    db
}

fn write(db: &DB, round: u64) {
    for entry in 0..2000u64 {
        db.put(format!("entry {entry:08}"), noise(round * 10_000 + entry, 50)).unwrap();
    }
    db.flush().unwrap();
}

#[test]
fn an_engine_of_more_tables_than_files_may_be_open_is_restored() {
    let esker = Esker::plain(&[]);
    let db = live(&esker.path("live"), 0);
    for table in 0..120u64 {
        (0..100u64).for_each(|entry| db.put(format!("{table:03} {entry:04}"), noise(table * 100 + entry, 50)).unwrap());
        db.flush().unwrap();
    }
    let folder = esker.path("checkpoint");
    checkpoint_of(&db, &folder);
    let report = back_up(&esker, &folder, "one", &[]);
    assert_eq!(number(&report["sorted"], "files"), 120);
    let target = esker.path("target");
    let restore = esker.command(&["restore", "one", "--target", target.to_str().unwrap()]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]).arg(restore.get_program()).args(restore.get_args());
    limited.envs(restore.get_envs().filter_map(|(name, value)| Some((name, value?))));
    esker.run_command(&mut limited).exits(0);
    assert_restored(&folder, &target.join("h"), &[]);
}

#[test]
fn a_compaction_that_changes_nothing_costs_next_to_nothing() {
    let esker = Esker::plain(&[]);
    let db = live(&esker.path("live"), 0);
    for entry in 0..20_000u64 {
        db.put(format!("entry {:08}", entry * 7919 % 20_000), noise(entry, 50)).unwrap();
        if entry % 5000 == 4999 {
            db.flush().unwrap();
        }
    }
    let folders = ["before", "after"].map(|name| esker.path(name));
    checkpoint_of(&db, &folders[0]);
    db.compact_range(None::<&[u8]>, None::<&[u8]>);
    checkpoint_of(&db, &folders[1]);
    assert!(tables(&folders[0]).is_disjoint(&tables(&folders[1])));
    let first = back_up(&esker, &folders[0], "before", &[]);
    let second = back_up(&esker, &folders[1], "after", &[]);
    assert!(number(&second, "stored_bytes") * 30 < number(&first, "stored_bytes"), "{first} {second}");
    comes_back(&esker, "before", &folders[0]);
    comes_back(&esker, "after", &folders[1]);
}

#[test]
fn an_engine_of_many_key_ranges_is_merged_and_restored_by_several_threads() {
    let esker = Esker::plain(&[]);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_disable_auto_compactions(true);
    options.set_target_file_size_base(2 << 20);
    let db = DB::open(&options, esker.path("live")).unwrap();
    let write = |count: u64, seed: u64| {
        for entry in 0..count {
            let mut value = noise(entry + seed, 60);
            value.resize(2500, (entry % 5) as u8);
            db.put(format!("entry {:08}", (entry + seed) * 7919 % 100_000), value).unwrap();
        }
        db.flush().unwrap();
    };
    let folders = ["first", "second", "third"].map(|name| esker.path(name));
    (0..5).for_each(|round| write(10_000, round * 10_000));
    checkpoint_of(&db, &folders[0]);
    db.compact_range(None::<&[u8]>, None::<&[u8]>);
    write(1000, 0);
    checkpoint_of(&db, &folders[1]);
    write(1000, 50_000);
    db.compact_range(None::<&[u8]>, None::<&[u8]>);
    checkpoint_of(&db, &folders[2]);
    let mut stored = Vec::new();
    for (day, folder) in folders.iter().enumerate() {
        let report = back_up(&esker, folder, &format!("day{day}"), &["--threads", "8"]);
        assert_eq!(report["sorted"]["fallbacks"], json!([]), "{report}");
        stored.push(number(&report, "stored_bytes"));
    }
    assert!(stored[1] * 10 < stored[0] && stored[2] * 10 < stored[0], "{stored:?}");
    (0..3).for_each(|day| comes_back(&esker, &format!("day{day}"), &folders[day]));
    esker.run(&["fsck", "--level", "files", "--threads", "8"]).exits(0);
}

#[test]
fn two_engines_with_the_same_file_names_and_other_content_are_not_confused() {
    let esker = Esker::plain(&[]);
    let folders = ["one", "two"].map(|name| esker.path(name));
    for (number, folder) in folders.iter().enumerate() {
        let live = tempfile::tempdir_in(esker.folder()).unwrap();
        let db = self::live(live.path(), 0);
        for entry in 0..2000u64 {
            db.put(format!("entry {entry:08}"), noise(entry + 5000 * number as u64, 50)).unwrap();
        }
        db.flush().unwrap();
        checkpoint_of(&db, folder);
    }
    assert_eq!(tables(&folders[0]), tables(&folders[1]));
    // First side by side, then each in the other's place.
    let hosts = [host("a", &folders[0]), host("b", &folders[1])];
    esker.json(&["backup", "--host", &hosts[0], "--host", &hosts[1], "--label", "both"], 0);
    let target = esker.path("t");
    esker.run(&["restore", "both", "--target", target.to_str().unwrap()]).exits(0);
    assert_restored(&folders[0], &target.join("a"), &[]);
    assert_restored(&folders[1], &target.join("b"), &[]);
    for round in 0..2 {
        for (name, folder) in ["one", "two"].iter().zip(&folders) {
            let label = format!("{name} {round}");
            back_up(&esker, folder, &label, &[]);
            comes_back(&esker, &label, folder);
        }
    }
}

#[test]
fn an_engine_that_was_restored_and_written_again_is_told_from_its_twin() {
    let esker = Esker::plain(&[]);
    let db = live(&esker.path("live"), 2);
    let old = esker.path("old");
    checkpoint_of(&db, &old);
    back_up(&esker, &old, "old", &[]);
    // The twin goes on from the backup, and gives its new tables the numbers that the original gives its own.
    let twin = esker.path("twin");
    esker.run(&["restore", "old", "--target", twin.to_str().unwrap()]).exits(0);
    let twin = live(&twin.join("h"), 0);
    let mut folders = Vec::new();
    for round in 0..3 {
        for (name, db, seed) in [("original", &db, 100), ("twin", &twin, 200)] {
            write(db, seed + round);
            if round == 2 {
                db.compact_range(None::<&[u8]>, None::<&[u8]>);
            }
            let label = format!("{name} {round}");
            let folder = esker.path(&label);
            checkpoint_of(db, &folder);
            back_up(&esker, &folder, &label, &[]);
            folders.push((label, folder));
        }
    }
    folders.iter().for_each(|(label, folder)| comes_back(&esker, label, folder));
    esker.run(&["fsck", "--level", "engine"]).exits(0);
}

/// The data packs of the backup with this label.
fn data_packs(esker: &Esker, label: &str) -> Vec<PathBuf> {
    let session = esker.json(&["show", label], 0)["session"].as_str().unwrap().to_owned();
    let folder = esker.repo().join("packs/data").join(session);
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn object(esker: &Esker, pack: &Path) -> String {
    pack.strip_prefix(esker.repo()).unwrap().display().to_string()
}

#[test]
fn what_lost_runs_held_is_stored_anew_and_fsck_names_what_is_lost() {
    let esker = Esker::plain(&[]);
    let db = live(&esker.path("live"), 3);
    let folders = ["one", "two"].map(|name| esker.path(name));
    checkpoint_of(&db, &folders[0]);
    back_up(&esker, &folders[0], "one", &[]);
    db.compact_range(None::<&[u8]>, None::<&[u8]>);
    checkpoint_of(&db, &folders[1]);
    let [pack] = &data_packs(&esker, "one")[..] else { panic!("one pack") };
    let stored = fs::metadata(pack).unwrap().len();
    fs::remove_file(pack).unwrap();
    let host = host("h", &folders[1]);
    let report = esker.json(&["backup", "--host", &host, "--label", "two"], 4);
    let warnings = report["warnings"].to_string();
    assert!(
        warnings.contains("runs of earlier backups cannot be read") || warnings.contains("packs of earlier backups are missing"),
        "{warnings}"
    );
    assert!(number(&report, "stored_bytes") > stored / 4, "{report}");
    comes_back(&esker, "two", &folders[1]);
    let checked = esker.json(&["fsck", "--level", "files"], 3);
    let finding = checked["findings"].as_array().unwrap().iter().find(|finding| finding["object"] == object(&esker, pack)).unwrap();
    assert_eq!((&finding["backups"], &checked["damaged_backups"]), (&json!(["one"]), &json!(["one"])));
    let named: Vec<String> = tables(&folders[0]).iter().map(|table| format!("one h/{table}")).collect();
    assert!(named.iter().all(|name| finding["files"].as_array().unwrap().contains(&json!(name))), "{finding}");
    esker.run(&["restore", "one", "--target", esker.path("t").to_str().unwrap()]).exits(3).says("is lost");
}

#[test]
fn what_rotten_runs_held_is_stored_anew_even_if_it_makes_the_same_runs() {
    let esker = Esker::plain(&[]);
    let db = live(&esker.path("live"), 1);
    let rewrite = || {
        let mut all = CompactOptions::default();
        all.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        db.compact_range_opt(None::<&[u8]>, None::<&[u8]>, &all);
    };
    rewrite();
    let folders = ["one", "two"].map(|name| esker.path(name));
    checkpoint_of(&db, &folders[0]);
    back_up(&esker, &folders[0], "one", &[]);
    // The same entries in another table.
    rewrite();
    checkpoint_of(&db, &folders[1]);
    assert!(tables(&folders[0]).is_disjoint(&tables(&folders[1])));
    let [pack] = &data_packs(&esker, "one")[..] else { panic!("one pack") };
    let mut bytes = fs::read(pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(pack, bytes).unwrap();
    let host = host("h", &folders[1]);
    let report = esker.json(&["backup", "--host", &host, "--label", "two", "--reread-share", "0"], 4);
    assert!(report["warnings"].to_string().contains("runs of earlier backups cannot be read"), "{report}");
    comes_back(&esker, "two", &folders[1]);
}

#[test]
fn a_damaged_run_is_named_with_every_file_partition_and_backup_that_it_touches() {
    let esker = Esker::encrypted();
    let days = Host::cluster(esker.folder(), 2, 3000);
    for (label, day) in [("day0", &days[0]), ("day1", &days[1])] {
        let hosts = Host::arguments(day);
        let mut args = vec!["backup", "--label", label, "--reread-share", "0"];
        args.extend(hosts.iter().map(String::as_str));
        esker.json(&args, 0);
    }
    // What a restore of each backup cannot bring back is what the finding must name.
    for pack in data_packs(&esker, "day0") {
        let bytes = fs::read(&pack).unwrap();
        let mut rotten = bytes.clone();
        let middle = bytes.len() / 2;
        rotten[middle] ^= 4;
        fs::write(&pack, rotten).unwrap();
        let checked = esker.json(&["fsck", "--level", "data"], 3);
        let finding = checked["findings"].as_array().unwrap().iter().find(|finding| finding["object"] == object(&esker, &pack));
        let finding = finding.unwrap_or_else(|| panic!("{checked}"));
        let mut named: BTreeSet<String> = BTreeSet::new();
        named.extend(finding["files"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()));
        let mut lost: BTreeSet<String> = BTreeSet::new();
        for (label, day) in [("day0", &days[0]), ("day1", &days[1])] {
            for line in esker.run(&["ls", label, "--json"]).exits(0).json_lines() {
                let (host, path) = (line["host"].as_str().unwrap(), line["path"].as_str().unwrap());
                let source = day.join(host).join(path);
                if line["kind"] == "file" {
                    let run = esker.run(&["dump", label, path, "--host", host]);
                    match run.code {
                        Some(0) => assert!(run.stdout == fs::read(source).unwrap(), "{label} {host} {path}"),
                        code => {
                            assert_eq!(code, Some(3), "{label} {host} {path}");
                            lost.insert(format!("{label} {host}/{path}"));
                        }
                    }
                }
            }
        }
        assert_eq!(named, lost);
        assert!(!lost.is_empty());
        assert_eq!(number(finding, "files_touched"), lost.len() as u64);
        let backups: BTreeSet<&str> = lost.iter().map(|name| name.split(' ').next().unwrap()).collect();
        assert_eq!(finding["backups"], json!(backups));
        assert!(!finding["partitions"].as_array().unwrap().is_empty(), "{finding}");
        fs::write(&pack, bytes).unwrap();
    }
}

#[test]
fn a_part_of_a_cluster_is_restored_alone_and_exactly() {
    let esker = Esker::encrypted();
    let days = Host::cluster(esker.folder(), 2, 3000);
    for (number, day) in days.iter().enumerate() {
        let (hosts, label) = (Host::arguments(day), format!("day{number}"));
        let mut args = vec!["backup", "--label", &label];
        args.extend(hosts.iter().map(String::as_str));
        esker.json(&args, 0);
    }
    let day = &days[1];
    let target = esker.path("host");
    esker.run(&["restore", "day1", "--target", target.to_str().unwrap(), "--host", "host1"]).exits(0);
    assert_restored(&day.join("host1"), &target.join("host1"), &[]);
    assert!(!target.join("host0").exists());

    let target = esker.path("space");
    esker.run(&["restore", "day1", "--target", target.to_str().unwrap(), "--space", "2"]).exits(0);
    for host in (0..3).map(host_name) {
        let data = |root: &Path| checkpoint_dir(root, host[4..].parse().unwrap(), 2, "day1").join("data");
        assert_restored(&data(day), &data(&target), &[]);
        assert!(!target.join(&host).join("data0/nebula/1/checkpoints/day1/data").exists());
    }

    let data = checkpoint_dir(Path::new(""), 2, 1, "day1").join("data");
    let below_host = data.strip_prefix("host2").unwrap();
    for table in tables(&day.join(&data)) {
        let path = below_host.join(&table);
        let source = day.join("host2").join(&path);
        let target = tempfile::tempdir_in(esker.folder()).unwrap();
        let target = target.path().join("t");
        esker.run(&["restore", "day1", "--target", target.to_str().unwrap(), "--host", "host2", "--path", path.to_str().unwrap()]).exits(0);
        assert!(fs::read(target.join("host2").join(&path)).unwrap() == fs::read(&source).unwrap(), "{table}");
        let dumped = esker.run(&["dump", "day1", path.to_str().unwrap(), "--host", "host2"]).exits(0).stdout;
        assert!(dumped == fs::read(&source).unwrap(), "{table}");
    }
}

#[test]
fn without_reencoding_no_encoder_is_needed_whatever_was_backed_up_before() {
    let esker = Esker::plain(&[]);
    let folder = esker.path("engine");
    small_engine(&folder, 5000);
    back_up(&esker, &folder, "sorted", &[]);
    assert!(!esker.json(&["show", "sorted"], 0)["encoders"].as_array().unwrap().is_empty());
    back_up(&esker, &folder, "bytes", &["--no-reencode"]);
    assert_eq!(esker.json(&["show", "bytes"], 0)["encoders"], json!([]));
    comes_back(&esker, "bytes", &folder);
    // What was taken as bytes is taken over, and needs none either.
    back_up(&esker, &folder, "again", &["--no-reencode"]);
    assert_eq!(esker.json(&["show", "again"], 0)["encoders"], json!([]));
    let before = tree_bytes(&esker.repo().join("packs/data"));
    back_up(&esker, &folder, "sorted again", &[]);
    assert_eq!(tree_bytes(&esker.repo().join("packs/data")), before);
    comes_back(&esker, "sorted again", &folder);
}

#[test]
fn tables_that_are_none_and_empty_ones_come_back() {
    let esker = Esker::plain(&[]);
    let folder = esker.path("engine");
    small_engine(&folder, 3000);
    let table = folder.join(tables(&folder).first().unwrap());
    fs::write(folder.join("900001.sst"), b"").unwrap();
    fs::write(folder.join("900002.sst"), noise(1, 5000)).unwrap();
    fs::copy(&table, folder.join("900003.sst")).unwrap();
    let host = host("h", &folder);
    esker.json(&["backup", "--host", &host, "--label", "odd"], 4);
    comes_back(&esker, "odd", &folder);
    esker.json(&["backup", "--host", &host, "--label", "odd again"], 4);
    comes_back(&esker, "odd again", &folder);
}

#[test]
fn small_chunks_and_packs_do_not_trouble_sorted_runs() {
    let shelf = Shelf::new(None, 1_800_000_000_000);
    let folder = shelf.path("engine");
    small_engine(&folder, 5000);
    shelf.backup("one", &folder).unwrap();
    let sorted = shelf.sorted("one");
    assert_eq!((sorted.files, sorted.fallbacks.len()), (1, 0), "{sorted:?}");
    shelf.restore("one", &shelf.path("t")).unwrap();
    assert_restored(&folder, &shelf.path("t/h"), &[]);
    assert_eq!(shelf.damage(), Vec::<String>::new());
}

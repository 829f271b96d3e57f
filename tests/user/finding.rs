//! Naming a backup, and a part of it.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use esker_testkit::cluster::checkpoint_dir;
use serde_json::Value;

use crate::kit::{Esker, Host, Shelf, assert_restored, host, id_of, names, noise, number, request};

/// One small file a host.
fn two_hosts(esker: &Esker) -> Vec<String> {
    let mut args = Vec::new();
    for name in ["alpha", "beta"] {
        let folder = esker.path(name);
        fs::create_dir_all(folder.join("logs/old")).unwrap();
        fs::write(folder.join("same.txt"), format!("of {name}")).unwrap();
        fs::write(folder.join("logs/new.txt"), "new").unwrap();
        fs::write(folder.join("logs/old/old.txt"), "old").unwrap();
        args.extend(["--host".to_owned(), host(name, &folder)]);
    }
    fs::write(esker.path("alpha").join("only here"), noise(1, 5000)).unwrap();
    args
}

fn back_up(esker: &Esker, hosts: &[String], label: &str) -> Value {
    let mut args = vec!["backup", "--label", label];
    args.extend(hosts.iter().map(String::as_str));
    esker.json(&args, 4)
}

#[test]
fn a_backup_is_found_by_label_by_id_and_as_the_latest() {
    let esker = Esker::plain(&[]);
    esker.run(&["show", "latest"]).exits(2).says("holds no backup yet");
    let hosts = two_hosts(&esker);
    let first = id_of(&back_up(&esker, &hosts, "first"));
    let second = id_of(&back_up(&esker, &hosts, "second"));
    for (name, id) in [("first", &first), ("latest", &second), (&first[..8], &first), (&second, &second)] {
        assert_eq!(id_of(&esker.json(&["show", name], 0)), *id, "{name}");
    }
    for unknown in ["third", &first[..7], "FIRST", "", &"0".repeat(64)] {
        esker.run(&["show", unknown]).exits(2).says("no backup is called");
    }
}

#[test]
fn a_label_that_is_taken_is_refused_and_one_that_cannot_be_too() {
    let esker = Esker::plain(&[]);
    let hosts = two_hosts(&esker);
    back_up(&esker, &hosts, "monday");
    for (label, words) in [("monday", "already"), ("latest", "cannot be a label"), ("", "cannot be a label"), (&"x".repeat(5000), "label")]
    {
        let mut args = vec!["backup", "--label", label];
        args.extend(hosts.iter().map(String::as_str));
        esker.run(&args).exits(2).says(words);
    }
    assert_eq!(esker.labels(), ["monday"]);
}

#[test]
fn the_default_label_is_the_time_in_utc_and_never_taken_twice() {
    let noon = 1_790_000_000_000;
    let shelf = Shelf::new(None, noon);
    let source = shelf.path("source");
    fs::create_dir(&source).unwrap();
    let label = |shelf: &Shelf| {
        let request = esker_ops::backup::BackupRequest { label: None, ..request("", &source) };
        esker_ops::backup::backup(&shelf.open(), &request, &esker_ops::Job::default()).unwrap().label
    };
    let labels = [label(&shelf), label(&shelf), label(&shelf)];
    assert_eq!(labels, ["BACKUP_2026_09_21_14_13_20", "BACKUP_2026_09_21_14_13_20_2", "BACKUP_2026_09_21_14_13_20_3"]);
}

#[test]
fn no_clock_keeps_a_backup_from_being_made_and_restored() {
    let year_10000 = 253_402_300_800_000;
    for (now_ms, label) in
        [(0, "BACKUP_1970_01_01_00_00_00"), (year_10000, "BACKUP_9999_12_30_22_00_00"), (u64::MAX, "BACKUP_9999_12_30_22_00_00")]
    {
        let shelf = Shelf::new(None, now_ms);
        let source = shelf.path("source");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("file"), "content").unwrap();
        let request = esker_ops::backup::BackupRequest { label: None, ..request("", &source) };
        let report = esker_ops::backup::backup(&shelf.open(), &request, &esker_ops::Job::default()).unwrap();
        assert_eq!(report.label, label);
        // The clock is stepped back before the second one, as a flat battery does it.
        shelf.environment.clock.set_ms(now_ms / 2);
        shelf.backup("second", &source).unwrap();
        for (name, target) in [(label, "a"), ("second", "b"), ("latest", "c")] {
            shelf.restore(name, &shelf.path(target)).unwrap();
            assert_restored(&source, &shelf.path(target).join("h"), &[]);
        }
        assert_eq!(shelf.damage(), Vec::<String>::new());
    }
}

#[test]
fn a_restore_takes_the_hosts_spaces_and_paths_that_were_asked_for() {
    let esker = Esker::plain(&[]);
    let days = Host::cluster(esker.folder(), 1, 1000);
    let hosts = Host::arguments(&days[0]);
    let mut args = vec!["backup", "--label", "day"];
    args.extend(hosts.iter().map(String::as_str));
    esker.run(&args).exits(0);
    let restore = |target: &str, select: &[&str], code: i32| {
        let target = esker.path(target);
        esker.run(&[&["restore", "day", "--target", target.to_str().unwrap()], select].concat()).exits(code);
        target
    };
    let one = restore("one", &["--host", "host1"], 0);
    assert_eq!(entries(&one), ["host1"]);
    assert_restored(&days[0].join("host1"), &one.join("host1"), &[]);
    let space = restore("space", &["--space", "2"], 0);
    assert_eq!(entries(&space), ["host0", "host1", "host2"]);
    for number in 0..3 {
        let data = |root: &Path| checkpoint_dir(root, number, 2, "day0").join("data");
        assert_restored(&data(&days[0]), &data(&space), &[]);
        assert!(!checkpoint_dir(&space, number, 1, "day0").exists());
    }
    let path = restore("path", &["--path", "**/CURRENT", "--host", "host0", "--host", "host2"], 0);
    let files = esker_testkit::tree::inventory(&path).into_iter().filter(|(_, node)| node.size_bytes > 0);
    assert_eq!(files.map(|(name, _)| name.file_name().unwrap().to_owned()).collect::<Vec<_>>(), ["CURRENT"; 4]);
    // `*` stays within a component, and no table stands at the top.
    for nothing in [["--host", "host9"], ["--space", "people"], ["--path", "no/*/such"], ["--path", "*.sst"]] {
        assert!(!restore("nothing", &nothing, 2).exists(), "nothing is made for a selection that matches nothing");
        esker.run(&[&["ls", "day"][..], &nothing].concat()).exits(2).says("nothing in day matches");
    }
    esker.run(&["ls", "day", "--path", "a[b"]).exits(2).says("--path a[b");
}

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn ls_shows_what_restore_would_write() {
    let esker = Esker::plain(&[]);
    let hosts = two_hosts(&esker);
    back_up(&esker, &hosts, "b");
    let lines = esker.run(&["ls", "b", "--json"]).exits(0).json_lines();
    for line in lines.iter().filter(|line| line["host"] == "alpha" && line["path"] != "") {
        let path = esker.path("alpha").join(line["path"].as_str().unwrap());
        let meta = fs::symlink_metadata(&path).unwrap();
        assert_eq!(line["kind"] == "folder", meta.is_dir());
        if meta.is_file() {
            assert_eq!(number(line, "bytes"), meta.len());
            assert_eq!(line["blake3"], blake3::hash(&fs::read(&path).unwrap()).to_hex().as_str());
        }
    }
    let old = esker.run(&["ls", "b", "--path", "logs/**", "--host", "beta", "--json"]).exits(0).json_lines();
    assert_eq!(names(&Value::Array(old), "path"), ["logs/new.txt", "logs/old", "logs/old/old.txt"]);
    let text = esker.run(&["ls", "b", "--path", "only here"]).exits(0).text();
    assert!(text.starts_with("- 0") && text.contains("4.9 KiB") && text.trim_end().ends_with("alpha/only here"), "{text}");
}

#[test]
fn dump_writes_one_file_and_nothing_else() {
    let esker = Esker::plain(&[]);
    let hosts = two_hosts(&esker);
    back_up(&esker, &hosts, "b");
    assert_eq!(esker.run(&["dump", "b", "only here"]).exits(0).stdout, fs::read(esker.path("alpha/only here")).unwrap());
    assert_eq!(esker.run(&["dump", "latest", "same.txt", "--host", "beta"]).exits(0).stdout, b"of beta");
    esker.run(&["dump", "b", "same.txt"]).exits(2).says("--host (alpha, beta)");
    for missing in ["none", "logs", "/only here", "only here/"] {
        assert!(esker.run(&["dump", "b", missing]).exits(2).says("no file").stdout.is_empty());
    }
    let odd = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    esker.run(&[std::ffi::OsStr::new("dump"), std::ffi::OsStr::new("b"), odd]).exits(2).says("\\xff\\xfe");
}

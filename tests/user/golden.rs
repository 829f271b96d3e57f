//! Repositories that an earlier Esker wrote are read for ever.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kit::{Esker, Host, assert_restored, host, number, small_engine};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../format-spec/golden");

/// The lines of a folder as `listing.py` writes them; owners are left out where the restore cannot set them.
fn listing(lines: &str) -> Vec<String> {
    let root = rustix::process::geteuid().is_root();
    let without_owner = |line: &str| {
        let columns: Vec<&str> = line.split(' ').collect();
        columns.iter().enumerate().filter(|(column, _)| root || *column != 2).map(|(_, text)| *text).collect::<Vec<_>>().join(" ")
    };
    lines.lines().map(without_owner).collect()
}

fn listed(folder: &Path) -> Vec<String> {
    let python = std::env::var("ESKER_READER_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = Command::new(python).arg(format!("{GOLDEN}/listing.py")).arg(folder).output().expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    listing(&String::from_utf8(output.stdout).unwrap())
}

/// A copy of a golden repository: a reader leaves a session behind, and the golden ones stay as they are.
fn golden(name: &str, passphrase: Option<&str>) -> Esker {
    let esker = Esker::without_repository(passphrase);
    esker_testkit::tree::copy_tree(Path::new(&format!("{GOLDEN}/{name}")), &esker.repo());
    esker
}

/// Restores a backup and compares it with the list of that name below `expected`; gives where it stands.
#[track_caller]
fn comes_back(esker: &Esker, label: &str, expected: &str) -> PathBuf {
    let target = esker.path(&format!("restored {label}"));
    esker.run(&["restore", label, "--target", target.to_str().unwrap()]).exits(0);
    let lines = std::fs::read_to_string(format!("{GOLDEN}/expected/{expected}.txt")).unwrap();
    assert_eq!(listed(&target), listing(&lines), "{label}");
    target
}

fn secret(file: &str) -> String {
    std::fs::read_to_string(format!("{GOLDEN}/secrets/{file}")).unwrap().trim_end().to_owned()
}

fn every_backup_comes_back(name: &str, passphrase: Option<&str>) {
    let esker = golden(name, passphrase);
    assert_eq!(esker.labels(), ["day00", "day02", "day03"]);
    esker.run(&["fsck", "--level", "engine"]).exits(0);
    for label in esker.labels() {
        comes_back(&esker, &label, &label);
    }
    assert!(esker.run(&["show", "day00"]).exits(0).text().contains("held"));
}

#[test]
fn golden_backups_that_are_not_encrypted_come_back_byte_for_byte() {
    every_backup_comes_back("plain", None);
}

#[test]
fn golden_encrypted_backups_come_back_by_passphrase_and_by_recovery_key() {
    for file in ["passphrase.txt", "recovery-key.txt"] {
        every_backup_comes_back("encrypted", Some(&secret(file)));
    }
}

#[test]
fn golden_backups_of_sorted_runs_come_back_byte_for_byte() {
    for (name, passphrase) in [("sorted-plain", None), ("sorted-encrypted", Some(secret("passphrase.txt")))] {
        let esker = golden(name, passphrase.as_deref());
        assert_eq!(esker.labels(), ["day00", "day01", "day02"]);
        esker.run(&["fsck", "--level", "engine"]).exits(0);
        for label in esker.labels() {
            let shown = esker.json(&["show", &label], 0);
            assert!(number(&shown["sorted"], "files") > 0 && !shown["encoders"].as_array().unwrap().is_empty(), "{shown}");
            comes_back(&esker, &label, &format!("sorted/{label}"));
        }
    }
}

#[test]
fn golden_backups_of_sparse_runs_come_back_byte_for_byte() {
    for (name, passphrase) in [("sparse-plain", None), ("sparse-encrypted", Some(secret("passphrase.txt")))] {
        let esker = golden(name, passphrase.as_deref());
        assert_eq!(esker.labels(), ["day18", "day19", "day20"]);
        esker.run(&["fsck", "--level", "engine"]).exits(0);
        for label in esker.labels() {
            comes_back(&esker, &label, &format!("sparse/{label}"));
        }
    }
}

#[test]
fn a_repository_of_the_first_format_goes_on_with_sorted_runs() {
    for (name, passphrase) in [("plain", None), ("encrypted", Some(secret("passphrase.txt")))] {
        let esker = golden(name, passphrase.as_deref());
        let old = comes_back(&esker, "day03", "day03");
        let new = esker.path("new host");
        let checkpoint = new.join("data/nebula/1/checkpoints/day04");
        std::fs::create_dir_all(&checkpoint).unwrap();
        small_engine(&checkpoint.join("data"), 500);
        let mut hosts = Host::arguments(&old);
        hosts.extend(["--host".to_owned(), host("host3", &new)]);
        let back_up = |label: &str, more: &[&str]| {
            let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
            esker.run(&[&["backup", "--label", label], &hosts[..], more].concat()).exits(0);
            esker.json(&["show", label], 0)
        };
        // What stood in byte chunks is taken over as it is; what is new is taken apart.
        let day04 = back_up("day04", &[]);
        assert!(number(&day04, "reused_bytes") > 0 && number(&day04["sorted"], "files") > 0, "{day04}");
        // Read again, nothing is stored twice, in whichever way it stands.
        let day05 = back_up("day05", &["--reread"]);
        assert!(number(&day05, "read_bytes") == number(&day05, "bytes") && number(&day05["sorted"], "files") == 0, "{day05}");
        assert_eq!(esker.labels(), ["day00", "day02", "day03", "day04", "day05"]);
        esker.run(&["fsck", "--level", "engine"]).exits(0);
        for label in ["day04", "day05"] {
            let target = esker.path(label);
            esker.run(&["restore", label, "--target", target.to_str().unwrap()]).exits(0);
            for (number, source) in [old.join("host0"), old.join("host1"), old.join("host2"), new.clone()].iter().enumerate() {
                assert_restored(source, &target.join(format!("host{number}")), &[]);
            }
        }
        std::fs::remove_dir_all(&old).unwrap();
        for label in ["day00", "day02", "day03"] {
            comes_back(&esker, label, label);
        }
    }
}

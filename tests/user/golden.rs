//! Repositories that an earlier Esker wrote are read for ever.

use std::path::Path;
use std::process::Command;

use crate::kit::Esker;

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

fn every_backup_comes_back(name: &str, passphrase: Option<&str>) {
    let esker = Esker::without_repository(passphrase);
    // A reader leaves a session behind, and the golden ones stay as they are.
    esker_testkit::tree::copy_tree(Path::new(&format!("{GOLDEN}/{name}")), &esker.repo());
    assert_eq!(esker.labels(), ["day00", "day02", "day03"]);
    esker.run(&["fsck", "--level", "engine"]).exits(0);
    for label in esker.labels() {
        let target = esker.path(&label);
        esker.run(&["restore", &label, "--target", target.to_str().unwrap()]).exits(0);
        let expected = std::fs::read_to_string(format!("{GOLDEN}/expected/{label}.txt")).unwrap();
        assert_eq!(listed(&target), listing(&expected), "{name} {label}");
    }
    assert!(esker.run(&["show", "day00"]).exits(0).text().contains("held"));
}

#[test]
fn golden_backups_that_are_not_encrypted_come_back_byte_for_byte() {
    every_backup_comes_back("plain", None);
}

#[test]
fn golden_encrypted_backups_come_back_by_passphrase_and_by_recovery_key() {
    for secret in ["passphrase.txt", "recovery-key.txt"] {
        let secret = std::fs::read_to_string(format!("{GOLDEN}/secrets/{secret}")).unwrap();
        every_backup_comes_back("encrypted", Some(secret.trim_end()));
    }
}

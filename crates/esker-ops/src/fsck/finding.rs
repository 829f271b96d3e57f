//! One finding: what is wrong, what it touches, and what to do.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something that was stored is lost or wrong.
    Damage,
    /// Odd, but nothing that was stored is lost.
    Notice,
}

/// What one check found.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The object, by its path in the repository, or the chunk or file.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
    /// Files that it touches, as `<backup> <host>/<path>`; at most `FILES_NAMED`.
    pub files: Vec<String>,
    /// How many files it touches.
    pub files_touched: u64,
    /// Partitions that those files may hold, as `<space>/<partition>`.
    pub partitions: Vec<String>,
    /// Backups that it touches, by label.
    pub backups: Vec<String>,
    /// What to do.
    pub help: String,
}

/// Files that a finding names, at most.
pub(super) const FILES_NAMED: usize = 50;

impl Finding {
    pub(super) fn new(severity: Severity, object: String, what: String, help: &str) -> Self {
        let (files, partitions, backups) = (Vec::new(), Vec::new(), Vec::new());
        Self { severity, object, what, files, files_touched: 0, partitions, backups, help: help.to_owned() }
    }
}

/// What helps with a damaged object, by where it stands.
pub(super) fn help_for(object: &str) -> &'static str {
    match object.split(['/', ' ']).next().unwrap_or_default() {
        "config" | "config.copy" => {
            "esker fsck --repair writes it again from the other; if both are there and differ, find out which is right"
        }
        "keys" => "add the passphrase again (esker key add), then remove the damaged key (esker key remove ID)",
        "index" => "nothing is lost: esker fsck --repair indexes the packs again",
        "manifests" => {
            "esker fsck --repair --from COPY brings it back from a copy of the repository; or forget the backup by its id (esker forget ID)"
        }
        "packs" | "chunk" | "file" | "table" => {
            "esker fsck --repair, with --host NAME=FOLDER for hosts that still have the files, and --from LOCATION for a second \
             repository; it says what is still lost then, and esker restore BACKUP --partial restores the rest"
        }
        "verified" => "delete the object: only the memory of one check is lost",
        "notes" => {
            "esker fsck --repair --from COPY brings it back from a copy of the repository; or delete it and set the hold and tags again"
        }
        _ => "esker fsck --repair --from COPY brings it back from a copy of the repository",
    }
}

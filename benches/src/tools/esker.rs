//! Esker's command lines.

use std::path::Path;
use std::process::Command;

use super::{Host, Place, Tool};

/// Esker.
pub struct Esker {
    place: Place,
    init_options: Vec<String>,
    backup_options: &'static [&'static str],
}

impl Esker {
    /// With all defaults.
    pub fn new(place: Place) -> Self {
        Self { place, init_options: Vec::new(), backup_options: &[] }
    }

    /// With `--fast`, which gives up some compression for speed.
    pub fn fast(place: Place) -> Self {
        Self { backup_options: &["--fast"], ..Self::new(place) }
    }

    /// With the limits of a chunk's size: for a repository of many chunks that are quickly made.
    pub fn with_chunk_sizes(place: Place, min_bytes: u64, avg_bytes: u64, max_bytes: u64) -> Self {
        let options = [("--chunk-min", min_bytes), ("--chunk-avg", avg_bytes), ("--chunk-max", max_bytes)];
        Self { init_options: options.map(|(name, bytes)| format!("{name}={bytes}")).to_vec(), ..Self::new(place) }
    }

    /// What the repository holds, as JSON.
    pub fn stats(&self) -> Command {
        let mut command = self.verb("stats");
        command.arg("--json");
        command
    }

    /// A check of everything at a level of `fsck`.
    pub fn fsck(&self, level: &str) -> Command {
        let mut command = self.verb("fsck");
        command.args(["--level", level]);
        command
    }

    fn verb(&self, verb: &str) -> Command {
        let mut command = self.place.command();
        command.env("ESKER_CACHE_DIR", self.place.cache()).arg(verb);
        command.arg("--repo").arg(self.place.repo_named(None)).arg("--passphrase-file").arg(self.place.passphrase_file());
        command
    }
}

impl Tool for Esker {
    fn init(&self) -> Command {
        let mut command = self.verb("init");
        command.args(&self.init_options);
        command
    }

    /// Without re-reading a share of the unchanged files, as no peer does that either.
    fn backup(&self, hosts: &[Host], label: &str) -> Command {
        let mut command = self.verb("backup");
        for Host { name, dir } in hosts {
            command.arg("--host").arg(format!("{name}={}", dir.display()));
        }
        command.args(["--label", label, "--reread-share", "0"]).args(self.backup_options);
        command
    }

    fn restore(&self, _label: &str, target: &Path) -> Command {
        let mut command = self.verb("restore");
        command.arg("latest").arg("--target").arg(target);
        command
    }

    fn thin(&self, keep: usize) -> Vec<Command> {
        let mut forget = self.verb("forget");
        forget.args(["--keep-last", &keep.to_string()]);
        let mut prune = self.verb("prune");
        prune.arg("--json");
        vec![forget, prune]
    }

    fn check_data(&self) -> Command {
        self.fsck("data")
    }

    fn check_files(&self) -> Option<Command> {
        Some(self.fsck("files"))
    }
}

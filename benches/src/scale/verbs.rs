//! The verbs, each run once on a synthetic repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::make::{Size, fill};
use crate::fault::Fault;
use crate::folder;
use crate::measure::{Cost, measure};

/// What the verbs leave behind.
const SCRATCH: [&str; 5] = ["cache", "target", "second", "second-cache", "pruned"];
/// Backups that are forgotten before a prune: half of the files of the first backup were replaced by then.
const FORGOTTEN: [&str; 5] = ["day00000", "day00001", "day00002", "day00003", "day00004"];

/// What a verb's cost goes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// All that the repository holds.
    Repository,
    /// One backup of it: also what only looks for something in its tables, or begins with what it holds.
    OneBackup,
    /// The objects that are listed, and little else: processor time grows with them, requests do not.
    Listing,
    /// Neither.
    Fixed,
}

/// One verb and what it took.
pub struct Measured {
    pub name: &'static str,
    pub work: Work,
    pub cost: Cost,
    /// If it says so.
    pub requests: Option<u64>,
}

/// All verbs on one repository.
pub struct Table {
    /// Objects in its store.
    pub objects: u64,
    pub verbs: Vec<Measured>,
}

struct Run<'a> {
    program: &'a Path,
    dir: &'a Path,
    /// The folder of the repository in `dir`.
    repo: &'static str,
    measured: Vec<Measured>,
}

/// Makes the repository of this size below `dir`, if it is not there, and measures every verb.
///
/// # Errors
/// If a verb fails.
pub fn measure_all(program: &Path, dir: &Path, size: &Size) -> Result<Table, Fault> {
    let made = dir.join("made");
    if !made.exists() {
        folder::make_empty(dir)?;
        let mut run = Run { program, dir, repo: "repo", measured: Vec::new() };
        run.verb("init", Work::Fixed, &["init", "--no-encryption"])?;
        eprintln!("{size:?}: making the repository in {}", dir.display());
        fill(&dir.join("repo"), size)?;
        fs::write(&made, "").map_err(Fault::at(&made))?;
    }
    for left in SCRATCH {
        folder::remove(&dir.join(left))?;
    }
    let source = dir.join("source");
    folder::make_empty(&source)?;
    let file = source.join("file");
    fs::write(&file, "a small host").map_err(Fault::at(&file))?;
    let mut run = Run { program, dir, repo: "repo", measured: Vec::new() };
    run.all(&source)?;
    run.pruning()?;
    for left in SCRATCH {
        folder::remove(&dir.join(left))?;
    }
    Ok(Table { objects: folder::count_files(&dir.join("repo"))?, verbs: run.measured })
}

impl Run<'_> {
    fn all(&mut self, source: &Path) -> Result<(), Fault> {
        let host = format!("h={}", source.display());
        let path = |name: &str| self.path(name).display().to_string();
        let (target, second) = (path("target"), path("second"));
        self.verb("list", Work::Fixed, &["list"])?;
        self.verb("ls, no cache yet", Work::Repository, &["ls", "latest"])?;
        self.verb("ls", Work::OneBackup, &["ls", "latest"])?;
        self.verb("show", Work::Listing, &["show", "latest"])?;
        self.verb("dump one file", Work::OneBackup, &["dump", "latest", "00000001.table"])?;
        self.verb("diff", Work::OneBackup, &["diff", "day00001", "latest"])?;
        self.verb("restore one file", Work::OneBackup, &["restore", "day00003", "--path", "00000001.table", "--target", &target])?;
        folder::remove(&self.path("target"))?;
        self.verb("restore", Work::OneBackup, &["restore", "latest", "--target", &target])?;
        folder::remove(&self.path("target"))?;
        self.verb("stats", Work::Repository, &["stats"])?;
        self.verb("fsck existence", Work::Repository, &["fsck", "--level", "existence"])?;
        self.verb("fsck structure", Work::Repository, &["fsck", "--level", "structure"])?;
        self.verb("fsck data", Work::Repository, &["fsck", "--level", "data"])?;
        self.verb("fsck files", Work::Repository, &["fsck", "--level", "files"])?;
        self.verb("copy one backup", Work::OneBackup, &["copy", "day00001", "--to", &second])?;
        self.verb("copy the next", Work::OneBackup, &["copy", "day00002", "--to", &second])?;
        self.verb("backup a small host", Work::OneBackup, &["backup", "--host", &host])?;
        self.verb("the same again", Work::OneBackup, &["backup", "--host", &host])?;
        self.verb("forget, dry run", Work::Fixed, &["forget", "--keep-last", "10", "-n"])?;
        // What was added goes again, so that a kept repository is the same for the next run.
        self.verb("forget one", Work::Fixed, &["forget", "latest"])?;
        self.verb("forget the other", Work::Fixed, &["forget", "latest"])
    }

    /// On a repository of its own, because what a prune deletes is gone.
    fn pruning(&mut self) -> Result<(), Fault> {
        folder::remove(&self.path("second"))?;
        folder::link_all(&self.path("repo"), &self.path("pruned"))?;
        self.repo = "pruned";
        self.verb("prune, dry run", Work::Repository, &["prune", "-n"])?;
        self.verb("forget five", Work::Fixed, &[&["forget"][..], &FORGOTTEN].concat())?;
        self.verb("prune", Work::Repository, &["prune"])?;
        self.verb("prune again", Work::Repository, &["prune"])?;
        self.verb("ls, other packs", Work::Repository, &["ls", "latest"])?;
        self.verb("fsck after the prune", Work::Repository, &["fsck", "--level", "files"])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Runs the verb; exit code 4, done with warnings, counts as done.
    fn verb(&mut self, name: &'static str, work: Work, args: &[&str]) -> Result<(), Fault> {
        if name == "copy one backup" {
            let mut init = self.command("second-cache");
            init.arg("init").arg("--repo").arg(self.path("second")).arg("--no-encryption");
            measure(&init, self.dir)?;
        }
        let mut command = self.command("cache");
        command.args(args).arg("--repo").arg(self.path(self.repo));
        if args.first() != Some(&"dump") {
            command.arg("--json");
        }
        eprint!("{name}");
        let cost = measure(&command, self.dir)?;
        let log = fs::read_to_string(self.dir.join("run.log")).unwrap_or_default();
        let requests = log.lines().rev().find_map(|line| requests(&serde_json::from_str(line).ok()?));
        let asked = requests.map_or_else(String::new, |requests| format!(", {requests} requests"));
        eprintln!(": {:.2} s, {} MiB{asked}", cost.cpu_seconds, cost.peak_bytes >> 20);
        self.measured.push(Measured { name, work, cost, requests });
        Ok(())
    }

    fn command(&self, cache: &str) -> Command {
        let mut command = Command::new(self.program);
        command.env("ESKER_CACHE_DIR", self.path(cache)).env_remove("ESKER_REPO").env_remove("ESKER_PASSPHRASE");
        command
    }
}

/// All requests that a result tells of.
fn requests(result: &Value) -> Option<u64> {
    let kinds = result.get("requests")?.as_object()?;
    Some(kinds.iter().filter(|(kind, _)| *kind != "failed").filter_map(|(_, count)| count.as_u64()).sum())
}

//! The verbs, each run once on a synthetic repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::make::{Size, fill};
use crate::fault::Fault;
use crate::folder;
use crate::measure::{Cost, measure};

/// What a verb's cost goes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// All that the repository holds.
    Repository,
    /// One backup of it.
    OneBackup,
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

struct Run<'a> {
    program: &'a Path,
    dir: &'a Path,
    measured: Vec<Measured>,
}

/// Makes the repository of this size below `dir`, if it is not there, and measures every verb.
///
/// # Errors
/// If a verb fails.
pub fn measure_all(program: &Path, dir: &Path, size: &Size) -> Result<Vec<Measured>, Fault> {
    let made = dir.join("made");
    if !made.exists() {
        folder::make_empty(dir)?;
        let mut run = Run { program, dir, measured: Vec::new() };
        run.verb("init", Work::Fixed, &["init", "--no-encryption"])?;
        eprintln!("{size:?}: making the repository in {}", dir.display());
        fill(&dir.join("repo"), size)?;
        fs::write(&made, "").map_err(Fault::at(&made))?;
    }
    for left in ["cache", "target", "second", "second-cache"] {
        folder::remove(&dir.join(left))?;
    }
    let source = dir.join("source");
    folder::make_empty(&source)?;
    let file = source.join("file");
    fs::write(&file, "a small host").map_err(Fault::at(&file))?;
    let mut run = Run { program, dir, measured: Vec::new() };
    run.all(&source)?;
    Ok(run.measured)
}

impl Run<'_> {
    fn all(&mut self, source: &Path) -> Result<(), Fault> {
        let host = format!("h={}", source.display());
        let (target, second) = (self.path("target"), self.path("second"));
        let (target, second) = (target.display().to_string(), second.display().to_string());
        self.verb("list", Work::Fixed, &["list"])?;
        self.verb("ls, no cache yet", Work::Repository, &["ls", "latest"])?;
        self.verb("ls", Work::OneBackup, &["ls", "latest"])?;
        self.verb("show", Work::Fixed, &["show", "latest"])?;
        self.verb("dump one file", Work::Fixed, &["dump", "latest", "00000001.table"])?;
        self.verb("diff", Work::OneBackup, &["diff", "day00001", "latest"])?;
        self.verb("restore", Work::OneBackup, &["restore", "latest", "--target", &target])?;
        self.verb("stats", Work::Repository, &["stats"])?;
        self.verb("fsck existence", Work::Repository, &["fsck", "--level", "existence"])?;
        self.verb("fsck structure", Work::Repository, &["fsck", "--level", "structure"])?;
        self.verb("fsck data", Work::Repository, &["fsck", "--level", "data"])?;
        self.verb("fsck files", Work::Repository, &["fsck", "--level", "files"])?;
        self.verb("copy one backup", Work::OneBackup, &["copy", "day00001", "--to", &second])?;
        self.verb("copy the next", Work::OneBackup, &["copy", "day00002", "--to", &second])?;
        self.verb("backup a small host", Work::Fixed, &["backup", "--host", &host])?;
        self.verb("the same again", Work::Fixed, &["backup", "--host", &host])?;
        self.verb("forget, dry run", Work::Fixed, &["forget", "--keep-last", "10", "-n"])?;
        // What was added goes again, so that a kept repository is the same for the next run.
        self.verb("forget one", Work::Fixed, &["forget", "latest"])?;
        self.verb("forget the other", Work::Fixed, &["forget", "latest"])
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
        command.args(args).arg("--repo").arg(self.path("repo"));
        if args.first() != Some(&"dump") {
            command.arg("--json");
        }
        eprintln!("{name}");
        let cost = measure(&command, self.dir)?;
        let log = fs::read_to_string(self.dir.join("run.log")).unwrap_or_default();
        let requests = log.lines().rev().find_map(|line| requests(&serde_json::from_str(line).ok()?));
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

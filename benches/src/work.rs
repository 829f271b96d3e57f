//! The work that tools are given, and what it took them.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use esker_testkit::tree::{diff_trees, tree_bytes};

use crate::fault::Fault;
use crate::folder;
use crate::measure::{Cost, measure};
use crate::series::{Presented, Series, name_of};
use crate::tools::{Host, Place, Program, Tool, ToolName, tool};

/// What a verb took.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// Seconds; for several runs their sum.
    pub seconds: f64,
    /// Peak memory; for several runs the highest.
    pub peak_bytes: u64,
    /// By how much the repository grew, if the verb is a backup.
    pub stored_bytes: Option<u64>,
}

impl Reading {
    const NOTHING: Self = Self { seconds: 0.0, peak_bytes: 0, stored_bytes: Some(0) };

    const fn of(cost: Cost, stored_bytes: Option<u64>) -> Self {
        Self { seconds: cost.seconds, peak_bytes: cost.peak_bytes, stored_bytes }
    }

    fn and_then(self, next: Self) -> Self {
        Self {
            seconds: self.seconds + next.seconds,
            peak_bytes: self.peak_bytes.max(next.peak_bytes),
            stored_bytes: self.stored_bytes.zip(next.stored_bytes).map(|(before, added)| before + added),
        }
    }
}

/// A tool at work on a series, with a new repository.
pub struct Worker<'a> {
    name: ToolName,
    tool: Box<dyn Tool>,
    place: Place,
    series: &'a Series,
    /// Only so many of the series' hosts, the first ones.
    hosts: usize,
}

impl<'a> Worker<'a> {
    /// Makes the repository below `dir`.
    pub fn hire(program: &Program, series: &'a Series, dir: &Path, hosts: usize) -> Result<Self, Fault> {
        let place = Place::prepare(&program.path, &dir.join(program.name.to_string()))?;
        let tool = tool(program.name, place.clone());
        measure(&tool.init(), place.dir())?;
        Ok(Self { name: program.name, tool, place, series, hosts })
    }

    /// Backs up one day.
    pub fn back_up(&self, day: usize) -> Result<Reading, Fault> {
        let before = tree_bytes(&self.place.repo());
        let presented = self.series.present(day)?;
        let cost = measure(&self.tool.backup(self.chosen(&presented), &label(day)), self.place.dir())?;
        // A repository can shrink, when a tool compacts it on its own.
        Ok(Reading::of(cost, Some(tree_bytes(&self.place.repo()).saturating_sub(before))))
    }

    /// Backs up every day after day 0.
    pub fn back_up_the_rest(&self) -> Result<Reading, Fault> {
        (1..self.series.days.len()).try_fold(Reading::NOTHING, |sum, day| Ok(sum.and_then(self.back_up(day)?)))
    }

    /// Backs up the last days, so many, and says how large the repository is then.
    pub fn back_up_the_last(&self, days: usize) -> Result<u64, Fault> {
        let all = self.series.days.len();
        (all.saturating_sub(days)..all).try_for_each(|day| self.back_up(day).map(drop))?;
        Ok(tree_bytes(&self.place.repo()))
    }

    /// Thins out to the newest `keep` backups; says how large the repository was before and is then. The reading's bytes are those
    /// that were written for that.
    pub fn thin(&self, keep: usize) -> Result<(u64, u64, Reading), Fault> {
        let before = tree_bytes(&self.place.repo());
        let mut reading = Reading::NOTHING;
        for command in self.tool.thin(keep) {
            let cost = measure(&command, self.place.dir())?;
            reading = reading.and_then(Reading::of(cost, Some(self.place.told("written_bytes"))));
        }
        Ok((before, tree_bytes(&self.place.repo()), reading))
    }

    /// Restores the last day into an empty folder: what that took until the command ended, and until all was on disk.
    ///
    /// # Errors
    /// If that is not what was backed up.
    pub fn restore_last(&self) -> Result<(Reading, Reading), Fault> {
        let last = self.series.days.len() - 1;
        let target = self.place.target();
        folder::make_empty(&target)?;
        folder::warm(&self.place.repo())?;
        let reading = Reading::of(measure(&self.tool.restore(&label(last), &target), self.place.dir())?, None);
        let ended = Instant::now();
        rustix::fs::sync();
        let to_disk = Reading { seconds: reading.seconds + ended.elapsed().as_secs_f64(), ..reading };
        let presented = self.series.present(last)?;
        compare(self.name, self.chosen(&presented), &target)?;
        Ok((reading, to_disk))
    }

    /// Checks all data in the repository.
    pub fn check_data(&self) -> Result<Reading, Fault> {
        self.check(&self.tool.check_data())
    }

    /// Checks every file of every backup; nothing if the tool has no such check.
    pub fn check_files(&self) -> Result<Option<Reading>, Fault> {
        self.tool.check_files().map(|command| self.check(&command)).transpose()
    }

    /// Removes the repository and all else, unless it is to be kept.
    pub fn dismiss(self, keep: bool) -> Result<(), Fault> {
        if keep { Ok(()) } else { folder::remove(self.place.dir()) }
    }

    fn check(&self, command: &Command) -> Result<Reading, Fault> {
        folder::warm(&self.place.repo())?;
        Ok(Reading::of(measure(command, self.place.dir())?, None))
    }

    fn chosen<'b>(&self, presented: &'b Presented) -> &'b [Host] {
        let hosts = presented.hosts();
        hosts.get(..self.hosts).unwrap_or(hosts)
    }
}

/// That a tool restored these hosts below `target`.
///
/// # Errors
/// If that is not what they hold.
pub fn compare(tool: ToolName, hosts: &[Host], target: &Path) -> Result<(), Fault> {
    let mut differences = Vec::new();
    for host in hosts {
        // Esker makes a folder for each host; where peers put a single engine is found by its file `CURRENT`.
        let below_name = Some(target.join(&host.name)).filter(|dir| dir.exists());
        let restored = below_name.or_else(|| folder::folder_of(target, "CURRENT")).unwrap_or_else(|| target.to_path_buf());
        differences.extend(diff_trees(&host.dir, &restored, &[]));
    }
    match differences.first() {
        None => Ok(()),
        Some(first) => Err(Fault::RestoredOtherwise { tool: tool.to_string(), differences: differences.len(), first: first.clone() }),
    }
}

fn label(day: usize) -> String {
    name_of(u32::try_from(day).unwrap_or(u32::MAX))
}

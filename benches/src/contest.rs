//! The contest: every tool does the same work, one after the other.

use std::path::Path;

use esker_testkit::tree::{diff_trees, tree_bytes};

use crate::checkpoints::Checkpoints;
use crate::fault::Fault;
use crate::folder;
use crate::measure::{Cost, measure};
use crate::tools::{Place, Program, Tool, ToolName, tool};

/// The kinds of work that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Day 0 into an empty repository.
    FirstBackup,
    /// All later days.
    Incrementals,
    /// The last day into an empty folder.
    Restore,
    /// Everything in the repository.
    Verification,
}

impl Verb {
    /// All of them, in the order they are done.
    pub const ALL: [Self; 4] = [Self::FirstBackup, Self::Incrementals, Self::Restore, Self::Verification];
}

/// What a verb took.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// Seconds; for the incrementals their sum.
    pub seconds: f64,
    /// Peak memory; for the incrementals the highest.
    pub peak_bytes: u64,
    /// By how much the repository grew, if the verb is a backup.
    pub stored_bytes: Option<u64>,
}

/// The readings of one tool.
pub struct Score {
    /// The tool.
    pub name: ToolName,
    /// Its version.
    pub version: String,
    /// For every run, the readings in the order of [`Verb::ALL`].
    pub runs: Vec<[Reading; 4]>,
}

/// Lets every program do everything, `runs` times in turn, working below `dir`.
///
/// # Errors
/// If a program fails or restores something else than was backed up.
pub fn hold(programs: &[Program], checkpoints: &Checkpoints, dir: &Path, runs: u32, keep: bool) -> Result<Vec<Score>, Fault> {
    let new_score = |program: &Program| Score { name: program.name, version: program.version.clone(), runs: Vec::new() };
    let mut scores: Vec<Score> = programs.iter().map(new_score).collect();
    for run in 1..=runs {
        for (program, score) in programs.iter().zip(&mut scores) {
            eprintln!("run {run} of {runs}: {}", program.version);
            let place = Place::prepare(&program.path, &dir.join(program.name.program()))?;
            score.runs.push(run_all(program.name, &place, checkpoints)?);
            if !keep {
                folder::remove(place.dir())?;
            }
        }
    }
    Ok(scores)
}

fn run_all(name: ToolName, place: &Place, checkpoints: &Checkpoints) -> Result<[Reading; 4], Fault> {
    let tool = tool(name, place.clone());
    measure(&tool.init(), place.dir())?;
    let first = back_up(tool.as_ref(), place, checkpoints, 0)?;
    let mut incrementals = Reading { seconds: 0.0, peak_bytes: 0, stored_bytes: Some(0) };
    for day in 1..checkpoints.days.len() {
        incrementals = incrementals.and_then(back_up(tool.as_ref(), place, checkpoints, day)?);
    }
    let restore = restore_last(name, tool.as_ref(), place, checkpoints)?;
    folder::warm(&place.repo())?;
    let verification = Reading::of(measure(&tool.verify(), place.dir())?, None);
    Ok([first, incrementals, restore, verification])
}

fn back_up(tool: &dyn Tool, place: &Place, checkpoints: &Checkpoints, day: usize) -> Result<Reading, Fault> {
    let before = tree_bytes(&place.repo());
    let presented = checkpoints.present(day)?;
    let cost = measure(&tool.backup(presented.path(), &label(day)), place.dir())?;
    // A repository can shrink, when a tool compacts it on its own.
    Ok(Reading::of(cost, Some(tree_bytes(&place.repo()).saturating_sub(before))))
}

fn restore_last(name: ToolName, tool: &dyn Tool, place: &Place, checkpoints: &Checkpoints) -> Result<Reading, Fault> {
    let last = checkpoints.days.len() - 1;
    let target = place.target();
    folder::make_empty(&target)?;
    folder::warm(&place.repo())?;
    let reading = Reading::of(measure(&tool.restore(&label(last), &target), place.dir())?, None);

    let original = checkpoints.present(last)?;
    let restored = folder::folder_of(&target, "CURRENT").unwrap_or(target);
    let differences = diff_trees(original.path(), &restored, &[]);
    match differences.first() {
        None => Ok(reading),
        Some(first) => Err(Fault::RestoredOtherwise { tool: name.to_string(), differences: differences.len(), first: first.clone() }),
    }
}

fn label(day: usize) -> String {
    format!("day{day:02}")
}

impl Reading {
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

//! The contest: every tool does the same work, one after the other.

use std::path::Path;

use crate::fault::Fault;
use crate::series::Series;
use crate::tools::{Program, ToolName};
use crate::work::{Reading, Worker};

/// The kinds of work that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Day 0 into an empty repository.
    FirstBackup,
    /// All later days.
    Incrementals,
    /// The last day into an empty folder, until the command ends.
    Restore,
    /// The same until all files are on disk, which the command may have left to the kernel.
    RestoreToDisk,
    /// All data in the repository.
    DataCheck,
    /// Every file of every backup; for a tool that has no such check the one before.
    FilesCheck,
}

impl Verb {
    /// All of them, in the order they are done.
    pub const ALL: [Self; 6] =
        [Self::FirstBackup, Self::Incrementals, Self::Restore, Self::RestoreToDisk, Self::DataCheck, Self::FilesCheck];
}

/// The readings of one tool.
pub struct Score {
    /// The tool.
    pub name: ToolName,
    /// Its version.
    pub version: String,
    /// For every run, the readings in the order of [`Verb::ALL`].
    pub runs: Vec<[Reading; Verb::ALL.len()]>,
}

/// Lets every program do everything, `runs` times in turn, working below `dir`.
///
/// # Errors
/// If a program fails or restores something else than was backed up.
pub fn hold(programs: &[Program], series: &Series, dir: &Path, runs: u32, keep: bool) -> Result<Vec<Score>, Fault> {
    let new_score = |program: &Program| Score { name: program.name, version: program.version.clone(), runs: Vec::new() };
    let mut scores: Vec<Score> = programs.iter().map(new_score).collect();
    for run in 1..=runs {
        for (program, score) in programs.iter().zip(&mut scores) {
            eprintln!("run {run} of {runs}: {} ({})", program.name, program.version);
            let worker = Worker::hire(program, series, dir, usize::MAX)?;
            score.runs.push(run_all(&worker)?);
            worker.dismiss(keep)?;
        }
    }
    Ok(scores)
}

fn run_all(worker: &Worker<'_>) -> Result<[Reading; Verb::ALL.len()], Fault> {
    let first = worker.back_up(0)?;
    let incrementals = worker.back_up_the_rest()?;
    let (restore, to_disk) = worker.restore_last()?;
    let data = worker.check_data()?;
    let files = worker.check_files()?.unwrap_or(data);
    Ok([first, incrementals, restore, to_disk, data, files])
}

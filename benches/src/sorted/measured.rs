//! What was measured of a case.

use std::path::Path;

use super::case::{Case, WorkloadName};
use crate::fault::Fault;
use crate::series::{Input, Series};
use crate::tools::{Program, ToolName};
use crate::work::{Reading, Worker};

/// Bytes in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// After the first backup.
    pub day0_bytes: u64,
    /// Added by all later ones.
    pub later_bytes: u64,
}

impl Stored {
    /// By the readings of a tool.
    pub fn of(first: Reading, later: Reading) -> Self {
        Self { day0_bytes: first.stored_bytes.unwrap_or(0), later_bytes: later.stored_bytes.unwrap_or(0) }
    }

    /// Both together.
    pub const fn total_bytes(self) -> u64 {
        self.day0_bytes + self.later_bytes
    }
}

/// Esker's readings.
pub struct EskerReadings {
    /// The hosts that were backed up; `usize::MAX` means all.
    pub hosts: usize,
    /// The first backup.
    pub first: Reading,
    /// All others.
    pub later: Reading,
    /// The restore of the last day, which was compared with what was backed up.
    pub restore: Reading,
    /// What was left after all but the last days were forgotten and pruned, of the many days only.
    pub thinned: Option<Thinned>,
}

/// A repository that was thinned out to the last days, beside one that never held more.
#[derive(Debug, Clone, Copy)]
pub struct Thinned {
    /// Its bytes before.
    pub before_bytes: u64,
    /// Its bytes after.
    pub after_bytes: u64,
    /// What forgetting and pruning took.
    pub prune: Reading,
    /// The restore of the last day after that, which was compared as well.
    pub restore: Reading,
    /// Bytes of a new repository with a full backup and the days after it.
    pub fresh_bytes: u64,
}

/// Backups that stay when a repository is thinned out.
pub const KEPT_BACKUPS: usize = 7;

impl EskerReadings {
    /// The bytes stored.
    pub fn stored(&self) -> Stored {
        Stored::of(self.first, self.later)
    }

    /// The highest peak of memory.
    pub fn peak_bytes(&self) -> u64 {
        [self.first, self.later, self.restore].iter().map(|reading| reading.peak_bytes).max().unwrap_or(0)
    }
}

/// A case and its readings.
pub struct Measured {
    /// The workload.
    pub name: WorkloadName,
    /// What the series was made from.
    pub input: Input,
    /// The files of day 0.
    pub day0_file_bytes: u64,
    /// Files that were new on the days after it.
    pub later_file_bytes: u64,
    /// The new entries of the days after day 0 alone, under zstd 3.
    pub new_entries_bytes: Option<u64>,
    /// Esker's readings, for each number of hosts.
    pub esker: Vec<EskerReadings>,
    /// What the peers stored.
    pub peers: Vec<(ToolName, Stored)>,
}

impl Measured {
    /// Without readings yet.
    pub fn new(case: &Case, series: &Series) -> Self {
        Self {
            name: case.name,
            input: case.input.clone(),
            day0_file_bytes: series.days.first().map_or(0, |day| day.bytes),
            later_file_bytes: series.days.iter().skip(1).map(|day| day.new_bytes).sum(),
            new_entries_bytes: series.new_entries_bytes,
            esker: Vec::new(),
            peers: Vec::new(),
        }
    }
}

/// Lets Esker back up all days of the first `hosts` hosts, restore the last and, with `thin`, thin out and restore again.
pub fn measure_esker(
    program: &Program,
    series: &Series,
    dir: &Path,
    (hosts, thin): (usize, bool),
    keep: bool,
) -> Result<EskerReadings, Fault> {
    let worker = Worker::hire(program, series, dir, hosts)?;
    let (first, later, restore) = (worker.back_up(0)?, worker.back_up_the_rest()?, worker.restore_last()?.0);
    let thinned = if thin { Some(measure_thinned(&worker, program, series, dir)?) } else { None };
    worker.dismiss(keep)?;
    Ok(EskerReadings { hosts, first, later, restore, thinned })
}

fn measure_thinned(worker: &Worker<'_>, program: &Program, series: &Series, dir: &Path) -> Result<Thinned, Fault> {
    let (before_bytes, after_bytes, prune) = worker.thin(KEPT_BACKUPS)?;
    let restore = worker.restore_last()?.0;
    // A full backup, and as many days of changes as are kept.
    let fresh = Worker::hire(program, series, &dir.join("fresh"), usize::MAX)?;
    let fresh_bytes = fresh.back_up_the_last(KEPT_BACKUPS + 1)?;
    fresh.dismiss(false)?;
    Ok(Thinned { before_bytes, after_bytes, prune, restore, fresh_bytes })
}

/// Lets a peer back up all days of all hosts.
pub fn measure_peer(program: &Program, series: &Series, dir: &Path, keep: bool) -> Result<Stored, Fault> {
    let worker = Worker::hire(program, series, dir, usize::MAX)?;
    let stored = Stored::of(worker.back_up(0)?, worker.back_up_the_rest()?);
    worker.dismiss(keep)?;
    Ok(stored)
}

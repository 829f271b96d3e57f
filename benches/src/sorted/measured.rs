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
}

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

/// Lets Esker back up all days of the first `hosts` hosts and restore the last.
pub fn measure_esker(program: &Program, series: &Series, dir: &Path, hosts: usize, keep: bool) -> Result<EskerReadings, Fault> {
    let worker = Worker::hire(program, series, dir, hosts)?;
    let readings = EskerReadings { hosts, first: worker.back_up(0)?, later: worker.back_up_the_rest()?, restore: worker.restore_last()?.0 };
    worker.dismiss(keep)?;
    Ok(readings)
}

/// Lets a peer back up all days of all hosts.
pub fn measure_peer(program: &Program, series: &Series, dir: &Path, keep: bool) -> Result<Stored, Fault> {
    let worker = Worker::hire(program, series, dir, usize::MAX)?;
    let stored = Stored::of(worker.back_up(0)?, worker.back_up_the_rest()?);
    worker.dismiss(keep)?;
    Ok(stored)
}

//! What a peer stored of a series, kept beside it: the peers do not change from run to run.

use std::fs;
use std::path::PathBuf;

use super::measured::Stored;
use crate::fault::Fault;
use crate::series::Series;
use crate::tools::Program;

/// The file for one peer of one version. It goes when the series is made anew.
pub struct Kept(PathBuf);

impl Kept {
    /// Where the figures of `program` on `series` are kept.
    pub fn of(program: &Program, series: &Series) -> Self {
        Self(series.dir().join(format!("{}.kept", program.version.replace([' ', '/'], "-"))))
    }

    /// The figures, if they were kept.
    pub fn read(&self) -> Option<Stored> {
        let text = fs::read_to_string(&self.0).ok()?;
        let (day0, later) = text.trim().split_once(' ')?;
        Some(Stored { day0_bytes: day0.parse().ok()?, later_bytes: later.parse().ok()? })
    }

    /// Keeps them.
    pub fn write(&self, stored: Stored) -> Result<(), Fault> {
        fs::write(&self.0, format!("{} {}\n", stored.day0_bytes, stored.later_bytes)).map_err(Fault::at(&self.0))
    }
}

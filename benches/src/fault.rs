//! What can go wrong while measuring.

use std::io;
use std::path::{Path, PathBuf};

/// A reason to stop measuring.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A folder or file of the benchmark itself.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A program under test is not installed.
    #[error("{0} is missing: run scripts/setup bench, or leave it out with --tools")]
    MissingProgram(String),
    /// A program under test failed.
    #[error("failed with {status}: {command}\n{log_end}")]
    Failed {
        /// Its command line.
        command: String,
        /// How it ended.
        status: String,
        /// The last lines it wrote.
        log_end: String,
    },
    /// A synthetic repository cannot be made so.
    #[error("the synthetic repository: {0}")]
    Synthetic(String),
    /// A restored tree is not the one backed up.
    #[error("{tool} restored something else, {differences} differences; the first: {first}")]
    RestoredOtherwise {
        /// Who restored it.
        tool: String,
        /// How many differences there are.
        differences: usize,
        /// One of them.
        first: String,
    },
}

impl Fault {
    /// For `map_err`: names the path an I/O error is about.
    pub fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }
}

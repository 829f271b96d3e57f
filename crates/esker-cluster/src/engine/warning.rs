//! What a survey found odd; the backup goes on and names it.

use std::fmt;

use crate::path::escaped;

/// Something an operator should know about a source folder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// A checkpoint's staging folder, left by a crash; taken as bytes.
    StagingFolder {
        /// The folder.
        path: Vec<u8>,
    },
    /// A folder with a MANIFEST and tables but without `CURRENT`: half an engine, taken as bytes.
    NoCurrent {
        /// The folder.
        path: Vec<u8>,
    },
    /// Several folders would be the same engine (two checkpoints of it); each goes by its whole path instead.
    SameEngine {
        /// The folders.
        paths: Vec<Vec<u8>>,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StagingFolder { path } => {
                write!(out, "{} is a checkpoint's staging folder left by a crash; it may be deleted", escaped(path))
            }
            Self::NoCurrent { path } => {
                write!(out, "{} has a MANIFEST but no CURRENT; it is taken as bytes, not as an engine", escaped(path))
            }
            Self::SameEngine { paths } => {
                let names: Vec<String> = paths.iter().map(|path| escaped(path)).collect();
                write!(out, "{} are one engine by their paths; back up one checkpoint of it", names.join(", "))
            }
        }
    }
}

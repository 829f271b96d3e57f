//! What a backup of an engine leaves out, and how much that was.

use std::collections::BTreeMap;

/// Why something directly in an engine's folder is not backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeftOutReason {
    /// `LOCK`: belongs to the process that has the engine open.
    Lock,
    /// `LOG`, `LOG.old.*`: RocksDB's messages.
    Log,
    /// `*.dbtmp`: a file RocksDB had not finished.
    Unfinished,
    /// `*.trash`: a file RocksDB is deleting, possibly cut short already.
    Trash,
    /// `archive/`: write-ahead logs no longer needed to open.
    Archive,
    /// `lost/`: what a repair put aside.
    Lost,
}

impl LeftOutReason {
    /// The pattern of names, as the report shows it.
    pub fn pattern(self) -> &'static str {
        match self {
            Self::Lock => "LOCK",
            Self::Log => "LOG*",
            Self::Unfinished => "*.dbtmp",
            Self::Trash => "*.trash",
            Self::Archive => "archive/",
            Self::Lost => "lost/",
        }
    }

    /// Why a regular file of this name, directly in an engine's folder, is left out, if it is.
    pub(crate) fn of_file(name: &[u8]) -> Option<Self> {
        match name {
            b"LOCK" => Some(Self::Lock),
            b"LOG" | b"LOG.old" => Some(Self::Log),
            _ if name.starts_with(b"LOG.old.") => Some(Self::Log),
            _ if name.ends_with(b".dbtmp") => Some(Self::Unfinished),
            _ if name.ends_with(b".trash") => Some(Self::Trash),
            _ => None,
        }
    }

    /// Why a folder of this name, directly in an engine's folder, is left out with all below it, if it is.
    pub(crate) fn of_folder(name: &[u8]) -> Option<Self> {
        match name {
            b"archive" => Some(Self::Archive),
            b"lost" => Some(Self::Lost),
            _ => None,
        }
    }
}

/// How much was left out for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Number of files and links; folders are not counted.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// All that was left out, by reason.
pub type LeftOut = BTreeMap<LeftOutReason, Count>;

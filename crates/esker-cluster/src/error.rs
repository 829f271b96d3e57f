//! The one error of this crate: every variant names the path and the cause.

use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::cut::CutViolation;
use crate::path::shown;

/// How to get a folder that may be backed up, told in every refusal of a live engine.
pub const HOW_TO_CHECKPOINT: &str = "back up a checkpoint instead: rocksdb::Checkpoint::CreateCheckpoint, \
     `ldb --db=FOLDER checkpoint --checkpoint_dir=DIR`, or in NebulaGraph `CREATE SNAPSHOT`";

/// Short form of a result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong between a host's folder and a backup.
///
/// Paths are shown with control characters, backslashes and bytes that are no UTF-8 escaped, so that a file name
/// cannot forge a line of a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation.
    #[error("cannot {action} {}: {source}", shown(.path))]
    Io {
        /// What was tried, as an infinitive.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A host's root, or a path that must be one, is no folder.
    #[error("{} is not a folder", shown(.0))]
    NotAFolder(PathBuf),
    /// A fifo, socket or device stands in the tree; it cannot be kept.
    #[error("{} is a {kind}: special files cannot be backed up; remove it or choose another folder", shown(.path))]
    SpecialFile {
        /// The special file.
        path: PathBuf,
        /// `fifo`, `socket`, `block device`, `character device` or `file of unknown type`.
        kind: &'static str,
    },
    /// A database has the engine open for writing.
    #[error("{} is a live engine: {sign}; {HOW_TO_CHECKPOINT}", shown(.path))]
    LiveEngine {
        /// The engine's folder.
        path: PathBuf,
        /// What gave it away.
        sign: String,
    },
    /// `CURRENT` does not name a MANIFEST that is there.
    #[error("{} is damaged: {cause}", shown(.path))]
    BadCurrent {
        /// The `CURRENT` file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A file was not the same at the end of reading as at its begin.
    #[error("changed while it was read: {} ({cause})", shown(.path))]
    Changed {
        /// The file.
        path: PathBuf,
        /// What differed.
        cause: String,
    },
    /// A read or write was asked for outside the file's size.
    #[error("offset {offset} with {length} bytes lies outside {} of {size} bytes", shown(.path))]
    OutOfBounds {
        /// The file.
        path: PathBuf,
        /// First byte asked for.
        offset: u64,
        /// Number of bytes asked for.
        length: u64,
        /// The file's size in bytes.
        size: u64,
    },
    /// A MANIFEST or OPTIONS file cannot be read as one.
    #[error("{} is damaged at byte {offset}: {cause}", shown(.path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        cause: String,
    },
    /// An engine orders its keys by code that only its application has.
    #[error("{} cannot be opened here: column family {column_family:?} needs comparator {comparator:?}", shown(.path))]
    NeedsComparator {
        /// The engine's folder.
        path: PathBuf,
        /// The column family.
        column_family: String,
        /// The comparator's name, or `unknown`.
        comparator: String,
    },
    /// A commit position is hidden behind merge operands.
    #[error("commit positions of {} cannot be read: they need the engine's merge operator", shown(.0))]
    NeedsMergeOperator(PathBuf),
    /// RocksDB could not open or read an engine.
    #[error("RocksDB cannot {action} {}: {message}", shown(.path))]
    RocksDb {
        /// What was tried.
        action: &'static str,
        /// The engine's folder.
        path: PathBuf,
        /// RocksDB's own words.
        message: String,
    },
    /// An engine orders its keys otherwise than NebulaGraph does, so its positions cannot be looked for.
    #[error("{} is no NebulaGraph engine: its keys are not in plain byte order; its scheme must be `none`", shown(.0))]
    NotNebula(PathBuf),
    /// A commit record does not have the form NebulaGraph writes.
    #[error("commit record of partition {partition} in {} is malformed: {cause}", shown(.path))]
    BadPosition {
        /// The engine's folder.
        path: PathBuf,
        /// The partition.
        partition: u32,
        /// What is wrong.
        cause: String,
    },
    /// The cut does not fit the engine.
    #[error("cut of partition {} of {} does not hold: {violation}", violation.partition(), shown(.path))]
    Cut {
        /// The engine's folder.
        path: PathBuf,
        /// Which bound is broken.
        violation: CutViolation,
    },
    /// The cluster file is wrong.
    #[error("cluster file {}: {cause}", shown(.path))]
    ClusterFile {
        /// The TOML file.
        path: PathBuf,
        /// What is wrong, with the line where known.
        cause: String,
    },
    /// A path of a manifest would leave the restore folder, or cannot exist as asked.
    #[error("refused to restore {}: {cause}", shown(.path))]
    RefusedPath {
        /// The path as the manifest gives it.
        path: PathBuf,
        /// Why.
        cause: &'static str,
    },
    /// The restore folder already holds something and this is no resumed restore.
    #[error("{} is not empty: restore into an empty folder, or resume the restore that wrote it", shown(.0))]
    TargetNotEmpty(PathBuf),
    /// The target's file system is full, or its quota is used up.
    #[error("disk full while writing {}: free space there and resume the restore", shown(.0))]
    DiskFull(PathBuf),
    /// The target's file system is mounted read-only.
    #[error("{} is on a read-only file system: mount it writable or restore elsewhere", shown(.0))]
    ReadOnlyTarget(PathBuf),
    /// The target's file system has less space than the restore needs.
    #[error("{} has {free_bytes} bytes free and the restore needs {needed_bytes}", shown(.path))]
    NotEnoughSpace {
        /// The restore folder.
        path: PathBuf,
        /// Bytes a user of this process may still write.
        free_bytes: u64,
        /// Bytes asked for.
        needed_bytes: u64,
    },
    /// A planned file was not written, or not with its size, before the restore was to finish.
    #[error("{} is incomplete: {cause}", shown(.path))]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// What is missing.
        cause: String,
    },
}

impl Error {
    /// An operating system error on a source.
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>, errno: Errno) -> Self {
        Self::Io { action, path: path.as_ref().to_path_buf(), source: errno.into() }
    }

    /// An error of the standard library on a source.
    pub(crate) fn std(action: &'static str, path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_path_buf(), source }
    }

    /// An operating system error on a target; a full or read-only file system becomes its own variant.
    pub(crate) fn target(action: &'static str, path: impl AsRef<Path>, errno: Errno) -> Self {
        let path = path.as_ref();
        match errno {
            Errno::NOSPC | Errno::DQUOT => Self::DiskFull(path.to_path_buf()),
            Errno::ROFS => Self::ReadOnlyTarget(path.to_path_buf()),
            _ => Self::io(action, path, errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_and_a_read_only_file_system_are_told_from_other_failures() {
        let told = |errno| Error::target("write", "/r/h/1.sst", errno).to_string();
        assert_eq!(told(Errno::NOSPC), "disk full while writing /r/h/1.sst: free space there and resume the restore");
        assert_eq!(told(Errno::DQUOT), told(Errno::NOSPC));
        assert!(told(Errno::ROFS).starts_with("/r/h/1.sst is on a read-only file system"));
        assert!(told(Errno::IO).starts_with("cannot write /r/h/1.sst: "));
    }
}

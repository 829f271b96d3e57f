//! What a backup keeps of a file beside its bytes, and what tells that a file is still the same one.

use rustix::fs::Stat;

/// A point in time, as the file system gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Seconds since 1970-01-01 UTC; negative before.
    pub seconds: i64,
    /// Nanoseconds within the second, below 1,000,000,000.
    pub nanoseconds: u32,
}

/// What is kept and restored of a file, folder or symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// Permission bits with setuid, setgid and sticky: at most `0o7777`.
    pub mode: u32,
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Time of the last change of its bytes.
    pub mtime: Timestamp,
}

/// What tells one state of one inode from another; never restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Device number.
    pub device: u64,
    /// Inode number on that device.
    pub inode: u64,
    /// Time of the last change of the inode, which nobody can set back.
    pub ctime: Timestamp,
    /// Number of hard links. A database that deletes its name of a checkpoint's table changes this and the ctime.
    pub links: u64,
}

impl Attributes {
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "field types differ between targets")]
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            mode: stat.st_mode as u32 & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: Timestamp { seconds: stat.st_mtime as i64, nanoseconds: stat.st_mtime_nsec as u32 },
        }
    }
}

impl Stamp {
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "field types differ between targets")]
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            ctime: Timestamp { seconds: stat.st_ctime as i64, nanoseconds: stat.st_ctime_nsec as u32 },
            links: stat.st_nlink as u64,
        }
    }
}

/// The size of what `stat` describes, in bytes.
pub(crate) fn size_of(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

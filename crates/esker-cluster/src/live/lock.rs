//! Asking whether a process holds an engine's `LOCK`, without ever taking it.
//!
//! RocksDB holds a POSIX record lock (`fcntl F_SETLK`, the whole file) while it has a database open for writing
//! (`LockOrUnlock` in RocksDB's `env/fs_posix.cc`). `F_GETLK` tells of other processes' locks only, and closing *any*
//! handle of a file gives up all locks this very process holds on it. So `/proc/locks` is asked for our own locks
//! first, and a file locked by this process is never opened. Where there is no `/proc/locks`, an engine opened for
//! writing by the calling process itself is not recognised and loses its lock: do not back up your own open engine.
//! A lock held on another host of a network file system is seen if that file system passes locks on.

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};

use crate::path::join;
use crate::{Error, Result, Root, Stamp};

/// Refuses an engine whose `LOCK` is held.
pub(super) fn refuse_held(root: &Root, folder: &[u8]) -> Result<()> {
    let path = join(folder, b"LOCK");
    let stat = match root.stat(&path) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.map_err(|errno| Error::io("examine", root.absolute(&path), errno))?,
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(());
    }
    let live = |holder: String| Error::LiveEngine { path: root.absolute(folder), sign: format!("its LOCK is held by {holder}") };
    if held_by_this_process(Stamp::of(&stat).inode) {
        return Err(live("this very process".to_owned()));
    }
    let handle = match root.open_read_only(&path, OFlags::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.map_err(|errno| Error::io("open", root.absolute(&path), errno))?,
    };
    let question = Flock::from(FlockType::WriteLock);
    match fcntl_getlk(&handle, &question) {
        Ok(None) => Ok(()),
        Ok(Some(lock)) => Err(live(match lock.pid {
            Some(pid) => format!("process {}", pid.as_raw_nonzero()),
            None => "another host or container".to_owned(),
        })),
        // A file system without locks cannot have a live engine: RocksDB does not open there either.
        Err(Errno::NOLCK | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(Error::io("ask for the lock of", root.absolute(&path), errno)),
    }
}

/// Whether `/proc/locks` shows a lock of this process on an inode of that number, on whatever device.
///
/// The device is not compared: overlay and btrfs show another one there than `stat` does. A lock on a file of another
/// device with the same inode number refuses a backup wrongly; that is the safe side.
fn held_by_this_process(inode: u64) -> bool {
    // The pid as /proc sees it: inside a pid namespace it may differ from getpid().
    let Ok(own) = std::fs::read_link("/proc/self") else { return false };
    let Ok(locks) = std::fs::read_to_string("/proc/locks") else { return false };
    let own = own.to_string_lossy().into_owned();
    locks.lines().any(|line| {
        let mut fields = line.split_whitespace().skip_while(|field| *field != "POSIX").skip(3);
        let pid = fields.next();
        let file = fields.next().and_then(|file| file.rsplit(':').next()).and_then(|text| text.parse::<u64>().ok());
        pid == Some(own.as_str()) && file == Some(inode)
    })
}

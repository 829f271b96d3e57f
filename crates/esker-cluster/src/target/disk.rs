//! Folders of a target, and looking at what is there.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RawMode, Stat, chmodat, mkdirat, statat};
use rustix::io::Errno;

use super::{Target, refused};
use crate::{Error, Result, beneath};

/// Mode of a folder while it is written into.
const FOLDER_MODE: Mode = Mode::RWXU;

/// Makes and opens `DIR/<host>`. `dir` is the operator's, so links in it are followed; `host` is not.
pub(super) fn open_host_folder(dir: &Path, host: &str, resume: bool) -> Result<OwnedFd> {
    let path = dir.join(host);
    std::fs::create_dir_all(dir).map_err(|source| match Errno::from_io_error(&source) {
        Some(errno) => Error::target("create", dir, errno),
        None => Error::std("create", dir, source),
    })?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let base = rustix::fs::open(dir, flags, Mode::empty()).map_err(|errno| Error::target("open", dir, errno))?;
    make_or_reopen(base.as_fd(), host.as_bytes(), true).map_err(|errno| Error::target("create", &path, errno))?;
    let handle = beneath::open(base.as_fd(), host.as_bytes(), flags, Mode::empty());
    let handle = handle.map_err(|errno| Error::target("open", &path, errno))?;
    if !resume && !is_empty(&handle).map_err(|errno| Error::io("list", &path, errno))? {
        return Err(Error::TargetNotEmpty(path));
    }
    Ok(handle)
}

impl Target {
    pub(super) fn make_folder(&self, path: &[u8]) -> Result<()> {
        let fail = |errno| Error::target("create", self.absolute(path), errno);
        let (parent, name) = beneath::open_parent(self.handle.as_fd(), path).map_err(fail)?;
        make_or_reopen(parent.as_fd(), name, self.options.resume).map_err(|errno| match errno {
            Errno::NOTDIR => refused(path, "something that is no folder stands there"),
            other => fail(other),
        })
    }
}

/// Makes a folder, or lets us write into one that an earlier run finished.
fn make_or_reopen(parent: BorrowedFd<'_>, name: &[u8], may_exist: bool) -> std::result::Result<(), Errno> {
    match mkdirat(parent, name, FOLDER_MODE) {
        Err(Errno::EXIST) if may_exist => {}
        other => return other,
    }
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(Errno::NOTDIR);
    }
    let mode = Mode::from_raw_mode(stat.st_mode as RawMode & 0o7777);
    if mode.contains(FOLDER_MODE) { Ok(()) } else { chmodat(parent, name, mode | FOLDER_MODE, AtFlags::empty()) }
}

fn is_empty(folder: &OwnedFd) -> std::result::Result<bool, Errno> {
    for item in Dir::read_from(folder)? {
        if !matches!(item?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What stands at a path below `root`; a link is described itself.
pub(super) fn stat(root: BorrowedFd<'_>, relative: &[u8]) -> std::result::Result<Stat, Errno> {
    let (parent, name) = beneath::open_parent(root, relative)?;
    statat(parent.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)
}

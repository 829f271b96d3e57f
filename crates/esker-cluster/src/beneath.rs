//! Opening by relative path without ever leaving a folder or passing a symbolic link.
//!
//! `openat2(2)` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS` does it in one call. Where the kernel or a sandbox refuses
//! that call, and for paths longer than one system call takes, each component is opened by itself with `O_NOFOLLOW`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use crate::path::{components, split};

/// Paths from here on go component by component: `PATH_MAX` is 4,096 with its NUL.
const LONGEST_PATH_BYTES: usize = 4_000;

/// Opens `path` below `root`; the empty path is the root itself. `O_NOFOLLOW` and `O_CLOEXEC` are always added.
///
/// # Errors
/// `ELOOP` if any component is a symbolic link (`ENOTDIR` where the caller asked for a folder), else what `openat` says.
pub(crate) fn open(root: BorrowedFd<'_>, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path_or_dot = if path.is_empty() { b".".as_slice() } else { path };
    if path.len() < LONGEST_PATH_BYTES {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match openat2(root, path_or_dot, flags, mode, resolve) {
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL | Errno::AGAIN) => {}
            other => return other,
        }
    }
    open_step_by_step(root, path, flags, mode)
}

fn open_step_by_step(root: BorrowedFd<'_>, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let (folder, name) = split(path);
    if name.is_empty() {
        return openat(root, b".".as_slice(), flags, mode);
    }
    match walk_to(root, folder)? {
        Some(parent) => openat(parent.as_fd(), name, flags, mode),
        None => openat(root, name, flags, mode),
    }
}

/// Opens the folder `folder` step by step; `None` is the root.
fn walk_to(root: BorrowedFd<'_>, folder: &[u8]) -> Result<Option<OwnedFd>, Errno> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at: Option<OwnedFd> = None;
    for component in components(folder) {
        if component == b".." {
            return Err(Errno::XDEV);
        }
        let from = at.as_ref().map_or(root, AsFd::as_fd);
        let next = openat(from, component, step, Mode::empty())?;
        at = Some(next);
    }
    Ok(at)
}

/// Opens the folder that holds `path`, for the `*at` calls that take a folder and a name, and gives that name.
pub(crate) fn open_parent<'p>(root: BorrowedFd<'_>, path: &'p [u8]) -> Result<(OwnedFd, &'p [u8]), Errno> {
    let (folder, name) = split(path);
    let parent = open(root, folder, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    Ok((parent, name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn both_ways_open_files_and_refuse_links() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        std::fs::write(folder.path().join("a/b/f"), b"x").unwrap();
        symlink("a", folder.path().join("link")).unwrap();
        symlink("f", folder.path().join("a/b/g")).unwrap();
        let root = std::fs::File::open(folder.path()).unwrap();
        type Open = fn(BorrowedFd<'_>, &[u8], OFlags, Mode) -> Result<OwnedFd, Errno>;
        for way in [open as Open, |r, p, f, m| open_step_by_step(r, p, f | OFlags::NOFOLLOW, m)] {
            let at = |path: &[u8]| way(root.as_fd(), path, OFlags::RDONLY, Mode::empty());
            assert!(at(b"a/b/f").is_ok());
            assert!(at(b"").is_ok());
            assert!(at(b"link/b/f").is_err());
            assert_eq!(at(b"a/b/g").unwrap_err(), Errno::LOOP);
            assert!(at(b"a/../a/b/f").is_err() || at(b"../x").is_err());
        }
    }
}

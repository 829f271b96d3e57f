//! A host's root folder, held open.

use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, statat};
use rustix::io::Errno;

use crate::attributes::Attributes;
use crate::path::as_path;
use crate::{Error, Result, beneath};

/// A source folder. Every path under it is opened below this handle, read-only and without following links.
#[derive(Debug)]
pub struct Root {
    handle: OwnedFd,
    path: PathBuf,
    attributes: Attributes,
}

impl Root {
    /// Opens a folder as a source. A symbolic link given as the root is resolved; links below it never are.
    ///
    /// # Errors
    /// [`Error::NotAFolder`], or [`Error::Io`] if it is missing or not readable.
    pub fn open(path: &Path) -> Result<Self> {
        let path = path.canonicalize().map_err(|source| Error::std("open", path, source))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(&path, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::NOTDIR => Error::NotAFolder(path.clone()),
            other => Error::io("open", &path, other),
        })?;
        let stat = fstat(&handle).map_err(|errno| Error::io("examine", &path, errno))?;
        Ok(Self { handle, attributes: Attributes::of(&stat), path })
    }

    /// The absolute path of the root, links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The root folder's own attributes.
    pub fn attributes(&self) -> Attributes {
        self.attributes
    }

    /// The absolute path of something below the root.
    pub fn absolute(&self, relative: &[u8]) -> PathBuf {
        if relative.is_empty() { self.path.clone() } else { self.path.join(as_path(relative)) }
    }

    pub(crate) fn handle(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// Opens something below the root read-only, asking the kernel to leave its access time alone.
    pub(crate) fn open_read_only(&self, relative: &[u8], more: OFlags) -> std::result::Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | more;
        // Only the owner and root may ask for O_NOATIME; the others get EPERM and read without it.
        match beneath::open(self.handle(), relative, flags | OFlags::NOATIME, Mode::empty()) {
            Err(Errno::PERM) => beneath::open(self.handle(), relative, flags, Mode::empty()),
            other => other,
        }
    }

    /// The state of something below the root; a symbolic link is described itself.
    pub(crate) fn stat(&self, relative: &[u8]) -> std::result::Result<Stat, Errno> {
        let (parent, name) = beneath::open_parent(self.handle(), relative)?;
        statat(parent.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Reads at most `limit` bytes of a regular file below the root.
    pub(crate) fn read_small(&self, relative: &[u8], limit: u64) -> Result<Vec<u8>> {
        let absolute = self.absolute(relative);
        let handle = self.open_read_only(relative, OFlags::empty()).map_err(|e| Error::io("open", &absolute, e))?;
        let stat = fstat(&handle).map_err(|errno| Error::io("examine", &absolute, errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::io("read as a file", &absolute, Errno::INVAL));
        }
        let mut bytes = Vec::new();
        let read = std::fs::File::from(handle).take(limit).read_to_end(&mut bytes);
        read.map_err(|source| Error::std("read", &absolute, source))?;
        Ok(bytes)
    }
}

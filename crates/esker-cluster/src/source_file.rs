//! Reading one file of a source, and proving at the end that it stayed the same.
//!
//! Reads are `pread(2)` into the caller's buffer, so that several threads may read one file. A source is never mapped
//! into memory: a file cut short under a map kills the process.

mod segments;

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{Advice, FileType, OFlags, Stat, fadvise, fstat};
use rustix::io::{Errno, pread};

use crate::attributes::{Attributes, Stamp, size_of};
use crate::{Entry, Error, Result, Root};

pub use segments::{Segment, SegmentKind, Segments};

/// A regular file of a source, open for reading.
#[derive(Debug)]
pub struct SourceFile<'r> {
    root: &'r Root,
    relative: Vec<u8>,
    handle: OwnedFd,
    opened: Stat,
}

impl<'r> SourceFile<'r> {
    /// Opens the file of a listing, without following a link at its end or on the way.
    ///
    /// # Errors
    /// [`Error::Changed`] if it is not the file of the listing any more (gone, replaced, other size or mtime);
    /// [`Error::Io`] if it cannot be opened.
    pub fn open(root: &'r Root, entry: &Entry) -> Result<Self> {
        let path = || root.absolute(&entry.path);
        let handle = root.open_read_only(&entry.path, OFlags::empty()).map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => changed(path(), "it was removed or replaced"),
            other => Error::io("open", path(), other),
        })?;
        let opened = fstat(&handle).map_err(|errno| Error::io("examine", path(), errno))?;
        // The ctime of the listing is not compared: a database that drops its hard link of a checkpoint's table
        // moves it, hours after the walk and without touching a byte.
        if let Some(cause) = difference_to_listing(entry, &opened) {
            return Err(changed(path(), cause));
        }
        // Advice is advice: a file system without it is read all the same.
        let _ = fadvise(&handle, 0, None, Advice::Sequential);
        let _ = fadvise(&handle, 0, None, Advice::NoReuse);
        Ok(Self { root, relative: entry.path.clone(), handle, opened })
    }

    /// The file's size in bytes when it was opened.
    pub fn size(&self) -> u64 {
        size_of(&self.opened)
    }

    /// The file's absolute path.
    pub fn path(&self) -> PathBuf {
        self.root.absolute(&self.relative)
    }

    /// Fills the whole of `buffer` from `offset`; several threads may call it at once.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] if that lies beyond [`size`](Self::size); [`Error::Changed`] if the file is shorter now.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let length = buffer.len() as u64;
        if offset.checked_add(length).is_none_or(|end| end > self.size()) {
            return Err(Error::OutOfBounds { path: self.path(), offset, length, size: self.size() });
        }
        let mut rest = buffer;
        let mut at = offset;
        while !rest.is_empty() {
            match pread(&self.handle, &mut *rest, at) {
                Ok(0) => return Err(changed(self.path(), "it became shorter")),
                Ok(read) => {
                    rest = rest.get_mut(read..).unwrap_or_default();
                    at = at.saturating_add(read as u64);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::io("read", self.path(), errno)),
            }
        }
        Ok(())
    }

    /// The file's parts that hold data and its holes, in order, together covering it exactly.
    ///
    /// Holes are told by the file system (`SEEK_DATA`, `SEEK_HOLE`), not looked for; on one that cannot tell, the
    /// whole file is data.
    pub fn segments(&self) -> Segments<'_> {
        Segments::new(&self.handle, self.size(), self.path())
    }

    /// Proves that the file did not change since it was opened; call it after the last read.
    ///
    /// Compared are size, mtime, inode and ctime, and what stands at the path now. A ctime that moved together with
    /// the number of hard links, and nothing else, is a database dropping or making a link, not a change.
    ///
    /// # Errors
    /// [`Error::Changed`] naming the file and what differs.
    pub fn finish(self) -> Result<()> {
        let now = fstat(&self.handle).map_err(|errno| Error::io("examine", self.path(), errno))?;
        let named = match self.root.stat(&self.relative) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                return Err(changed(self.path(), "it was removed or replaced"));
            }
            other => other.map_err(|errno| Error::io("examine", self.path(), errno))?,
        };
        let cause = difference(&self.opened, &now).or_else(|| difference(&now, &named));
        cause.map_or(Ok(()), |cause| Err(changed(self.path(), cause)))
    }
}

fn changed(path: PathBuf, cause: &str) -> Error {
    Error::Changed { path, cause: cause.to_owned() }
}

fn difference_to_listing(entry: &Entry, opened: &Stat) -> Option<&'static str> {
    let stamp = Stamp::of(opened);
    if FileType::from_raw_mode(opened.st_mode) != FileType::RegularFile
        || (stamp.device, stamp.inode) != (entry.stamp.device, entry.stamp.inode)
    {
        Some("another file took its place")
    } else if size_of(opened) != entry.size {
        Some("its size differs")
    } else if Attributes::of(opened).mtime != entry.attributes.mtime {
        Some("its modification time differs")
    } else {
        None
    }
}

fn difference(before: &Stat, after: &Stat) -> Option<&'static str> {
    let (old, new) = (Stamp::of(before), Stamp::of(after));
    if (old.device, old.inode) != (new.device, new.inode) {
        Some("another file took its place")
    } else if size_of(before) != size_of(after) {
        Some("its size differs")
    } else if Attributes::of(before).mtime != Attributes::of(after).mtime {
        Some("its modification time differs")
    } else if old.ctime != new.ctime && old.links == new.links {
        Some("its change time differs")
    } else {
        None
    }
}

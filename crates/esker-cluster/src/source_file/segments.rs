//! Data and holes of a file, as its file system tells them.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::{Error, Result};

/// Whether a segment is stored on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentKind {
    /// Bytes to be read, possibly zeros.
    Data,
    /// Not stored; reads as zeros.
    Hole,
}

/// A range of a file, never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Whether it is stored.
    pub kind: SegmentKind,
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
}

/// Iterates over a file's segments; see [`SourceFile::segments`](super::SourceFile::segments).
///
/// It ends after the first error.
#[derive(Debug)]
pub struct Segments<'f> {
    handle: BorrowedFd<'f>,
    size: u64,
    at: u64,
    path: PathBuf,
}

impl<'f> Segments<'f> {
    pub(super) fn new(handle: &'f impl AsFd, size: u64, path: PathBuf) -> Self {
        Self { handle: handle.as_fd(), size, at: 0, path }
    }

    /// The segment at `self.at`. `lseek` gives the position back in the same call, so that other threads' calls on
    /// the same handle do no harm.
    fn segment(&self) -> std::result::Result<Segment, Errno> {
        let data = match seek(self.handle, SeekFrom::Data(self.at)) {
            Ok(data) => data.min(self.size),
            Err(Errno::NXIO) => self.size,
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(self.until(SegmentKind::Data, self.size)),
            Err(errno) => return Err(errno),
        };
        if data > self.at {
            return Ok(self.until(SegmentKind::Hole, data));
        }
        match seek(self.handle, SeekFrom::Hole(self.at)) {
            Ok(hole) if hole > self.at => Ok(self.until(SegmentKind::Data, hole.min(self.size))),
            // The hole was filled or the file cut between the two calls; `finish` will name it.
            Ok(_) | Err(Errno::NXIO) => Ok(self.until(SegmentKind::Data, self.size)),
            Err(errno) => Err(errno),
        }
    }

    fn until(&self, kind: SegmentKind, end: u64) -> Segment {
        Segment { kind, offset: self.at, length: end.saturating_sub(self.at) }
    }
}

impl Iterator for Segments<'_> {
    type Item = Result<Segment>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.size {
            return None;
        }
        let segment = self.segment().map_err(|errno| Error::io("find the holes of", &self.path, errno));
        self.at = match &segment {
            Ok(segment) => segment.offset.saturating_add(segment.length),
            Err(_) => self.size,
        };
        Some(segment)
    }
}

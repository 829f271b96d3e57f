//! One file of a restore, written at any offset from any thread.

use std::num::NonZeroU64;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Advice, AtFlags, FallocateFlags, FileType, Mode, OFlags, RawMode, chmodat, fadvise, fallocate, fstat, ftruncate};
use rustix::io::{Errno, pread, pwrite};

use super::{Target, refused};
use crate::attributes::size_of;
use crate::{Error, Result, Stamp, beneath};

/// Mode of a file while it is written.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
/// Zeros are written in pieces of this size where a file system makes no holes.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A file of a restore that is open for writing. Its size is the planned one from the begin; what is never written
/// stays a hole, which reads as zeros.
#[derive(Debug)]
pub struct TargetFile {
    handle: OwnedFd,
    path: PathBuf,
    size: u64,
    /// Bytes that were there before, which a hole must clear.
    existed: u64,
}

impl TargetFile {
    pub(super) fn create(target: &Target, path: &[u8], on_disk: &[u8], size: u64) -> Result<Self> {
        let absolute = target.absolute(path);
        let fail = |errno| Error::target("create", &absolute, errno);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK;
        let handle = match target.open(on_disk, flags | OFlags::EXCL, FILE_MODE) {
            Err(Errno::EXIST) if target.options.resume => reopen(target, on_disk),
            other => other,
        };
        let handle = handle.map_err(fail)?;
        let stat = fstat(&handle).map_err(fail)?;
        // A second name would be a way to write to a file outside the restore.
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || Stamp::of(&stat).links != 1 {
            return Err(refused(path, "something that is no file of this restore stands there"));
        }
        let existed = size_of(&stat).min(size);
        if size_of(&stat) != size {
            ftruncate(&handle, size).map_err(fail)?;
        }
        Ok(Self { handle, path: absolute, size, existed })
    }

    /// Where the file will be, with its final name.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Writes all of `bytes` at `offset`; several threads may call it at once.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] if that lies beyond the planned size; [`Error::DiskFull`], [`Error::ReadOnlyTarget`].
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_bounds(offset, bytes.len() as u64)?;
        let (mut rest, mut at) = (bytes, offset);
        while !rest.is_empty() {
            match pwrite(&self.handle, rest, at) {
                Ok(0) => return Err(Error::io("write", &self.path, Errno::IO)),
                Ok(written) => {
                    rest = rest.get(written..).unwrap_or_default();
                    at = at.saturating_add(written as u64);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::target("write", &self.path, errno)),
            }
        }
        Ok(())
    }

    /// Reads back all of `buffer` from `offset`, to check what an interrupted restore left.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`], [`Error::Io`].
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.check_bounds(offset, buffer.len() as u64)?;
        let (mut rest, mut at) = (buffer, offset);
        while !rest.is_empty() {
            match pread(&self.handle, &mut *rest, at) {
                Ok(0) => return Err(Error::io("read", &self.path, Errno::IO)),
                Ok(read) => {
                    rest = rest.get_mut(read..).unwrap_or_default();
                    at = at.saturating_add(read as u64);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::io("read", &self.path, errno)),
            }
        }
        Ok(())
    }

    /// Starts the way of written bytes to disk and does not wait for it: what is left for the end of the restore is little,
    /// and the disk works while the processors do.
    pub fn start_to_disk(&self, offset: u64, length: u64) {
        // Linux writes what is dirty before it gives up pages (`generic_fadvise`, mm/fadvise.c). Unlike a sync of the file
        // this commits no journal, which would make all writers wait. Only a hint, so its failure means nothing.
        let _ = fadvise(&self.handle, offset, NonZeroU64::new(length), Advice::DontNeed);
    }

    /// Makes a range a hole. In a new file it is one; in a resumed one what was there is cleared.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`]; the errors of [`write_at`](Self::write_at).
    pub fn hole(&self, offset: u64, length: u64) -> Result<()> {
        self.check_bounds(offset, length)?;
        let length = self.existed.min(offset.saturating_add(length)).saturating_sub(offset);
        if length == 0 {
            return Ok(());
        }
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.handle, punch, offset, length) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.write_zeros(offset, length),
            Err(errno) => Err(Error::target("write", &self.path, errno)),
        }
    }

    fn write_zeros(&self, offset: u64, length: u64) -> Result<()> {
        let (mut at, mut rest) = (offset, length);
        while rest > 0 {
            let piece = rest.min(ZEROS.len() as u64);
            let zeros = usize::try_from(piece).ok().and_then(|piece| ZEROS.get(..piece)).unwrap_or(&ZEROS);
            self.write_at(at, zeros)?;
            at = at.saturating_add(piece);
            rest = rest.saturating_sub(piece);
        }
        Ok(())
    }

    fn check_bounds(&self, offset: u64, length: u64) -> Result<()> {
        if offset.checked_add(length).is_some_and(|end| end <= self.size) {
            return Ok(());
        }
        Err(Error::OutOfBounds { path: self.path.clone(), offset, length, size: self.size })
    }
}

/// Opens a file that an earlier run left, also one that it finished with a mode that forbids writing.
fn reopen(target: &Target, on_disk: &[u8]) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK;
    match target.open(on_disk, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            let (parent, name) = beneath::open_parent(target.handle.as_fd(), on_disk)?;
            let stat = super::disk::stat(target.handle.as_fd(), on_disk)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Err(Errno::LOOP);
            }
            let mode = Mode::from_raw_mode(stat.st_mode as RawMode & 0o7777) | FILE_MODE;
            chmodat(parent.as_fd(), name, mode, AtFlags::empty())?;
            target.open(on_disk, flags, Mode::empty())
        }
        other => other,
    }
}

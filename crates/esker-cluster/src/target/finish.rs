//! The end of a restore: metadata, disk, and last of all each engine's `CURRENT`.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, fstat, fsync, renameat, syncfs};
use rustix::io::Errno;

use super::plan::name_while_writing;
use super::{Node, Target};
use crate::attributes::size_of;
use crate::path::split;
use crate::{Error, Kind, Result, Stamp, beneath};

/// What a finished restore consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Finished {
    /// Files.
    pub files: u64,
    /// Folders, the host's own not counted.
    pub folders: u64,
    /// Symbolic links.
    pub links: u64,
    /// Bytes of the files, holes included.
    pub bytes: u64,
}

impl Target {
    /// Ends the restore; every [`TargetFile`](super::TargetFile) must have been written and dropped.
    ///
    /// On return everything is on disk. An error leaves every `CURRENT` that was not yet given its name without it,
    /// and the restore can be resumed.
    ///
    /// # Errors
    /// [`Error::Incomplete`] if a planned file is not there with its size; the errors of writing.
    pub fn finish(self) -> Result<Finished> {
        let mut finished = Finished::default();
        let mut one_device = true;
        let device = self.device_of(&self.handle, b"")?;
        for node in self.plan.nodes() {
            match &node.kind {
                Kind::File => {
                    one_device &= self.finish_file(node)? == device;
                    finished.files = finished.files.saturating_add(1);
                    finished.bytes = finished.bytes.saturating_add(node.size);
                }
                Kind::Symlink { target } => {
                    self.make_link(node, target)?;
                    finished.links = finished.links.saturating_add(1);
                }
                Kind::Directory => finished.folders = finished.folders.saturating_add(1),
            }
        }
        self.to_disk(one_device)?;
        self.name_currents()?;
        self.dress_folders()?;
        self.to_disk(one_device)?;
        Ok(finished)
    }

    /// Checks and dresses a file; gives its device.
    fn finish_file(&self, node: &Node) -> Result<u64> {
        let path = self.absolute(&node.path);
        let incomplete = |cause: String| Error::Incomplete { path: path.clone(), cause };
        let handle = match self.open_finished(&node.path) {
            Err(Errno::NOENT) => return Err(incomplete("it was not written".to_owned())),
            other => other.map_err(|errno| Error::target("open", &path, errno))?,
        };
        let stat = fstat(&handle).map_err(|errno| Error::target("examine", &path, errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || size_of(&stat) != node.size {
            return Err(incomplete(format!("it has {} bytes instead of {}", size_of(&stat), node.size)));
        }
        self.dress(&handle, &node.path, &node.attributes)?;
        Ok(Stamp::of(&stat).device)
    }

    /// Opens a written file under the name it has now.
    fn open_finished(&self, path: &[u8]) -> std::result::Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        match self.open(&name_while_writing(path), flags, Mode::empty()) {
            // A resumed restore may have named this CURRENT already.
            Err(Errno::NOENT) => self.open(path, flags, Mode::empty()),
            // Without root, a file that an earlier run finished may have a mode that forbids reading.
            Err(Errno::ACCESS) => self.open(&name_while_writing(path), OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()),
            other => other,
        }
    }

    /// Gives each engine's `CURRENT` its name and puts that on disk.
    fn name_currents(&self) -> Result<()> {
        for path in self.plan.currents() {
            let fail = |errno| Error::target("name", self.absolute(path), errno);
            let temporary = name_while_writing(path);
            let (parent, name) = beneath::open_parent(self.handle.as_fd(), path).map_err(fail)?;
            match renameat(parent.as_fd(), split(&temporary).1, parent.as_fd(), name) {
                Err(Errno::NOENT) if self.options.resume => {}
                other => other.map_err(fail)?,
            }
            self.sync_folder(split(path).0)?;
        }
        Ok(())
    }

    /// The deepest first: a mode may forbid to go deeper, and work in a folder changes its mtime.
    fn dress_folders(&self) -> Result<()> {
        for node in self.plan.nodes().rev().filter(|node| node.kind == Kind::Directory) {
            self.dress_folder(&node.path, &node.attributes)?;
        }
        self.root_attributes.map_or(Ok(()), |attributes| self.dress_folder(b"", &attributes))
    }

    /// Puts everything on disk: with one call, or file by file where that call is refused, would not reach all, or would not
    /// tell of a failure.
    fn to_disk(&self, one_device: bool) -> Result<()> {
        if one_device {
            match syncfs(&self.handle) {
                // Before, it is silent on bytes that the disk refused; a sync of their file is not.
                Ok(()) if !syncfs_tells() => {}
                Err(Errno::NOSYS | Errno::INVAL | Errno::PERM) => {}
                other => return other.map_err(|errno| Error::target("sync", &self.path, errno)),
            }
        }
        for node in self.plan.nodes().filter(|node| node.kind == Kind::File) {
            let fail = |errno| Error::target("sync", self.absolute(&node.path), errno);
            fsync(self.open_finished(&node.path).map_err(fail)?).map_err(fail)?;
        }
        for folder in self.plan.folders() {
            self.sync_folder(folder)?;
        }
        self.sync_folder(b"")
    }

    fn sync_folder(&self, path: &[u8]) -> Result<()> {
        let fail = |errno| Error::target("sync", self.absolute(path), errno);
        let handle = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).map_err(fail)?;
        fsync(&handle).map_err(fail)
    }

    fn device_of(&self, handle: &OwnedFd, path: &[u8]) -> Result<u64> {
        let stat = fstat(handle).map_err(|errno| Error::target("examine", self.absolute(path), errno))?;
        Ok(Stamp::of(&stat).device)
    }
}

/// Whether `syncfs` fails if bytes of the file system could not be written: since Linux 5.8 (fs/sync.c).
fn syncfs_tells() -> bool {
    is_from_5_8_on(&rustix::system::uname().release().to_string_lossy())
}

fn is_from_5_8_on(release: &str) -> bool {
    let mut numbers = release.split(|other: char| !other.is_ascii_digit()).map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(5), Some(8))
}

#[cfg(test)]
mod tests {
    use super::is_from_5_8_on;

    #[test]
    fn releases_are_compared_by_their_numbers() {
        assert!(["5.8.0", "5.10.0-28-amd64", "6.1", "10.0.1"].into_iter().all(is_from_5_8_on));
        assert!(["5.7.19", "4.18.0-553.el8", "3.10.0", "5", "", "linux"].into_iter().all(|release| !is_from_5_8_on(release)));
    }
}

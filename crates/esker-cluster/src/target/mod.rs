//! Writing a restored host: `DIR/<host>/...`, exactly as the manifest says and nowhere else.
//!
//! The order is what makes a power loss harmless:
//!
//! 1. folders, with mode `0700`;
//! 2. files, with mode `0600`, each engine's `CURRENT` under a temporary name that RocksDB passes over;
//! 3. links; then owners, modes and mtimes of files and links;
//! 4. everything to disk, with one `syncfs` where the folder is on one file system;
//! 5. each `CURRENT` gets its name: an engine opens only if all its files are on disk;
//! 6. owners, modes and mtimes of folders, the deepest first, and to disk again.
//!
//! Links come after all bytes are written, and every path is opened without passing a link, so no manifest can make a
//! restore write outside its folder.

mod disk;
mod file;
mod finish;
mod leave_out;
mod metadata;
mod plan;
mod space;

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::path::as_path;
use crate::{Attributes, Error, Kind, Result, beneath};

pub use file::TargetFile;
pub use finish::Finished;
pub use plan::Node;

use plan::Plan;

/// How a restore treats what is there, and owners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetOptions {
    /// Go on with a restore that was interrupted: files and folders may exist.
    pub resume: bool,
    /// Restore owners. Needs root. Without it setuid and setgid bits of other owners' files are dropped.
    pub owners: bool,
}

impl Default for TargetOptions {
    /// A new restore, with owners if this process is root's.
    fn default() -> Self {
        Self { resume: false, owners: rustix::process::geteuid().is_root() }
    }
}

/// The folder of one host being restored.
#[derive(Debug)]
pub struct Target {
    handle: OwnedFd,
    path: PathBuf,
    plan: Plan,
    root_attributes: Option<Attributes>,
    options: TargetOptions,
}

impl Target {
    /// Checks every path of `nodes`, makes `DIR/<host>` and all folders in it.
    ///
    /// `root_attributes`, if any, are given to the host's folder at the end. Nothing is created if a path is refused.
    ///
    /// # Errors
    /// [`Error::RefusedPath`] for a host name or path that is hostile or contradicts another;
    /// [`Error::TargetNotEmpty`] unless resuming; [`Error::ReadOnlyTarget`], [`Error::DiskFull`], [`Error::Io`].
    pub fn prepare(dir: &Path, host: &str, root_attributes: Option<Attributes>, nodes: Vec<Node>, options: TargetOptions) -> Result<Self> {
        plan::check_host(host)?;
        let plan = Plan::of(nodes)?;
        let path = dir.join(host);
        let handle = disk::open_host_folder(dir, host, options.resume)?;
        let target = Self { handle, path, plan, root_attributes, options };
        for folder in target.plan.folders() {
            target.make_folder(folder)?;
        }
        Ok(target)
    }

    /// `DIR/<host>`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a planned file for writing, with its planned size and all of it a hole; when resuming, as it was left.
    ///
    /// # Errors
    /// [`Error::RefusedPath`] if `path` is not a planned file; [`Error::Io`] if it exists and this is no resumed
    /// restore; the errors of a full or read-only file system.
    pub fn create_file(&self, path: &[u8]) -> Result<TargetFile> {
        let Some(Node { kind: Kind::File, size, .. }) = self.plan.node(path) else {
            return Err(refused(path, "it is not a file of this restore"));
        };
        let on_disk = plan::name_while_writing(path);
        TargetFile::create(self, path, &on_disk, *size)
    }

    /// The size of a planned file as an interrupted restore left it, `None` if it is not there. A `CURRENT` that has
    /// its name already counts.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn existing_size(&self, path: &[u8]) -> Result<Option<u64>> {
        for name in [plan::name_while_writing(path), path.to_vec()] {
            if let Some(stat) = self.stat(&name)? {
                return Ok(Some(crate::attributes::size_of(&stat)));
            }
        }
        Ok(None)
    }

    /// Refuses a restore that does not fit: `needed_bytes` against what the file system has free for this user.
    ///
    /// # Errors
    /// [`Error::NotEnoughSpace`]; [`Error::Io`].
    pub fn check_space(&self, needed_bytes: u64) -> Result<()> {
        space::check(&self.handle, &self.path, needed_bytes)
    }

    fn absolute(&self, relative: &[u8]) -> PathBuf {
        if relative.is_empty() { self.path.clone() } else { self.path.join(as_path(relative)) }
    }

    fn open(&self, relative: &[u8], flags: OFlags, mode: Mode) -> std::result::Result<OwnedFd, Errno> {
        beneath::open(self.handle.as_fd(), relative, flags, mode)
    }

    /// What stands at a path of the target; a link is described itself.
    fn stat(&self, relative: &[u8]) -> Result<Option<rustix::fs::Stat>> {
        match disk::stat(self.handle.as_fd(), relative) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::io("examine", self.absolute(relative), errno)),
        }
    }
}

/// All nodes by path, sorted bytewise.
type Nodes = BTreeMap<Vec<u8>, Node>;

fn refused(path: &[u8], cause: &'static str) -> Error {
    Error::RefusedPath { path: as_path(path).to_path_buf(), cause }
}

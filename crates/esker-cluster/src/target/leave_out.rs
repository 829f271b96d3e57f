//! Leaving planned files out after all: what was written of them goes.

use std::os::fd::AsFd as _;

use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;

use super::Target;
use super::plan::name_while_writing;
use crate::{Error, Result, beneath};

impl Target {
    /// Takes a file out of the plan and removes what stands of it, under whatever name; its
    /// [`TargetFile`](super::TargetFile) must have been dropped. A path that is no planned file is left alone.
    ///
    /// # Errors
    /// The errors of a read-only file system; [`Error::Io`].
    pub fn leave_out(&mut self, path: &[u8]) -> Result<()> {
        if !self.plan.remove_file(path) {
            return Ok(());
        }
        for name in [name_while_writing(path), path.to_vec()] {
            let fail = |errno| Error::target("remove", self.absolute(path), errno);
            let (parent, last) = match beneath::open_parent(self.handle.as_fd(), &name) {
                Err(Errno::NOENT) => continue,
                opened => opened.map_err(fail)?,
            };
            match unlinkat(parent.as_fd(), last, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(fail(errno)),
            }
        }
        Ok(())
    }
}

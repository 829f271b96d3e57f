//! Owner, mode and mtime, in the order in which they do not undo each other.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, RawMode, Timespec, Timestamps, UTIME_OMIT, Uid, chownat, fchmod, fchown, fstat, futimens, readlinkat,
    symlinkat, utimensat,
};
use rustix::io::Errno;

use super::{Node, Target, refused};
use crate::{Attributes, Error, Result, Timestamp, beneath};

impl Target {
    /// Gives a file or folder its owner, mode and mtime. The mode comes after the owner: a change of owner clears
    /// setuid and setgid. The mtime comes last.
    pub(super) fn dress(&self, handle: &OwnedFd, path: &[u8], attributes: &Attributes) -> Result<()> {
        let fail = |action| move |errno| Error::target(action, self.absolute(path), errno);
        if self.options.owners {
            let (user, group) = owner(attributes);
            fchown(handle, user, group).map_err(fail("set the owner of"))?;
        }
        // Under another owner than the one they were set for, setuid and setgid would be a gift.
        let now = Attributes::of(&fstat(handle).map_err(fail("examine"))?);
        let same_owner = (now.uid, now.gid) == (attributes.uid, attributes.gid);
        let bits = if same_owner { 0o7777 } else { 0o1777 };
        let mode = Mode::from_raw_mode((attributes.mode & bits) as RawMode);
        fchmod(handle, mode).map_err(fail("set the mode of"))?;
        futimens(handle, &times(attributes.mtime)).map_err(fail("set the mtime of"))
    }

    /// Makes a link, with owner and mtime; one that is there already must be the same.
    pub(super) fn make_link(&self, node: &Node, link_target: &[u8]) -> Result<()> {
        let fail = |errno| Error::target("create", self.absolute(&node.path), errno);
        let (parent, name) = beneath::open_parent(self.handle.as_fd(), &node.path).map_err(fail)?;
        match symlinkat(link_target, parent.as_fd(), name) {
            Err(Errno::EXIST) if self.options.resume => {
                let there = readlinkat(parent.as_fd(), name, Vec::new());
                if !there.is_ok_and(|there| there.as_bytes() == link_target) {
                    return Err(refused(&node.path, "something else than this link stands there"));
                }
            }
            other => other.map_err(fail)?,
        }
        if self.options.owners {
            let (user, group) = owner(&node.attributes);
            chownat(parent.as_fd(), name, user, group, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
        }
        utimensat(parent.as_fd(), name, &times(node.attributes.mtime), AtFlags::SYMLINK_NOFOLLOW).map_err(fail)
    }

    /// Gives a folder its attributes.
    pub(super) fn dress_folder(&self, path: &[u8], attributes: &Attributes) -> Result<()> {
        let handle = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
        let handle = handle.map_err(|errno| Error::target("open", self.absolute(path), errno))?;
        self.dress(&handle, path, attributes)
    }
}

fn owner(attributes: &Attributes) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(attributes.uid)), Some(Gid::from_raw(attributes.gid)))
}

fn times(mtime: Timestamp) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        // A manifest may hold anything; more nanoseconds than a second has would mean `now` or `omit` to the kernel.
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.min(999_999_999).into() },
    }
}

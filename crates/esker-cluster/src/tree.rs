//! The listing of everything under a host's root.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Dir, FileType, OFlags, readlinkat, statat};

use crate::attributes::{Attributes, Stamp, size_of};
use crate::path::join;
use crate::{Error, Result, Root};

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Directory,
    /// A symbolic link, kept as a link and never followed.
    Symlink {
        /// Where it points, any bytes.
        target: Vec<u8>,
    },
}

/// One thing under a host's root, as it was when the walk passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path relative to the root, `/` between components, any bytes but NUL.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// What is kept of it beside its bytes.
    pub attributes: Attributes,
    /// Size in bytes of a file; 0 for folders and links.
    pub size: u64,
    /// The state of its inode.
    pub stamp: Stamp,
}

/// Lists everything under `root` but the root itself, sorted bytewise by path.
///
/// Symbolic links are listed and never followed; mounts below the root are entered. The order is the order of the
/// whole paths' bytes, so `a.b` comes between `a` and `a/b`.
///
/// # Errors
/// [`Error::SpecialFile`] names the first fifo, socket or device found. What vanishes or cannot be read during the
/// walk is an [`Error::Io`] with its name: half a listing is no backup.
pub fn walk(root: &Root) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut folders = vec![Vec::new()];
    while let Some(folder) = folders.pop() {
        let first = entries.len();
        list(root, &folder, &mut entries)?;
        let new = entries.iter().skip(first);
        folders.extend(new.filter(|entry| entry.kind == Kind::Directory).map(|entry| entry.path.clone()));
    }
    entries.sort_unstable_by(|left, right| left.path.cmp(&right.path));
    Ok(entries)
}

/// Appends what stands directly in `folder`.
fn list(root: &Root, folder: &[u8], entries: &mut Vec<Entry>) -> Result<()> {
    let fail = |errno| Error::io("list", root.absolute(folder), errno);
    let handle = root.open_read_only(folder, OFlags::DIRECTORY).map_err(fail)?;
    for item in Dir::read_from(&handle).map_err(fail)? {
        let item = item.map_err(fail)?;
        let name = item.file_name().to_bytes();
        if name != b"." && name != b".." {
            entries.push(examine(root, handle.as_fd(), folder, name)?);
        }
    }
    Ok(())
}

fn examine(root: &Root, at: std::os::fd::BorrowedFd<'_>, folder: &[u8], name: &[u8]) -> Result<Entry> {
    let path = join(folder, name);
    let fail = |errno| Error::io("examine", root.absolute(&path), errno);
    let stat = statat(at, name, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink { target: readlinkat(at, name, Vec::new()).map_err(fail)?.into_bytes() },
        other => return Err(Error::SpecialFile { path: root.absolute(&path), kind: special_name(other) }),
    };
    let size = if kind == Kind::File { size_of(&stat) } else { 0 };
    Ok(Entry { path, kind, attributes: Attributes::of(&stat), size, stamp: Stamp::of(&stat) })
}

fn special_name(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
        FileType::BlockDevice => "block device",
        FileType::CharacterDevice => "character device",
        _ => "file of unknown type",
    }
}

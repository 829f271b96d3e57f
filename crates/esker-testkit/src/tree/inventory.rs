//! What a directory tree holds: every name with its kind and metadata.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link and its target.
    Symlink(PathBuf),
    /// A FIFO, socket or device.
    Special(&'static str),
}

/// One name of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeNode {
    /// What it stands for.
    pub kind: NodeKind,
    /// Bytes of a regular file; 0 otherwise.
    pub size_bytes: u64,
    /// Permission bits, set-id bits and sticky bit.
    pub mode: u32,
    /// Modification time in nanoseconds since the Unix epoch.
    pub mtime_ns: i128,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device and inode: equal for hard links of one file.
    pub inode: (u64, u64),
}

/// Every name below `root` by its path relative to it; `root` itself is not part of it. Symbolic
/// links are not followed.
#[must_use]
pub fn inventory(root: &Path) -> BTreeMap<PathBuf, TreeNode> {
    let mut nodes = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        let listing = fs::read_dir(&path).unwrap_or_else(|error| panic!("list {}: {error}", path.display()));
        for name in listing {
            let name = folder.join(name.expect("directory entry").file_name());
            let node = node_at(&root.join(&name));
            if node.kind == NodeKind::Directory {
                folders.push(name.clone());
            }
            nodes.insert(name, node);
        }
    }
    nodes
}

/// The bytes of all regular files below `root`, hard links counted once.
#[must_use]
pub fn tree_bytes(root: &Path) -> u64 {
    let files: BTreeMap<(u64, u64), u64> = inventory(root).into_values().map(|node| (node.inode, node.size_bytes)).collect();
    files.values().sum()
}

fn node_at(path: &Path) -> TreeNode {
    let metadata = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("stat {}: {error}", path.display()));
    let kind = kind_of(path, &metadata);
    let is_file = kind == NodeKind::File;
    TreeNode {
        kind,
        size_bytes: if is_file { metadata.len() } else { 0 },
        mode: metadata.mode() & 0o7777,
        mtime_ns: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        uid: metadata.uid(),
        gid: metadata.gid(),
        inode: (metadata.dev(), metadata.ino()),
    }
}

fn kind_of(path: &Path, metadata: &Metadata) -> NodeKind {
    let file_type = metadata.file_type();
    if file_type.is_file() {
        NodeKind::File
    } else if file_type.is_dir() {
        NodeKind::Directory
    } else if file_type.is_symlink() {
        NodeKind::Symlink(fs::read_link(path).expect("symlink target"))
    } else if file_type.is_fifo() {
        NodeKind::Special("FIFO")
    } else if file_type.is_socket() {
        NodeKind::Special("socket")
    } else {
        NodeKind::Special("device")
    }
}

//! Copying a directory tree with its modes and modification times.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};

use super::inventory::{NodeKind, TreeNode, inventory};

/// Copies everything below `from` into the folder `to`, which is made if it is missing: files,
/// directories and symbolic links with mode and mtime. Owners become the caller's; FIFOs, sockets
/// and devices are a panic.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("target folder");
    let nodes = inventory(from);
    for (name, node) in &nodes {
        let (source, target) = (from.join(name), to.join(name));
        match &node.kind {
            NodeKind::Directory => fs::create_dir(&target),
            NodeKind::File => fs::copy(&source, &target).map(drop),
            NodeKind::Symlink(points_to) => symlink(points_to, &target),
            NodeKind::Special(kind) => panic!("{} is a {kind}", source.display()),
        }
        .unwrap_or_else(|error| panic!("copy {}: {error}", source.display()));
    }
    // In reverse, so that a directory is done after all that is made in it.
    for (name, node) in nodes.iter().rev() {
        set_metadata(&to.join(name), node);
    }
}

fn set_metadata(path: &Path, node: &TreeNode) {
    if !matches!(node.kind, NodeKind::Symlink(_)) {
        fs::set_permissions(path, PermissionsExt::from_mode(node.mode)).expect("set mode");
    }
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec {
            tv_sec: node.mtime_ns.div_euclid(1_000_000_000) as i64,
            tv_nsec: node.mtime_ns.rem_euclid(1_000_000_000) as i64,
        },
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("set mtime");
}

//! What a restore is to create, checked before anything is created.

use std::collections::BTreeSet;

use super::{Nodes, refused};
use crate::path::{as_path, check_relative, join, split};
use crate::{Attributes, Entry, Error, Kind, Result};

/// The name of an engine's `CURRENT` until everything else is on disk; backups leave `*.dbtmp` out.
const CURRENT_WHILE_WRITING: &[u8] = b"CURRENT.dbtmp";

/// One thing to restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Path relative to the host's folder, `/` between components.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Mode, owner, mtime.
    pub attributes: Attributes,
    /// Size in bytes of a file; not looked at otherwise.
    pub size: u64,
}

impl From<Entry> for Node {
    fn from(entry: Entry) -> Self {
        Self { path: entry.path, kind: entry.kind, attributes: entry.attributes, size: entry.size }
    }
}

/// All nodes of a restore, free of contradictions.
#[derive(Debug)]
pub(super) struct Plan {
    nodes: Nodes,
    /// Folders that nodes stand in, listed or not, parents first.
    folders: BTreeSet<Vec<u8>>,
}

impl Plan {
    /// Checks every path by itself and against the others.
    ///
    /// Folders that are not listed but needed are created with mode `0700` and keep it.
    pub(super) fn of(list: Vec<Node>) -> Result<Self> {
        let mut nodes = Nodes::new();
        for node in list {
            check_node(&node)?;
            let path = node.path.clone();
            if nodes.insert(path.clone(), node).is_some() {
                return Err(refused(&path, "it is listed twice"));
            }
        }
        let mut folders = BTreeSet::new();
        for (path, node) in &nodes {
            if node.kind == Kind::Directory {
                folders.insert(path.clone());
            }
            check_parents(&nodes, path, &mut folders)?;
            if split(path).1 == b"CURRENT" && nodes.contains_key(&name_while_writing(path)) {
                return Err(refused(&name_while_writing(path), "its name is needed while CURRENT is written"));
            }
        }
        Ok(Self { nodes, folders })
    }

    pub(super) fn node(&self, path: &[u8]) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Takes a file out; whether it was planned.
    pub(super) fn remove_file(&mut self, path: &[u8]) -> bool {
        let is_file = self.nodes.get(path).is_some_and(|node| node.kind == Kind::File);
        is_file && self.nodes.remove(path).is_some()
    }

    /// All nodes, sorted bytewise by path, parents before what they hold.
    pub(super) fn nodes(&self) -> impl DoubleEndedIterator<Item = &Node> {
        self.nodes.values()
    }

    /// All folders but the host's own, parents first.
    pub(super) fn folders(&self) -> impl Iterator<Item = &[u8]> {
        self.folders.iter().map(Vec::as_slice)
    }

    /// The files whose name comes last.
    pub(super) fn currents(&self) -> impl Iterator<Item = &[u8]> {
        let files = self.nodes.values().filter(|node| node.kind == Kind::File);
        files.map(|node| node.path.as_slice()).filter(|path| split(path).1 == b"CURRENT")
    }
}

fn check_node(node: &Node) -> Result<()> {
    if node.path.is_empty() {
        return Err(refused(b"", "an empty path is the host's folder itself"));
    }
    check_relative(&node.path).map_err(|cause| refused(&node.path, cause))?;
    match &node.kind {
        Kind::Symlink { target } if target.is_empty() || target.contains(&0) => {
            Err(refused(&node.path, "its link target is empty or holds a NUL byte"))
        }
        Kind::File if i64::try_from(node.size).is_err() => Err(refused(&node.path, "its size is impossible")),
        _ => Ok(()),
    }
}

/// Everything above a node must be a folder; folders above it that are not listed are added to `folders`.
fn check_parents(nodes: &Nodes, path: &[u8], folders: &mut BTreeSet<Vec<u8>>) -> Result<()> {
    let mut above = split(path).0;
    while !above.is_empty() {
        if nodes.get(above).is_some_and(|node| node.kind != Kind::Directory) {
            return Err(refused(path, "what it lies in is listed as a file or link"));
        }
        if !folders.insert(above.to_vec()) {
            // The folders above this one were looked at when it came in; a listed one sorts before what it holds.
            break;
        }
        above = split(above).0;
    }
    Ok(())
}

/// Under which name a file is written; its own but for `CURRENT`.
pub(super) fn name_while_writing(path: &[u8]) -> Vec<u8> {
    match split(path) {
        (folder, b"CURRENT") => join(folder, CURRENT_WHILE_WRITING),
        _ => path.to_vec(),
    }
}

/// A host's name becomes the name of a folder.
pub(super) fn check_host(host: &str) -> Result<()> {
    let path = as_path(host.as_bytes()).to_path_buf();
    if host.is_empty() || host.contains('/') {
        return Err(Error::RefusedPath { path, cause: "a host's name must be one folder name" });
    }
    check_relative(host.as_bytes()).map_err(|cause| Error::RefusedPath { path, cause })
}

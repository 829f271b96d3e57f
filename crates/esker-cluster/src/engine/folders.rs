//! Which folders of a listing are engines, half engines or staging folders.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::{FileKind, LeftOutReason, Warning};
use crate::path::split;
use crate::{Entry, Kind};

/// What makes a folder an engine or half of one.
#[derive(Debug, Default)]
struct Contents {
    current: bool,
    tables: bool,
    manifests: BTreeSet<Vec<u8>>,
}

impl Contents {
    /// `CURRENT` beside tables but no MANIFEST is a damaged engine, which its check then names.
    fn is_engine(&self) -> bool {
        self.current && (self.tables || !self.manifests.is_empty())
    }
}

/// The folders that hold RocksDB files directly, by path.
#[derive(Debug)]
pub(super) struct Folders(BTreeMap<Vec<u8>, Contents>);

impl Folders {
    /// Looks at the names of all files.
    pub(super) fn of(entries: &[Entry]) -> Self {
        let mut folders: BTreeMap<Vec<u8>, Contents> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.kind == Kind::File) {
            let (folder, name) = split(&entry.path);
            let kind = FileKind::of(name);
            if !matches!(kind, FileKind::Current | FileKind::Table | FileKind::Blob | FileKind::Manifest) {
                continue;
            }
            let contents = folders.entry(folder.to_vec()).or_default();
            match kind {
                FileKind::Current => contents.current = true,
                FileKind::Manifest => {
                    contents.manifests.insert(name.to_vec());
                }
                _ => contents.tables = true,
            }
        }
        Self(folders)
    }

    /// The engines' folders, but those below a folder that is left out.
    pub(super) fn engines(&self) -> impl Iterator<Item = &[u8]> {
        let engines = self.0.iter().filter(|(_, contents)| contents.is_engine());
        engines.map(|(path, _)| path.as_slice()).filter(|path| self.left_out_above(path).is_none())
    }

    /// Whether `folder` holds the MANIFEST of that name.
    pub(super) fn has_manifest(&self, folder: &[u8], name: &[u8]) -> bool {
        self.0.get(folder).is_some_and(|contents| contents.manifests.contains(name))
    }

    /// Why an entry is left out, if it is: by its own name or by a folder above it.
    pub(super) fn left_out(&self, entry: &Entry) -> Option<LeftOutReason> {
        let (folder, name) = split(&entry.path);
        match entry.kind {
            Kind::Directory => self.left_out_above(&entry.path),
            Kind::File if self.is_engine(folder) => LeftOutReason::of_file(name).or_else(|| self.left_out_above(folder)),
            _ => self.left_out_above(folder),
        }
    }

    /// Half engines and staging folders.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for (path, contents) in &self.0 {
            // RocksDB builds a checkpoint in `<DIR>.tmp` and renames it (utilities/checkpoint/checkpoint_impl.cc).
            if split(path).1.ends_with(b".tmp") {
                warnings.push(Warning::StagingFolder { path: path.clone() });
            } else if !contents.current && contents.tables && !contents.manifests.is_empty() {
                warnings.push(Warning::NoCurrent { path: path.clone() });
            }
        }
        warnings
    }

    fn is_engine(&self, folder: &[u8]) -> bool {
        self.0.get(folder).is_some_and(Contents::is_engine)
    }

    /// Looks at `folder` and every folder above it for one that is left out.
    fn left_out_above(&self, folder: &[u8]) -> Option<LeftOutReason> {
        let mut at = folder;
        while !at.is_empty() {
            let (above, name) = split(at);
            if let Some(reason) = LeftOutReason::of_folder(name).filter(|_| self.is_engine(above)) {
                return Some(reason);
            }
            at = above;
        }
        None
    }
}

//! Splitting a host's listing into engines, loose entries and what is left out.

use std::collections::BTreeMap;

use crate::engine::folders::Folders;
use crate::engine::{Count, FileKind, Identity, LeftOut, LeftOutReason, Warning, manifest_named_in};
use crate::path::{escaped, join, split};
use crate::{Entry, Error, Kind, Result, Root};

/// One file of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFile {
    /// The file, its path relative to the host's root.
    pub entry: Entry,
    /// What it is.
    pub kind: FileKind,
}

/// One RocksDB instance found under a host's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Its folder relative to the host's root; empty for the root itself.
    pub path: Vec<u8>,
    /// By what it is known from one backup to the next.
    pub identity: Identity,
    /// Name, in the folder, of the MANIFEST that `CURRENT` names.
    pub manifest: Vec<u8>,
    /// The files directly in its folder but those left out, sorted bytewise by path.
    pub files: Vec<EngineFile>,
}

/// A host's listing, sorted out. Every entry of the listing is in exactly one place.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// The engines, sorted bytewise by folder.
    pub engines: Vec<Engine>,
    /// Everything else that is kept, folders and links of engines' folders too, sorted bytewise by path.
    pub loose: Vec<Entry>,
    /// What is not kept.
    pub left_out: LeftOut,
    /// What an operator should know.
    pub warnings: Vec<Warning>,
}

/// Sorts out the listing that [`walk`](crate::walk) made of `root`.
///
/// # Errors
/// [`Error::BadCurrent`] if an engine's `CURRENT` is damaged or names a MANIFEST that is not there.
pub fn survey(root: &Root, entries: Vec<Entry>) -> Result<Survey> {
    let folders = Folders::of(&entries);
    let mut survey = Survey { warnings: folders.warnings(), ..Survey::default() };
    let mut engines = BTreeMap::new();
    for path in folders.engines() {
        engines.insert(path.to_vec(), open_engine(root, path, &folders)?);
    }
    for entry in entries {
        if let Some(reason) = folders.left_out(&entry) {
            count(&mut survey.left_out, reason, &entry);
            continue;
        }
        let (folder, name) = split(&entry.path);
        match (engines.get_mut(folder), &entry.kind) {
            (Some(engine), Kind::File) => {
                let kind = FileKind::of(name);
                engine.files.push(EngineFile { entry, kind });
            }
            _ => survey.loose.push(entry),
        }
    }
    survey.engines = engines.into_values().collect();
    survey.tell_apart();
    Ok(survey)
}

fn open_engine(root: &Root, path: &[u8], folders: &Folders) -> Result<Engine> {
    let manifest = manifest_named_in(root, path)?;
    if !folders.has_manifest(path, &manifest) {
        let cause = format!("it names `{}`, which is not there", escaped(&manifest));
        return Err(Error::BadCurrent { path: root.absolute(&join(path, b"CURRENT")), cause });
    }
    Ok(Engine { path: path.to_vec(), identity: Identity::of_folder(path), manifest, files: Vec::new() })
}

fn count(left_out: &mut LeftOut, reason: LeftOutReason, entry: &Entry) {
    let total: &mut Count = left_out.entry(reason).or_default();
    if entry.kind != Kind::Directory {
        total.files = total.files.saturating_add(1);
        total.bytes = total.bytes.saturating_add(entry.size);
    }
}

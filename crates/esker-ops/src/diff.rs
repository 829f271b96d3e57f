//! `diff`: engines, files and chunks in which two backups differ.

use std::collections::BTreeMap;
use std::sync::Arc;

use esker_cluster::path::escaped;
use esker_format::file_table::{FileContent, FileRow, Node};
use esker_format::manifest::Manifest;
use esker_repo::Repository;
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::scratch::ScratchMap;
use esker_repo::tables::read_piece;
use serde::Serialize;

use crate::error::Result;
use crate::rows::walk_rows;
use crate::select::{Selection, find_among};

/// How two backups differ. Bytes are bytes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Diff {
    /// The first backup's label.
    pub from: String,
    /// The second's.
    pub to: String,
    /// Engines that differ, and hosts' other files under the engine `-`.
    pub engines: Vec<EngineDiff>,
    /// Files that differ, by host and path.
    pub files: Vec<FileDiff>,
    /// Chunks of file bytes that only the first needs.
    pub chunks_removed: u64,
    /// Their plain bytes.
    pub chunk_bytes_removed: u64,
    /// Chunks that only the second needs.
    pub chunks_added: u64,
    /// Their plain bytes.
    pub chunk_bytes_added: u64,
}

/// One engine that differs.
#[derive(Debug, Clone, Default, Serialize)]
pub struct EngineDiff {
    /// The host.
    pub host: String,
    /// `<space> <data path>`, or `-` for files of no engine.
    pub engine: String,
    /// Files only in the second.
    pub added: u64,
    /// Files only in the first.
    pub removed: u64,
    /// Files in both with other bytes.
    pub changed: u64,
    /// Files in both with equal bytes.
    pub equal: u64,
    /// Bytes of files added or changed, as they are in the second.
    pub bytes: u64,
}

/// One file that differs.
#[derive(Debug, Clone, Serialize)]
pub struct FileDiff {
    /// `added`, `removed` or `changed`.
    pub change: &'static str,
    /// The host.
    pub host: String,
    /// The engine, as in `EngineDiff`.
    pub engine: String,
    /// Path below the engine's folder, or below the host's.
    pub path: String,
    /// Bytes in the first.
    pub bytes_from: u64,
    /// Bytes in the second.
    pub bytes_to: u64,
}

/// What stands at a path: checkpoints have other folders each time, so paths are below the engine's.
#[derive(Clone, PartialEq, Eq)]
struct Item {
    hash: [u8; 32],
    size: u64,
}

type Key = (String, String, Vec<u8>);

/// Which of the two backups need a chunk.
const IN_FIRST: u8 = 1;
const IN_SECOND: u8 = 2;

/// Compares two backups.
///
/// # Errors
/// `Usage` if one is not found; `ChunkLost`, `Store`.
pub fn diff(repository: &Arc<Repository>, from: &str, to: &str) -> Result<Diff> {
    let backups = repository.backups()?;
    let (from, to) = (find_among(&backups, from)?, find_among(&backups, to)?);
    let reader = ChunkReader::open(repository)?;
    let chunks = repository.scratch_map();
    let first = items(&reader, &from.manifest, &chunks, IN_FIRST)?;
    let second = items(&reader, &to.manifest, &chunks, IN_SECOND)?;
    let mut diff = Diff { from: from.manifest.label, to: to.manifest.label, ..Diff::default() };
    let mut engines: BTreeMap<(String, String), EngineDiff> = BTreeMap::new();
    let keys: std::collections::BTreeSet<&Key> = first.keys().chain(second.keys()).collect();
    for key in keys {
        let (host, engine, path) = key;
        let entry = engines.entry((host.clone(), engine.clone()));
        let entry = entry.or_insert_with(|| EngineDiff { host: host.clone(), engine: engine.clone(), ..EngineDiff::default() });
        let (old, new) = (first.get(key), second.get(key));
        let change = match (old, new) {
            (Some(old), Some(new)) if old == new => {
                entry.equal += 1;
                continue;
            }
            (Some(_), Some(_)) => {
                entry.changed += 1;
                "changed"
            }
            (None, _) => {
                entry.added += 1;
                "added"
            }
            (_, None) => {
                entry.removed += 1;
                "removed"
            }
        };
        let size = |item: Option<&Item>| item.map_or(0, |item| item.size);
        entry.bytes += size(new);
        diff.files.push(FileDiff {
            change,
            host: host.clone(),
            engine: engine.clone(),
            path: escaped(path),
            bytes_from: size(old),
            bytes_to: size(new),
        });
    }
    diff.engines = engines.into_values().filter(|engine| engine.added + engine.removed + engine.changed > 0).collect();
    chunks.for_each(|_, value| {
        let Some((sides, len)) = value.split_first() else { return Ok(()) };
        let len = len.first_chunk().map_or(0, |len| u64::from(u32::from_le_bytes(*len)));
        match *sides {
            IN_FIRST => {
                diff.chunks_removed += 1;
                diff.chunk_bytes_removed += len;
            }
            IN_SECOND => {
                diff.chunks_added += 1;
                diff.chunk_bytes_added += len;
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(diff)
}

fn items(reader: &ChunkReader, manifest: &Manifest, chunks: &ScratchMap, side: u8) -> Result<BTreeMap<Key, Item>> {
    let mut items = BTreeMap::new();
    let mut contents: Vec<FileContent> = Vec::new();
    let context = &mut ReadContext::new()?;
    walk_rows(reader, context, manifest, &Selection::default(), |place, row| {
        let FileRow { path, node: Node::File(content), .. } = row else { return Ok(()) };
        let (engine, path) = match place.engine {
            Some(engine) => {
                let space = engine.space.as_deref().unwrap_or("-");
                let below = path.strip_prefix(engine.folder.as_slice()).unwrap_or(&path);
                (format!("{space} {}", engine.data_path), below.strip_prefix(b"/").unwrap_or(below).to_vec())
            }
            None => ("-".to_owned(), path),
        };
        items.insert((place.host.name.clone(), engine, path), Item { hash: content.hash, size: content.size });
        contents.push(content);
        Ok(())
    })?;
    for piece in contents.iter().flat_map(|content| &content.recipe) {
        for chunk in read_piece(reader, context, piece)?.chunks() {
            let before = chunks.get(&chunk.id.0)?.and_then(|value| value.first().copied()).unwrap_or(0);
            let indexed = || {
                let places = reader.index().locate_readable(&chunk.id)?;
                let lens = places.iter().filter(|place| place.frame.entry.form.is_some()).map(|place| place.frame.entry.plain_len);
                let whole = places.first().filter(|place| place.frame.entry.form.is_none());
                Ok(whole.map_or_else(|| lens.sum(), |place| place.frame.entry.plain_len))
            };
            let len = chunk.len.map_or_else(indexed, Result::<u32>::Ok)?;
            chunks.put(&chunk.id.0, &[&[before | side][..], &len.to_le_bytes()].concat())?;
        }
    }
    Ok(items)
}

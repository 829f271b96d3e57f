//! `diff`: engines, files and chunks in which two backups differ.

use std::collections::BTreeMap;
use std::sync::Arc;

use esker_cluster::path::escaped;
use esker_format::ChunkId;
use esker_format::file_table::{FileRow, Node};
use esker_format::manifest::Manifest;
use esker_format::recipe::Piece;
use esker_repo::index::Location;
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::{RepoError, Repository};
use serde::Serialize;

use crate::error::{OpsError, Result};
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

/// Pieces of recipes that are read together.
const PIECES_AT_ONCE: usize = 1024;
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
    let mut pieces = BTreeMap::new();
    let first = items(&reader, &from.manifest, &mut pieces, IN_FIRST)?;
    let second = items(&reader, &to.manifest, &mut pieces, IN_SECOND)?;
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
    diff.count_chunks(&reader, &pieces)?;
    Ok(diff)
}

impl Diff {
    /// Counts the chunks that only one side needs. A piece of a recipe that both have is read once.
    fn count_chunks(&mut self, reader: &ChunkReader, pieces: &BTreeMap<ChunkId, u8>) -> Result<()> {
        // Sides that have the same recipes have the same chunks.
        if pieces.values().all(|sides| *sides == IN_FIRST | IN_SECOND) {
            return Ok(());
        }
        let (index, context) = (reader.index(), &mut ReadContext::new()?);
        let mut chunks = reader.repository().scratch_rows();
        let ids = reader.in_store_order(pieces.keys().copied().collect())?;
        for some in ids.chunks(PIECES_AT_ONCE) {
            reader.read_each::<OpsError, _>(context, some, |position, _, bytes| {
                let Some((id, sides)) = some.get(position).and_then(|id| pieces.get_key_value(id)) else { return Ok(()) };
                let piece = Piece::decode(bytes).map_err(RepoError::object(format!("recipe piece {id}")))?;
                for chunk in piece.chunks() {
                    let plain = |sum: u32, place: &Location| sum.saturating_add(place.frame.entry.plain_len);
                    let indexed = || Ok(index.locate_read(&chunk.id)?.iter().fold(0, plain));
                    let len = chunk.len.map_or_else(indexed, Result::<u32>::Ok)?;
                    chunks.push(&chunk.id.0, &[&[*sides][..], &len.to_le_bytes()].concat())?;
                }
                Ok(())
            })?;
        }
        let mut at: Option<(Vec<u8>, u8, u64)> = None;
        chunks.sorted()?.for_each::<OpsError>(|id, value| {
            let Some((sides, len)) = value.split_first() else { return Ok(()) };
            let len = len.first_chunk().map_or(0, |len| u64::from(u32::from_le_bytes(*len)));
            match &mut at {
                Some((known, all, _)) if known == id => *all |= sides,
                _ => self.count(at.replace((id.to_vec(), *sides, len))),
            }
            Ok(())
        })?;
        self.count(at);
        Ok(())
    }

    fn count(&mut self, chunk: Option<(Vec<u8>, u8, u64)>) {
        match chunk {
            Some((_, IN_FIRST, len)) => {
                self.chunks_removed += 1;
                self.chunk_bytes_removed += len;
            }
            Some((_, IN_SECOND, len)) => {
                self.chunks_added += 1;
                self.chunk_bytes_added += len;
            }
            _ => {}
        }
    }
}

/// A backup's files; the pieces of their recipes are noted for this side.
fn items(reader: &ChunkReader, manifest: &Manifest, pieces: &mut BTreeMap<ChunkId, u8>, side: u8) -> Result<BTreeMap<Key, Item>> {
    let mut items = BTreeMap::new();
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
        content.recipe.iter().for_each(|piece| *pieces.entry(*piece).or_default() |= side);
        Ok(())
    })?;
    Ok(items)
}

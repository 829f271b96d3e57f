//! Completing a table: its pieces side by side, what follows the data blocks, and the hash of the whole.

use std::collections::BTreeSet;

use blake3::Hasher;
use esker_cluster::{FileKind, SourceFile};
use esker_dedup::sorted::{MergedBlocks, Probe, Refusal, rest};
use esker_format::file_table::FileContent;
use esker_format::limits::TABLE_REST_MAX;
use esker_format::recipe::Piece;
use esker_format::table_recipe::TableBlocks;

use super::Pending;
use super::merge::Fate;
use super::survey::read_map;
use super::worker::Worker;
use crate::backup::file::{inode_of, role_of, store_piece};
use crate::error::Result;

/// Bytes read at a time.
const READ_BYTES: usize = 4 << 20;

/// Completes a table whose data blocks are all merged.
pub(super) fn complete(
    pending: &Pending<'_, '_>,
    parts: Vec<MergedBlocks>,
    probe: &Probe,
    worker: &mut Worker<'_>,
    encoders: &mut BTreeSet<u32>,
) -> Result<Fate> {
    let source = SourceFile::open(pending.table.root, pending.table.entry)?;
    let kept_blocks: u64 = parts.iter().map(|part| part.kept_bytes).sum();
    let (mut blocks, mut facts, mut hashed) = (Vec::new(), Some(probe.facts()), None);
    for part in parts {
        hashed = part.whole;
        blocks.extend(part.pieces);
        facts = facts.zip(part.facts).map(|(mut all, later)| {
            all.join(later);
            all
        });
    }
    let rest_offset = blocks.last().map_or(0, |piece| piece.offset + piece.len);
    let rest_len = source.size().saturating_sub(rest_offset);
    if rest_len > TABLE_REST_MAX {
        return Ok(Fate::Refused(Refusal::Damaged));
    }
    let hasher = match hashed {
        Some(hasher) => Some(hasher),
        None => hash_blocks(&source, &blocks)?,
    };
    let Some(mut hasher) = hasher else { return Ok(Fate::Refused(Refusal::Replay)) };
    let mut rest_bytes = vec![0; usize::try_from(rest_len).unwrap_or(0)];
    source.read_at(rest_offset, &mut rest_bytes)?;
    let hash = *hasher.update(&rest_bytes).finalize().as_bytes();
    let Ok(map) = read_map(&source, pending) else { return Ok(Fate::Refused(Refusal::Damaged)) };
    let described = rest::describe(&map, &rest_bytes, rest_offset, facts, worker)?;
    encoders.extend(described.encoders);
    source.finish()?;
    let mut chunks = 0;
    let mut recipe = Vec::new();
    let pieces = blocks.into_iter().map(|piece| Piece::Blocks(Box::new(piece))).chain([Piece::Rest(described.piece)]);
    for piece in pieces {
        chunks += piece.chunks().count() as u64;
        recipe.push(store_piece(worker.writer, piece)?);
    }
    let (size, identity) = (pending.table.entry.size, pending.table.identity);
    let inode = inode_of(pending.table.entry, identity.as_ref());
    let content = FileContent { size, hash, role: role_of(FileKind::Table), inode, identity, chunks, recipe };
    Ok(Fate::Sorted { content, kept_bytes: kept_blocks + described.kept_bytes })
}

/// BLAKE3 of the data blocks of a table that several merges had a part of; `None` if their pieces do not stand side by side
/// or a piece has other bytes than those that were merged.
fn hash_blocks(source: &SourceFile<'_>, blocks: &[TableBlocks]) -> Result<Option<Hasher>> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; READ_BYTES.min(usize::try_from(source.size()).unwrap_or(READ_BYTES))];
    let mut at = 0;
    for piece in blocks {
        if piece.offset != at {
            return Ok(None);
        }
        let mut of_piece = Hasher::new();
        let end = at + piece.len;
        while at < end {
            let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            let bytes = buffer.get_mut(..len).unwrap_or_default();
            source.read_at(at, bytes)?;
            hasher.update(bytes);
            of_piece.update(bytes);
            at += len as u64;
        }
        if *of_piece.finalize().as_bytes() != piece.hash {
            return Ok(None);
        }
    }
    Ok(Some(hasher))
}

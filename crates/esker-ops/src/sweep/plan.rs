//! Reading the recipes of many tables, and what a sweep must know of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use esker_format::ChunkId;
use esker_format::recipe::Piece;
use esker_format::run::KeyOrder;
use esker_format::table_recipe::{Block, Copy, TableBlocks, TableRest, TrailerSource};
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::{RepoError, Result as RepoResult};

use super::{PieceOf, SweptFile};
use crate::error::{OpsError, Result};
use crate::job::{FirstFault, Job};

/// Recipes that one thread reads together, about.
const PIECES_AT_ONCE: usize = 64;
/// Files whose recipes are read before any of them is looked at.
pub(super) const FILES_AT_ONCE: usize = 1024;
/// Bytes of decoded recipes that wait in memory for their turn, about; others are read again then.
const KEPT_BYTES_MAX: usize = 48 << 20;

/// A piece in the order of the sweep.
pub(super) struct Planned {
    pub(super) place: PieceOf,
    pub(super) id: ChunkId,
    pub(super) order: KeyOrder,
    pub(super) first_key: Vec<u8>,
    /// Its runs, by number.
    pub(super) runs: Vec<u32>,
    /// The piece itself, unless it must be read again.
    pub(super) kept: Mutex<Option<Box<TableBlocks>>>,
}

/// What was read of a piece.
pub(super) enum Sketch {
    /// Data blocks; where they start follows from those before.
    Blocks {
        len: u64,
        offset: u64,
        runs: Vec<ChunkId>,
        planned: Planned,
    },
    Rest(TableRest),
    /// It is no piece of a table.
    Bytes,
}

/// Reads the recipes of these files; by file, its pieces up to the first that cannot be read.
///
/// # Errors
/// `Store`, `Cancelled`.
pub(super) fn read_recipes(
    reader: &ChunkReader,
    files: &[SweptFile],
    kept_bytes: &AtomicUsize,
    job: &Job,
) -> Result<Vec<Vec<RepoResult<Sketch>>>> {
    let pieces: Vec<ChunkId> = files.iter().flat_map(|file| &file.content.recipe).copied().collect();
    let sketches: Vec<Mutex<Option<RepoResult<Sketch>>>> = pieces.iter().map(|_| Mutex::default()).collect();
    let (next, fault) = (AtomicUsize::new(0), FirstFault::default());
    let read = || -> Result<()> {
        let mut context = ReadContext::new()?;
        loop {
            let start = next.fetch_add(PIECES_AT_ONCE, Ordering::Relaxed);
            let Some(left) = pieces.get(start..).filter(|left| !left.is_empty() && !fault.is_set()) else { return Ok(()) };
            job.cancel.check()?;
            let together = left.get(..PIECES_AT_ONCE).unwrap_or(left);
            reader.read_scattered::<OpsError, _>(&mut context, together, |position, bytes| {
                let (Some(id), Some(slot)) = (together.get(position), sketches.get(start + position)) else { return Ok(()) };
                let sketch = bytes.and_then(|bytes| sketch(*id, bytes, kept_bytes));
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(sketch);
                Ok(())
            })?;
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..job.threads.min(pieces.len().div_ceil(PIECES_AT_ONCE)) {
            scope.spawn(|| fault.note(read()));
        }
        fault.note(read());
    });
    fault.into_result()?;
    let mut sketches = sketches.into_iter();
    let of_file = |file: &SweptFile| {
        let read = sketches.by_ref().take(file.content.recipe.len());
        read.filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
    };
    Ok(files.iter().map(of_file).collect())
}

fn sketch(id: ChunkId, bytes: &[u8], kept_bytes: &AtomicUsize) -> RepoResult<Sketch> {
    Ok(match Piece::decode(bytes).map_err(RepoError::object(format!("recipe piece {id}")))? {
        Piece::Bytes(_) => Sketch::Bytes,
        Piece::Rest(rest) => Sketch::Rest(rest),
        Piece::Blocks(blocks) => {
            let size = size_of_blocks(&blocks);
            let is_kept = kept_bytes.fetch_add(size, Ordering::Relaxed) + size <= KEPT_BYTES_MAX;
            if !is_kept {
                kept_bytes.fetch_sub(size, Ordering::Relaxed);
            }
            let planned = Planned {
                place: PieceOf { file: 0, piece: 0, offset: 0, len: 0 },
                id,
                order: blocks.order,
                first_key: blocks.runs.first().map(|run| run.first_key.clone()).unwrap_or_default(),
                runs: Vec::new(),
                kept: Mutex::new(None),
            };
            let (len, offset, runs) = (blocks.len, blocks.offset, blocks.runs.iter().map(|run| run.id).collect());
            Sketch::Blocks { len, offset, runs, planned: Planned { kept: Mutex::new(is_kept.then_some(blocks)), ..planned } }
        }
    })
}

/// Bytes of memory that a piece takes, about.
fn size_of_blocks(piece: &TableBlocks) -> usize {
    let runs: usize = piece.runs.iter().map(|run| size_of_val(run) + run.first_key.len()).sum();
    let columns = piece.blocks.len() * size_of::<Block>() + piece.copies.len() * size_of::<Copy>();
    let trailers = piece.trailers.len() * size_of::<(TrailerSource, u32)>() + piece.own_trailers.len() * size_of::<u64>();
    size_of::<TableBlocks>() + runs + columns + trailers + piece.own_timestamps.len()
}

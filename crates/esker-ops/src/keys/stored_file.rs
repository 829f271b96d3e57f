//! Bytes of a file of a backup at any offset, as far as they are stored as bytes.
//!
//! Of a table that is made of runs that is what follows the data blocks, from the last block on that would have to be rebuilt,
//! and whatever blocks were kept as they are.

use std::cell::RefCell;
use std::io;

use esker_format::ChunkId;
use esker_format::file_table::FileContent;
use esker_format::recipe::{Operation, Piece};
use esker_format::table_recipe::{ChunkUse, RestPart, TableRest};
use esker_sst::ReadAt;

use super::store::Store;
use crate::error::Result;

/// Where bytes come from.
enum Source {
    Chunk(ChunkId),
    Literal(Vec<u8>),
    Zeros,
}

/// Consecutive bytes of the file.
struct Extent {
    offset: u64,
    len: u64,
    source: Source,
    /// Where they start in the source.
    skip: u64,
}

/// A file of a backup.
pub(super) struct StoredFile<'s, 'r> {
    store: &'s Store<'r>,
    size: u64,
    extents: Vec<Extent>,
    /// The chunk that was read last.
    last: RefCell<Option<(ChunkId, Vec<u8>)>>,
}

impl<'s, 'r> StoredFile<'s, 'r> {
    /// A file without its bytes.
    pub(super) fn empty(store: &'s Store<'r>, size: u64) -> Self {
        Self { store, size, extents: Vec::new(), last: RefCell::new(None) }
    }

    /// A file with all bytes that are stored as such, kept blocks left out.
    pub(super) fn open(store: &'s Store<'r>, content: &FileContent) -> Result<Self> {
        let mut file = Self::empty(store, content.size);
        let mut found: Vec<Option<Vec<Extent>>> = content.recipe.iter().map(|_| None).collect();
        let mut lens = vec![0u64; content.recipe.len()];
        store.pieces(&content.recipe, |position, piece| {
            let (Some(slot), Some(len)) = (found.get_mut(position), lens.get_mut(position)) else { return Ok(()) };
            *len = piece.len();
            *slot = match piece {
                Piece::Bytes(piece) => Some(of_operations(piece.operations)),
                Piece::Rest(rest) => Some(of_rest(rest)),
                Piece::Blocks(_) => None,
            };
            Ok(())
        })?;
        let mut start = 0u64;
        for (extents, len) in found.into_iter().zip(lens) {
            let moved = extents.into_iter().flatten().map(|extent| Extent { offset: extent.offset.saturating_add(start), ..extent });
            file.extents.extend(moved);
            start = start.saturating_add(len);
        }
        Ok(file)
    }

    /// A table of which only what follows its blocks is wanted.
    pub(super) fn end_of_table(store: &'s Store<'r>, content: &FileContent) -> Result<Self> {
        let last = content.recipe.last().map(|id| store.piece(id)).transpose()?;
        let Some(Piece::Rest(rest)) = last else { return Self::open(store, content) };
        let start = content.size.saturating_sub(rest.len);
        let extents = of_rest(rest).into_iter().map(|extent| Extent { offset: extent.offset.saturating_add(start), ..extent });
        Ok(Self { extents: extents.collect(), ..Self::empty(store, content.size) })
    }

    /// Adds bytes that stand in these chunks, one behind the other, from `skip` on.
    pub(super) fn add(&mut self, mut offset: u64, mut len: u64, chunks: &[ChunkUse], mut skip: u64) {
        for chunk in chunks {
            let in_chunk = u64::from(chunk.len);
            if skip >= in_chunk {
                skip -= in_chunk;
                continue;
            }
            let step = len.min(in_chunk - skip);
            if step == 0 {
                break;
            }
            self.extents.push(Extent { offset, len: step, source: Source::Chunk(chunk.id), skip });
            (offset, len, skip) = (offset.saturating_add(step), len - step, 0);
        }
        self.extents.sort_by_key(|extent| extent.offset);
    }

    /// Forgets what stands before an offset.
    pub(super) fn forget_before(&mut self, offset: u64) {
        self.extents.retain(|extent| extent.offset.saturating_add(extent.len) > offset);
    }

    /// Copies the first of these bytes, and says how many.
    fn copy(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let number = self.extents.partition_point(|extent| extent.offset <= offset).checked_sub(1);
        let extent = number.and_then(|number| self.extents.get(number)).filter(|extent| offset - extent.offset < extent.len);
        let Some(extent) = extent else {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "these bytes are not stored as bytes"));
        };
        let at = offset - extent.offset;
        let step = usize::try_from(extent.len - at).unwrap_or(usize::MAX).min(buf.len());
        let target = buf.get_mut(..step).unwrap_or_default();
        let start = usize::try_from(extent.skip + at).unwrap_or(usize::MAX);
        let short = || io::Error::new(io::ErrorKind::UnexpectedEof, "a chunk is shorter than its recipe says");
        let take = |bytes: &[u8], target: &mut [u8]| -> io::Result<()> {
            target.copy_from_slice(bytes.get(start..start.saturating_add(step)).ok_or_else(short)?);
            Ok(())
        };
        match &extent.source {
            Source::Zeros => target.fill(0),
            Source::Literal(bytes) => take(bytes, target)?,
            Source::Chunk(id) => {
                let mut last = self.last.borrow_mut();
                if last.as_ref().is_none_or(|(known, _)| known != id) {
                    // The old one goes first: chunks can be large.
                    *last = None;
                    let bytes = self.store.chunk(id).map_err(|error| self.store.keep_fault(error))?;
                    *last = Some((*id, bytes));
                }
                take(last.as_ref().map(|(_, bytes)| bytes.as_slice()).unwrap_or_default(), target)?;
            }
        }
        Ok(step)
    }
}

fn of_operations(operations: Vec<Operation>) -> Vec<Extent> {
    let mut offset = 0u64;
    let extent = |operation: Operation| {
        let (start, len) = (offset, operation.len());
        offset = offset.saturating_add(len);
        let source = match operation {
            Operation::Chunk { id, .. } => Source::Chunk(id),
            Operation::Hole { .. } => Source::Zeros,
            Operation::Literal(bytes) => Source::Literal(bytes),
        };
        Extent { offset: start, len, source, skip: 0 }
    };
    operations.into_iter().map(extent).collect()
}

/// What stands before the first built part, and what stands behind the last: how long those are is not known.
fn of_rest(rest: TableRest) -> Vec<Extent> {
    let is_built = |part: &RestPart| matches!(part, RestPart::Built { .. });
    let len_of = |part: &RestPart| match part {
        RestPart::Chunk(chunk) => u64::from(chunk.len),
        RestPart::Literal(bytes) => bytes.len() as u64,
        RestPart::Built { .. } => 0,
    };
    let first_built = rest.parts.iter().position(is_built).unwrap_or(rest.parts.len());
    let behind = rest.parts.iter().rposition(is_built).map_or(rest.parts.len(), |last| last + 1);
    let behind_len: u64 = rest.parts.iter().skip(behind).map(len_of).sum();
    let mut extents = Vec::new();
    let mut offset = 0u64;
    for (number, part) in rest.parts.into_iter().enumerate() {
        if number == behind {
            offset = rest.len.saturating_sub(behind_len);
        }
        let len = len_of(&part);
        let source = match part {
            RestPart::Chunk(chunk) => Source::Chunk(chunk.id),
            RestPart::Literal(bytes) => Source::Literal(bytes),
            RestPart::Built { .. } => continue,
        };
        if number < first_built || number >= behind {
            extents.push(Extent { offset, len, source, skip: 0 });
            offset = offset.saturating_add(len);
        }
    }
    extents
}

impl ReadAt for StoredFile<'_, '_> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let (mut buf, mut offset) = (buf, offset);
        while !buf.is_empty() {
            let step = self.copy(buf, offset)?;
            offset = offset.saturating_add(step as u64);
            buf = std::mem::take(&mut buf).get_mut(step..).unwrap_or_default();
        }
        Ok(())
    }

    fn len(&self) -> u64 {
        self.size
    }
}

/// A file from its beginning to its end.
pub(super) struct Sequential<'f, 's, 'r> {
    file: &'f StoredFile<'s, 'r>,
    at: u64,
}

impl<'f, 's, 'r> Sequential<'f, 's, 'r> {
    pub(super) fn new(file: &'f StoredFile<'s, 'r>) -> Self {
        Self { file, at: 0 }
    }
}

impl io::Read for Sequential<'_, '_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() || self.at >= self.file.size {
            return Ok(0);
        }
        let step = self.file.copy(buf, self.at)?;
        self.at += step as u64;
        Ok(step)
    }
}

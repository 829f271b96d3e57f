//! Building the recipe of one file while it is read.

use blake3::Hasher;
use esker_format::ChunkId;
use esker_format::config::ChunkerParameters;
use esker_format::limits::{INLINE_MAX, RECIPE_OPS_MAX};
use esker_format::recipe::{Operation, RecipePiece};

use crate::chunker::Chunker;

/// Files up to this many bytes stand in their recipe: a chunk would cost more than it saves.
const LITERAL_BYTES_MAX: usize = 256;
/// Zeros hashed at a time for a hole.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

const _: () = assert!(LITERAL_BYTES_MAX <= INLINE_MAX);

/// What a whole file came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltRecipe {
    /// Pieces in order; none for an empty file.
    pub pieces: Vec<RecipePiece>,
    /// BLAKE3 of the file.
    pub hash: [u8; 32],
    /// Its bytes.
    pub size: u64,
    /// Chunks that its operations name.
    pub chunks: u64,
}

/// Takes a file's bytes and holes in order.
///
/// Every chunk is given to the caller's `store`, which names it (and stores it, if it is new).
pub struct RecipeBuilder {
    chunker: Chunker,
    hasher: Hasher,
    pieces: Vec<RecipePiece>,
    size: u64,
    chunks: u64,
}

impl RecipeBuilder {
    /// For a file that is cut with these bounds.
    pub fn new(bounds: ChunkerParameters) -> Self {
        Self { chunker: Chunker::new(bounds), hasher: Hasher::new(), pieces: Vec::new(), size: 0, chunks: 0 }
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// What `store` returns.
    pub fn bytes<E>(&mut self, bytes: &[u8], mut store: impl FnMut(&[u8]) -> Result<ChunkId, E>) -> Result<(), E> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        let (chunker, pieces, chunks) = (&mut self.chunker, &mut self.pieces, &mut self.chunks);
        chunker.push(bytes, |chunk| add_chunk(pieces, chunks, chunk, &mut store))
    }

    /// Adds a hole of `len` zeros that the source does not store.
    ///
    /// # Errors
    /// What `store` returns.
    pub fn hole<E>(&mut self, len: u64, store: impl FnMut(&[u8]) -> Result<ChunkId, E>) -> Result<(), E> {
        if len == 0 {
            return Ok(());
        }
        self.flush(store)?;
        let mut left = len;
        while left > 0 {
            let step = left.min(ZEROS.len() as u64);
            self.hasher.update(ZEROS.get(..usize::try_from(step).unwrap_or(ZEROS.len())).unwrap_or(&ZEROS));
            left -= step;
        }
        self.size += len;
        add(&mut self.pieces, Operation::Hole { len });
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// What `store` returns.
    pub fn finish<E>(mut self, store: impl FnMut(&[u8]) -> Result<ChunkId, E>) -> Result<BuiltRecipe, E> {
        self.flush(store)?;
        Ok(BuiltRecipe { pieces: self.pieces, hash: *self.hasher.finalize().as_bytes(), size: self.size, chunks: self.chunks })
    }

    fn flush<E>(&mut self, mut store: impl FnMut(&[u8]) -> Result<ChunkId, E>) -> Result<(), E> {
        let (chunker, pieces, chunks) = (&mut self.chunker, &mut self.pieces, &mut self.chunks);
        chunker.finish(|chunk| add_chunk(pieces, chunks, chunk, &mut store))
    }
}

fn add_chunk<E>(
    pieces: &mut Vec<RecipePiece>,
    chunks: &mut u64,
    chunk: &[u8],
    store: &mut impl FnMut(&[u8]) -> Result<ChunkId, E>,
) -> Result<(), E> {
    let operation = if chunk.len() <= LITERAL_BYTES_MAX {
        Operation::Literal(chunk.to_vec())
    } else {
        *chunks += 1;
        Operation::Chunk { id: store(chunk)?, len: u32::try_from(chunk.len()).unwrap_or(u32::MAX) }
    };
    add(pieces, operation);
    Ok(())
}

fn add(pieces: &mut Vec<RecipePiece>, operation: Operation) {
    match pieces.last_mut() {
        Some(piece) if piece.operations.len() < RECIPE_OPS_MAX => piece.operations.push(operation),
        _ => pieces.push(RecipePiece { operations: vec![operation] }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::convert::Infallible;

    #[test]
    fn operations_in_order_give_the_file_back() {
        let mut chunks: HashMap<ChunkId, Vec<u8>> = HashMap::new();
        let mut store = |chunk: &[u8]| -> Result<ChunkId, Infallible> {
            let id = ChunkId(*blake3::hash(chunk).as_bytes());
            chunks.insert(id, chunk.to_vec());
            Ok(id)
        };
        let data: Vec<u8> = (0..30_000u32).flat_map(|number| (number * number).to_le_bytes()).collect();
        let mut builder = RecipeBuilder::new(ChunkerParameters { min: 64, avg: 256, max: 1024 });
        builder.bytes(&data, &mut store).unwrap();
        builder.hole(100_000, &mut store).unwrap();
        builder.bytes(b"tail", &mut store).unwrap();
        let recipe = builder.finish(&mut store).unwrap();
        let mut file = Vec::new();
        for operation in recipe.pieces.iter().flat_map(|piece| &piece.operations) {
            match operation {
                Operation::Chunk { id, .. } => file.extend_from_slice(&chunks[id]),
                Operation::Hole { len } => file.resize(file.len() + *len as usize, 0),
                Operation::Literal(bytes) => file.extend_from_slice(bytes),
            }
        }
        assert_eq!(file, [&data[..], &vec![0; 100_000], b"tail"].concat());
        assert_eq!((recipe.size, recipe.hash), (file.len() as u64, *blake3::hash(&file).as_bytes()));
    }
}

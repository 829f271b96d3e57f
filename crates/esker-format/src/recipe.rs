//! Recipes: how to rebuild one file (format-spec chapter 8).
//!
//! A recipe is a list of pieces, each a chunk of kind `Table`. Carried out in order they append to the file. Kind 1 appends
//! chunks of bytes; kinds 2 and 3 rebuild the blocks of a table from sorted runs (`table_recipe`).

use crate::error::{FormatError, Result};
use crate::ids::ChunkId;
use crate::limits;
use crate::seal::ChunkKind;
use crate::table::{self, TableType};
use crate::table_recipe::{ChunkUse, RestPart, TableBlocks, TableRest};
use crate::wire::{Reader, Record, Writer};

const BYTE_CHUNKS: u8 = 1;
const TABLE_BLOCKS: u8 = 2;
const TABLE_REST: u8 = 3;

/// A chunk as a recipe names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedChunk {
    /// Which.
    pub id: ChunkId,
    /// What it holds.
    pub kind: ChunkKind,
    /// Its plain bytes, if the recipe states them.
    pub len: Option<u32>,
}

/// One piece of a recipe, of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Appends chunks, holes and literals.
    Bytes(RecipePiece),
    /// Appends data blocks of a table.
    Blocks(Box<TableBlocks>),
    /// Appends what follows the data blocks of a table, which are all in the pieces before it.
    Rest(TableRest),
}

impl Piece {
    /// Bytes that it appends.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(piece) => piece.operations.iter().map(Operation::len).fold(0, u64::saturating_add),
            Self::Blocks(piece) => piece.len,
            Self::Rest(piece) => piece.len,
        }
    }

    /// Whether it appends nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every chunk that it names, as often as it names it.
    pub fn chunks(&self) -> Box<dyn Iterator<Item = NamedChunk> + '_> {
        let bytes = |chunk: &ChunkUse| NamedChunk { id: chunk.id, kind: ChunkKind::Bytes, len: Some(chunk.len) };
        match self {
            Self::Bytes(piece) => Box::new(piece.operations.iter().filter_map(|operation| match operation {
                Operation::Chunk { id, len } => Some(NamedChunk { id: *id, kind: ChunkKind::Bytes, len: Some(*len) }),
                _ => None,
            })),
            Self::Blocks(piece) => {
                let runs = piece.runs.iter().map(|run| NamedChunk { id: run.id, kind: ChunkKind::Run, len: None });
                Box::new(runs.chain(piece.kept.iter().chain(&piece.dictionary).map(bytes)))
            }
            Self::Rest(piece) => Box::new(piece.parts.iter().filter_map(move |part| match part {
                RestPart::Chunk(chunk) => Some(bytes(chunk)),
                _ => None,
            })),
        }
    }

    /// Puts another id to every chunk that it names, for a repository with other keys.
    ///
    /// # Errors
    /// Those of `new_id`; some ids are then the new ones already.
    pub fn rename_chunks<E>(&mut self, mut new_id: impl FnMut(&ChunkId) -> std::result::Result<ChunkId, E>) -> std::result::Result<(), E> {
        let mut rename = |id: &mut ChunkId| new_id(id).map(|new| *id = new);
        match self {
            Self::Bytes(piece) => piece.operations.iter_mut().try_for_each(|operation| match operation {
                Operation::Chunk { id, .. } => rename(id),
                Operation::Hole { .. } | Operation::Literal(_) => Ok(()),
            }),
            Self::Blocks(piece) => {
                piece.runs.iter_mut().try_for_each(|run| rename(&mut run.id))?;
                piece.kept.iter_mut().chain(&mut piece.dictionary).try_for_each(|chunk| rename(&mut chunk.id))
            }
            Self::Rest(piece) => piece.parts.iter_mut().try_for_each(|part| match part {
                RestPart::Chunk(chunk) => rename(&mut chunk.id),
                RestPart::Literal(_) | RestPart::Built { .. } => Ok(()),
            }),
        }
    }

    /// The chunk's bytes.
    ///
    /// # Errors
    /// Whatever would keep a reader from decoding it.
    pub fn encode(&self) -> Result<Vec<u8>> {
        table::encode_single(TableType::Recipe, self)
    }

    /// Whether these are the bytes of a piece of a table's recipe; they may still turn out not to decode.
    pub fn is_of_table(bytes: &[u8]) -> bool {
        matches!(bytes, [_, TABLE_BLOCKS | TABLE_REST, ..])
    }

    /// Reads a piece.
    ///
    /// # Errors
    /// `BadValue` for a kind this version does not know, and other damage.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        table::decode_single(TableType::Recipe, bytes)
    }
}

impl Record for Piece {
    const NAME: &'static str = "recipe piece";

    fn write(&self, out: &mut Writer) {
        match self {
            Self::Bytes(piece) => piece.write(out),
            Self::Blocks(piece) => {
                out.u8(TABLE_BLOCKS);
                piece.write(out);
            }
            Self::Rest(piece) => {
                out.u8(TABLE_REST);
                piece.write(out);
            }
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        match input.u8("recipe kind")? {
            BYTE_CHUNKS => Ok(Self::Bytes(read_operations(input)?)),
            TABLE_BLOCKS => Ok(Self::Blocks(Box::new(TableBlocks::read(input)?))),
            TABLE_REST => Ok(Self::Rest(TableRest::read(input)?)),
            found => Err(unknown_kind(found)),
        }
    }
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Append the plain bytes of a chunk of kind `Bytes`.
    Chunk {
        /// Which.
        id: ChunkId,
        /// Its plain bytes, 1 to `CHUNK_PLAIN_MAX`.
        len: u32,
    },
    /// Append a hole: zeros that the source did not store either.
    Hole {
        /// How long, in bytes.
        len: u64,
    },
    /// Append these bytes.
    Literal(Vec<u8>),
}

impl Operation {
    /// How many bytes it appends.
    pub fn len(&self) -> u64 {
        match self {
            Self::Chunk { len, .. } => u64::from(*len),
            Self::Hole { len } => *len,
            Self::Literal(bytes) => bytes.len() as u64,
        }
    }

    /// Whether it appends nothing, which a writer never writes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A piece of kind 1.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecipePiece {
    /// In the order they append.
    pub operations: Vec<Operation>,
}

impl RecipePiece {
    /// The chunk's bytes.
    ///
    /// # Errors
    /// `OverLimit` for a piece that no reader would take.
    pub fn encode(&self) -> Result<Vec<u8>> {
        table::encode_single(TableType::Recipe, self)
    }

    /// Reads a piece.
    ///
    /// # Errors
    /// `BadValue` for a recipe kind or operation this version does not know, and other damage.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        table::decode_single(TableType::Recipe, bytes)
    }
}

impl Record for RecipePiece {
    const NAME: &'static str = "recipe piece";

    fn write(&self, out: &mut Writer) {
        out.u8(BYTE_CHUNKS);
        out.list(&self.operations, |out, operation| match operation {
            Operation::Chunk { id, len } => {
                out.u8(1);
                out.raw(&id.0);
                out.varint(u64::from(*len));
            }
            Operation::Hole { len } => {
                out.u8(2);
                out.varint(*len);
            }
            Operation::Literal(bytes) => {
                out.u8(3);
                out.bytes(bytes);
            }
        });
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        match input.u8("recipe kind")? {
            BYTE_CHUNKS => read_operations(input),
            found => Err(unknown_kind(found)),
        }
    }
}

fn read_operations(input: &mut Reader<'_>) -> Result<RecipePiece> {
    let operations = input.list_max("operations", limits::RECIPE_OPS_MAX as u64, 2, read_operation)?;
    Ok(RecipePiece { operations })
}

fn unknown_kind(found: u8) -> FormatError {
    FormatError::BadValue { field: "recipe kind", found: found.to_string() }
}

fn read_operation(input: &mut Reader<'_>) -> Result<Operation> {
    let operation = match input.u8("operation")? {
        1 => {
            let id = ChunkId(input.array("chunk id")?);
            let len = input.varint_max("chunk length", limits::CHUNK_PLAIN_MAX as u64)?;
            Operation::Chunk { id, len: u32::try_from(len).unwrap_or(u32::MAX) }
        }
        2 => Operation::Hole { len: input.varint_max("hole length", limits::FILE_MAX)? },
        3 => Operation::Literal(input.bytes("literal", limits::INLINE_MAX)?.to_vec()),
        found => return Err(FormatError::BadValue { field: "operation", found: found.to_string() }),
    };
    if operation.is_empty() {
        return Err(FormatError::BadValue { field: "operation", found: "an operation of no bytes".into() });
    }
    Ok(operation)
}

//! Tables: long lists cut into content-addressed pieces, so that what did not change is a reference (format-spec
//! chapter 7).
//!
//! A piece is a chunk of kind `Table`: one type byte, then a list of rows. `TableRef` names the pieces in order.

use crate::error::{FormatError, Result};
use crate::ids::ChunkId;
use crate::limits;
use crate::wire::{Reader, Record, Writer};

/// Plain bytes after which a writer ends a piece in any case.
pub const PIECE_TARGET_MAX: usize = 1 << 20;

/// What the rows of a piece are; the first byte of every chunk of kind `Table`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum TableType {
    /// Files, folders and links.
    Files = 1,
    /// Replicas with their positions.
    Replicas = 2,
    /// Manifests that a writer saw.
    Seen = 3,
    /// One engine.
    Engine = 4,
    /// Operations that rebuild a file.
    Recipe = 5,
}

/// A row of a table.
pub trait Row: Record {
    /// The table it belongs to.
    const TYPE: TableType;
    /// The least bytes one row takes.
    const LEN_MIN: usize;
    /// What decides where pieces end: rows whose key hashes to a boundary end one, in every backup alike.
    fn key(&self) -> Vec<u8>;
}

/// Names the pieces of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableRef {
    /// Chunks of kind `Table`, in order.
    pub pieces: Vec<ChunkId>,
    /// Rows in all of them.
    pub rows: u64,
}

impl Record for TableRef {
    const NAME: &'static str = "table reference";

    fn write(&self, out: &mut Writer) {
        out.varint(self.rows);
        out.list(&self.pieces, |out, id| out.raw(&id.0));
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let rows = input.varint("rows")?;
        let pieces = input.list_max("pieces", limits::TABLE_PIECES_MAX as u64, ChunkId::LEN, |input| input.array("piece").map(ChunkId))?;
        Ok(Self { pieces, rows })
    }
}

/// Encodes one piece.
///
/// # Errors
/// Whatever would keep a reader from decoding it, such as a name over its limit.
pub fn encode_piece<R: Row>(rows: &[R]) -> Result<Vec<u8>> {
    let mut out = Writer::default();
    out.u8(R::TYPE as u8);
    out.list(rows, |out, row| row.write(out));
    let bytes = out.into_bytes();
    decode_piece::<R>(&bytes).map(|_| bytes)
}

/// Decodes one piece.
///
/// # Errors
/// `BadValue` for another table's piece, and whatever is wrong with the rows.
pub fn decode_piece<R: Row>(bytes: &[u8]) -> Result<Vec<R>> {
    check_piece_len(bytes)?;
    let mut input = Reader::new(bytes);
    read_type(&mut input, R::TYPE)?;
    let rows = input.list("rows", R::LEN_MIN, R::read)?;
    input.finish(R::NAME)?;
    Ok(rows)
}

/// Encodes a record that is a table piece of its own.
///
/// # Errors
/// As `encode_piece`.
pub fn encode_single<R: Record>(table: TableType, record: &R) -> Result<Vec<u8>> {
    let mut out = Writer::default();
    out.u8(table as u8);
    record.write(&mut out);
    let bytes = out.into_bytes();
    decode_single::<R>(table, &bytes).map(|_| bytes)
}

/// Decodes what `encode_single` encoded.
///
/// # Errors
/// As `decode_piece`.
pub fn decode_single<R: Record>(table: TableType, bytes: &[u8]) -> Result<R> {
    check_piece_len(bytes)?;
    let mut input = Reader::new(bytes);
    read_type(&mut input, table)?;
    let record = R::read(&mut input)?;
    input.finish(R::NAME)?;
    Ok(record)
}

fn check_piece_len(bytes: &[u8]) -> Result<()> {
    let (found, limit) = (bytes.len() as u64, limits::TABLE_PIECE_MAX as u64);
    if found > limit { Err(FormatError::OverLimit { field: "table piece", found, limit }) } else { Ok(()) }
}

fn read_type(input: &mut Reader<'_>, expected: TableType) -> Result<()> {
    match input.u8("table type")? {
        found if found == expected as u8 => Ok(()),
        found => Err(FormatError::BadValue { field: "table type", found: found.to_string() }),
    }
}

/// Collects rows into pieces and says when one is full.
#[derive(Debug)]
pub struct PieceBuilder<R> {
    rows: Vec<R>,
    bytes: usize,
}

impl<R: Row> Default for PieceBuilder<R> {
    fn default() -> Self {
        Self { rows: Vec::new(), bytes: 0 }
    }
}

impl<R: Row> PieceBuilder<R> {
    /// Adds a row; gives back an encoded piece if the row ends one.
    ///
    /// # Errors
    /// As `encode_piece`.
    pub fn push(&mut self, row: R) -> Result<Option<Vec<u8>>> {
        let ends = blake3::hash(&row.key()).as_bytes().first_chunk().is_some_and(|head| u16::from_le_bytes(*head) & 0x1ff == 0);
        self.bytes += row.to_bytes().len();
        self.rows.push(row);
        if ends || self.bytes >= PIECE_TARGET_MAX { self.finish() } else { Ok(None) }
    }

    /// The rows that are left as a piece, `None` if there are none.
    ///
    /// # Errors
    /// As `encode_piece`.
    pub fn finish(&mut self) -> Result<Option<Vec<u8>>> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        if rows.is_empty() { Ok(None) } else { encode_piece(&rows).map(Some) }
    }
}

/// A manifest that a writer saw before it committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeenManifest(pub crate::ObjectId);

impl Record for SeenManifest {
    const NAME: &'static str = "seen manifest";

    fn write(&self, out: &mut Writer) {
        out.raw(&self.0.0);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        input.array("manifest id").map(|id| Self(crate::ObjectId(id)))
    }
}

impl Row for SeenManifest {
    const TYPE: TableType = TableType::Seen;
    const LEN_MIN: usize = 32;

    fn key(&self) -> Vec<u8> {
        self.0.0.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_in_the_middle_changes_one_piece_only() {
        let pieces = |skip: Option<u32>| {
            let mut builder = PieceBuilder::default();
            let mut pieces = Vec::new();
            for number in (0..20_000u32).filter(|number| Some(*number) != skip) {
                let id = crate::ObjectId::of(&number.to_le_bytes());
                pieces.extend(builder.push(SeenManifest(id)).unwrap());
            }
            pieces.extend(builder.finish().unwrap());
            pieces
        };
        let (all, less) = (pieces(None), pieces(Some(9_000)));
        assert!(all.len() > 10);
        assert_eq!(all.iter().filter(|piece| !less.contains(piece)).count(), 1);
        assert_eq!(all.iter().map(|piece| decode_piece::<SeenManifest>(piece).unwrap().len()).sum::<usize>(), 20_000);
    }
}

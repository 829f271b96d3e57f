//! Tables as streams of rows: written piece by piece, read piece by piece.

use esker_format::ChunkId;
use esker_format::recipe::Piece;
use esker_format::seal::ChunkKind;
use esker_format::table::{PieceBuilder, Row, TableRef, decode_piece};

use crate::error::{RepoError, Result};
use crate::reader::{ChunkReader, ReadContext};
use crate::writer::Writer;

/// Writes a table; a piece that stands in the repository already is not written again.
pub struct TableWriter<R> {
    pieces: PieceBuilder<R>,
    table: TableRef,
}

impl<R: Row> Default for TableWriter<R> {
    fn default() -> Self {
        Self { pieces: PieceBuilder::default(), table: TableRef::default() }
    }
}

impl<R: Row> TableWriter<R> {
    /// Adds a row.
    ///
    /// # Errors
    /// As `Writer::store`.
    pub fn push(&mut self, writer: &Writer, row: R) -> Result<()> {
        self.table.rows += 1;
        let full = self.pieces.push(row).map_err(RepoError::object(R::NAME))?;
        self.store(writer, full)
    }

    /// Ends the table.
    ///
    /// # Errors
    /// As `Writer::store`.
    pub fn finish(mut self, writer: &Writer) -> Result<TableRef> {
        let rest = self.pieces.finish().map_err(RepoError::object(R::NAME))?;
        self.store(writer, rest)?;
        Ok(self.table)
    }

    fn store(&mut self, writer: &Writer, piece: Option<Vec<u8>>) -> Result<()> {
        if let Some(piece) = piece {
            self.table.pieces.push(writer.store(ChunkKind::Table, piece)?);
        }
        Ok(())
    }
}

/// Reads the rows of a table in order, one piece in memory at a time.
///
/// # Errors
/// `ChunkLost`, `Object`, `Store`, and what `take` returns.
pub fn read_table<R: Row, E: From<RepoError>>(
    reader: &ChunkReader,
    context: &mut ReadContext,
    table: &TableRef,
    mut take: impl FnMut(R) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let mut rows = 0;
    for piece in &table.pieces {
        let bytes = reader.read(context, piece)?;
        for row in decode_piece::<R>(&bytes).map_err(RepoError::object(format!("table piece {piece}")))? {
            rows += 1;
            take(row)?;
        }
    }
    if rows == table.rows {
        return Ok(());
    }
    let found = format!("{rows} rows where its reference says {}", table.rows);
    let source = esker_format::FormatError::BadValue { field: "table", found };
    Err(RepoError::Object { path: "table".into(), source }.into())
}

/// Reads one piece of a recipe.
///
/// # Errors
/// `ChunkLost`, `Object`, `Store`.
pub fn read_piece(reader: &ChunkReader, context: &mut ReadContext, piece: &ChunkId) -> Result<Piece> {
    let bytes = reader.read(context, piece)?;
    Piece::decode(&bytes).map_err(RepoError::object(format!("recipe piece {piece}")))
}

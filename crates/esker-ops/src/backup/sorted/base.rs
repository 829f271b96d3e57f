//! The runs that tables of earlier backups were made of.

use std::collections::BTreeMap;

use esker_dedup::sorted::BaseRun;
use esker_format::ChunkId;
use esker_format::file_table::FileContent;
use esker_format::recipe::Piece;
use esker_format::run::KeyOrder;
use esker_repo::Writer;
use esker_repo::reader::ReadContext;
use esker_repo::tables::read_piece;

use crate::error::Result;

/// Pieces of recipes by the keys they hold. The runs of a piece are read again when a merge comes to its keys: over all
/// tables of a large engine they would not fit into memory.
#[derive(Default)]
pub(super) struct BaseIndex {
    pieces: Vec<BasePiece>,
}

struct BasePiece {
    id: ChunkId,
    order: KeyOrder,
    first_key: Vec<u8>,
    /// The first key of the next piece of the same table; none behind its last.
    next_key: Option<Vec<u8>>,
}

impl BaseIndex {
    /// Over these tables; a recipe that cannot be read is no base.
    pub(super) fn new(writer: &Writer, context: &mut ReadContext, tables: &[&FileContent]) -> Result<Self> {
        let mut pieces = Vec::new();
        for table in tables {
            let from = pieces.len();
            for id in &table.recipe {
                let Some(Piece::Blocks(blocks)) = known_piece(writer, context, id)? else { break };
                if let Some(first) = blocks.runs.first() {
                    pieces.push(BasePiece { id: *id, order: blocks.order, first_key: first.first_key.clone(), next_key: None });
                }
            }
            for number in from..pieces.len() {
                let next = pieces.get(number + 1).map(|next| next.first_key.clone());
                if let Some(piece) = pieces.get_mut(number) {
                    piece.next_key = next;
                }
            }
        }
        Ok(Self { pieces })
    }

    /// The runs that hold keys behind `low` and up to `high`, by first key.
    pub(super) fn runs(
        &self,
        writer: &Writer,
        context: &mut ReadContext,
        order: KeyOrder,
        low: Option<&[u8]>,
        high: Option<&[u8]>,
    ) -> Result<Vec<BaseRun>> {
        let overlaps = |piece: &&BasePiece| {
            piece.order == order
                && high.is_none_or(|high| order.compare(&piece.first_key, high).is_le())
                && low.is_none_or(|low| piece.next_key.as_deref().is_none_or(|next| order.compare(next, low).is_ge()))
        };
        let mut runs: BTreeMap<ChunkId, Vec<u8>> = BTreeMap::new();
        for piece in self.pieces.iter().filter(overlaps) {
            let Some(Piece::Blocks(blocks)) = known_piece(writer, context, &piece.id)? else { continue };
            for run in blocks.runs {
                let first_key = runs.entry(run.id).or_insert_with(|| run.first_key.clone());
                if order.compare(&run.first_key, first_key).is_lt() {
                    *first_key = run.first_key;
                }
            }
        }
        let mut runs: Vec<BaseRun> = runs.into_iter().map(|(id, first_key)| BaseRun { id, first_key }).collect();
        runs.sort_by(|left, right| order.compare(&left.first_key, &right.first_key));
        Ok(runs)
    }
}

/// A piece of an earlier backup; `None` if it is damaged, which the writer then knows.
pub(in crate::backup) fn known_piece(writer: &Writer, context: &mut ReadContext, id: &ChunkId) -> Result<Option<Piece>> {
    match read_piece(writer.reader(), context, id) {
        Ok(piece) => Ok(Some(piece)),
        Err(error) if error.is_damage() => {
            writer.mistrust(id);
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

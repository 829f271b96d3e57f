//! The runs that tables of earlier backups were made of.

use std::borrow::Cow;
use std::collections::BTreeMap;

use esker_dedup::sorted::BaseRun;
use esker_format::ChunkId;
use esker_format::file_table::FileContent;
use esker_format::recipe::Piece;
use esker_format::run::KeyOrder;
use esker_format::table_recipe::RunUse;
use esker_repo::Writer;
use esker_repo::reader::ReadContext;
use esker_repo::tables::read_piece;

use crate::error::Result;

/// Bytes of the runs of pieces that are kept, about: over all tables of a large engine they would not fit into memory, and
/// those of other pieces are read again when a merge comes to their keys.
const RUNS_BYTES_MAX: usize = 16 << 20;
/// What a run takes beside its first key.
const RUN_BYTES: usize = size_of::<RunUse>() + 16;

/// Pieces of recipes by the keys they hold.
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
    /// Its runs, if they are kept.
    runs: Option<Vec<RunUse>>,
}

impl BaseIndex {
    /// Over these tables; a recipe that cannot be read is no base.
    pub(super) fn new(writer: &Writer, context: &mut ReadContext, tables: &[&FileContent]) -> Result<Self> {
        let (mut pieces, mut room) = (Vec::new(), RUNS_BYTES_MAX);
        for table in tables {
            let from = pieces.len();
            for id in &table.recipe {
                let Some(Piece::Blocks(blocks)) = known_piece(writer, context, id)? else { break };
                if let Some(first_key) = blocks.runs.first().map(|run| run.first_key.clone()) {
                    let bytes: usize = blocks.runs.iter().map(|run| RUN_BYTES + run.first_key.len()).sum();
                    let runs = (bytes <= room).then_some(blocks.runs);
                    room -= runs.as_ref().map_or(0, |_| bytes);
                    pieces.push(BasePiece { id: *id, order: blocks.order, first_key, next_key: None, runs });
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
            let of_piece = match &piece.runs {
                Some(runs) => Cow::Borrowed(runs),
                None => match known_piece(writer, context, &piece.id)? {
                    Some(Piece::Blocks(blocks)) => Cow::Owned(blocks.runs),
                    _ => continue,
                },
            };
            for run in of_piece.iter() {
                let first_key = runs.entry(run.id).or_insert_with(|| run.first_key.clone());
                if order.compare(&run.first_key, first_key).is_lt() {
                    first_key.clone_from(&run.first_key);
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

//! Tables stored as sorted runs in memory, and rebuilt.

use std::collections::BTreeMap;
use std::sync::Arc;

use esker_dedup::sorted::rebuild::Sources;
use esker_dedup::sorted::{BaseRun, Budget, ChunkStore, Merge, Rebuilder, SortedError, TableInput, probe, rest};
use esker_format::ChunkId;
use esker_format::config::ChunkerParameters;
use esker_format::recipe::Piece;
use esker_format::run::Run;
use esker_format::table_recipe::{ChunkUse, TableBlocks};
use esker_sst::rest::TableFacts;
use esker_sst::{TableMap, TableTail, compression};

/// Chunks by id.
#[derive(Default)]
pub struct Chunks(pub BTreeMap<ChunkId, Vec<u8>>);

impl Chunks {
    fn put(&mut self, bytes: &[u8]) -> ChunkId {
        let id = ChunkId(*blake3::hash(bytes).as_bytes());
        self.0.insert(id, bytes.to_vec());
        id
    }

    /// Stores a table against the runs of an earlier one; its encoded pieces, or nothing if it is refused.
    pub fn store(&mut self, table: &[u8], base: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
        let tail = TableTail::read(table).ok()?;
        let mut plain =
            |kind: u8, payload: &[u8], limit: usize, out: &mut Vec<u8>| compression::decompress(kind, &[], payload, limit, out).is_ok();
        let map = TableMap::read(table, tail, &mut plain).ok().filter(|map| !map.is_empty())?;
        let probe = probe(table, &map).expect("nothing is read but memory").ok()?;
        let (order, timestamp_size) = (probe.order, probe.timestamp_size);
        let mut runs: Vec<BaseRun> = Vec::new();
        for piece in base {
            if let Ok(Piece::Blocks(piece)) = Piece::decode(piece)
                && piece.order == order
            {
                runs.extend(piece.runs.into_iter().map(|run| BaseRun { id: run.id, first_key: run.first_key }));
            }
        }
        runs.sort_by(|left, right| order.compare(&left.first_key, &right.first_key).then(left.id.0.cmp(&right.id.0)));
        runs.dedup_by_key(|run| run.id);
        let chunker = ChunkerParameters { min: 64, avg: 256, max: 1024 };
        let merge = Merge { order, timestamp_size, chunker, base: runs, budget: Budget::shared_by(1) };
        let input = TableInput { file: table, map: &map, probe: &probe, blocks: 0..map.len() };
        let outcome = merge.run(vec![input], self).expect("memory does not fail").tables.pop()?.outcome.ok()?;
        let end: u64 = outcome.pieces.iter().map(|piece| piece.len).sum();
        let described = rest::describe(&map, &table[end as usize..], end, outcome.facts, self).expect("memory does not fail");
        let pieces = outcome.pieces.into_iter().map(|piece| Piece::Blocks(Box::new(piece))).chain([Piece::Rest(described.piece)]);
        Some(pieces.map(|piece| piece.encode().expect("it was replayed")).collect())
    }

    /// The bytes that pieces make.
    pub fn rebuild(&self, pieces: &[Vec<u8>]) -> Result<Vec<u8>, SortedError> {
        let pieces = pieces.iter().map(|piece| Piece::decode(piece)).collect::<Result<Vec<_>, _>>()?;
        let keys = match pieces.last() {
            Some(Piece::Rest(last)) => rest::filter_keys(last)?,
            _ => None,
        };
        let (mut rebuilder, mut facts, mut out) = (Rebuilder::default(), keys.map(TableFacts::new), Vec::new());
        for piece in &pieces {
            match piece {
                Piece::Blocks(piece) => {
                    let mut of_piece = keys.map(TableFacts::new);
                    let mut take = |bytes: &[u8]| {
                        out.extend_from_slice(bytes);
                        Ok(())
                    };
                    rebuilder.blocks::<SortedError>(piece, &mut Stock(self, Some(piece)), of_piece.as_mut(), &mut take)?;
                    facts = facts.zip(of_piece).map(|(mut all, later)| {
                        all.join(later);
                        all
                    });
                }
                Piece::Rest(piece) => out.extend(rebuilder.rest::<SortedError>(piece, &mut Stock(self, None), facts.as_ref())?),
                Piece::Bytes(_) => return Err(SortedError::Recipe("bytes".into())),
            }
        }
        Ok(out)
    }

    fn run(&self, id: &ChunkId) -> Result<Arc<Run>, SortedError> {
        let bytes = self.0.get(id).ok_or_else(|| SortedError::Recipe("no such chunk".into()))?;
        Ok(Arc::new(Run::decode(bytes)?))
    }
}

impl ChunkStore for Chunks {
    type Error = SortedError;

    fn load_run(&mut self, id: &ChunkId) -> Result<Option<Arc<Run>>, SortedError> {
        Ok(self.run(id).ok())
    }

    fn store_run(&mut self, bytes: Vec<u8>) -> Result<ChunkId, SortedError> {
        Ok(self.put(&bytes))
    }

    fn store_bytes(&mut self, bytes: &[u8]) -> Result<ChunkUse, SortedError> {
        Ok(ChunkUse { id: self.put(bytes), len: bytes.len() as u32 })
    }
}

struct Stock<'a>(&'a Chunks, Option<&'a TableBlocks>);

impl Sources<SortedError> for Stock<'_> {
    fn run(&mut self, number: usize) -> Result<Arc<Run>, SortedError> {
        let run = self.1.and_then(|piece| piece.runs.get(number)).ok_or_else(|| SortedError::Recipe("no such run".into()))?;
        self.0.run(&run.id)
    }

    fn bytes(&mut self, chunk: &ChunkUse) -> Result<Vec<u8>, SortedError> {
        self.0.0.get(&chunk.id).cloned().ok_or_else(|| SortedError::Recipe("no such chunk".into()))
    }
}

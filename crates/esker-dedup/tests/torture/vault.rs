//! Stores tables as a backup does, in memory, and rebuilds them from nothing but what was stored.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use esker_dedup::sorted::plan::{blocks_in, separator};
use esker_dedup::sorted::rebuild::Sources;
use esker_dedup::sorted::{
    BaseRun, Budget, ChunkStore, KeyRanges, Merge, MergedBlocks, Probe, Rebuilder, Refusal, SortedError, TableInput, probe, rest,
};
use esker_format::ChunkId;
use esker_format::config::ChunkerParameters;
use esker_format::recipe::Piece;
use esker_format::run::{KeyOrder, Run};
use esker_format::table_recipe::{ChunkUse, TableBlocks};
use esker_sst::rest::TableFacts;
use esker_sst::{TableMap, TableTail, compression};
use esker_testkit::seeded::SplitMix64;

/// How kept bytes are cut: small, so that one stretch takes several chunks.
const CHUNKER: ChunkerParameters = ChunkerParameters { min: 64, avg: 1024, max: 16 << 10 };

/// Chunks by id, in the form in which a repository has them.
pub struct Vault {
    chunks: HashMap<ChunkId, Vec<u8>>,
    /// Runs that are lost, for all that the merges can tell.
    pub lost: BTreeSet<ChunkId>,
    /// Bytes of all chunks.
    pub bytes: u64,
    /// What the merges may hold of their base.
    pub budget: Budget,
}

impl Default for Vault {
    fn default() -> Self {
        Self { chunks: HashMap::new(), lost: BTreeSet::new(), bytes: 0, budget: Budget::shared_by(2) }
    }
}

/// A table that is stored.
pub struct Stored {
    /// Its encoded pieces, in order.
    pub recipe: Vec<ChunkId>,
    /// Bytes of its data blocks that were kept as they are.
    pub kept_bytes: u64,
    /// Bytes behind them that were.
    pub kept_rest_bytes: u64,
}

/// What became of the tables of one merge.
pub struct Outcome {
    /// By table.
    pub fates: Vec<Result<Stored, Refusal>>,
    pub entry_bytes: u64,
    pub literal_bytes: u64,
    pub lost_runs: u64,
    pub closed_runs: u64,
}

/// Tables that are merged together: descending or not, bytes of timestamp, column family.
type Kinship = (bool, u8, Option<Vec<u8>>);

/// A table that is being stored.
struct Open<'t> {
    number: usize,
    bytes: &'t [u8],
    map: TableMap,
    probe: Probe,
}

impl Vault {
    fn put(&mut self, bytes: Vec<u8>) -> ChunkId {
        let id = ChunkId(*blake3::hash(&bytes).as_bytes());
        self.bytes += if self.chunks.contains_key(&id) { 0 } else { bytes.len() as u64 };
        self.chunks.insert(id, bytes);
        id
    }

    /// A stored piece.
    pub fn piece(&self, id: &ChunkId) -> Piece {
        Piece::decode(&self.chunks[id]).unwrap()
    }

    /// Stores tables; what `base` was made of is their base. Where the keys are cut is drawn.
    pub fn store(&mut self, tables: &[Vec<u8>], base: &[&Stored], random: &mut SplitMix64) -> Outcome {
        let mut fates: Vec<Option<Result<Stored, Refusal>>> = tables.iter().map(|_| None).collect();
        let mut outcome = Outcome { fates: Vec::new(), entry_bytes: 0, literal_bytes: 0, lost_runs: 0, closed_runs: 0 };
        let mut classes: BTreeMap<Kinship, Vec<Open<'_>>> = BTreeMap::new();
        for (number, bytes) in tables.iter().enumerate() {
            match open(number, bytes) {
                Ok(open) => {
                    let family = open.map.tail.properties.column_family_name.clone();
                    classes.entry((open.probe.order == KeyOrder::Descending, open.probe.timestamp_size, family)).or_default().push(open);
                }
                Err(refusal) => fates[number] = Some(Err(refusal)),
            }
        }
        for class in classes.values() {
            let mut parts: Vec<Result<Vec<MergedBlocks>, Refusal>> = class.iter().map(|_| Ok(Vec::new())).collect();
            let bounds = bounds(class, self.budget.range_bytes, random);
            for pair in bounds.windows(2) {
                let (low, high) = (pair[0].as_deref(), pair[1].as_deref());
                let (order, timestamp_size) = (class[0].probe.order, class[0].probe.timestamp_size);
                let inputs = class.iter().map(|table| TableInput {
                    file: table.bytes,
                    map: &table.map,
                    probe: &table.probe,
                    blocks: blocks_in(&table.map, &table.probe, low, high),
                });
                let merge = Merge { order, timestamp_size, chunker: CHUNKER, base: self.base(base, order), budget: self.budget };
                let merged = merge.run(inputs.collect(), self).unwrap();
                outcome.entry_bytes += merged.entry_bytes;
                outcome.literal_bytes += merged.literal_bytes;
                outcome.lost_runs += merged.lost_runs;
                outcome.closed_runs += merged.closed_runs;
                for (parts, table) in parts.iter_mut().zip(merged.tables) {
                    match (table.outcome, &mut *parts) {
                        (Ok(blocks), Ok(parts)) => parts.push(blocks),
                        (Err(refusal), Ok(_)) => *parts = Err(refusal),
                        (_, Err(_)) => {}
                    }
                }
            }
            for (table, parts) in class.iter().zip(parts) {
                fates[table.number] = Some(parts.and_then(|parts| self.complete(table, parts)));
            }
        }
        outcome.fates = fates.into_iter().map(Option::unwrap).collect();
        outcome
    }

    fn complete(&mut self, table: &Open<'_>, parts: Vec<MergedBlocks>) -> Result<Stored, Refusal> {
        let kept_bytes = parts.iter().map(|part| part.kept_bytes).sum();
        let (mut blocks, mut facts) = (Vec::<TableBlocks>::new(), Some(table.probe.facts()));
        for part in parts {
            blocks.extend(part.pieces);
            facts = facts.zip(part.facts).map(|(mut all, later)| {
                all.join(later);
                all
            });
        }
        let mut end = 0;
        for piece in &blocks {
            assert_eq!(piece.offset, end, "pieces stand side by side");
            end += piece.len;
            assert_eq!(piece.hash, *blake3::hash(&table.bytes[piece.offset as usize..end as usize]).as_bytes());
        }
        let described = rest::describe(&table.map, &table.bytes[end as usize..], end, facts, self).unwrap();
        let pieces = blocks.into_iter().map(|piece| Piece::Blocks(Box::new(piece))).chain([Piece::Rest(described.piece)]);
        let recipe = pieces.map(|piece| self.put(piece.encode().unwrap())).collect();
        Ok(Stored { recipe, kept_bytes, kept_rest_bytes: described.kept_bytes })
    }

    fn base(&self, tables: &[&Stored], order: KeyOrder) -> Vec<BaseRun> {
        let mut runs: BTreeMap<ChunkId, Vec<u8>> = BTreeMap::new();
        for piece in tables.iter().flat_map(|table| &table.recipe) {
            let Piece::Blocks(piece) = self.piece(piece) else { continue };
            for run in piece.runs.iter().filter(|_| piece.order == order) {
                let first = runs.entry(run.id).or_insert_with(|| run.first_key.clone());
                if order.compare(&run.first_key, first).is_lt() {
                    first.clone_from(&run.first_key);
                }
            }
        }
        let mut runs: Vec<BaseRun> = runs.into_iter().map(|(id, first_key)| BaseRun { id, first_key }).collect();
        runs.sort_by(|left, right| order.compare(&left.first_key, &right.first_key));
        runs
    }

    /// A table's bytes, from its stored pieces.
    pub fn rebuild(&self, stored: &Stored, rebuilder: &mut Rebuilder) -> Vec<u8> {
        let Some(Piece::Rest(last)) = stored.recipe.last().map(|id| self.piece(id)) else { panic!("a recipe ends with the rest") };
        let mut facts = rest::filter_keys(&last).unwrap().map(TableFacts::new);
        let mut out = Vec::new();
        for id in &stored.recipe[..stored.recipe.len() - 1] {
            let Piece::Blocks(piece) = self.piece(id) else { panic!("a recipe begins with blocks") };
            let mut of_piece = rest::filter_keys(&last).unwrap().map(TableFacts::new);
            let take = &mut |bytes: &[u8]| {
                out.extend_from_slice(bytes);
                Ok(())
            };
            rebuilder.blocks::<SortedError>(&piece, &mut Stock::of(self, Some(&piece)), of_piece.as_mut(), take).unwrap();
            facts = facts.zip(of_piece).map(|(mut all, later)| {
                all.join(later);
                all
            });
        }
        out.extend(rebuilder.rest::<SortedError>(&last, &mut Stock::of(self, None), facts.as_ref()).unwrap());
        out
    }
}

/// Where the blocks of a table stand.
pub fn map(bytes: &[u8]) -> Option<TableMap> {
    let tail = TableTail::read(bytes).ok()?;
    let mut plain =
        |kind: u8, payload: &[u8], limit: usize, out: &mut Vec<u8>| compression::decompress(kind, &[], payload, limit, out).is_ok();
    TableMap::read(bytes, tail, &mut plain).ok()
}

/// What a table is, as the survey of a backup finds out.
fn open(number: usize, bytes: &[u8]) -> Result<Open<'_>, Refusal> {
    let map = map(bytes).ok_or(Refusal::Damaged)?;
    if map.is_empty() {
        return Err(Refusal::Empty);
    }
    let probe = probe(bytes, &map).unwrap()?;
    Ok(Open { number, bytes, map, probe })
}

/// Where a backup would cut the keys, and up to three cuts more.
fn bounds(class: &[Open<'_>], range_bytes: u64, random: &mut SplitMix64) -> Vec<Option<Vec<u8>>> {
    let order = class[0].probe.order;
    let timestamp_size = class[0].probe.timestamp_size;
    let mut ranges = KeyRanges::new(order, timestamp_size);
    class.iter().for_each(|table| ranges.add(&table.map));
    let mut bounds = ranges.boundaries(range_bytes);
    for _ in 0..random.below(4) {
        let map = &class[random.below(class.len() as u64) as usize].map;
        bounds.push(separator(map, random.below(map.len() as u64) as usize, timestamp_size).to_vec());
    }
    bounds.sort_by(|left, right| order.compare(left, right));
    bounds.dedup();
    std::iter::once(None).chain(bounds.into_iter().map(Some)).chain([None]).collect()
}

impl ChunkStore for Vault {
    type Error = SortedError;

    fn load_run(&mut self, id: &ChunkId) -> Result<Option<Arc<Run>>, SortedError> {
        if self.lost.contains(id) {
            return Ok(None);
        }
        Ok(Some(Arc::new(Run::decode(&self.chunks[id])?)))
    }

    fn store_run(&mut self, bytes: Vec<u8>) -> Result<ChunkId, SortedError> {
        Ok(self.put(bytes))
    }

    fn store_bytes(&mut self, bytes: &[u8]) -> Result<ChunkUse, SortedError> {
        Ok(ChunkUse { id: self.put(bytes.to_vec()), len: bytes.len() as u32 })
    }
}

/// What a rebuild reads.
struct Stock<'v> {
    vault: &'v Vault,
    piece: Option<&'v TableBlocks>,
    runs: HashMap<usize, Arc<Run>>,
}

impl<'v> Stock<'v> {
    fn of(vault: &'v Vault, piece: Option<&'v TableBlocks>) -> Self {
        Self { vault, piece, runs: HashMap::new() }
    }
}

impl Sources<SortedError> for Stock<'_> {
    fn run(&mut self, number: usize) -> Result<Arc<Run>, SortedError> {
        let id = self.piece.unwrap().runs[number].id;
        let run = || Arc::new(Run::decode(&self.vault.chunks[&id]).unwrap());
        Ok(Arc::clone(self.runs.entry(number).or_insert_with(run)))
    }

    fn bytes(&mut self, chunk: &ChunkUse) -> Result<Vec<u8>, SortedError> {
        Ok(self.vault.chunks[&chunk.id].clone())
    }
}

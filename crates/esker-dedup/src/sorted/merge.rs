//! The merge of one key range: new tables against base runs.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use blake3::Hasher;
use esker_format::ChunkId;
use esker_format::config::ChunkerParameters;
use esker_format::recipe::Piece;
use esker_format::run::{KeyOrder, Run};
use esker_format::table_recipe::{ChunkUse, TableBlocks};
use esker_sst::ReadAt;
use esker_sst::rest::TableFacts;

use super::base::{BaseEntry, BaseRun, BaseRuns, Budget};
use super::heap::StreamHeap;
use super::literals::Literals;
use super::piece::PieceBuilder;
use super::rebuild::{Rebuilder, Sources as RebuildSources};
use super::sources::{Held, Sources};
use super::stream::{TableInput, TableStream};
use super::{ChunkStore, SortedError};
use crate::chunker::Chunker;

/// Versions of one key that new entries are compared with, at most.
const VERSIONS_MAX: usize = 4096;
/// Bytes of these versions, at most.
const VERSION_BYTES_MAX: usize = 1 << 20;
/// Versions compared for one entry, at most: files and runs hold versions in the same order, so a match is near.
const COMPARED_MAX: usize = 64;

/// Why a table is not stored as sorted runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Its keys are in no order that is known here.
    Order,
    /// Its blocks or index do not decode.
    Damaged,
    /// No encoder makes its blocks again.
    Encoder,
    /// It has a dictionary that is too long.
    Dictionary,
    /// Its recipe did not give its bytes back.
    Replay,
    /// It has no data block.
    Empty,
    /// It has a block that is too large to be held in memory.
    Large,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Order => "keys in an unknown order",
            Self::Damaged => "blocks that do not decode",
            Self::Encoder => "compressed by a library that cannot be repeated here",
            Self::Dictionary => "an unknown kind of dictionary",
            Self::Replay => "rebuilt to other bytes",
            Self::Empty => "no entries",
            Self::Large => "a block that is too large",
        })
    }
}

/// What became of one table in a merge.
pub struct MergedTable {
    /// The pieces in order, and what they say of the data blocks; or why there are none.
    pub outcome: Result<MergedBlocks, Refusal>,
}

/// The data blocks of a table, or of the stretch of it that was merged.
pub struct MergedBlocks {
    /// Recipe pieces, replayed and found right.
    pub pieces: Vec<TableBlocks>,
    /// What index and filters are rebuilt from; none if a block had to be kept as it is.
    pub facts: Option<TableFacts>,
    /// BLAKE3 of the table up to the end of its data blocks, if all of them were merged at once.
    pub whole: Option<Hasher>,
    /// Entries of their blocks.
    pub entries: u64,
    /// Bytes of blocks kept as they are.
    pub kept_bytes: u64,
}

/// What a merge came to.
pub struct Outcome {
    /// By input.
    pub tables: Vec<MergedTable>,
    /// Key and value bytes of all entries that were merged.
    pub entry_bytes: u64,
    /// Key and value bytes that had to be stored.
    pub literal_bytes: u64,
    /// Base runs that could not be read.
    pub lost_runs: u64,
    /// Base runs left closed because too many overlapped.
    pub closed_runs: u64,
}

/// Merges the tables of one key range.
pub struct Merge {
    /// How all the keys are sorted.
    pub order: KeyOrder,
    /// Bytes of timestamp in each key.
    pub timestamp_size: u8,
    /// How kept bytes are cut.
    pub chunker: ChunkerParameters,
    /// Runs of earlier backups, by first key.
    pub base: Vec<BaseRun>,
    /// What may be held of them.
    pub budget: Budget,
}

/// Where an entry with the current key stands.
#[derive(Clone, Copy)]
enum Home {
    Base(BaseEntry),
    Literal(u32, u32),
}

impl Merge {
    /// Merges tables whose probes all have this order and timestamp size.
    ///
    /// # Errors
    /// A source that cannot be read, and whatever `store` fails with.
    pub fn run<R: ReadAt + ?Sized, S: ChunkStore>(self, tables: Vec<TableInput<'_, R>>, store: &mut S) -> Result<Outcome, S::Error> {
        let Self { order, timestamp_size, chunker, budget, .. } = self;
        let (mut outcome, sources) = self.run_once(tables.clone(), store)?;
        for (number, input) in tables.into_iter().enumerate() {
            let Some(table) = outcome.tables.get_mut(number) else { break };
            if input.probe.is_careful() || !matches!(table.outcome, Err(Refusal::Replay)) {
                continue;
            }
            // Some block is not its encoder's, and which is known only if each is tried. All entries have a home by now.
            let probe = input.probe.careful();
            let again = Merge { order, timestamp_size, chunker, base: sources.as_base(order), budget };
            let (second, _) = again.run_once(vec![TableInput { probe: &probe, ..input }], &mut Held { sources: &sources, store })?;
            outcome.literal_bytes += second.literal_bytes;
            if let Some(second) = second.tables.into_iter().next() {
                *table = second;
            }
        }
        Ok(outcome)
    }

    fn run_once<R: ReadAt + ?Sized, S: ChunkStore>(
        self,
        tables: Vec<TableInput<'_, R>>,
        store: &mut S,
    ) -> Result<(Outcome, Sources), S::Error> {
        let mut base = BaseRuns::new(self.order, self.timestamp_size, self.base, self.budget);
        let mut literals = Literals::new(self.order, self.timestamp_size);
        let mut sources = Sources::default();
        let mut streams: Vec<TableStream<'_, R>> = tables.into_iter().map(TableStream::new).collect();
        let mut heap = StreamHeap::default();
        for stream in 0..streams.len() {
            let has_entry = match streams.get_mut(stream) {
                Some(stream) => stream.load()?,
                None => false,
            };
            if has_entry {
                heap.push(stream, |left, right| compare(&streams, self.order, left, right));
            }
        }
        let (mut key, mut found, mut homes) = (Vec::new(), Vec::new(), Homes::default());
        let mut entry_bytes = 0;
        while let Some(top) = heap.top() {
            key.clear();
            key.extend_from_slice(streams.get(top).map_or(&[][..], TableStream::key));
            if literals.is_full() {
                literals.close(&mut sources, store)?;
            }
            found.clear();
            base.at_key(&key, &mut sources, store, &mut found)?;
            homes.begin(&found, &base);
            while let Some(top) = heap.top() {
                let Some(stream) = streams.get_mut(top) else { break };
                if stream.key() != key {
                    break;
                }
                let mut goes_on = true;
                while goes_on && stream.key() == key {
                    entry_bytes += (key.len() + stream.parts().value.len()) as u64;
                    place(stream, &mut homes, &base, &mut literals, &mut sources, store)?;
                    goes_on = stream.advance()?;
                }
                if goes_on && !stream.follows(&key) {
                    stream.refusal = Some(Refusal::Order);
                    goes_on = false;
                }
                if goes_on {
                    heap.settle_top(|left, right| compare(&streams, self.order, left, right));
                } else {
                    heap.pop(|left, right| compare(&streams, self.order, left, right));
                }
            }
        }
        literals.close(&mut sources, store)?;
        let mut rebuilder = Rebuilder::default();
        let tables =
            streams.into_iter().map(|stream| finish(stream, &sources, self.chunker, &mut rebuilder, store)).collect::<Result<_, _>>()?;
        let literal_bytes = literals.entry_bytes;
        Ok((Outcome { tables, entry_bytes, literal_bytes, lost_runs: base.lost, closed_runs: base.left_closed }, sources))
    }
}

/// The entries with the current key that a new one may equal.
#[derive(Default)]
struct Homes {
    list: Vec<Home>,
    bytes: usize,
    /// Where to look first: behind the last match.
    next: usize,
}

impl Homes {
    fn begin(&mut self, found: &[BaseEntry], base: &BaseRuns) {
        (self.bytes, self.next) = (0, 0);
        self.list.clear();
        for entry in found.iter().take(VERSIONS_MAX) {
            self.bytes += base.entry(entry).0.len();
            if self.bytes > VERSION_BYTES_MAX && !self.list.is_empty() {
                break;
            }
            self.list.push(Home::Base(*entry));
        }
    }

    fn add(&mut self, home: Home, bytes: usize) {
        if self.list.len() < VERSIONS_MAX && self.bytes < VERSION_BYTES_MAX {
            self.bytes += bytes;
            self.list.push(home);
        }
    }

    /// The position in the list of a home with this value, if there is one near.
    fn position(&self, is_it: impl Fn(&Home) -> bool) -> Option<usize> {
        let ahead = self.list.iter().enumerate().skip(self.next);
        let behind = self.list.iter().enumerate().take(self.next);
        ahead.chain(behind).take(COMPARED_MAX).find(|(_, home)| is_it(home)).map(|(position, _)| position)
    }
}

/// Finds or makes a home for the current entry of a stream.
fn place<R: ReadAt + ?Sized, S: ChunkStore>(
    stream: &mut TableStream<'_, R>,
    homes: &mut Homes,
    base: &BaseRuns,
    literals: &mut Literals,
    sources: &mut Sources,
    store: &mut S,
) -> Result<(), S::Error> {
    let parts = stream.parts();
    let known = homes.position(|home| match home {
        Home::Base(entry) => base.entry(entry).0 == parts.value,
        Home::Literal(source, position) => literals.value(*source, *position).is_some_and(|(value, ..)| value == parts.value),
    });
    if let Some(position) = known {
        match homes.list.get(position).copied() {
            Some(Home::Base(entry)) => {
                let (_, trailer, timestamp) = base.entry(&entry);
                stream.place(base.source(&entry, sources), base.number(&entry), (trailer, timestamp));
            }
            Some(Home::Literal(source, at)) => {
                if let Some((_, trailer, timestamp)) = literals.value(source, at) {
                    stream.place(source, at, (trailer, timestamp));
                }
            }
            None => {}
        }
        homes.next = position + 1;
        return Ok(());
    }
    let bytes = parts.key.len() + parts.value.len();
    if literals.is_over_full(bytes) {
        // The homes in the run that is closed now are not compared with any more.
        literals.close(sources, store)?;
    }
    let parts = stream.parts();
    let (source, position) = literals.push(sources, parts.key, parts.value, parts.trailer, parts.timestamp);
    homes.add(Home::Literal(source, position), parts.value.len());
    if let Some((_, trailer, timestamp)) = literals.value(source, position) {
        stream.place(source, position, (trailer, timestamp));
    }
    Ok(())
}

/// Completes the pieces of a table and replays each from its bytes.
fn finish<R: ReadAt + ?Sized, S: ChunkStore>(
    stream: TableStream<'_, R>,
    sources: &Sources,
    chunker: ChunkerParameters,
    rebuilder: &mut Rebuilder,
    store: &mut S,
) -> Result<MergedTable, S::Error> {
    if let Some(refusal) = stream.refusal {
        return Ok(MergedTable { outcome: Err(refusal) });
    }
    let dictionary = cut(stream.dictionary().to_vec(), chunker, store)?;
    let mut again = HashMap::new();
    let mut blocks = MergedBlocks { pieces: Vec::new(), facts: stream.facts, whole: stream.whole, entries: 0, kept_bytes: 0 };
    for piece in stream.pieces.into_iter().chain([stream.piece]).filter(|piece| piece.piece.len > 0) {
        match replayed(piece, &dictionary, sources, chunker, (rebuilder, &mut again), store)? {
            Some((piece, kept_bytes)) => {
                blocks.entries += piece.entries();
                blocks.kept_bytes += kept_bytes;
                blocks.pieces.push(piece);
            }
            None => return Ok(MergedTable { outcome: Err(Refusal::Replay) }),
        }
    }
    Ok(MergedTable { outcome: Ok(blocks) })
}

/// The piece, stored form and all, if what a reader makes of its bytes is what was read from the source.
fn replayed<S: ChunkStore>(
    piece: PieceBuilder,
    dictionary: &CutBytes,
    sources: &Sources,
    chunker: ChunkerParameters,
    (rebuilder, again): (&mut Rebuilder, &mut HashMap<u32, Arc<Run>>),
    store: &mut S,
) -> Result<Option<(TableBlocks, u64)>, S::Error> {
    let (mut piece, used, kept) = piece.finish(sources);
    let kept = cut(kept, chunker, store)?;
    piece.kept.clone_from(&kept.chunks);
    piece.dictionary.clone_from(&dictionary.chunks);
    let piece = Piece::Blocks(Box::new(piece));
    let Ok(bytes) = piece.encode() else { return Ok(None) };
    let Ok(Piece::Blocks(decoded)) = Piece::decode(&bytes) else { return Ok(None) };
    let Some(runs) = sources.runs(&used, again, store)? else { return Ok(None) };
    let bytes_of = |chunk: &ChunkUse| kept.get(chunk).or_else(|| dictionary.get(chunk)).map(<[u8]>::to_vec);
    let rebuilt = rebuilder.blocks::<SortedError>(&decoded, &mut InMemory { runs: &runs, bytes: &bytes_of }, None, &mut |_| Ok(()));
    Ok(rebuilt.is_ok().then_some((*decoded, kept.bytes.len() as u64)))
}

/// Bytes and the chunks that they were cut into.
struct CutBytes {
    bytes: Vec<u8>,
    chunks: Vec<ChunkUse>,
    places: HashMap<ChunkId, Range<usize>>,
}

impl CutBytes {
    fn get(&self, chunk: &ChunkUse) -> Option<&[u8]> {
        self.bytes.get(self.places.get(&chunk.id)?.clone())
    }
}

/// Stores bytes in chunks cut by content.
fn cut<S: ChunkStore>(bytes: Vec<u8>, bounds: ChunkerParameters, store: &mut S) -> Result<CutBytes, S::Error> {
    let (mut chunks, mut places, mut at) = (Vec::new(), HashMap::new(), 0);
    let mut chunker = Chunker::new(bounds);
    let mut take = |chunk: &[u8]| -> Result<(), S::Error> {
        let named = store.store_bytes(chunk)?;
        chunks.push(named);
        places.insert(named.id, at..at + chunk.len());
        at += chunk.len();
        Ok(())
    };
    chunker.push(&bytes, &mut take)?;
    chunker.finish(&mut take)?;
    Ok(CutBytes { bytes, chunks, places })
}

/// What a replay reads: runs and bytes that are still in memory.
pub(super) struct InMemory<'a> {
    pub(super) runs: &'a [Arc<Run>],
    pub(super) bytes: &'a dyn Fn(&ChunkUse) -> Option<Vec<u8>>,
}

impl RebuildSources<SortedError> for InMemory<'_> {
    fn run(&mut self, number: usize) -> Result<Arc<Run>, SortedError> {
        self.runs.get(number).cloned().ok_or_else(|| SortedError::Recipe(format!("run {number} is not among its runs")))
    }

    fn bytes(&mut self, chunk: &ChunkUse) -> Result<Vec<u8>, SortedError> {
        (self.bytes)(chunk).ok_or_else(|| SortedError::Recipe(format!("chunk {} was not kept", chunk.id)))
    }
}

fn compare<R: ReadAt + ?Sized>(streams: &[TableStream<'_, R>], order: KeyOrder, left: usize, right: usize) -> Ordering {
    let key = |stream: usize| streams.get(stream).map_or(&[][..], TableStream::key);
    order.compare(key(left), key(right))
}

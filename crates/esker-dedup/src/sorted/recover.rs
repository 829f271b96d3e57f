//! Runs put together again from tables that copy from them.
//!
//! A recipe piece says which positions of which runs its entries stand at; the table that it makes has keys and values of
//! those entries, and their trailers where the piece says that they are the home's. Who has enough of such tables has the
//! run: encoded again it is the same bytes, and so has the same id.

use std::collections::BTreeMap;

use blake3::Hasher;
use esker_format::limits::RUN_ENTRIES_MAX;
use esker_format::run::{KeyOrder, Run};
use esker_format::table_recipe::{Block, TableBlocks, TrailerSource};
use esker_sst::{BlockHandle, Entries, ReadAt, TableMap, block::TRAILER_SIZE, data_block};

use super::coder::BlockCoder;
use super::probe::checksum;
use super::stream::TRAILER_LEN;
use super::{BLOCK_KEPT_MAX, SortedError};

/// Bytes of a piece that are read for this, at most: a writer closes one at a few MiB, whatever its last block.
const PIECE_BYTES_MAX: u64 = 4 * BLOCK_KEPT_MAX;

/// An entry of a run, found in a table.
pub struct FoundEntry<'a> {
    /// Number of the run in the piece.
    pub run: usize,
    /// Its position in the run.
    pub position: u32,
    /// Its key, without timestamp.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// Trailer and timestamp of the run's entry; `None` if the table's entry has others, or may have.
    pub home: Option<(u64, &'a [u8])>,
}

/// What a piece and the table that it makes tell.
pub struct FoundPiece {
    /// The bytes of its kept blocks, one behind the other.
    pub kept: Vec<u8>,
}

/// Reads the bytes that a piece makes from a table that has them, and gives every entry to `take`.
///
/// # Errors
/// `Recipe` if `file` has other bytes there, or its index does not fit the piece; `Read`.
pub fn entries_of<R: ReadAt + ?Sized>(
    piece: &TableBlocks,
    map: &TableMap,
    file: &R,
    take: &mut dyn FnMut(FoundEntry<'_>),
) -> Result<FoundPiece, SortedError> {
    let stored = bytes_of(piece, file)?;
    let mut walk = Walk::new(piece, map);
    let mut kept = Vec::new();
    let mut at = 0usize;
    for block in &piece.blocks {
        match *block {
            Block::Kept(len) => {
                let end = at.saturating_add(len as usize);
                kept.extend_from_slice(stored.get(at..end).ok_or_else(|| other("its blocks end before the piece"))?);
                at = end;
            }
            Block::Zeros(len) => at = at.saturating_add(len as usize),
            Block::Built { entries, .. } => {
                let offset = piece.offset + at as u64;
                let handle = handle_at(map, offset).ok_or_else(|| other("no block begins where the piece has one"))?;
                let end = at.saturating_add(usize::try_from(handle.size + TRAILER_SIZE).unwrap_or(usize::MAX));
                let bytes = stored.get(at..end).ok_or_else(|| other("a block ends behind the piece"))?;
                walk.block(bytes, offset, entries as usize, take)?;
                at = end;
            }
        }
    }
    Ok(FoundPiece { kept })
}

/// The bytes of a piece, if the file has them.
fn bytes_of<R: ReadAt + ?Sized>(piece: &TableBlocks, file: &R) -> Result<Vec<u8>, SortedError> {
    let end = piece.offset.checked_add(piece.len).filter(|end| *end <= file.len());
    if end.is_none() || piece.len > PIECE_BYTES_MAX {
        return Err(other("it is too short"));
    }
    let mut stored = vec![0; usize::try_from(piece.len).unwrap_or(0)];
    file.read_exact_at(&mut stored, piece.offset)?;
    match *Hasher::new().update(&stored).finalize().as_bytes() == piece.hash {
        true => Ok(stored),
        false => Err(other("it has other bytes")),
    }
}

/// The block that begins at an offset.
fn handle_at(map: &TableMap, offset: u64) -> Option<BlockHandle> {
    let (mut low, mut high) = (0, map.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let handle = map.handle(middle)?;
        match handle.offset.cmp(&offset) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Equal => return Some(handle),
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    None
}

/// Copies and trailers of a piece, entry by entry beside the blocks of the table.
struct Walk<'a> {
    piece: &'a TableBlocks,
    map: &'a TableMap,
    coder: BlockCoder,
    entries: Entries,
    plain: Vec<u8>,
    copy: usize,
    copied: u32,
    span: usize,
    in_span: u32,
}

impl<'a> Walk<'a> {
    fn new(piece: &'a TableBlocks, map: &'a TableMap) -> Self {
        let coder = BlockCoder::new(&[], map.dictionary.clone().unwrap_or_default(), false);
        Self { piece, map, coder, entries: Entries::default(), plain: Vec::new(), copy: 0, copied: 0, span: 0, in_span: 0 }
    }

    fn block(&mut self, bytes: &[u8], offset: u64, count: usize, take: &mut dyn FnMut(FoundEntry<'_>)) -> Result<(), SortedError> {
        let opened = checksum(self.map).open(bytes, offset).map_err(|_| other("a block does not open"))?;
        let plain = self.coder.open(&opened, &mut self.plain).ok_or_else(|| other("a block does not decompress"))?;
        self.entries.clear();
        data_block::decode(plain, &mut self.entries).map_err(|_| other("a block does not decode"))?;
        if self.entries.len() != count {
            return Err(other("a block has more or fewer entries"));
        }
        let timestamp_size = usize::from(self.piece.timestamp_size);
        for index in 0..count {
            let (run, position) = self.next_copy().ok_or_else(|| other("fewer entries are copied than its blocks have"))?;
            let source = self.next_source().ok_or_else(|| other("fewer trailers than entries"))?;
            let whole = self.entries.key(index);
            let (rest, trailer) = whole.split_last_chunk::<TRAILER_LEN>().ok_or_else(|| other("a key without a trailer"))?;
            let key_len = rest.len().checked_sub(timestamp_size).ok_or_else(|| other("a key without a timestamp"))?;
            let (key, timestamp) = rest.split_at_checked(key_len).unwrap_or_default();
            let home = (source == TrailerSource::Home).then_some((u64::from_le_bytes(*trailer), timestamp));
            take(FoundEntry { run: run as usize, position, key, value: self.entries.value(index), home });
        }
        Ok(())
    }

    fn next_copy(&mut self) -> Option<(u32, u32)> {
        loop {
            let copy = self.piece.copies.get(self.copy)?;
            if self.copied < copy.count {
                let position = copy.start.checked_add(self.copied)?;
                self.copied += 1;
                return Some((copy.run, position));
            }
            self.copy += 1;
            self.copied = 0;
        }
    }

    fn next_source(&mut self) -> Option<TrailerSource> {
        loop {
            let (source, count) = self.piece.trailers.get(self.span)?;
            if self.in_span < *count {
                self.in_span += 1;
                return Some(*source);
            }
            self.span += 1;
            self.in_span = 0;
        }
    }
}

/// A run that is being put together.
pub struct RunPuzzle {
    order: KeyOrder,
    timestamp_size: u8,
    entries: BTreeMap<u32, PuzzleEntry>,
    /// Entries whose key and value are known and whose trailer is not.
    without_home: usize,
}

struct PuzzleEntry {
    key: Vec<u8>,
    value: Vec<u8>,
    home: Option<(u64, Vec<u8>)>,
}

impl RunPuzzle {
    /// Nothing yet of a run of keys in this order, with timestamps of this size.
    pub fn new(order: KeyOrder, timestamp_size: u8) -> Self {
        Self { order, timestamp_size, entries: BTreeMap::new(), without_home: 0 }
    }

    /// Adds an entry.
    pub fn add(&mut self, found: &FoundEntry<'_>) {
        if found.position as usize >= RUN_ENTRIES_MAX {
            return;
        }
        let home = found.home.map(|(trailer, timestamp)| (trailer, timestamp.to_vec()));
        match self.entries.entry(found.position) {
            std::collections::btree_map::Entry::Vacant(place) => {
                self.without_home += usize::from(home.is_none());
                place.insert(PuzzleEntry { key: found.key.to_vec(), value: found.value.to_vec(), home });
            }
            std::collections::btree_map::Entry::Occupied(mut known) => {
                if known.get().home.is_none() && home.is_some() {
                    self.without_home -= 1;
                    known.get_mut().home = home;
                }
            }
        }
    }

    /// Whether no entry is missing up to the last one that is known.
    pub fn is_gapless(&self) -> bool {
        let last = self.entries.last_key_value().map(|(position, _)| *position as usize + 1);
        last == Some(self.entries.len()) && self.without_home == 0
    }

    /// The run's bytes, if no entry is missing up to the last one that is known. Whether more should follow tells its id.
    ///
    /// # Errors
    /// `Recipe`, saying what is missing; `Format`.
    pub fn encode(&self) -> Result<Vec<u8>, SortedError> {
        let wanted = self.entries.last_key_value().map_or(0, |(position, _)| *position as usize + 1);
        let gaps = wanted - self.entries.len();
        if gaps > 0 || self.without_home > 0 || wanted == 0 {
            let of_trailers = self.without_home;
            return Err(SortedError::Recipe(format!(
                "{gaps} of {wanted} entries stand in no table at hand, and of {of_trailers} the sequence number is not known"
            )));
        }
        let mut run = Run::new(self.order, self.timestamp_size);
        for entry in self.entries.values() {
            let (trailer, timestamp) = entry.home.as_ref().map_or((0, &[][..]), |(trailer, timestamp)| (*trailer, timestamp.as_slice()));
            run.push(&entry.key, &entry.value, trailer, timestamp);
        }
        Ok(run.encode()?)
    }
}

fn other(what: &str) -> SortedError {
    SortedError::Recipe(format!("the table is not the one that the piece makes: {what}"))
}

//! A table, or a stretch of its blocks, as a sorted stream of entries.

use std::ops::Range;

use blake3::Hasher;
use esker_format::run::KeyOrder;
use esker_format::table_recipe::TableBlocks;
use esker_sst::block::{BlockChecksum, TRAILER_SIZE};
use esker_sst::data_block::{self, BlockForm};
use esker_sst::rest::TableFacts;
use esker_sst::{BlockHandle, Entries, ReadAt, TableMap};

use super::coder::BlockCoder;
use super::merge::Refusal;
use super::piece::PieceBuilder;
use super::probe::{Probe, checksum, checksums};
use super::{BLOCK_BYTES_MAX, BLOCK_ENTRIES_MAX, SortedError};

/// Bytes read from a table at a time.
const WINDOW_BYTES: u64 = 512 << 10;
/// Bytes of a key's trailer: sequence number and type.
pub(super) const TRAILER_LEN: usize = 8;

/// A table as a merge takes it.
pub struct TableInput<'a, R: ReadAt + ?Sized> {
    /// Its bytes.
    pub file: &'a R,
    /// Where its blocks stand.
    pub map: &'a TableMap,
    /// What is known of it.
    pub probe: &'a Probe,
    /// The blocks to take, by number.
    pub blocks: Range<usize>,
}

impl<R: ReadAt + ?Sized> Clone for TableInput<'_, R> {
    fn clone(&self) -> Self {
        Self { blocks: self.blocks.clone(), ..*self }
    }
}

/// An entry's parts.
pub(super) struct Parts<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) trailer: u64,
    pub(super) timestamp: &'a [u8],
}

/// The stream over one table's blocks.
pub(super) struct TableStream<'a, R: ReadAt + ?Sized> {
    input: TableInput<'a, R>,
    order: KeyOrder,
    timestamp_size: usize,
    checksum: BlockChecksum,
    coder: BlockCoder,
    next: usize,
    /// Where the bytes that no piece has yet start.
    position: u64,
    window: Vec<u8>,
    window_start: u64,
    /// Where the bytes that are not hashed yet start. Hashing a stretch at once costs a third of hashing it block by block.
    unhashed: u64,
    plain: Vec<u8>,
    entries: Entries,
    at: usize,
    /// BLAKE3 of the table so far, if all its blocks are taken here.
    pub(super) whole: Option<Hasher>,
    /// What all pieces of the table have in common.
    template: TableBlocks,
    /// The piece that is being built.
    pub(super) piece: PieceBuilder,
    /// Those that are complete but for the ids of their runs.
    pub(super) pieces: Vec<PieceBuilder>,
    /// What index and filters are rebuilt from; none once a block was kept as it is.
    pub(super) facts: Option<TableFacts>,
    /// Why the table is not taken this way after all.
    pub(super) refusal: Option<Refusal>,
}

impl<'a, R: ReadAt + ?Sized> TableStream<'a, R> {
    pub(super) fn new(input: TableInput<'a, R>) -> Self {
        let (order, timestamp_size) = (input.probe.order, input.probe.timestamp_size);
        let checksum = checksum(input.map);
        let template = TableBlocks { order, timestamp_size, checksums: checksums(input.map), ..TableBlocks::default() };
        let position = input.blocks.start.checked_sub(1).and_then(|before| input.map.handle(before)).map_or(0, end_of);
        Self {
            order,
            timestamp_size: usize::from(timestamp_size),
            checksum,
            coder: input.probe.coder(),
            next: input.blocks.start,
            position,
            window: Vec::new(),
            window_start: 0,
            unhashed: position,
            plain: Vec::new(),
            entries: Entries::default(),
            at: 0,
            piece: PieceBuilder::new(&template, position),
            template,
            pieces: Vec::new(),
            facts: Some(input.probe.facts()),
            refusal: None,
            whole: (input.blocks == (0..input.map.len())).then(Hasher::new),
            input,
        }
    }

    /// The key of the current entry, without its timestamp.
    #[inline]
    pub(super) fn key(&self) -> &[u8] {
        let key = self.entries.key(self.at);
        key.get(..key.len().saturating_sub(TRAILER_LEN + self.timestamp_size)).unwrap_or_default()
    }

    /// The current entry.
    #[inline]
    pub(super) fn parts(&self) -> Parts<'_> {
        let whole = self.entries.key(self.at);
        let (rest, trailer) = whole.split_last_chunk::<TRAILER_LEN>().unwrap_or((&[], &[0; TRAILER_LEN]));
        let (key, timestamp) = rest.split_at_checked(rest.len().saturating_sub(self.timestamp_size)).unwrap_or_default();
        Parts { key, value: self.entries.value(self.at), trailer: u64::from_le_bytes(*trailer), timestamp }
    }

    /// The current entry is at home at a position of a source.
    #[inline]
    pub(super) fn place(&mut self, source: u32, position: u32, home: (u64, &[u8])) {
        let whole = self.entries.key(self.at);
        let (rest, trailer) = whole.split_last_chunk::<TRAILER_LEN>().unwrap_or((&[], &[0; TRAILER_LEN]));
        let (key, timestamp) = rest.split_at_checked(rest.len().saturating_sub(self.timestamp_size)).unwrap_or_default();
        self.piece.copy(source, position, key);
        self.piece.trailer(u64::from_le_bytes(*trailer), timestamp, home);
    }

    /// Moves to the next entry; false at the end, or if the table is refused.
    pub(super) fn advance(&mut self) -> Result<bool, SortedError> {
        self.at += 1;
        if self.at >= self.entries.len() {
            return self.load();
        }
        Ok(self.refusal.is_none())
    }

    /// Moves to the first entry of the next block that has one.
    pub(super) fn load(&mut self) -> Result<bool, SortedError> {
        self.entries.clear();
        self.at = 0;
        while self.entries.is_empty() {
            if self.refusal.is_some() {
                return Ok(false);
            }
            if self.next >= self.input.blocks.end {
                if self.next >= self.input.map.len() {
                    self.bytes_until(self.input.map.data_end)?;
                }
                self.hash();
                return Ok(false);
            }
            if self.piece.is_full() {
                self.hash();
                let next = PieceBuilder::new(&self.template, self.position);
                self.pieces.push(std::mem::replace(&mut self.piece, next));
            }
            let Some(handle) = self.input.map.handle(self.next) else {
                self.refusal = Some(Refusal::Damaged);
                return Ok(false);
            };
            self.next += 1;
            self.bytes_until(handle.offset)?;
            self.block(handle)?;
        }
        Ok(true)
    }

    fn block(&mut self, handle: BlockHandle) -> Result<(), SortedError> {
        let end = end_of(handle);
        if handle.size > BLOCK_BYTES_MAX as u64 {
            return self.bytes_until(end);
        }
        self.fill(handle.offset, handle.size + TRAILER_SIZE)?;
        match self.decode(handle) {
            Some((compression, encoder, form)) => {
                self.piece.extend(end - handle.offset);
                self.piece.block(compression, encoder, form, &self.entries);
                if let Some(facts) = &mut self.facts {
                    facts.push_block(handle, &self.entries);
                }
                self.position = end;
                Ok(())
            }
            None => {
                self.entries.clear();
                self.bytes_until(end)
            }
        }
    }

    /// Decodes a block whose bytes stand in the window; `None` if it must be kept as it is.
    fn decode(&mut self, handle: BlockHandle) -> Option<(u8, u32, BlockForm)> {
        let stored = slice(&self.window, self.window_start, handle.offset, end_of(handle));
        let block = self.checksum.open(stored, handle.offset).ok()?;
        let plain = self.coder.open(&block, &mut self.plain)?;
        let encoder = self.coder.encoder_of(&block, plain)?;
        let form = data_block::decode(plain, &mut self.entries).ok()?;
        let shortest = TRAILER_LEN + self.timestamp_size;
        let fits =
            self.entries.len() <= BLOCK_ENTRIES_MAX && (0..self.entries.len()).all(|index| self.entries.key(index).len() >= shortest);
        let exact = !self.coder.is_careful || self.coder.is_laid_out(plain, &form, &self.entries);
        (fits && exact).then_some((block.compression_type, encoder, form))
    }

    /// Keeps everything up to `end` as it is: padding as zeros, all else as bytes.
    fn bytes_until(&mut self, end: u64) -> Result<(), SortedError> {
        while self.position < end {
            let len = (end - self.position).min(WINDOW_BYTES);
            self.fill(self.position, len)?;
            let bytes = slice(&self.window, self.window_start, self.position, self.position + len);
            self.piece.extend(len);
            if bytes.iter().all(|byte| *byte == 0) {
                self.piece.zeros(bytes.len());
            } else {
                self.piece.keep(bytes);
                self.facts = None;
            }
            self.position += len;
        }
        Ok(())
    }

    /// Makes the window hold `len` bytes from `offset`.
    fn fill(&mut self, offset: u64, len: u64) -> Result<(), SortedError> {
        let window_end = self.window_start + self.window.len() as u64;
        if offset >= self.window_start && offset + len <= window_end {
            return Ok(());
        }
        self.hash();
        let last = self.input.blocks.end.checked_sub(1).and_then(|last| self.input.map.handle(last)).map_or(0, end_of);
        let ahead = last.saturating_sub(offset).min(WINDOW_BYTES).max(len);
        let ahead = ahead.min(self.input.file.len().saturating_sub(offset));
        self.window.resize(usize::try_from(ahead).unwrap_or(0), 0);
        self.window_start = offset;
        Ok(self.input.file.read_exact_at(&mut self.window, offset)?)
    }

    /// Hashes what pieces have taken on since the last time; all of it stands in the window.
    fn hash(&mut self) {
        let bytes = slice(&self.window, self.window_start, self.unhashed, self.position);
        self.piece.hash(bytes);
        if let Some(whole) = &mut self.whole {
            whole.update(bytes);
        }
        self.unhashed = self.position;
    }

    /// The table's compression dictionary; empty without one.
    pub(super) fn dictionary(&self) -> &[u8] {
        self.coder.dictionary()
    }

    /// Whether the entry moved to may follow `key`.
    pub(super) fn follows(&self, key: &[u8]) -> bool {
        self.order.compare(key, self.key()).is_le()
    }
}

fn end_of(handle: BlockHandle) -> u64 {
    handle.offset + handle.size + TRAILER_SIZE
}

fn slice(window: &[u8], window_start: u64, start: u64, end: u64) -> &[u8] {
    let at = |offset: u64| usize::try_from(offset.saturating_sub(window_start)).unwrap_or(usize::MAX);
    window.get(at(start)..at(end)).unwrap_or_default()
}

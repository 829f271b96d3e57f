//! Building one recipe piece of a table while its blocks go through a merge.

use blake3::Hasher;
use esker_format::table_recipe::{Block, BlockForm as StoredForm, Copy, RunUse, TableBlocks, TrailerSource};
use esker_sst::Entries;
use esker_sst::data_block::BlockForm;

use super::sources::Sources;

/// Bytes of blocks after which a piece is complete.
const PIECE_BYTES: u64 = 8 << 20;
/// Key and value bytes after which a piece is complete: a rebuild holds the runs of a whole piece.
const PIECE_ENTRY_BYTES: usize = 24 << 20;
/// Runs after which a piece is complete, for the same reason.
const PIECE_RUNS: usize = 256;
/// Bytes of the piece itself, about, after which it is complete.
const PIECE_WEIGHT: usize = 1 << 20;

/// A piece whose runs are known by their source numbers only.
pub(super) struct PieceBuilder {
    pub(super) piece: TableBlocks,
    hasher: Hasher,
    forms: Vec<(u8, u32, BlockForm)>,
    /// The source of each run of the piece.
    sources: Vec<u32>,
    /// By source, its number in the piece plus 1.
    numbers: Vec<u32>,
    /// Bytes that the runs take in the piece, at most.
    run_bytes: usize,
    /// Key and value bytes of its blocks.
    entry_bytes: usize,
    /// The bytes of kept blocks, one behind the other.
    pub(super) kept: Vec<u8>,
}

impl PieceBuilder {
    /// A piece like `template` that starts at `offset` of the file.
    pub(super) fn new(template: &TableBlocks, offset: u64) -> Self {
        Self {
            piece: TableBlocks { offset, ..template.clone() },
            hasher: Hasher::new(),
            forms: Vec::new(),
            sources: Vec::new(),
            numbers: Vec::new(),
            run_bytes: 0,
            entry_bytes: 0,
            kept: Vec::new(),
        }
    }

    /// Whether the next block should go to another piece.
    pub(super) fn is_full(&self) -> bool {
        let weight =
            5 * self.piece.copies.len() + (9 + self.piece.timestamp_size as usize) * self.piece.own_trailers.len() + self.run_bytes;
        let is_heavy = self.entry_bytes >= PIECE_ENTRY_BYTES || self.sources.len() >= PIECE_RUNS;
        self.piece.len >= PIECE_BYTES || weight >= PIECE_WEIGHT || is_heavy
    }

    /// Takes on so many bytes of the source, which `block`, `zeros` or `keep` then describe.
    pub(super) fn extend(&mut self, len: u64) {
        self.piece.len += len;
    }

    /// Hashes bytes that it has taken on.
    pub(super) fn hash(&mut self, stored: &[u8]) {
        self.hasher.update(stored);
    }

    pub(super) fn zeros(&mut self, len: usize) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        match self.piece.blocks.last_mut() {
            Some(Block::Zeros(zeros)) if zeros.checked_add(len).is_some() => *zeros += len,
            _ => self.piece.blocks.push(Block::Zeros(len)),
        }
    }

    pub(super) fn keep(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        match self.piece.blocks.last_mut() {
            Some(Block::Kept(kept)) if kept.checked_add(len).is_some() => *kept += len,
            _ => self.piece.blocks.push(Block::Kept(len)),
        }
    }

    pub(super) fn block(&mut self, compression: u8, encoder: u32, form: BlockForm, entries: &Entries) {
        self.entry_bytes += entries.key_bytes() + entries.value_bytes();
        let (form, entries) = ((compression, encoder, form), entries.len());
        let number = match self.forms.iter().position(|known| *known == form) {
            Some(number) => number,
            None => {
                self.piece.forms.push(stored_form(compression, encoder, &form.2));
                self.forms.push(form);
                self.forms.len() - 1
            }
        };
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        self.piece.blocks.push(Block::Built { form: narrow(number), entries: narrow(entries) });
    }

    /// The next entry stands at a position of a source.
    #[inline]
    pub(super) fn copy(&mut self, source: u32, position: u32, key: &[u8]) {
        let run = self.number_of(source, key);
        match self.piece.copies.last_mut() {
            Some(copy) if copy.run == run && copy.start + copy.count == position => copy.count += 1,
            _ => self.piece.copies.push(Copy { run, start: position, count: 1 }),
        }
    }

    /// The trailer of the next entry, and that of its home.
    #[inline]
    pub(super) fn trailer(&mut self, trailer: u64, timestamp: &[u8], home: (u64, &[u8])) {
        // Most tables have no timestamps, and comparing nothing with nothing costs more than all else here.
        let same_timestamp = timestamp.is_empty() && home.1.is_empty() || timestamp == home.1;
        let fits = |source: TrailerSource| match source {
            TrailerSource::Home => same_timestamp && trailer == home.0,
            TrailerSource::Cleared => same_timestamp && trailer == home.0 & 0xff,
            TrailerSource::Own => false,
        };
        let last = self.piece.trailers.last_mut();
        if let Some((source, count)) = last
            && fits(*source)
        {
            *count += 1;
            return;
        }
        let source = [TrailerSource::Home, TrailerSource::Cleared].into_iter().find(|source| fits(*source)).unwrap_or(TrailerSource::Own);
        if source == TrailerSource::Own {
            self.piece.own_trailers.push(trailer);
            self.piece.own_timestamps.extend_from_slice(timestamp);
        }
        match self.piece.trailers.last_mut() {
            Some((last, count)) if *last == source => *count += 1,
            _ => self.piece.trailers.push((source, 1)),
        }
    }

    #[inline]
    fn number_of(&mut self, source: u32, key: &[u8]) -> u32 {
        let slot = source as usize;
        if let Some(number) = self.numbers.get(slot).and_then(|number| number.checked_sub(1)) {
            return number;
        }
        if self.numbers.len() <= slot {
            self.numbers.resize(slot + 1, 0);
        }
        self.sources.push(source);
        self.run_bytes += 40 + key.len();
        let number = u32::try_from(self.sources.len()).unwrap_or(u32::MAX);
        if let Some(entry) = self.numbers.get_mut(slot) {
            *entry = number;
        }
        self.piece.runs.push(RunUse { id: esker_format::ChunkId([0; 32]), first_key: key.to_vec() });
        number - 1
    }

    /// The piece with the ids of its runs, and the sources of these.
    pub(super) fn finish(mut self, sources: &Sources) -> (TableBlocks, Vec<u32>, Vec<u8>) {
        for (run, source) in self.piece.runs.iter_mut().zip(&self.sources) {
            if let Some(id) = sources.id(*source) {
                run.id = id;
            }
        }
        self.piece.hash = *self.hasher.finalize().as_bytes();
        (self.piece, self.sources, self.kept)
    }
}

/// A form as a recipe stores it.
fn stored_form(compression: u8, encoder: u32, form: &BlockForm) -> StoredForm {
    let BlockForm { restart_interval, shares_prefixes, hash_buckets, separate_values, uniform_keys } = *form;
    StoredForm { compression, encoder, restart_interval, hash_buckets, shares_prefixes, separate_values, uniform_keys }
}

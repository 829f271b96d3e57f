//! Recipes of tables over sorted runs (format-spec chapter 8, recipe kinds 2 and 3).
//!
//! `TableBlocks` rebuilds consecutive data blocks: entries are copied from runs, their trailers are the home's unless the
//! piece says otherwise, and each block is put together in one of a few forms. `TableRest` rebuilds what follows them.
//! Both say how many bytes they append and what these hash to, so that a piece proves itself wherever it is rebuilt.

mod encoding;

use crate::entry_set::EntrySet;
use crate::error::{FormatError, Result};
use crate::ids::ChunkId;
use crate::limits::{DICTIONARY_MAX, RUN_ENTRIES_MAX};
use crate::run::KeyOrder;

/// A chunk of kind `Bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkUse {
    /// Which.
    pub id: ChunkId,
    /// Its plain bytes, 1 to `CHUNK_PLAIN_MAX`.
    pub len: u32,
}

/// What the trailer of every block of a table depends on, beside the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checksums {
    /// RocksDB's checksum type, 0 to 4.
    pub kind: u8,
    /// The file's base context checksum; 0 below format_version 6.
    pub base_context: u32,
}

/// A form that blocks of a table have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlockForm {
    /// RocksDB's compression type.
    pub compression: u8,
    /// The encoder (chapter 15); 0 if and only if the compression type is.
    pub encoder: u32,
    /// Entries from one restart to the next; 0 in a block with one restart (chapter 14).
    pub restart_interval: u32,
    /// Buckets of the hash index; 0 without one.
    pub hash_buckets: u16,
    /// Whether a key leaves out what it shares with the one before.
    pub shares_prefixes: bool,
    /// Whether values stand apart from keys.
    pub separate_values: bool,
    /// Whether the block is marked as one of evenly spread keys.
    pub uniform_keys: bool,
}

/// A run that a piece copies from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunUse {
    /// Which.
    pub id: ChunkId,
    /// The key of the first entry copied from it: where a sweep over the keys first needs the run.
    pub first_key: Vec<u8>,
}

/// Some consecutive bytes of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// So many bytes as they were, taken from the kept chunks in order.
    Kept(u32),
    /// So many zeros.
    Zeros(u32),
    /// A block.
    Built {
        /// Position of its form.
        form: u32,
        /// Its entries.
        entries: u32,
    },
}

/// Entries of the table that stand one after the other in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copy {
    /// Position of the run in the piece.
    pub run: u32,
    /// The first entry in the run.
    pub start: u32,
    /// How many.
    pub count: u32,
}

/// Where consecutive entries have their trailers from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum TrailerSource {
    /// Trailer and timestamp of the copied entry.
    Home = 0,
    /// Its type and timestamp, and sequence number 0: RocksDB clears the number of an entry that nothing older shadows.
    Cleared = 1,
    /// The next of the piece's own trailers.
    Own = 2,
}

/// Rebuilds consecutive data blocks of one table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableBlocks {
    /// Bytes that the piece appends.
    pub len: u64,
    /// BLAKE3 of them.
    pub hash: [u8; 32],
    /// Where in the file they start.
    pub offset: u64,
    /// How the keys are sorted.
    pub order: KeyOrder,
    /// Bytes at the end of each user key that are its timestamp; they stand with the trailers.
    pub timestamp_size: u8,
    /// How the blocks' trailers are made.
    pub checksums: Checksums,
    /// The compression dictionary, cut into chunks; none if there is none.
    pub dictionary: Vec<ChunkUse>,
    /// The forms of its blocks.
    pub forms: Vec<BlockForm>,
    /// The runs, in the order in which they are first used.
    pub runs: Vec<RunUse>,
    /// The bytes of kept blocks.
    pub kept: Vec<ChunkUse>,
    /// The blocks in order.
    pub blocks: Vec<Block>,
    /// Where their entries are, in order.
    pub copies: Vec<Copy>,
    /// Where their trailers are, in order.
    pub trailers: Vec<(TrailerSource, u32)>,
    /// The piece's own trailers.
    pub own_trailers: Vec<u64>,
    /// And timestamps, `timestamp_size` bytes each.
    pub own_timestamps: Vec<u8>,
}

/// One stretch of what follows the data blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestPart {
    /// The bytes of a chunk.
    Chunk(ChunkUse),
    /// These bytes.
    Literal(Vec<u8>),
    /// A block that follows from the data blocks (chapter 16).
    Built {
        /// What it is.
        kind: u8,
        /// What the data blocks do not tell of it.
        numbers: Vec<u64>,
    },
}

/// Rebuilds what follows the data blocks of one table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableRest {
    /// Bytes that the piece appends.
    pub len: u64,
    /// BLAKE3 of them.
    pub hash: [u8; 32],
    /// Where in the file they start.
    pub offset: u64,
    /// How the blocks' trailers are made.
    pub checksums: Checksums,
    /// What of the keys the filters are made of (chapter 16); none if no part is built.
    pub filter_keys: Option<u64>,
    /// The parts in order.
    pub parts: Vec<RestPart>,
}

impl TableBlocks {
    /// The entries that it copies of each of its runs, in their order. One set at a time: together they may take far more than
    /// the piece.
    pub fn used_entries(&self) -> impl Iterator<Item = EntrySet> + use<> {
        let mut copies: Vec<(u32, u32, u32)> = self.copies.iter().map(|copy| (copy.run, copy.start, copy.count)).collect();
        copies.sort_unstable();
        let mut copies = copies.into_iter().peekable();
        (0..self.runs.len()).map(move |run| {
            let mut entries = EntrySet::default();
            while let Some((_, start, count)) = copies.next_if(|(of, ..)| *of as usize == run) {
                entries.insert(start, count);
            }
            entries
        })
    }

    /// Entries of its blocks.
    pub fn entries(&self) -> u64 {
        self.trailers.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// Whether counts and positions agree with each other.
    fn check(&self) -> Result<()> {
        let bad = |field, found: String| Err(FormatError::BadValue { field, found });
        let (mut entries, mut kept, mut zeros) = (0u64, 0u64, 0u64);
        for block in &self.blocks {
            match block {
                Block::Kept(len) => kept += u64::from(*len),
                Block::Zeros(len) => zeros += u64::from(*len),
                Block::Built { form, .. } if *form as usize >= self.forms.len() => return bad("form of a block", form.to_string()),
                Block::Built { entries: count, .. } => entries += u64::from(*count),
            }
        }
        if kept.saturating_add(zeros) > self.len {
            return bad("blocks", format!("{kept} kept bytes and {zeros} zeros in {} bytes", self.len));
        }
        let copied: u64 = self.copies.iter().map(|copy| u64::from(copy.count)).sum();
        if (copied, self.entries()) != (entries, entries) {
            return bad("entries", format!("{entries} in blocks, {copied} copied, {} with trailers", self.entries()));
        }
        let own: u64 = self.trailers.iter().filter(|(from, _)| *from == TrailerSource::Own).map(|(_, count)| u64::from(*count)).sum();
        if own != self.own_trailers.len() as u64 {
            return bad("own trailers", format!("{} where {own} are used", self.own_trailers.len()));
        }
        if sum(&self.dictionary) > DICTIONARY_MAX {
            return Err(over("dictionary", sum(&self.dictionary), DICTIONARY_MAX));
        }
        if sum(&self.kept) != kept {
            return bad("kept chunks", format!("{} bytes where {kept} are used", sum(&self.kept)));
        }
        let mut used = 0;
        for copy in &self.copies {
            let end = u64::from(copy.start) + u64::from(copy.count);
            if end > RUN_ENTRIES_MAX as u64 {
                return Err(over("entries of a run", end, RUN_ENTRIES_MAX as u64));
            }
            match copy.run.cmp(&used) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => used += 1,
                std::cmp::Ordering::Greater => return bad("run of a copy", copy.run.to_string()),
            }
        }
        if used as usize == self.runs.len() { Ok(()) } else { bad("runs", format!("{} where {used} are used", self.runs.len())) }
    }
}

impl TableRest {
    /// Whether what filters are made of is told if and only if a part is built, and the other parts fit in.
    fn check(&self) -> Result<()> {
        let (mut given, mut has_built) = (0u64, false);
        for part in &self.parts {
            match part {
                RestPart::Chunk(chunk) => given += u64::from(chunk.len),
                RestPart::Literal(bytes) => given += bytes.len() as u64,
                RestPart::Built { .. } => has_built = true,
            }
        }
        if given > self.len || (given < self.len && !has_built) {
            return Err(FormatError::BadValue { field: "parts", found: format!("{given} bytes where there are {}", self.len) });
        }
        if self.filter_keys.is_some() != has_built {
            return Err(FormatError::BadValue { field: "filter keys", found: "in a piece without a built part, or missing".into() });
        }
        Ok(())
    }
}

fn sum(chunks: &[ChunkUse]) -> u64 {
    chunks.iter().map(|chunk| u64::from(chunk.len)).sum()
}

fn over(field: &'static str, found: u64, limit: u64) -> FormatError {
    FormatError::OverLimit { field, found, limit }
}

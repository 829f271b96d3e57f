//! Recipes of tables over sorted runs (format-spec chapter 8, recipe kinds 2 and 3).
//!
//! `TableBlocks` rebuilds consecutive data blocks: entries are copied from runs, their trailers are the home's unless the
//! piece says otherwise, and each block is put together in one of a few forms. `TableRest` rebuilds what follows them.
//! Both say how many bytes they append and what these hash to, so that a piece proves itself wherever it is rebuilt.

use crate::entry_set::EntrySet;
use crate::error::{FormatError, Result};
use crate::ids::ChunkId;
use crate::limits::{
    BUILT_NUMBERS_MAX, CHUNK_PLAIN_MAX, DICTIONARY_MAX, FILE_MAX, INLINE_MAX, LIST_MAX, PIECE_FORMS_MAX, RECIPE_OPS_MAX, RUN_ENTRIES_MAX,
    RUN_KEYS_MAX, TABLE_REST_MAX, TIMESTAMP_MAX,
};
use crate::run::{KeyOrder, shared_len};
use crate::trailers::{read_sequences, write_sequences};
use crate::wire::{Reader, Record, Writer};

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

impl Record for TableBlocks {
    const NAME: &'static str = "recipe of table blocks";

    fn write(&self, out: &mut Writer) {
        out.varint(self.len);
        out.raw(&self.hash);
        out.varint(self.offset);
        self.order.write(out);
        out.u8(self.timestamp_size);
        self.checksums.write(out);
        out.list(&self.dictionary, |out, chunk| chunk.write(out));
        out.list(&self.forms, |out, form| {
            out.u8(form.compression);
            out.u32(form.encoder);
            out.varint(u64::from(form.restart_interval));
            out.varint(u64::from(form.hash_buckets));
            let flags = [form.shares_prefixes, form.separate_values, form.uniform_keys];
            out.u8(flags.into_iter().enumerate().map(|(bit, flag)| u8::from(flag) << bit).sum());
        });
        out.varint(self.runs.len() as u64);
        let mut before: &[u8] = &[];
        for run in &self.runs {
            let shared = shared_len(before, &run.first_key);
            out.raw(&run.id.0);
            out.varint(shared as u64);
            out.bytes(run.first_key.get(shared..).unwrap_or_default());
            before = &run.first_key;
        }
        out.list(&self.kept, |out, chunk| chunk.write(out));
        write_columns(
            out,
            self.blocks.iter().map(|block| match *block {
                Block::Kept(len) => [0, u64::from(len)],
                Block::Zeros(len) => [1, u64::from(len)],
                Block::Built { form, entries } => [u64::from(form) + 2, u64::from(entries)],
            }),
        );
        let mut ends = vec![0; self.runs.len()];
        write_columns(
            out,
            self.copies.iter().map(|copy| {
                let mut unknown = 0;
                let end = ends.get_mut(copy.run as usize).unwrap_or(&mut unknown);
                let skip = i64::from(copy.start) - *end;
                *end = i64::from(copy.start) + i64::from(copy.count);
                [u64::from(copy.run), zigzag(skip), u64::from(copy.count)]
            }),
        );
        write_columns(out, self.trailers.iter().map(|(source, count)| [*source as u64, u64::from(*count)]));
        out.varint(self.own_trailers.len() as u64);
        write_sequences(out, &self.own_trailers);
        out.raw(&self.own_timestamps);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let mut piece = Self {
            len: input.varint_max("bytes of a piece", FILE_MAX)?,
            hash: input.array("hash of a piece")?,
            offset: input.varint_max("offset of a piece", FILE_MAX)?,
            order: KeyOrder::read(input)?,
            timestamp_size: input.u8("timestamp size")?,
            checksums: Checksums::read(input)?,
            dictionary: input.list("dictionary", 33, ChunkUse::read)?,
            forms: input.list_max("forms", PIECE_FORMS_MAX, 8, read_form)?,
            ..Self::default()
        };
        if usize::from(piece.timestamp_size) > TIMESTAMP_MAX {
            return Err(over("timestamp size", piece.timestamp_size.into(), TIMESTAMP_MAX as u64));
        }
        let (mut before, mut key_bytes) = (Vec::new(), 0);
        piece.runs = input.list("runs", 34, |input| {
            let id = ChunkId(input.array("run")?);
            let shared = input.varint_max("shared length", before.len() as u64)?;
            let mut first_key = before.get(..usize::try_from(shared).unwrap_or(usize::MAX)).unwrap_or_default().to_vec();
            let suffix = input.bytes("first key", RUN_KEYS_MAX)?;
            if shared_len(before.get(first_key.len()..).unwrap_or_default(), suffix) > 0 {
                return Err(FormatError::BadValue { field: "first key", found: "a prefix that is stored though shared".into() });
            }
            first_key.extend_from_slice(suffix);
            key_bytes += first_key.len();
            if key_bytes > RUN_KEYS_MAX {
                return Err(over("first keys", key_bytes as u64, RUN_KEYS_MAX as u64));
            }
            before.clone_from(&first_key);
            Ok(RunUse { id, first_key })
        })?;
        piece.kept = input.list("kept chunks", 33, ChunkUse::read)?;
        piece.blocks = read_columns(input, "blocks", |[form, count]| {
            let count = narrow("bytes or entries of a block", count)?;
            Ok(match form {
                0 => Block::Kept(some("kept bytes", count)?),
                1 => Block::Zeros(some("zeros", count)?),
                form => Block::Built { form: narrow("form of a block", form - 2)?, entries: count },
            })
        })?;
        let mut ends = vec![0i64; piece.runs.len()];
        piece.copies = read_columns(input, "copies", |[run, skip, count]| {
            let (run, count): (u32, u32) = (narrow("run of a copy", run)?, narrow("entries of a copy", count)?);
            some("entries of a copy", count)?;
            let end = ends.get_mut(run as usize).ok_or(FormatError::BadValue { field: "run of a copy", found: run.to_string() })?;
            let start = end.checked_add(unzigzag(skip)).and_then(|start| u32::try_from(start).ok());
            let start = start.ok_or(FormatError::BadValue { field: "start of a copy", found: "outside of any run".into() })?;
            *end = i64::from(start) + i64::from(count);
            Ok(Copy { run, start, count })
        })?;
        piece.trailers = read_columns(input, "trailers", |[source, count]| {
            let source = match source {
                0 => TrailerSource::Home,
                1 => TrailerSource::Cleared,
                2 => TrailerSource::Own,
                other => return Err(FormatError::BadValue { field: "source of trailers", found: other.to_string() }),
            };
            Ok((source, some("trailers", narrow("trailers", count)?)?))
        })?;
        let own = usize::try_from(input.varint_max("own trailers", LIST_MAX)?).unwrap_or(usize::MAX);
        piece.own_trailers = read_sequences(input, own)?;
        piece.own_timestamps = input.raw(own.saturating_mul(usize::from(piece.timestamp_size)), "own timestamps")?.to_vec();
        piece.check()?;
        Ok(piece)
    }
}

impl Record for TableRest {
    const NAME: &'static str = "recipe of a table's rest";

    fn write(&self, out: &mut Writer) {
        out.varint(self.len);
        out.raw(&self.hash);
        out.varint(self.offset);
        self.checksums.write(out);
        out.option(self.filter_keys, |out, number| out.varint(number));
        out.list(&self.parts, |out, part| match part {
            RestPart::Chunk(chunk) => {
                out.u8(1);
                chunk.write(out);
            }
            RestPart::Literal(bytes) => {
                out.u8(3);
                out.bytes(bytes);
            }
            RestPart::Built { kind, numbers } => {
                out.u8(4);
                out.u8(*kind);
                out.list(numbers, |out, number| out.varint(*number));
            }
        });
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let rest = Self {
            len: input.varint_max("bytes of a piece", TABLE_REST_MAX)?,
            hash: input.array("hash of a piece")?,
            offset: input.varint_max("offset of a piece", FILE_MAX)?,
            checksums: Checksums::read(input)?,
            filter_keys: input.option("filter keys", |input| input.varint("filter keys"))?,
            parts: input.list_max("parts", RECIPE_OPS_MAX as u64, 3, |input| match input.u8("part")? {
                1 => Ok(RestPart::Chunk(ChunkUse::read(input)?)),
                3 => match input.bytes("literal", INLINE_MAX)? {
                    [] => Err(FormatError::BadValue { field: "literal", found: "no bytes".into() }),
                    bytes => Ok(RestPart::Literal(bytes.to_vec())),
                },
                4 => {
                    let kind = input.u8("kind of a built block")?;
                    let numbers = input.list_max("numbers of a built block", BUILT_NUMBERS_MAX, 1, |input| input.varint("number"))?;
                    Ok(RestPart::Built { kind, numbers })
                }
                other => Err(FormatError::BadValue { field: "part", found: other.to_string() }),
            })?,
        };
        rest.check()?;
        Ok(rest)
    }
}

impl ChunkUse {
    fn write(&self, out: &mut Writer) {
        out.raw(&self.id.0);
        out.varint(u64::from(self.len));
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let id = ChunkId(input.array("chunk id")?);
        match input.varint_max("chunk length", CHUNK_PLAIN_MAX as u64)? {
            0 => Err(FormatError::BadValue { field: "chunk length", found: "0".into() }),
            len => Ok(Self { id, len: narrow("chunk length", len)? }),
        }
    }
}

impl Checksums {
    fn write(&self, out: &mut Writer) {
        out.u8(self.kind);
        out.u32(self.base_context);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let kind = input.u8("checksum type")?;
        let base_context = input.u32("base context")?;
        if kind > 4 {
            return Err(FormatError::BadValue { field: "checksum type", found: kind.to_string() });
        }
        Ok(Self { kind, base_context })
    }
}

fn read_form(input: &mut Reader<'_>) -> Result<BlockForm> {
    let compression = input.u8("compression type")?;
    let encoder = input.u32("encoder")?;
    let restart_interval = narrow("restart interval", input.varint("restart interval")?)?;
    let hash_buckets = u16::try_from(input.varint_max("hash buckets", u16::MAX.into())?).unwrap_or(u16::MAX);
    let flags = input.u8("layout flags")?;
    if flags > 7 {
        return Err(FormatError::BadValue { field: "layout flags", found: flags.to_string() });
    }
    let [shares_prefixes, separate_values, uniform_keys] = [0, 1, 2].map(|bit| flags >> bit & 1 == 1);
    let form = BlockForm { compression, encoder, restart_interval, hash_buckets, shares_prefixes, separate_values, uniform_keys };
    if (form.compression == 0) == (form.encoder == 0) {
        return Ok(form);
    }
    Err(FormatError::BadValue { field: "encoder", found: format!("{} for compression type {}", form.encoder, form.compression) })
}

/// Rows of N numbers, stored as N columns of varints, each behind its length.
fn write_columns<const N: usize>(out: &mut Writer, rows: impl Iterator<Item = [u64; N]>) {
    let mut columns: [Writer; N] = std::array::from_fn(|_| Writer::default());
    let mut count = 0u64;
    for row in rows {
        count += 1;
        columns.iter_mut().zip(row).for_each(|(column, number)| column.varint(number));
    }
    out.varint(count);
    columns.into_iter().for_each(|column| out.bytes(&column.into_bytes()));
}

fn read_columns<T, const N: usize>(
    input: &mut Reader<'_>,
    field: &'static str,
    mut row: impl FnMut([u64; N]) -> Result<T>,
) -> Result<Vec<T>> {
    let count = usize::try_from(input.varint_max(field, LIST_MAX)?).unwrap_or(usize::MAX);
    let mut columns = Vec::with_capacity(N);
    for _ in 0..N {
        columns.push(Reader::new(input.bytes(field, crate::limits::TABLE_PIECE_MAX)?));
    }
    // Each row takes a byte of each column, so the columns bound the room that is made.
    let mut rows = Vec::with_capacity(count.min(columns.iter().map(Reader::left).min().unwrap_or(0)));
    for _ in 0..count {
        let mut numbers = [0; N];
        for (number, column) in numbers.iter_mut().zip(&mut columns) {
            *number = column.varint(field)?;
        }
        rows.push(row(numbers)?);
    }
    columns.iter().try_for_each(|column| column.finish(field))?;
    Ok(rows)
}

fn narrow(field: &'static str, found: u64) -> Result<u32> {
    u32::try_from(found).map_err(|_| over(field, found, u32::MAX.into()))
}

/// A count of what is there: never 0.
fn some(field: &'static str, count: u32) -> Result<u32> {
    if count == 0 { Err(FormatError::BadValue { field, found: "0".into() }) } else { Ok(count) }
}

fn over(field: &'static str, found: u64, limit: u64) -> FormatError {
    FormatError::OverLimit { field, found, limit }
}

fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

//! Rebuilding data blocks from a recipe piece and the runs it names.

use std::collections::HashMap;
use std::sync::Arc;

use blake3::Hasher;
use esker_format::limits::{BLOCK_ENTRY_BYTES_MAX, DICTIONARY_MAX};
use esker_format::run::Run;
use esker_format::table_recipe::{Block, BlockForm as StoredForm, Checksums, ChunkUse, TableBlocks, TrailerSource};
use esker_sst::block::BlockChecksum;
use esker_sst::data_block::BlockBuilder;
use esker_sst::encoder::{Encoder, EncoderId};
use esker_sst::rest::TableFacts;
use esker_sst::{BlockFault, BlockForm, BlockHandle, ChecksumType};

use super::SortedError;

/// Bytes that are gathered before they go out.
const OUT_BYTES: usize = 256 << 10;

/// Where a rebuild has its runs and bytes from.
pub trait Sources<E> {
    /// The run with this number in the piece.
    ///
    /// # Errors
    /// If it cannot be had.
    fn run(&mut self, number: usize) -> Result<Arc<Run>, E>;

    /// The bytes of a chunk.
    ///
    /// # Errors
    /// If they cannot be had.
    fn bytes(&mut self, chunk: &ChunkUse) -> Result<Vec<u8>, E>;
}

/// Rebuilds pieces; keeps encoders and buffers from one to the next.
#[derive(Default)]
pub struct Rebuilder {
    /// By id and dictionary.
    encoders: HashMap<(u32, [u8; 32]), Encoder>,
    builder: BlockBuilder,
    /// Internal keys: the one at hand and the one before it in its block.
    key: Vec<u8>,
    before: Vec<u8>,
    /// A block before it is compressed.
    plain: Vec<u8>,
    /// Blocks that are on their way out.
    stored: Vec<u8>,
}

impl Rebuilder {
    /// Gives the bytes of a piece in order, a good many at a time, to `take`; tells `facts`, if there are any, of each block.
    ///
    /// # Errors
    /// `Recipe` if the piece does not fit its runs or does not make the bytes it promises, `Encoder` if one it needs is not
    /// to be had; what `sources` and `take` return.
    pub fn blocks<E: From<SortedError>>(
        &mut self,
        piece: &TableBlocks,
        sources: &mut dyn Sources<E>,
        mut facts: Option<&mut TableFacts>,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let dictionary = read_all(&piece.dictionary, sources)?;
        let forms = piece.forms.iter().map(|form| self.form(form, &dictionary)).collect::<Result<Vec<_>, SortedError>>()?;
        let checksum = checksum_of(piece.checksums)?;
        let runs = (0..piece.runs.len()).map(|number| run_of(piece, number, sources)).collect::<Result<Vec<_>, E>>()?;
        let mut entries = EntryCursor::new(piece);
        let mut kept = KeptReader { chunks: &piece.kept, at: 0, bytes: Vec::new() };
        let mut out = Output { hasher: Hasher::new(), buffer: std::mem::take(&mut self.stored), gone: 0, limit: piece.len, take };
        out.buffer.clear();
        for block in &piece.blocks {
            match *block {
                Block::Kept(len) => kept.copy(len as usize, sources, &mut |bytes| out.append(bytes))?,
                Block::Zeros(len) => out.zeros(len as usize)?,
                Block::Built { form, entries: count } => {
                    let form = forms.get(form as usize).ok_or_else(|| recipe("a block of an unknown form"))?;
                    let offset = piece.offset + out.len();
                    let start = out.buffer.len();
                    self.block(form, (&mut entries, count), &runs, &mut facts, &mut out.buffer)?;
                    if let Some(facts) = facts.as_deref_mut() {
                        facts.end_block(BlockHandle { offset, size: (out.buffer.len() - start) as u64 }, &self.before);
                    }
                    checksum.seal(start, offset, form.compression, &mut out.buffer);
                    out.settle()?;
                }
            }
        }
        let is_whole = out.finish()? == (piece.len, piece.hash);
        self.stored = out.buffer;
        match is_whole {
            true => Ok(()),
            false => Err(recipe("the piece does not make the bytes it promises").into()),
        }
    }

    fn form(&mut self, form: &StoredForm, dictionary: &[u8]) -> Result<Form, SortedError> {
        let StoredForm { restart_interval, hash_buckets, shares_prefixes, separate_values, uniform_keys, .. } = *form;
        let layout = BlockForm { restart_interval, shares_prefixes, hash_buckets, separate_values, uniform_keys };
        let key = (form.encoder, *blake3::hash(dictionary).as_bytes());
        if form.compression != 0 && !self.encoders.contains_key(&key) {
            let missing = |why: String| SortedError::Encoder { id: form.encoder, why };
            let encoder = Encoder::new(EncoderId(form.encoder), dictionary).map_err(|fault| missing(fault.to_string()))?;
            if encoder.compression_type() != form.compression {
                return Err(recipe("an encoder of another compression type"));
            }
            self.encoders.insert(key, encoder);
        }
        Ok(Form { compression: form.compression, encoder: key, layout })
    }

    /// Appends a block of the next entries to `out`, without its trailer; `before` is then its last key.
    fn block(
        &mut self,
        form: &Form,
        (entries, count): (&mut EntryCursor<'_>, u32),
        runs: &[Arc<Run>],
        facts: &mut Option<&mut TableFacts>,
        out: &mut Vec<u8>,
    ) -> Result<(), SortedError> {
        if form.compression == 0 {
            return self.lay_out(&form.layout, (entries, count), runs, facts, out);
        }
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        let laid_out = self.lay_out(&form.layout, (entries, count), runs, facts, &mut plain);
        self.plain = plain;
        laid_out?;
        let encoder = self.encoders.get_mut(&form.encoder).ok_or_else(|| recipe("an encoder that was not set up"))?;
        let failed = |fault: esker_sst::encoder::EncoderFault| SortedError::Encoder { id: form.encoder.0, why: fault.to_string() };
        encoder.compress(&self.plain, out).map_err(failed)
    }

    /// Appends the plain block.
    fn lay_out(
        &mut self,
        layout: &BlockForm,
        (entries, count): (&mut EntryCursor<'_>, u32),
        runs: &[Arc<Run>],
        facts: &mut Option<&mut TableFacts>,
        out: &mut Vec<u8>,
    ) -> Result<(), SortedError> {
        let failed = |fault: BlockFault| recipe(format!("a block that cannot be laid out: {fault}"));
        let (mut left, mut is_first, mut bytes) = (count, true, 0);
        self.builder.begin(layout, out);
        self.before.clear();
        while left > 0 {
            let span = entries.next_span(left)?;
            left -= span.count;
            let run = runs.get(span.run as usize).ok_or_else(|| recipe("a run that is not there"))?;
            let held = run.positions(span.start, span.count).ok_or_else(|| not_held(run, &span))?;
            for (position, (key, value, home)) in held.clone().zip(run.entries(held)) {
                let (trailer, timestamp) = match span.trailers {
                    TrailerSource::Home => (home, run.timestamp(position)),
                    TrailerSource::Cleared => (home & 0xff, run.timestamp(position)),
                    TrailerSource::Own => entries.own_trailer()?,
                };
                self.key.clear();
                self.key.extend_from_slice(key);
                self.key.extend_from_slice(timestamp);
                self.key.extend_from_slice(&trailer.to_le_bytes());
                bytes += self.key.len() + value.len();
                if bytes > BLOCK_ENTRY_BYTES_MAX {
                    return Err(recipe("a block that is too large"));
                }
                self.builder.push(&self.before, &self.key, value, out).map_err(failed)?;
                if let Some(facts) = facts.as_deref_mut() {
                    facts.push_key(Some(&*self.before).filter(|_| !is_first), &self.key);
                    is_first = false;
                }
                std::mem::swap(&mut self.key, &mut self.before);
            }
        }
        self.builder.finish(out).map_err(failed)
    }
}

/// Why a span cannot be copied from its run.
fn not_held(run: &Run, span: &Span) -> SortedError {
    let (first, last) = (span.start, u64::from(span.start) + u64::from(span.count) - 1);
    match run.whole_len() {
        Some(_) => recipe(format!("entries {first} to {last} of a run are in none of its sparse forms that can be read")),
        None => recipe(format!("entry {last} of a run of {}", run.len())),
    }
}

struct Form {
    compression: u8,
    encoder: (u32, [u8; 32]),
    layout: BlockForm,
}

/// How a piece's blocks are checksummed.
pub(super) fn checksum_of(checksums: Checksums) -> Result<BlockChecksum, SortedError> {
    let checksum_type = ChecksumType::from_byte(checksums.kind).ok_or_else(|| recipe("an unknown checksum type"))?;
    Ok(BlockChecksum { checksum_type, base_context_checksum: checksums.base_context })
}

/// A run of a piece, as the piece takes it to be.
fn run_of<E: From<SortedError>>(piece: &TableBlocks, number: usize, sources: &mut dyn Sources<E>) -> Result<Arc<Run>, E> {
    let run = sources.run(number)?;
    match run.order() == piece.order && run.timestamp_size() == piece.timestamp_size {
        true => Ok(run),
        false => Err(recipe("a run of another order or with other timestamps").into()),
    }
}

/// Entries that stand one after the other in a run and have their trailers from one source.
struct Span {
    run: u32,
    start: u32,
    count: u32,
    trailers: TrailerSource,
}

/// Goes through the entries of a piece in order.
struct EntryCursor<'p> {
    piece: &'p TableBlocks,
    copy: usize,
    copied: u32,
    source: usize,
    sourced: u32,
    own: usize,
}

impl<'p> EntryCursor<'p> {
    fn new(piece: &'p TableBlocks) -> Self {
        Self { piece, copy: 0, copied: 0, source: 0, sourced: 0, own: 0 }
    }

    /// The next entries, at least one and at most so many.
    fn next_span(&mut self, at_most: u32) -> Result<Span, SortedError> {
        let copy = loop {
            let copy = self.piece.copies.get(self.copy).ok_or_else(|| recipe("fewer entries than its blocks have"))?;
            if self.copied < copy.count {
                break copy;
            }
            self.copy += 1;
            self.copied = 0;
        };
        let (trailers, sourced) = loop {
            let (source, count) = self.piece.trailers.get(self.source).ok_or_else(|| recipe("fewer trailers than entries"))?;
            if self.sourced < *count {
                break (*source, *count);
            }
            self.source += 1;
            self.sourced = 0;
        };
        let count = at_most.min(copy.count - self.copied).min(sourced - self.sourced);
        let start = copy.start.checked_add(self.copied).filter(|start| start.checked_add(count).is_some());
        let start = start.ok_or_else(|| recipe("an entry outside of any run"))?;
        self.copied += count;
        self.sourced += count;
        Ok(Span { run: copy.run, start, count, trailers })
    }

    /// The next of the piece's own trailers, with its timestamp.
    fn own_trailer(&mut self) -> Result<(u64, &'p [u8]), SortedError> {
        let (own, size) = (self.own, usize::from(self.piece.timestamp_size));
        self.own += 1;
        let trailer = self.piece.own_trailers.get(own).copied().ok_or_else(|| recipe("fewer own trailers than are used"))?;
        Ok((trailer, self.piece.own_timestamps.get(own * size..(own + 1) * size).unwrap_or_default()))
    }
}

/// Kept bytes, one chunk in memory at a time.
struct KeptReader<'p> {
    chunks: &'p [ChunkUse],
    at: usize,
    bytes: Vec<u8>,
}

impl KeptReader<'_> {
    fn copy<E: From<SortedError>>(
        &mut self,
        mut len: usize,
        sources: &mut dyn Sources<E>,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while len > 0 {
            if self.at >= self.bytes.len() {
                let (chunk, rest) = self.chunks.split_first().ok_or_else(|| recipe("fewer kept bytes than are used"))?;
                self.chunks = rest;
                self.bytes = read_chunk(chunk, sources)?;
                self.at = 0;
            }
            let step = len.min(self.bytes.len() - self.at);
            take(self.bytes.get(self.at..self.at + step).unwrap_or_default())?;
            self.at += step;
            len -= step;
        }
        Ok(())
    }
}

/// The bytes of a chunk, as long as the recipe says.
pub(super) fn read_chunk<E: From<SortedError>>(chunk: &ChunkUse, sources: &mut dyn Sources<E>) -> Result<Vec<u8>, E> {
    let bytes = sources.bytes(chunk)?;
    match bytes.len() == chunk.len as usize {
        true => Ok(bytes),
        false => Err(recipe(format!("chunk {} has {} bytes, its recipe says {}", chunk.id, bytes.len(), chunk.len)).into()),
    }
}

fn read_all<E: From<SortedError>>(chunks: &[ChunkUse], sources: &mut dyn Sources<E>) -> Result<Vec<u8>, E> {
    let mut all = Vec::new();
    for chunk in chunks {
        all.extend_from_slice(&read_chunk(chunk, sources)?);
        if all.len() as u64 > DICTIONARY_MAX {
            return Err(recipe("a dictionary that is too long").into());
        }
    }
    Ok(all)
}

/// Hashes what goes out and never lets out more than was promised. Small parts are gathered: many bytes at once hash
/// several times as fast, and whoever takes them writes them with one call.
struct Output<'a, E> {
    hasher: Hasher,
    /// What was not let out yet.
    buffer: Vec<u8>,
    /// How much was.
    gone: u64,
    limit: u64,
    take: &'a mut dyn FnMut(&[u8]) -> Result<(), E>,
}

impl<E: From<SortedError>> Output<'_, E> {
    fn len(&self) -> u64 {
        self.gone + self.buffer.len() as u64
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), E> {
        for bytes in bytes.chunks(OUT_BYTES) {
            self.buffer.extend_from_slice(bytes);
            self.settle()?;
        }
        Ok(())
    }

    fn zeros(&mut self, mut len: usize) -> Result<(), E> {
        while len > 0 {
            let step = len.min(OUT_BYTES);
            self.buffer.resize(self.buffer.len() + step, 0);
            self.settle()?;
            len -= step;
        }
        Ok(())
    }

    /// Called when something was put into the buffer: lets it out if it is enough.
    fn settle(&mut self) -> Result<(), E> {
        if self.len() > self.limit {
            return Err(recipe("the piece makes more bytes than it promises").into());
        }
        if self.buffer.len() >= OUT_BYTES { self.let_out() } else { Ok(()) }
    }

    fn let_out(&mut self) -> Result<(), E> {
        self.hasher.update(&self.buffer);
        (self.take)(&self.buffer)?;
        self.gone += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Lets out the rest; gives the length and the hash of everything.
    fn finish(&mut self) -> Result<(u64, [u8; 32]), E> {
        if !self.buffer.is_empty() {
            self.let_out()?;
        }
        Ok((self.gone, *self.hasher.finalize().as_bytes()))
    }
}

fn recipe(text: impl Into<String>) -> SortedError {
    SortedError::Recipe(text.into())
}

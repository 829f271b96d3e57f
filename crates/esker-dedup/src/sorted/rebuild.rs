//! Rebuilding data blocks from a recipe piece and the runs it names.

use std::collections::HashMap;
use std::sync::Arc;

use blake3::Hasher;
use esker_format::limits::{BLOCK_ENTRY_BYTES_MAX, DICTIONARY_MAX};
use esker_format::run::Run;
use esker_format::table_recipe::{Block, BlockForm as StoredForm, Checksums, ChunkUse, TableBlocks, TrailerSource};
use esker_sst::block::BlockChecksum;
use esker_sst::data_block;
use esker_sst::encoder::{Encoder, EncoderId};
use esker_sst::rest::TableFacts;
use esker_sst::{BlockFault, BlockForm, BlockHandle, ChecksumType, Entries};

use super::SortedError;

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
    entries: Entries,
    plain: Vec<u8>,
    stored: Vec<u8>,
}

impl Rebuilder {
    /// Gives the bytes of a piece, block by block, to `take`; tells `facts`, if there are any, of each block.
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
        let mut out = Output { hasher: Hasher::new(), len: 0, limit: piece.len, take };
        let dictionary = read_all(&piece.dictionary, sources)?;
        let forms = piece.forms.iter().map(|form| self.form(form, &dictionary)).collect::<Result<Vec<_>, SortedError>>()?;
        let checksum = checksum_of(piece.checksums)?;
        let mut entries = EntryReader::new(piece);
        let mut kept = KeptReader { chunks: &piece.kept, at: 0, bytes: Vec::new() };
        for block in &piece.blocks {
            match *block {
                Block::Kept(len) => kept.copy(len as usize, sources, &mut |bytes| out.take(bytes))?,
                Block::Zeros(len) => out.zeros(len as usize)?,
                Block::Built { form, entries: count } => {
                    let form = forms.get(form as usize).ok_or_else(|| recipe("a block of an unknown form"))?;
                    self.entries.clear();
                    entries.read(count as usize, sources, &mut self.entries)?;
                    let offset = piece.offset + out.len;
                    self.block(form, &checksum, offset)?;
                    if let Some(facts) = facts.as_deref_mut() {
                        let size = self.stored.len() as u64 - esker_sst::block::TRAILER_SIZE;
                        facts.push_block(BlockHandle { offset, size }, &self.entries);
                    }
                    out.take(&self.stored)?;
                }
            }
        }
        match out.len == piece.len && *out.hasher.finalize().as_bytes() == piece.hash {
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

    /// Makes a block of the entries at hand, with its trailer.
    fn block(&mut self, form: &Form, checksum: &BlockChecksum, offset: u64) -> Result<(), SortedError> {
        self.stored.clear();
        let range = 0..self.entries.len();
        let layout = |fault: BlockFault| recipe(format!("a block that cannot be laid out: {fault}"));
        if form.compression == 0 {
            data_block::encode(&form.layout, &self.entries, range, &mut self.stored).map_err(layout)?;
        } else {
            self.plain.clear();
            data_block::encode(&form.layout, &self.entries, range, &mut self.plain).map_err(layout)?;
            let encoder = self.encoders.get_mut(&form.encoder).ok_or_else(|| recipe("an encoder that was not set up"))?;
            let failed = |fault: esker_sst::encoder::EncoderFault| SortedError::Encoder { id: form.encoder.0, why: fault.to_string() };
            encoder.compress(&self.plain, &mut self.stored).map_err(failed)?;
        }
        checksum.seal(0, offset, form.compression, &mut self.stored);
        Ok(())
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

/// Copies entries in the order of the piece.
struct EntryReader<'p> {
    piece: &'p TableBlocks,
    copy: usize,
    copied: u32,
    run: Option<(u32, Arc<Run>)>,
    span: usize,
    in_span: u32,
    own: usize,
}

impl<'p> EntryReader<'p> {
    fn new(piece: &'p TableBlocks) -> Self {
        Self { piece, copy: 0, copied: 0, run: None, span: 0, in_span: 0, own: 0 }
    }

    fn read<E: From<SortedError>>(&mut self, count: usize, sources: &mut dyn Sources<E>, entries: &mut Entries) -> Result<(), E> {
        let timestamp_size = usize::from(self.piece.timestamp_size);
        let mut trailer_bytes = Vec::with_capacity(timestamp_size + 8);
        for _ in 0..count {
            let (run_number, position) = self.next_copy().ok_or_else(|| recipe("fewer entries than its blocks have"))?;
            if self.run.as_ref().is_none_or(|(number, _)| *number != run_number) {
                let run = sources.run(run_number as usize)?;
                if run.order() != self.piece.order || run.timestamp_size() != self.piece.timestamp_size {
                    return Err(recipe("a run of another order or with other timestamps").into());
                }
                self.run = Some((run_number, run));
            }
            let Some((_, run)) = &self.run else { return Err(recipe("no run").into()) };
            let position = position as usize;
            if position >= run.len() {
                return Err(recipe(format!("entry {position} of a run of {}", run.len())).into());
            }
            let home = (run.trailer(position), run.timestamp(position));
            let source = next_source(self.piece, &mut self.span, &mut self.in_span).ok_or_else(|| recipe("fewer trailers than entries"))?;
            let (trailer, timestamp) = match source {
                TrailerSource::Home => home,
                TrailerSource::Cleared => (home.0 & 0xff, home.1),
                TrailerSource::Own => {
                    let own = self.own;
                    self.own += 1;
                    let trailer = self.piece.own_trailers.get(own).copied().ok_or_else(|| recipe("fewer own trailers than are used"))?;
                    (trailer, self.piece.own_timestamps.get(own * timestamp_size..(own + 1) * timestamp_size).unwrap_or_default())
                }
            };
            if timestamp_size == 0 {
                entries.push_parts(run.key(position), &trailer.to_le_bytes(), run.value(position));
            } else {
                trailer_bytes.clear();
                trailer_bytes.extend_from_slice(timestamp);
                trailer_bytes.extend_from_slice(&trailer.to_le_bytes());
                entries.push_parts(run.key(position), &trailer_bytes, run.value(position));
            }
            if entries.key_bytes() + entries.value_bytes() > BLOCK_ENTRY_BYTES_MAX {
                return Err(recipe("a block that is too large").into());
            }
        }
        Ok(())
    }

    #[inline]
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
}

#[inline]
fn next_source(piece: &TableBlocks, span: &mut usize, in_span: &mut u32) -> Option<TrailerSource> {
    loop {
        let (source, count) = piece.trailers.get(*span)?;
        if in_span < &mut { *count } {
            *in_span += 1;
            return Some(*source);
        }
        *span += 1;
        *in_span = 0;
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

/// Hashes what goes out and never lets out more than was promised.
struct Output<'a, E> {
    hasher: Hasher,
    len: u64,
    limit: u64,
    take: &'a mut dyn FnMut(&[u8]) -> Result<(), E>,
}

impl<E: From<SortedError>> Output<'_, E> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), E> {
        if bytes.len() as u64 > self.limit - self.len {
            return Err(recipe("the piece makes more bytes than it promises").into());
        }
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        (self.take)(bytes)
    }

    fn zeros(&mut self, mut len: usize) -> Result<(), E> {
        static ZEROS: [u8; 4096] = [0; 4096];
        while len > 0 {
            let step = len.min(ZEROS.len());
            self.take(ZEROS.get(..step).unwrap_or_default())?;
            len -= step;
        }
        Ok(())
    }
}

fn recipe(text: impl Into<String>) -> SortedError {
    SortedError::Recipe(text.into())
}

//! Opening the blocks of a table and making them again.

use esker_sst::block::StoredBlock;
use esker_sst::data_block::{self, BlockForm};
use esker_sst::encoder::{self, Encoder, EncoderId};
use esker_sst::{Entries, compression};

use super::BLOCK_BYTES_MAX;

/// Blocks that no known encoder makes for which all others are tried, at most.
const SEARCHES_MAX: u32 = 16;

/// Opens blocks of one table and makes them again.
pub(super) struct BlockCoder {
    /// Encoders that made blocks of the table.
    known: Vec<EncoderId>,
    /// Those that were set up.
    encoders: Vec<(EncoderId, Encoder)>,
    dictionary: Vec<u8>,
    /// Whether every block must be made again before it is described.
    pub(super) is_careful: bool,
    searches: u32,
    content: Vec<u8>,
    payload: Vec<u8>,
}

impl BlockCoder {
    pub(super) fn new(known: &[EncoderId], dictionary: Vec<u8>, is_careful: bool) -> Self {
        let (content, payload) = (Vec::new(), Vec::new());
        Self { known: known.to_vec(), encoders: Vec::new(), dictionary, is_careful, searches: 0, content, payload }
    }

    /// The compression dictionary; empty without one.
    pub(super) fn dictionary(&self) -> &[u8] {
        &self.dictionary
    }

    /// The plain bytes of a block; `None` if it cannot be decompressed or is too large.
    pub(super) fn open<'a>(&self, block: &StoredBlock<'a>, plain: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        if block.compression_type == compression::NONE {
            return Some(block.payload);
        }
        compression::decompress(block.compression_type, &self.dictionary, block.payload, BLOCK_BYTES_MAX, plain).ok()?;
        Some(plain)
    }

    /// The encoder of a block, 0 if it is not compressed; `None` if no encoder makes it. Unless the coder is careful, a
    /// block of a compression type that came up before is taken to be the known encoder's.
    pub(super) fn encoder_of(&mut self, block: &StoredBlock<'_>, plain: &[u8]) -> Option<u32> {
        let kind = block.compression_type;
        if kind == compression::NONE {
            return Some(0);
        }
        let known: Vec<EncoderId> = self.known.iter().copied().filter(|id| id.compression_type() == kind).collect();
        if let Some(id) = known.first().filter(|_| !self.is_careful) {
            return Some(id.0);
        }
        if let Some(id) = known.iter().find(|id| self.makes(**id, plain, block.payload)) {
            return Some(id.0);
        }
        if self.searches >= SEARCHES_MAX {
            return None;
        }
        self.searches += 1;
        let mut others = encoder::candidates(kind, !self.dictionary.is_empty()).iter().filter(|id| !known.contains(id));
        let found = others.find(|id| self.makes(**id, plain, block.payload))?;
        self.known.push(*found);
        Some(found.0)
    }

    /// Whether an encoder makes this payload.
    pub(super) fn makes(&mut self, id: EncoderId, plain: &[u8], payload: &[u8]) -> bool {
        let slot = match self.encoders.iter().position(|(known, _)| *known == id) {
            Some(slot) => slot,
            None => {
                let Ok(encoder) = Encoder::new(id, &self.dictionary) else { return false };
                self.encoders.push((id, encoder));
                self.encoders.len() - 1
            }
        };
        let Some((_, encoder)) = self.encoders.get_mut(slot) else { return false };
        self.payload.clear();
        encoder.compress(plain, &mut self.payload).is_ok() && self.payload == payload
    }

    /// Whether the plain bytes follow from the entries.
    pub(super) fn is_laid_out(&mut self, plain: &[u8], form: &BlockForm, entries: &Entries) -> bool {
        self.content.clear();
        data_block::encode(form, entries, 0..entries.len(), &mut self.content).is_ok() && self.content == plain
    }
}

//! A look at a table's first, middle and last blocks: is it worth a merge, and which encoders made it?

use esker_format::limits::DICTIONARY_MAX;
use esker_format::run::KeyOrder;
use esker_format::table_recipe::Checksums;
use esker_sst::block::{BlockChecksum, StoredBlock, TRAILER_SIZE};
use esker_sst::data_block::{self, BlockForm};
use esker_sst::encoder::{self, Encoder, EncoderId};
use esker_sst::rest::{FilterKeys, KeyHash, TableFacts};
use esker_sst::{Entries, ReadAt, TableMap, compression};

use super::merge::Refusal;
use super::stream::TRAILER_LEN;
use super::{BLOCK_BYTES_MAX, SortedError};

/// Blocks looked at, at most.
const SAMPLE: usize = 6;

/// What a look at a table tells.
#[derive(Debug, Clone)]
pub struct Probe {
    /// How its keys are sorted, as far as was seen.
    pub order: KeyOrder,
    /// Bytes of timestamp at the end of each user key.
    pub timestamp_size: u8,
    /// For each compression type the encoder that makes its blocks.
    encoders: Vec<(u8, EncoderId)>,
    /// Whether some blocks looked at were not made exactly, so that each block must be tried.
    is_careful: bool,
    dictionary: Vec<u8>,
    filter_keys: FilterKeys,
}

/// Looks at a table.
///
/// # Errors
/// `Read`. What is wrong with the table is a refusal, not an error.
pub fn probe<R: ReadAt + ?Sized>(file: &R, map: &TableMap) -> Result<Result<Probe, Refusal>, SortedError> {
    let dictionary = map.dictionary.clone().unwrap_or_default();
    if dictionary.len() as u64 > DICTIONARY_MAX {
        return Ok(Err(Refusal::Dictionary));
    }
    let timestamp_size = timestamp_size(map);
    let mut coder = BlockCoder { encoders: Vec::new(), dictionary, is_careful: true, content: Vec::new(), payload: Vec::new() };
    let (mut entries, mut plain) = (Entries::default(), Vec::new());
    let (mut exact, mut tried, mut first_key, mut last_key) = (0, 0, None, None);
    let mut wrong_encoder = 0;
    for number in sample(map.len()) {
        let Some(handle) = map.handle(number).filter(|handle| handle.size <= BLOCK_BYTES_MAX as u64) else { continue };
        let mut stored = vec![0; usize::try_from(handle.size + TRAILER_SIZE).unwrap_or(0)];
        file.read_exact_at(&mut stored, handle.offset)?;
        tried += 1;
        let Ok(block) = checksum(map).open(&stored, handle.offset) else { continue };
        let Some(plain) = coder.open(&block, &mut plain) else { continue };
        let Ok(form) = data_block::decode(plain, &mut entries) else { continue };
        let user_key = |key: &[u8]| key.get(..key.len().saturating_sub(TRAILER_LEN + usize::from(timestamp_size))).map(<[u8]>::to_vec);
        first_key = first_key.or_else(|| user_key(entries.key(0)));
        last_key = user_key(entries.key(entries.len().saturating_sub(1)));
        if coder.encoder_for(&block, plain).is_none() {
            wrong_encoder += 1;
        } else if coder.is_exact(&block, plain, &form, &entries) {
            exact += 1;
        }
    }
    if exact * 2 < tried {
        return Ok(Err(if wrong_encoder > 0 { Refusal::Encoder } else { Refusal::Damaged }));
    }
    let order = if first_key > last_key { KeyOrder::Descending } else { KeyOrder::Ascending };
    let (encoders, dictionary) = (coder.ids(), coder.dictionary);
    let filter_keys = filter_keys(map, timestamp_size);
    Ok(Ok(Probe { order, timestamp_size, encoders, is_careful: exact < tried, dictionary, filter_keys }))
}

impl Probe {
    /// Facts of no block yet.
    pub fn facts(&self) -> TableFacts {
        TableFacts::new(self.filter_keys)
    }

    /// A coder for the table's blocks.
    pub(super) fn coder(&self) -> BlockCoder {
        BlockCoder {
            encoders: self.encoders.iter().map(|(kind, id)| (*kind, *id, None)).collect(),
            dictionary: self.dictionary.clone(),
            is_careful: self.is_careful,
            content: Vec::new(),
            payload: Vec::new(),
        }
    }
}

/// Opens blocks of one table and makes them again.
pub(super) struct BlockCoder {
    encoders: Vec<(u8, EncoderId, Option<Encoder>)>,
    dictionary: Vec<u8>,
    /// Whether every block must be made again before it is described.
    pub(super) is_careful: bool,
    content: Vec<u8>,
    payload: Vec<u8>,
}

impl BlockCoder {
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

    /// The encoder that makes blocks of this one's compression type, 0 for blocks without compression. A type that did
    /// not come up before is tried on this very block.
    pub(super) fn encoder_for(&mut self, block: &StoredBlock<'_>, plain: &[u8]) -> Option<u32> {
        let kind = block.compression_type;
        if kind == compression::NONE {
            return Some(0);
        }
        if let Some((_, id, _)) = self.encoders.iter().find(|(known, ..)| *known == kind) {
            return Some(id.0);
        }
        for id in encoder::candidates(kind, !self.dictionary.is_empty()) {
            let Ok(mut encoder) = Encoder::new(*id, &self.dictionary) else { continue };
            self.payload.clear();
            if encoder.compress(plain, &mut self.payload).is_ok() && self.payload == block.payload {
                self.encoders.push((kind, *id, Some(encoder)));
                return Some(id.0);
            }
        }
        None
    }

    /// Whether the block is made again, to the byte, from its entries.
    pub(super) fn is_exact(&mut self, block: &StoredBlock<'_>, plain: &[u8], form: &BlockForm, entries: &Entries) -> bool {
        self.content.clear();
        if data_block::encode(form, entries, 0..entries.len(), &mut self.content).is_err() || self.content != plain {
            return false;
        }
        if block.compression_type == compression::NONE {
            return true;
        }
        let Some((_, id, encoder)) = self.encoders.iter_mut().find(|(known, ..)| *known == block.compression_type) else { return false };
        let encoder = match encoder {
            Some(encoder) => encoder,
            none => match Encoder::new(*id, &self.dictionary) {
                Ok(encoder) => none.insert(encoder),
                Err(_) => return false,
            },
        };
        self.payload.clear();
        encoder.compress(plain, &mut self.payload).is_ok() && self.payload == block.payload
    }

    fn ids(&self) -> Vec<(u8, EncoderId)> {
        self.encoders.iter().map(|(kind, id, _)| (*kind, *id)).collect()
    }
}

/// The checksums of a table's blocks.
pub(super) fn checksum(map: &TableMap) -> BlockChecksum {
    let footer = &map.tail.footer;
    BlockChecksum { checksum_type: footer.checksum_type, base_context_checksum: footer.base_context_checksum }
}

/// The same as a recipe stores it.
pub(super) fn checksums(map: &TableMap) -> Checksums {
    let footer = &map.tail.footer;
    Checksums { kind: footer.checksum_type.to_byte(), base_context: footer.base_context_checksum }
}

/// Bytes of timestamp at the end of each user key: RocksDB's own comparators say it in their names
/// (`BytewiseComparatorWithU64TsWrapper`, util/comparator.cc, RocksDB 11.8).
fn timestamp_size(map: &TableMap) -> u8 {
    let properties = &map.tail.properties;
    let has_timestamps = properties.comparator.as_deref().is_some_and(|name| name.ends_with(b".u64ts"));
    if has_timestamps && !properties.timestamps_stripped { 8 } else { 0 }
}

/// Blocks at the start, in the middle and at the end.
fn sample(blocks: usize) -> Vec<usize> {
    if blocks <= SAMPLE {
        return (0..blocks).collect();
    }
    vec![0, 1, blocks / 2, blocks / 2 + 1, blocks - 2, blocks - 1]
}

/// What the table's filters are made of, if it has any: their hash came with format_version 5
/// (`FilterPolicy` in include/rocksdb/filter_policy.h, RocksDB 11.8).
fn filter_keys(map: &TableMap, timestamp_size: u8) -> FilterKeys {
    let has_filter = map.tail.meta_blocks.iter().any(|block| {
        let is_called = |prefix: &[u8]| block.name.starts_with(prefix);
        is_called(b"fullfilter.") || is_called(b"partitionedfilter.")
    });
    let hash = if map.tail.footer.format_version >= 5 { KeyHash::Xxph3 } else { KeyHash::Murmur };
    FilterKeys { hash: has_filter.then_some(hash), timestamp_size }
}

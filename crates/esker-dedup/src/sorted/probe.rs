//! A look at a table's first, middle and last blocks: is it worth a merge, and which encoders made it?

use esker_format::limits::DICTIONARY_MAX;
use std::collections::BTreeSet;

use esker_format::run::KeyOrder;
use esker_format::table_recipe::Checksums;
use esker_sst::block::{BlockChecksum, StoredBlock, TRAILER_SIZE};
use esker_sst::data_block;
use esker_sst::encoder::{self, EncoderId};
use esker_sst::rest::{FilterKeys, KeyHash, TableFacts};
use esker_sst::{Entries, ReadAt, TableMap, compression};

use super::coder::BlockCoder;
use super::merge::Refusal;
use super::plan::separator;
use super::stream::TRAILER_LEN;
use super::{BLOCK_BYTES_MAX, BLOCK_KEPT_MAX, SortedError};

/// Blocks looked at, at most.
const SAMPLE: usize = 6;

/// What a look at a table tells.
#[derive(Debug, Clone)]
pub struct Probe {
    /// How its keys are sorted, as far as was seen.
    pub order: KeyOrder,
    /// Bytes of timestamp at the end of each user key.
    pub timestamp_size: u8,
    /// For each compression type that was seen the encoder that makes most of its blocks.
    encoders: Vec<EncoderId>,
    /// Whether each block must be tried: some of those looked at were not made exactly.
    is_careful: bool,
    dictionary: Vec<u8>,
    filter_keys: FilterKeys,
}

/// A block that was looked at.
struct Sample {
    compression_type: u8,
    payload: Vec<u8>,
    plain: Vec<u8>,
    is_laid_out: bool,
    first_key: Vec<u8>,
    last_key: Vec<u8>,
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
    if (0..map.len()).filter_map(|block| map.handle(block)).any(|handle| handle.size > BLOCK_KEPT_MAX) {
        return Ok(Err(Refusal::Large));
    }
    let timestamp_size = timestamp_size(map);
    let mut coder = BlockCoder::new(&[], dictionary.clone(), true);
    let (mut samples, mut tried) = (Vec::new(), 0);
    for number in sample(map.len()) {
        let Some(handle) = map.handle(number).filter(|handle| handle.size <= BLOCK_BYTES_MAX as u64) else { continue };
        let mut stored = vec![0; usize::try_from(handle.size + TRAILER_SIZE).unwrap_or(0)];
        file.read_exact_at(&mut stored, handle.offset)?;
        tried += 1;
        if let Ok(block) = checksum(map).open(&stored, handle.offset) {
            samples.extend(look(&block, timestamp_size, &mut coder));
        }
    }
    let (encoders, compressed_exactly) = choose_encoders(&samples, &mut coder);
    let exact = samples.iter().zip(&compressed_exactly).filter(|(sample, exact)| sample.is_laid_out && **exact).count();
    if exact * 2 < tried {
        let is_encoder = compressed_exactly.iter().any(|exact| !exact);
        return Ok(Err(if is_encoder { Refusal::Encoder } else { Refusal::Damaged }));
    }
    let Some(order) = order(map, timestamp_size, &samples) else { return Ok(Err(Refusal::Order)) };
    let filter_keys = filter_keys(map, timestamp_size);
    Ok(Ok(Probe { order, timestamp_size, encoders, is_careful: exact < tried, dictionary, filter_keys }))
}

/// `None` if the block does not decode.
fn look(block: &StoredBlock<'_>, timestamp_size: u8, coder: &mut BlockCoder) -> Option<Sample> {
    let (mut buffer, mut entries) = (Vec::new(), Entries::default());
    let plain = coder.open(block, &mut buffer)?;
    let form = data_block::decode(plain, &mut entries).ok()?;
    let user_key = |index| {
        let key = entries.key(index);
        key.get(..key.len().saturating_sub(TRAILER_LEN + usize::from(timestamp_size))).unwrap_or_default().to_vec()
    };
    Some(Sample {
        compression_type: block.compression_type,
        payload: block.payload.to_vec(),
        is_laid_out: coder.is_laid_out(plain, &form, &entries),
        first_key: user_key(0),
        last_key: user_key(entries.len().saturating_sub(1)),
        plain: plain.to_vec(),
    })
}

/// For each compression type the encoder that makes most of its samples, for small blocks may come out the same from
/// several; and which samples are made.
fn choose_encoders(samples: &[Sample], coder: &mut BlockCoder) -> (Vec<EncoderId>, Vec<bool>) {
    let mut exact: Vec<bool> = samples.iter().map(|sample| sample.compression_type == compression::NONE).collect();
    let mut chosen = Vec::new();
    let kinds: BTreeSet<u8> = samples.iter().map(|sample| sample.compression_type).filter(|kind| *kind != compression::NONE).collect();
    for kind in kinds {
        let of_kind = samples.iter().filter(|sample| sample.compression_type == kind).count();
        let mut best: Option<(usize, EncoderId, Vec<bool>)> = None;
        for id in encoder::candidates(kind, !coder.dictionary().is_empty()) {
            let makes = |sample: &Sample| sample.compression_type == kind && coder.makes(*id, &sample.plain, &sample.payload);
            let made: Vec<bool> = samples.iter().map(makes).collect();
            let count = made.iter().filter(|made| **made).count();
            if count > best.as_ref().map_or(0, |(best, ..)| *best) {
                best = Some((count, *id, made));
            }
            if count == of_kind {
                break;
            }
        }
        if let Some((_, id, made)) = best {
            chosen.push(id);
            exact.iter_mut().zip(made).for_each(|(exact, made)| *exact |= made);
        }
    }
    (chosen, exact)
}

/// How the keys are sorted, if all that was seen of them agrees.
fn order(map: &TableMap, timestamp_size: u8, samples: &[Sample]) -> Option<KeyOrder> {
    let keys = samples.first().zip(samples.last()).map(|(first, last)| (first.first_key.as_slice(), last.last_key.as_slice()));
    let separator = |block: usize| separator(map, block, timestamp_size);
    let (first, last) = keys.filter(|(first, last)| first != last).unwrap_or((separator(0), separator(map.len().saturating_sub(1))));
    let order = if first > last { KeyOrder::Descending } else { KeyOrder::Ascending };
    (1..map.len()).all(|block| order.compare(separator(block - 1), separator(block)).is_le()).then_some(order)
}

impl Probe {
    /// Facts of no block yet.
    pub fn facts(&self) -> TableFacts {
        TableFacts::new(self.filter_keys)
    }

    /// The same, but every block is made again before it is described: a replay found one that is not the encoder's.
    pub(super) fn careful(&self) -> Self {
        Self { is_careful: true, ..self.clone() }
    }

    /// Whether every block is made again before it is described.
    pub(super) fn is_careful(&self) -> bool {
        self.is_careful
    }

    /// A coder for the table's blocks.
    pub(super) fn coder(&self) -> BlockCoder {
        BlockCoder::new(&self.encoders, self.dictionary.clone(), self.is_careful)
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

//! The filter: one block, or partitions and a block over them.

use crate::block_handle::BlockHandle;
use crate::internal_key::user_key;
use crate::rest::bloom::BloomForm;
use crate::rest::built_block::{BuiltBlock, FilterRange};
use crate::rest::facts::TableFacts;
use crate::rest::filter_keys::{FilterKeys, KeyHash};
use crate::rest::proposal::Proposal;
use crate::rest::proposal::index::{IndexKeys, told_interval, top_form};
use crate::rest::separator::Separators;
use crate::rest::stored_rest::StoredRest;
use crate::table_map::TableMap;
use crate::table_map::index_block::{IndexBlock, IndexLayout};
use crate::table_tail::TableTail;

/// `kFullFilterBlockPrefix` and `kPartitionedFilterBlockPrefix`, table/block_based/block_based_table_reader.h, RocksDB 11.8;
/// the policy's name follows.
const FULL_PREFIX: &[u8] = b"fullfilter.";
const PARTITIONED_PREFIX: &[u8] = b"partitionedfilter.";

impl FilterKeys {
    /// What the filters of a table hold, found in `rest`, the file from `rest_offset` to its end; [`NONE`](Self::NONE) if
    /// there are none, or none that could be built again.
    pub fn of(map: &TableMap, rest: &[u8], rest_offset: u64) -> Self {
        let stored = StoredRest { bytes: rest, offset: rest_offset, checksum: map.tail.footer.block_checksum() };
        find(map, &stored).unwrap_or(Self::NONE)
    }
}

fn find(map: &TableMap, stored: &StoredRest<'_>) -> Option<FilterKeys> {
    let properties = &map.tail.properties;
    if properties.whole_key_filtering == Some(false) || properties.prefix_extractor.is_some() {
        return None;
    }
    let handle = match named(&map.tail, FULL_PREFIX) {
        Some(full) => full,
        None => *handles_below(map, stored, named(&map.tail, PARTITIONED_PREFIX)?)?.first()?,
    };
    let form = BloomForm::of(stored.open(handle)?.payload)?;
    let hash = if form.old_line_log == 0 { KeyHash::Xxph3 } else { KeyHash::Murmur };
    // The only comparators with timestamps that RocksDB 11.8 has (util/comparator.cc): 8 bytes.
    let has_timestamp = properties.comparator.as_ref().is_some_and(|name| name.ends_with(b".u64ts"));
    let timestamp_size = if has_timestamp && !properties.timestamps_stripped { 8 } else { 0 };
    Some(FilterKeys { hash: Some(hash), timestamp_size })
}

fn named(tail: &TableTail, prefix: &[u8]) -> Option<BlockHandle> {
    tail.meta_blocks.iter().find(|block| block.name.starts_with(prefix)).map(|block| block.handle)
}

fn layout(map: &TableMap) -> Option<IndexLayout> {
    Some(IndexLayout { partitioned: true, first_keys: false, ..IndexLayout::of(&map.tail.properties).ok()? })
}

/// The partitions that the block at `top` leads to.
fn handles_below(map: &TableMap, stored: &StoredRest<'_>, top: BlockHandle) -> Option<Vec<BlockHandle>> {
    let mut block = IndexBlock::new(uncompressed(stored, top)?, layout(map)?).ok()?;
    let mut handles = Vec::new();
    while let Some(entry) = block.next_entry().ok()? {
        handles.push(entry.handle);
    }
    Some(handles)
}

fn uncompressed<'r>(stored: &StoredRest<'r>, handle: BlockHandle) -> Option<&'r [u8]> {
    stored.open(handle).filter(|block| block.compression_type == 0).map(|block| block.payload)
}

/// Proposes how the filter blocks were made. `index_keys` says how keys of index blocks were chosen.
pub(in crate::rest) fn propose(
    map: &TableMap,
    stored: &StoredRest<'_>,
    facts: &TableFacts,
    index_keys: Option<IndexKeys>,
    proposals: &mut Vec<Proposal>,
) {
    if facts.filter_keys().hash.is_none() {
        return;
    }
    if let Some(handle) = named(&map.tail, FULL_PREFIX) {
        let range = FilterRange::Blocks { first: 0, count: facts.len() as u64 };
        proposals.extend(proposal(stored, facts, handle, &[range]));
    } else if let Some(top) = named(&map.tail, PARTITIONED_PREFIX) {
        let before = proposals.len();
        if index_keys.and_then(|keys| propose_of_blocks(map, stored, facts, keys, top, proposals)).is_none() {
            proposals.truncate(before);
            propose_of_keys(map, stored, facts, top, proposals);
        }
    }
}

fn proposal(stored: &StoredRest<'_>, facts: &TableFacts, handle: BlockHandle, ranges: &[FilterRange]) -> Option<Proposal> {
    let form = BloomForm::of(uncompressed(stored, handle)?)?;
    let keys = facts.filter_keys();
    Some(Proposal {
        handle,
        compression_type: 0,
        ways: ranges.iter().map(|range| BuiltBlock::Filter { keys, range: *range, form }).collect(),
    })
}

/// Partitions that end where blocks end: the block over them has the separators of the index. `None` if it has others.
fn propose_of_blocks(
    map: &TableMap,
    stored: &StoredRest<'_>,
    facts: &TableFacts,
    keys: IndexKeys,
    top: BlockHandle,
    proposals: &mut Vec<Proposal>,
) -> Option<()> {
    let content = uncompressed(stored, top)?;
    let layout = layout(map)?;
    let separators = Separators { facts, rule: keys.rule, user_keys: layout.user_keys, seek_type: keys.seek_type };
    let mut block = IndexBlock::new(content, layout).ok()?;
    let mut separator = Vec::new();
    let (mut first, mut done) = (0usize, 0);
    while let Some(entry) = block.next_entry().ok()? {
        done = end_of_next(entry.handle, done)?;
        let last = (first..facts.len()).find(|block| {
            separators.put(*block, &mut separator);
            separator == entry.key
        })?;
        let range = FilterRange::Blocks { first: first as u64, count: (last + 1 - first) as u64 };
        proposals.extend(proposal(stored, facts, entry.handle, &[range]));
        first = last + 1;
    }
    let form = top_form(content, top, layout, keys, told_interval(map))?;
    proposals.push(Proposal { handle: top, compression_type: 0, ways: vec![BuiltBlock::FilterTop { form }] });
    Some(())
}

/// Partitions that end anywhere (`decouple_partitioned_filters`, RocksDB 11.8): the block over them has their last keys.
/// That block cannot be built, as facts do not have these keys.
fn propose_of_keys(
    map: &TableMap,
    stored: &StoredRest<'_>,
    facts: &TableFacts,
    top: BlockHandle,
    proposals: &mut Vec<Proposal>,
) -> Option<()> {
    let layout = layout(map)?;
    let keys = facts.filter_keys();
    let mut block = IndexBlock::new(uncompressed(stored, top)?, layout).ok()?;
    let (mut first, mut done) = (0usize, 0);
    while let Some(entry) = block.next_entry().ok()? {
        done = end_of_next(entry.handle, done)?;
        let user_key = if layout.user_keys { entry.key } else { user_key(entry.key)? };
        let part = user_key.get(..user_key.len().checked_sub(keys.timestamp_size.into())?)?;
        let hash = keys.hash_of(part)?;
        // Further versions of the last key of the partition before may have come into this one, even no other key.
        let before = first.checked_sub(1);
        let end = match before.and_then(|before| facts.hashes().get(before)) {
            Some(last) if *last == hash => first,
            _ => first + facts.hashes().get(first..)?.iter().position(|other| *other == hash)? + 1,
        };
        let range = |first: usize| FilterRange::Keys { first: first as u64, count: (end - first) as u64 };
        let with_before = before.map(range);
        let without = (end > first).then(|| range(first));
        let ranges: Vec<_> = without.into_iter().chain(with_before).collect();
        proposals.extend(proposal(stored, facts, entry.handle, &ranges));
        first = end;
    }
    Some(())
}

/// End of a partition; `None` if it does not stand behind the one before, which ended at `done`. So none is looked at twice.
fn end_of_next(handle: BlockHandle, done: u64) -> Option<u64> {
    handle.end().filter(|_| handle.offset >= done)
}

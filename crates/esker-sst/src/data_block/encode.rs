//! From entries and a form to the bytes of a data block.

use std::ops::Range;

use crate::block_fault::BlockFault;
use crate::data_block::layout::{HASH_INDEX, MAX_RESTARTS, SEPARATE_VALUES, UNIFORM_KEYS};
use crate::data_block::{BlockForm, hash_index};
use crate::entries::Entries;
use crate::varint::put_varint32;

/// Appends to `out` the data block, uncompressed and without trailer, that RocksDB builds in this form of the entries in
/// `range`.
///
/// Fails if `range` is not inside the entries, if the block needs offsets beyond 32 bits, or if it has more restarts than
/// its hash index can tell apart. After a fault `out` holds part of a block.
pub fn encode(form: &BlockForm, entries: &Entries, range: Range<usize>, out: &mut Vec<u8>) -> Result<(), BlockFault> {
    if range.start > range.end || range.end > entries.len() {
        return Err(BlockFault::corrupt("there are fewer entries than the block has"));
    }
    let interval = if form.restart_interval == 0 { usize::MAX } else { form.restart_interval as usize };
    let start = out.len();
    let restarts = append_entries(form, entries, range.clone(), interval, out)?;
    let values_offset = offset_from(start, out)?;
    if form.separate_values {
        for index in range.clone() {
            out.extend_from_slice(entries.value(index));
        }
        offset_from(start, out)?;
    }
    for restart in &restarts {
        out.extend_from_slice(&restart.to_le_bytes());
    }
    let mut word = u32::try_from(restarts.len())
        .ok()
        .filter(|count| *count <= MAX_RESTARTS)
        .ok_or(BlockFault::NotExpressible { what: "too many restarts for a block" })?;
    if form.hash_buckets > 0 {
        hash_index::append(entries, range, interval, form.hash_buckets, out)?;
        word |= HASH_INDEX;
    }
    if form.separate_values {
        out.extend_from_slice(&values_offset.to_le_bytes());
        word |= SEPARATE_VALUES;
    }
    if form.uniform_keys {
        word |= UNIFORM_KEYS;
    }
    out.extend_from_slice(&word.to_le_bytes());
    Ok(())
}

/// Appends the entries and returns the offsets of their restarts: at least one, even if there is no entry.
fn append_entries(
    form: &BlockForm,
    entries: &Entries,
    range: Range<usize>,
    interval: usize,
    out: &mut Vec<u8>,
) -> Result<Vec<u32>, BlockFault> {
    let start = out.len();
    let mut restarts = Vec::with_capacity(range.len().div_ceil(interval).max(1));
    restarts.push(0);
    let mut since_restart = 0;
    let mut value_offset = 0usize;
    let mut previous: &[u8] = &[];
    for index in range {
        let (key, value) = (entries.key(index), entries.value(index));
        let mut shared = 0;
        if since_restart == interval {
            restarts.push(offset_from(start, out)?);
            since_restart = 0;
        } else if form.shares_prefixes {
            // The first key has no predecessor and shares nothing with this one.
            shared = shared_len(previous, key);
        }
        let suffix = key.get(shared..).unwrap_or_default();
        append_lengths(shared, suffix.len(), value.len(), out);
        if form.separate_values {
            if since_restart == 0 {
                put_varint32(length(value_offset), out);
            }
            value_offset += value.len();
            out.extend_from_slice(suffix);
        } else {
            out.extend_from_slice(suffix);
            out.extend_from_slice(value);
        }
        since_restart += 1;
        previous = key;
    }
    Ok(restarts)
}

/// Appends the three numbers that start an entry: mostly one byte each.
#[inline]
fn append_lengths(shared: usize, unshared: usize, value: usize, out: &mut Vec<u8>) {
    if (shared | unshared | value) < 0x80 {
        out.extend_from_slice(&[shared as u8, unshared as u8, value as u8]);
    } else {
        put_varint32(length(shared), out);
        put_varint32(length(unshared), out);
        put_varint32(length(value), out);
    }
}

/// A length inside an arena: those have 32 bits.
fn length(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Offset of the end of `out` from the start of the block in it.
fn offset_from(start: usize, out: &[u8]) -> Result<u32, BlockFault> {
    u32::try_from(out.len() - start).map_err(|_| BlockFault::TooLarge { limit: u64::from(u32::MAX) })
}

/// Number of bytes at the front that both keys have.
#[inline]
fn shared_len(previous: &[u8], key: &[u8]) -> usize {
    let (mut a, mut b) = (previous, key);
    let mut shared = 0;
    while let (Some((x, rest_of_a)), Some((y, rest_of_b))) = (a.split_first_chunk(), b.split_first_chunk()) {
        let difference = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if difference != 0 {
            return shared + (difference.trailing_zeros() / 8) as usize;
        }
        shared += 8;
        (a, b) = (rest_of_a, rest_of_b);
    }
    shared + a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

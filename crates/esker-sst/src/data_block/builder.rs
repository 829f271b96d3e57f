//! Putting a data block together, entry by entry.

use crate::block_fault::BlockFault;
use crate::data_block::layout::{HASH_INDEX, MAX_RESTARTS, SEPARATE_VALUES, UNIFORM_KEYS};
use crate::data_block::{BlockForm, hash_index};
use crate::varint::put_varint32;

/// Appends data blocks, uncompressed and without trailer, as RocksDB builds them. The memory it keeps serves block after
/// block.
///
/// The caller gives one `out` from [`begin`](Self::begin) to [`finish`](Self::finish) and appends nothing else meanwhile.
/// After a fault `out` holds part of a block.
#[derive(Clone, Debug, Default)]
pub struct BlockBuilder {
    form: BlockForm,
    /// Where the block starts in `out`.
    start: usize,
    /// Offsets of the restarts: at least one, even if there is no entry.
    restarts: Vec<u32>,
    since_restart: u32,
    /// The values, if they stand apart.
    values: Vec<u8>,
    /// The hash index, if there is one.
    buckets: Vec<u8>,
}

impl BlockBuilder {
    /// Begins a block of this form at the end of `out`.
    pub fn begin(&mut self, form: &BlockForm, out: &[u8]) {
        self.form = *form;
        self.start = out.len();
        self.restarts.clear();
        self.restarts.push(0);
        self.since_restart = 0;
        self.values.clear();
        hash_index::clear(&mut self.buckets, form.hash_buckets);
    }

    /// Appends an entry. `before` is the internal key of the entry before it in the block, empty if it is the first.
    ///
    /// # Errors
    /// If the block needs offsets beyond 32 bits, or has more restarts than its hash index can tell apart.
    #[inline]
    pub fn push(&mut self, before: &[u8], key: &[u8], value: &[u8], out: &mut Vec<u8>) -> Result<(), BlockFault> {
        let mut shared = 0;
        if self.since_restart == self.form.restart_interval && self.since_restart > 0 {
            self.restarts.push(offset_from(self.start, out)?);
            self.since_restart = 0;
        } else if self.form.shares_prefixes {
            shared = shared_len(before, key);
        }
        let suffix = key.get(shared..).unwrap_or_default();
        append_lengths(shared, suffix.len(), value.len(), out);
        if self.form.separate_values {
            if self.since_restart == 0 {
                put_varint32(length(self.values.len()), out);
            }
            self.values.extend_from_slice(value);
            out.extend_from_slice(suffix);
        } else {
            out.extend_from_slice(suffix);
            out.extend_from_slice(value);
        }
        // Without an interval there is one restart, however many entries come.
        self.since_restart = self.since_restart.saturating_add(1);
        if self.form.hash_buckets > 0 {
            hash_index::add(&mut self.buckets, key, self.restarts.len() - 1)?;
        }
        Ok(())
    }

    /// Ends the block.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), BlockFault> {
        let values_offset = offset_from(self.start, out)?;
        out.extend_from_slice(&self.values);
        offset_from(self.start, out)?;
        for restart in &self.restarts {
            out.extend_from_slice(&restart.to_le_bytes());
        }
        let mut word = u32::try_from(self.restarts.len())
            .ok()
            .filter(|count| *count <= MAX_RESTARTS)
            .ok_or(BlockFault::NotExpressible { what: "too many restarts for a block" })?;
        if self.form.hash_buckets > 0 {
            out.extend_from_slice(&self.buckets);
            out.extend_from_slice(&self.form.hash_buckets.to_le_bytes());
            word |= HASH_INDEX;
        }
        if self.form.separate_values {
            out.extend_from_slice(&values_offset.to_le_bytes());
            word |= SEPARATE_VALUES;
        }
        if self.form.uniform_keys {
            word |= UNIFORM_KEYS;
        }
        out.extend_from_slice(&word.to_le_bytes());
        Ok(())
    }
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
    u32::try_from(out.len().saturating_sub(start)).map_err(|_| BlockFault::TooLarge { limit: u64::from(u32::MAX) })
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

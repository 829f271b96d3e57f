//! From the bytes of a data block to its entries and form.

use crate::block_fault::BlockFault;
use crate::data_block::BlockForm;
use crate::data_block::layout::Layout;
use crate::entries::{ENTRIES_BYTES_MAX, Entries};
use crate::internal_key::TRAILER_LEN;
use crate::varint::take_varint32;

/// Decodes an uncompressed data block, without trailer, into `entries`, which it clears first.
///
/// Fails for bytes that are no data block, for restarts that do not stand at equal distances, for flags of later versions,
/// and for more than [`ENTRIES_BYTES_MAX`] bytes of keys and values. What `entries` holds after a fault means nothing.
/// The order of keys is not checked.
pub fn decode(content: &[u8], entries: &mut Entries) -> Result<BlockForm, BlockFault> {
    entries.clear();
    if content.len() > ENTRIES_BYTES_MAX {
        return Err(BlockFault::TooLarge { limit: ENTRIES_BYTES_MAX as u64 });
    }
    let layout = Layout::of(content)?;
    let mut decoder = Decoder { entries, values: layout.values, values_taken: 0, some_share: false, some_could: false };
    let restart_interval = decoder.intervals(&layout)?;
    decoder.values_are_used_up()?;
    Ok(BlockForm {
        restart_interval,
        shares_prefixes: decoder.some_share || !decoder.some_could,
        hash_buckets: layout.hash_buckets,
        separate_values: layout.values.is_some(),
        uniform_keys: layout.uniform_keys,
    })
}

struct Decoder<'e, 'a> {
    entries: &'e mut Entries,
    /// Values not yet taken, if they stand apart.
    values: Option<&'a [u8]>,
    values_taken: usize,
    /// Some key shares bytes with its predecessor.
    some_share: bool,
    /// Some key, not at a restart, could share bytes and does not.
    some_could: bool,
}

impl<'a> Decoder<'_, 'a> {
    /// Decodes all entries and returns the restart interval.
    fn intervals(&mut self, layout: &Layout<'a>) -> Result<u32, BlockFault> {
        let Some((first, later)) = layout.restarts.split_first() else {
            return Err(BlockFault::corrupt("no restart"));
        };
        if u32::from_le_bytes(*first) != 0 {
            return Err(BlockFault::corrupt("the first restart is not at the start"));
        }
        let Some((last, between)) = later.split_last() else {
            self.interval(layout.entries)?;
            return Ok(0);
        };
        let mut rest = layout.entries;
        let mut start = 0;
        let mut interval = 0;
        for restart in between.iter().chain([last]) {
            let end = u32::from_le_bytes(*restart);
            let len = end.checked_sub(start).filter(|len| *len > 0).ok_or(BlockFault::corrupt("restarts do not rise"))?;
            let (taken, left) = rest.split_at_checked(len as usize).ok_or(BlockFault::corrupt("a restart is behind the entries"))?;
            let count = self.interval(taken)?;
            if start == 0 {
                interval = count;
            } else if count != interval {
                return Err(BlockFault::NotExpressible { what: "restarts at unequal distances" });
            }
            (rest, start) = (left, end);
        }
        let count = self.interval(rest)?;
        if count == 0 || count > interval {
            return Err(BlockFault::NotExpressible { what: "restarts at unequal distances" });
        }
        u32::try_from(interval).map_err(|_| BlockFault::corrupt("too many entries"))
    }

    /// Decodes the entries from one restart to the next and returns their number.
    fn interval(&mut self, mut bytes: &'a [u8]) -> Result<usize, BlockFault> {
        let before = self.entries.len();
        if !bytes.is_empty() {
            self.entry(&mut bytes, true)?;
        }
        while !bytes.is_empty() {
            self.entry(&mut bytes, false)?;
        }
        Ok(self.entries.len() - before)
    }

    #[inline]
    fn entry(&mut self, bytes: &mut &'a [u8], at_restart: bool) -> Result<(), BlockFault> {
        let (shared, unshared, value_len) = lengths(bytes).ok_or(BlockFault::corrupt("an entry's lengths are cut off"))?;
        if at_restart && self.values.is_some() && take_varint32(bytes).map(|offset| offset as usize) != Some(self.values_taken) {
            return Err(BlockFault::corrupt("the offset of a value is wrong"));
        }
        let longer = BlockFault::corrupt("an entry is longer than the block");
        let (suffix, rest) = bytes.split_at_checked(unshared).ok_or(longer)?;
        let value = if let Some(values) = &mut self.values {
            *bytes = rest;
            self.values_taken += value_len;
            take(values, value_len)
        } else {
            *bytes = rest;
            take(bytes, value_len)
        };
        let value = value.ok_or(longer)?;
        if shared > 0 {
            if at_restart {
                return Err(BlockFault::corrupt("an entry at a restart shares bytes"));
            }
            self.some_share = true;
        } else if !at_restart && !self.some_could {
            self.some_could = suffix.first().is_some_and(|first| self.entries.last_key().first() == Some(first));
        }
        self.push(shared, suffix, value)
    }

    #[inline]
    fn push(&mut self, shared: usize, suffix: &[u8], value: &[u8]) -> Result<(), BlockFault> {
        let key_len = shared + suffix.len();
        if key_len < TRAILER_LEN {
            return Err(BlockFault::corrupt("a key is shorter than its trailer"));
        }
        if self.entries.key_bytes() + self.entries.value_bytes() + key_len + value.len() > ENTRIES_BYTES_MAX {
            return Err(BlockFault::TooLarge { limit: ENTRIES_BYTES_MAX as u64 });
        }
        if self.entries.push_shared(shared, suffix, value) {
            Ok(())
        } else {
            Err(BlockFault::corrupt("an entry shares more than its predecessor has"))
        }
    }

    fn values_are_used_up(&self) -> Result<(), BlockFault> {
        match self.values {
            Some([_, ..]) => Err(BlockFault::corrupt("there are more values than entries")),
            _ => Ok(()),
        }
    }
}

/// The three numbers that start an entry: mostly one byte each.
#[inline]
fn lengths(bytes: &mut &[u8]) -> Option<(usize, usize, usize)> {
    let (&[shared, unshared, value_len], rest) = bytes.split_first_chunk()?;
    if (shared | unshared | value_len) < 0x80 {
        *bytes = rest;
        return Some((shared.into(), unshared.into(), value_len.into()));
    }
    Some((take_varint32(bytes)? as usize, take_varint32(bytes)? as usize, take_varint32(bytes)? as usize))
}

#[inline]
fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

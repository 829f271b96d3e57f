//! A batch of entries in order: internal keys and values, copied out of their block.

use std::ops::Range;

/// Most bytes of keys and values, together, that one batch holds: what a block decodes to at most.
///
/// Keys share prefixes inside a block, so a few bytes of a made-up block could ask for gigabytes. RocksDB writes a block
/// of 4 to 64 KiB, or one entry that is larger.
pub const ENTRIES_BYTES_MAX: usize = 64 << 20;

/// Entries in order: internal keys and values, one arena each.
///
/// An entry is an internal key (user key, then 8 bytes: sequence number and type) and a value. A batch is filled, read and
/// cleared over and over; clearing keeps the memory.
///
/// Offsets have 32 bits: an arena of 4 GiB or more would read back as empty keys or values. Whoever fills a batch stays
/// below [`ENTRIES_BYTES_MAX`].
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Entries {
    keys: Vec<u8>,
    key_ends: Vec<u32>,
    values: Vec<u8>,
    value_ends: Vec<u32>,
}

impl Entries {
    /// A batch without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of entries.
    #[inline]
    pub fn len(&self) -> usize {
        self.value_ends.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.value_ends.is_empty()
    }

    /// Removes all entries and keeps the memory.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.key_ends.clear();
        self.values.clear();
        self.value_ends.clear();
    }

    /// Appends a copy of an entry.
    #[inline]
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        self.keys.extend_from_slice(key);
        self.push_value(value);
    }

    /// Appends a copy of an entry whose internal key is `user_key`, then `trailer`.
    #[inline]
    pub fn push_parts(&mut self, user_key: &[u8], trailer: &[u8], value: &[u8]) {
        self.keys.extend_from_slice(user_key);
        self.keys.extend_from_slice(trailer);
        self.push_value(value);
    }

    /// Internal key of an entry; empty if there is no such entry.
    #[inline]
    pub fn key(&self, index: usize) -> &[u8] {
        self.keys.get(range(&self.key_ends, index)).unwrap_or_default()
    }

    /// Value of an entry; empty if there is no such entry.
    #[inline]
    pub fn value(&self, index: usize) -> &[u8] {
        self.values.get(range(&self.value_ends, index)).unwrap_or_default()
    }

    /// Bytes of all keys.
    pub fn key_bytes(&self) -> usize {
        self.keys.len()
    }

    /// Bytes of all values.
    pub fn value_bytes(&self) -> usize {
        self.values.len()
    }

    /// Appends an entry whose key is the first `shared` bytes of the last key, then `suffix`. False, and nothing appended,
    /// if the last key is shorter.
    #[inline]
    pub(crate) fn push_shared(&mut self, shared: usize, suffix: &[u8], value: &[u8]) -> bool {
        if shared > 0 {
            let start = self.last_key_start();
            if shared > self.keys.len() - start {
                return false;
            }
            self.keys.extend_from_within(start..start + shared);
        }
        self.keys.extend_from_slice(suffix);
        self.push_value(value);
        true
    }

    /// Internal key of the last entry; empty if there is none.
    #[inline]
    pub(crate) fn last_key(&self) -> &[u8] {
        self.keys.get(self.last_key_start()..).unwrap_or_default()
    }

    /// Where the last key starts: never behind the end of the arena.
    #[inline]
    fn last_key_start(&self) -> usize {
        match self.key_ends.as_slice() {
            [.., start, _] => (*start as usize).min(self.keys.len()),
            _ => 0,
        }
    }

    /// Ends the entry whose key now ends the arena of keys.
    #[inline]
    fn push_value(&mut self, value: &[u8]) {
        self.key_ends.push(end_of(&self.keys));
        self.values.extend_from_slice(value);
        self.value_ends.push(end_of(&self.values));
    }
}

#[inline]
fn end_of(arena: &[u8]) -> u32 {
    u32::try_from(arena.len()).unwrap_or(u32::MAX)
}

/// Where an entry's bytes stand in its arena; an empty range if there is no such entry.
#[inline]
fn range(ends: &[u32], index: usize) -> Range<usize> {
    let start = index.checked_sub(1).and_then(|before| ends.get(before)).map_or(0, |end| *end as usize);
    let end = ends.get(index).map_or(start, |end| *end as usize);
    start..end
}

#[cfg(test)]
mod tests {
    use super::Entries;

    #[test]
    fn entries_come_back_in_order_and_nothing_comes_from_beyond_them() {
        let mut entries = Entries::new();
        entries.push(b"", b"empty key");
        entries.push_parts(b"user", b"12345678", b"");
        entries.push(b"third", b"value");
        assert_eq!(entries.len(), 3);
        assert_eq!((entries.key(0), entries.value(0)), (&b""[..], &b"empty key"[..]));
        assert_eq!((entries.key(1), entries.value(1)), (&b"user12345678"[..], &b""[..]));
        assert_eq!((entries.key(2), entries.value(2)), (&b"third"[..], &b"value"[..]));
        for beyond in [3, 4, usize::MAX] {
            assert_eq!((entries.key(beyond), entries.value(beyond)), (&b""[..], &b""[..]));
        }
        assert_eq!((entries.key_bytes(), entries.value_bytes()), (17, 14));
    }

    #[test]
    fn a_cleared_batch_is_empty_and_can_be_filled_again() {
        let mut entries = Entries::new();
        entries.push(b"old", b"old");
        entries.clear();
        assert!(entries.is_empty());
        assert_eq!(entries.key(0), b"");
        entries.push(b"new", b"er");
        assert_eq!((entries.len(), entries.key(0), entries.value(0)), (1, &b"new"[..], &b"er"[..]));
    }
}

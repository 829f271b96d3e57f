//! What the data blocks of a table tell its index and its filters.

use std::ops::Range;

use crate::block_handle::BlockHandle;
use crate::entries::Entries;
use crate::rest::filter_keys::FilterKeys;

/// Gathered block by block, in file order: where each data block stands, its first and last key, and the hash of every
/// distinct key. Facts of consecutive stretches of a file can be joined.
///
/// Memory: 8 bytes for each distinct key (none if nothing is hashed), and for each block 40 bytes and two keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFacts {
    filter_keys: FilterKeys,
    handles: Vec<BlockHandle>,
    /// First and last internal key of each block.
    keys: Vec<u8>,
    key_ends: Vec<usize>,
    /// Of keys that differ from the one before, in order.
    hashes: Vec<u64>,
    /// How many hashes there are up to the end of each block.
    hash_ends: Vec<usize>,
}

impl TableFacts {
    /// No facts yet, of a table whose filters hold what `filter_keys` says.
    pub fn new(filter_keys: FilterKeys) -> Self {
        Self { filter_keys, handles: Vec::new(), keys: Vec::new(), key_ends: Vec::new(), hashes: Vec::new(), hash_ends: Vec::new() }
    }

    /// What was hashed of each key.
    pub fn filter_keys(&self) -> FilterKeys {
        self.filter_keys
    }

    /// Adds the next data block: where it stands, and its entries.
    pub fn push_block(&mut self, handle: BlockHandle, entries: &Entries) {
        let mut before = None;
        for index in 0..entries.len() {
            let key = entries.key(index);
            self.push_key(before, key);
            before = Some(key);
        }
        self.end_block(handle, before.unwrap_or_default());
    }

    /// Adds the next internal key of the data block that is then ended by [`end_block`](Self::end_block). `before` is the
    /// key before it in the block, none if it is the first.
    #[inline]
    pub fn push_key(&mut self, before: Option<&[u8]>, key: &[u8]) {
        if self.filter_keys.hash.is_some() {
            let part = self.filter_keys.part_of(key);
            let before = before.or_else(|| self.last()).map(|before| self.filter_keys.part_of(before));
            if before != Some(part) {
                self.hashes.extend(self.filter_keys.hash_of(part));
            }
        }
        if before.is_none() {
            self.add(key);
        }
    }

    /// Ends a data block: where it stands, and its last internal key, empty if it has none.
    pub fn end_block(&mut self, handle: BlockHandle, last_key: &[u8]) {
        if self.key_ends.len().is_multiple_of(2) {
            self.add(&[]);
        }
        self.add(last_key);
        self.handles.push(handle);
        self.hash_ends.push(self.hashes.len());
    }

    fn add(&mut self, key: &[u8]) {
        self.keys.extend_from_slice(key);
        self.key_ends.push(self.keys.len());
    }

    /// The last key of the last block.
    fn last(&self) -> Option<&[u8]> {
        self.key_ends.len().checked_sub(1).map(|last| self.key(last))
    }

    /// Adds the facts of the blocks that follow. Both must hash the same of each key.
    pub fn join(&mut self, later: Self) {
        debug_assert_eq!(self.filter_keys, later.filter_keys);
        let twice = usize::from(!later.hashes.is_empty() && self.continues(&later));
        let (keys, hashes) = (self.keys.len(), self.hashes.len());
        self.hashes.extend(later.hashes.iter().skip(twice));
        self.hash_ends.extend(later.hash_ends.iter().map(|end| hashes + end.saturating_sub(twice)));
        self.keys.extend_from_slice(&later.keys);
        self.key_ends.extend(later.key_ends.iter().map(|end| keys + end));
        self.handles.extend(later.handles);
    }

    /// Whether the first key of `later` is the last one here.
    fn continues(&self, later: &Self) -> bool {
        let last = self.len().checked_sub(1).map(|last| self.filter_keys.part_of(self.last_key(last)));
        last == Some(self.filter_keys.part_of(later.first_key(0)))
    }

    /// Number of data blocks.
    pub fn len(&self) -> usize {
        self.handles.len()
    }

    /// Whether there is no data block.
    pub fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    /// Bytes of memory that the facts take.
    pub fn bytes(&self) -> usize {
        let blocks = self.handles.capacity() * size_of::<BlockHandle>();
        let numbers = self.key_ends.capacity() + self.hashes.capacity() + self.hash_ends.capacity();
        blocks + self.keys.capacity() + numbers * size_of::<u64>()
    }

    pub(super) fn handle(&self, block: usize) -> Option<BlockHandle> {
        self.handles.get(block).copied()
    }

    /// Internal key of a block's first entry; empty if there is no such block.
    pub(super) fn first_key(&self, block: usize) -> &[u8] {
        self.key(block.saturating_mul(2))
    }

    /// Internal key of a block's last entry; empty if there is no such block.
    pub(super) fn last_key(&self, block: usize) -> &[u8] {
        self.key(block.saturating_mul(2).saturating_add(1))
    }

    fn key(&self, index: usize) -> &[u8] {
        nth(&self.keys, &self.key_ends, index)
    }

    /// All hashes.
    pub(super) fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Which hashes are those of the blocks in the range, with the first key even if the block before has it too. `None`
    /// if there are no such blocks.
    pub(super) fn hashes_of(&self, blocks: Range<usize>) -> Option<Range<usize>> {
        let end = *self.hash_ends.get(blocks.end.checked_sub(1)?)?;
        let start = match blocks.start.checked_sub(1) {
            None => 0,
            Some(before) => {
                let keys = &self.filter_keys;
                let twice = keys.part_of(self.last_key(before)) == keys.part_of(self.first_key(blocks.start));
                self.hash_ends.get(before)?.saturating_sub(usize::from(twice))
            }
        };
        (start <= end).then_some(start..end)
    }
}

/// One of the pieces of an arena; empty if there is none of this number.
fn nth<'a>(arena: &'a [u8], ends: &[usize], index: usize) -> &'a [u8] {
    let start = index.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or_default();
    let end = ends.get(index).copied().unwrap_or(start);
    arena.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::TableFacts;
    use crate::block_handle::BlockHandle;
    use crate::entries::Entries;
    use crate::rest::filter_keys::{FilterKeys, KeyHash};

    const KEYS: FilterKeys = FilterKeys { hash: Some(KeyHash::Xxph3), timestamp_size: 0 };

    fn block(keys: &[&str]) -> Entries {
        let mut entries = Entries::new();
        keys.iter().for_each(|key| entries.push_parts(key.as_bytes(), &[0; 8], b""));
        entries
    }

    fn blocks() -> [Entries; 4] {
        [block(&["a", "b", "b"]), block(&["b", "b"]), block(&["b", "c"]), block(&["d"])]
    }

    fn facts(blocks: &[Entries]) -> TableFacts {
        let mut facts = TableFacts::new(KEYS);
        blocks.iter().for_each(|block| facts.push_block(BlockHandle { offset: 0, size: 1 }, block));
        facts
    }

    #[test]
    fn versions_of_a_key_count_once_but_in_every_block_that_has_them() {
        let facts = facts(&blocks());
        let hashes: Vec<_> = [b"a", b"b", b"c", b"d"].iter().map(|key| KEYS.hash_of(*key).unwrap()).collect();
        assert_eq!(facts.hashes(), hashes);
        assert_eq!(facts.hashes_of(0..4), Some(0..4));
        assert_eq!(facts.hashes_of(0..1), Some(0..2));
        assert_eq!(facts.hashes_of(1..2), Some(1..2));
        assert_eq!(facts.hashes_of(2..4), Some(1..4));
        assert_eq!(facts.hashes_of(3..4), Some(3..4));
        assert_eq!(facts.hashes_of(3..5), None);
        assert_eq!(facts.hashes_of(0..0), None);
        assert_eq!((facts.first_key(2), facts.last_key(2)), (&b"b\0\0\0\0\0\0\0\0"[..], &b"c\0\0\0\0\0\0\0\0"[..]));
        assert_eq!(facts.last_key(4), b"");
    }

    #[test]
    fn facts_joined_at_any_place_are_those_gathered_at_once() {
        let blocks = blocks();
        for at in 0..=blocks.len() {
            let mut joined = facts(&blocks[..at]);
            joined.join(facts(&blocks[at..]));
            assert_eq!(joined, facts(&blocks), "joined behind {at} blocks");
        }
    }
}

//! The sorted name-value entries of an uncompressed meta block.
//!
//! ```text
//! entry    shared: varint32 | unshared: varint32 | value length: varint32 | key suffix | value
//! ...
//! restarts u32 each, little-endian: offsets of entries with shared = 0
//! count    u32, little-endian: number of restarts; its upper 4 bits are flags of data blocks
//! ```
//!
//! The metaindex has a restart at every entry, the properties block only at its first, so its keys are prefix-compressed
//! (`MetaIndexBuilder` and `PropertyBlockBuilder`, table/meta_blocks.cc, RocksDB 11.8). Restarts only serve seeks: a
//! reader that goes through all entries does not use them.
//!
//! Sources, RocksDB 11.8: the comment on top of table/block_based/block_builder.cc, `DataBlockFooter` in
//! table/block_based/data_block_footer.{h,cc}, `BlockIter::ParseNextKey` in table/block_based/block.cc.

use crate::cursor::Cursor;
use crate::error::{Error, MetaBlock};

/// `DataBlockFooter::kMaxNumRestarts`: above it are flags for hash index, key distribution and separated values.
const MAX_RESTARTS: u32 = (1 << 28) - 1;

/// One entry of a meta block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaEntry<'e> {
    /// The entry's name, bytes by RocksDB's rules.
    pub key: &'e [u8],
    /// Its value.
    pub value: &'e [u8],
    /// Where the value starts, counted from the start of the block.
    pub value_offset: usize,
}

/// Goes through the entries of a meta block in order. Its memory is bounded by the block's size.
pub struct MetaEntries<'a> {
    block: MetaBlock,
    entries_len: usize,
    rest: Cursor<'a>,
    key: Vec<u8>,
    at_first: bool,
}

impl<'a> MetaEntries<'a> {
    /// Starts on the `contents` of an uncompressed, verified block, without trailer. Fails if its restart array does not
    /// fit, or if it uses a feature that meta blocks do not have.
    pub fn new(block: MetaBlock, contents: &'a [u8]) -> Result<Self, Error> {
        let corrupt = |what| Error::CorruptBlock { block, what };
        let (before, count) = contents.split_last_chunk::<4>().ok_or_else(|| corrupt("no restart count"))?;
        let count = u32::from_le_bytes(*count);
        if count > MAX_RESTARTS {
            return Err(corrupt("flags that meta blocks do not have"));
        }
        let entries = usize::try_from(u64::from(count) * 4)
            .ok()
            .and_then(|restarts_len| before.len().checked_sub(restarts_len))
            .and_then(|entries_len| before.get(..entries_len))
            .ok_or_else(|| corrupt("restarts do not fit"))?;
        Ok(Self { block, entries_len: entries.len(), rest: Cursor::new(entries), key: Vec::new(), at_first: true })
    }

    /// The next entry, or `None` at the end. Keys must rise strictly, so no name comes twice. After an error the entries
    /// that follow mean nothing.
    pub fn next_entry(&mut self) -> Result<Option<MetaEntry<'_>>, Error> {
        if self.rest.remaining() == 0 {
            return Ok(None);
        }
        let shared_len = self.length()?;
        let suffix_len = self.length()?;
        let value_len = self.length()?;
        let suffix = self.bytes(suffix_len)?;
        let value_offset = self.entries_len - self.rest.remaining();
        let value = self.bytes(value_len)?;

        let replaced = self.key.get(shared_len..).ok_or_else(|| self.corrupt("an entry shares more than its predecessor has"))?;
        // Both keys begin with the shared bytes, so what follows decides their order.
        if !self.at_first && suffix <= replaced {
            return Err(self.corrupt("names do not rise"));
        }
        self.at_first = false;
        self.key.truncate(shared_len);
        self.key.extend_from_slice(suffix);
        Ok(Some(MetaEntry { key: &self.key, value, value_offset }))
    }

    fn length(&mut self) -> Result<usize, Error> {
        self.rest.varint32().and_then(|length| usize::try_from(length).ok()).ok_or_else(|| self.corrupt("an entry's lengths are cut off"))
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], Error> {
        self.rest.take(len).ok_or_else(|| self.corrupt("an entry is longer than the block"))
    }

    fn corrupt(&self, what: &'static str) -> Error {
        Error::CorruptBlock { block: self.block, what }
    }
}

#[cfg(test)]
mod tests {
    use super::MetaEntries;
    use crate::error::{Error, MetaBlock};

    type Entry = (Vec<u8>, Vec<u8>, usize);

    fn all(contents: &[u8]) -> Result<Vec<Entry>, Error> {
        let mut entries = MetaEntries::new(MetaBlock::Properties, contents)?;
        let mut found = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            found.push((entry.key.to_vec(), entry.value.to_vec(), entry.value_offset));
        }
        Ok(found)
    }

    fn block(entries: &[u8]) -> Vec<u8> {
        [entries, &[0; 4], &1u32.to_le_bytes()].concat()
    }

    #[test]
    fn prefixes_are_put_back() {
        let found = all(&block(b"\0\x03\x01abcX\x02\x01\x02dYZ\x00\x01\x00b")).unwrap();
        assert_eq!(found, [(b"abc".to_vec(), b"X".to_vec(), 6), (b"abd".to_vec(), b"YZ".to_vec(), 11), (b"b".to_vec(), vec![], 17)]);
    }

    #[test]
    fn a_block_without_entries_is_empty() {
        assert_eq!(all(&block(b"")).unwrap(), []);
    }

    #[test]
    fn names_out_of_order_or_twice_are_damage() {
        for entries in [&b"\0\x01\0b\0\x01\0a"[..], b"\0\x01\0b\0\x01\0b", b"\0\x01\0b\x01\0\0"] {
            assert!(matches!(all(&block(entries)), Err(Error::CorruptBlock { .. })));
        }
    }

    #[test]
    fn lengths_beyond_the_block_are_damage() {
        for entries in
            [&b"\0\x02\0b"[..], b"\0\x01\x01b", b"\x01\x01\0b", b"\0\x01", b"\0\xff\xff\xff\xff\x0f\0b", b"\0\xff\xff\xff\xff\xff\xff\0b"]
        {
            assert!(matches!(all(&block(entries)), Err(Error::CorruptBlock { .. })));
        }
    }

    #[test]
    fn restart_counts_beyond_the_block_and_flags_are_damage() {
        for count in [2u32, 1 << 27, 1 << 28, 1 << 29, 1 << 30, 1 << 31, u32::MAX] {
            let contents = [&[0; 4][..], &count.to_le_bytes()].concat();
            assert!(matches!(all(&contents), Err(Error::CorruptBlock { .. })));
        }
        assert!(matches!(all(b"abc"), Err(Error::CorruptBlock { .. })));
    }
}

//! The entries of an index block.
//!
//! ```text
//! entry    shared: varint32 | unshared: varint32 | value length: varint32, unless values are deltas | key suffix | value
//! value    offset: varint64 | size: varint64 | first key of the block, behind its length, if the type has it
//! delta    size less that of the entry before: signed varint64 | first key likewise;    only where shared is not 0
//! ```
//!
//! A delta's offset is the end of the block before, trailer included. Behind the entries stand the restarts and the footer
//! word of data blocks, of whose flags only 29, for keys spread evenly, belongs here.
//!
//! Sources, RocksDB 11.8: `IndexValue`, table/format.cc; `BlockBuilder::AddWithLastKeyImpl`,
//! table/block_based/block_builder.cc; `IndexBlockIter`, table/block_based/block.cc.

use crate::block::TRAILER_SIZE;
use crate::block_handle::BlockHandle;
use crate::cursor::Cursor;
use crate::error::{Error, MetaBlock};
use crate::properties::TableProperties;

/// `kUniformKeysBit`, table/block_based/data_block_footer.cc.
const UNIFORM_KEYS: u32 = 1 << 29;

/// How a table's index blocks are built, all of them.
#[derive(Clone, Copy)]
pub(crate) struct IndexLayout {
    /// There are two levels.
    pub partitioned: bool,
    /// Keys have no sequence number and type.
    pub user_keys: bool,
    /// Values that follow from the entry before are left out.
    pub deltas: bool,
    /// Values hold the first key of their block.
    pub first_keys: bool,
}

impl IndexLayout {
    pub(crate) fn of(properties: &TableProperties) -> Result<Self, Error> {
        let found = properties.index_type;
        let (partitioned, first_keys) = match found {
            Some(0 | 1) => (false, false),
            Some(2) => (true, false),
            Some(3) => (false, true),
            _ => return Err(Error::UnknownIndexType { found }),
        };
        let user_keys = properties.index_key_is_user_key;
        Ok(Self { partitioned, user_keys, deltas: properties.index_value_is_delta_encoded, first_keys })
    }
}

/// One entry of an index block.
pub(crate) struct IndexEntry<'e> {
    pub key: &'e [u8],
    pub handle: BlockHandle,
}

/// Goes through the entries of an index block in order.
pub(crate) struct IndexBlock<'a> {
    form: IndexLayout,
    entries_len: usize,
    rest: Cursor<'a>,
    restarts: &'a [[u8; 4]],
    uniform_keys: bool,
    key: Vec<u8>,
    handle: Option<BlockHandle>,
}

impl<'a> IndexBlock<'a> {
    /// Starts on the content of an uncompressed index block, without trailer.
    pub(crate) fn new(content: &'a [u8], form: IndexLayout) -> Result<Self, Error> {
        let (rest, word) = content.split_last_chunk::<4>().ok_or(corrupt("no footer"))?;
        let word = u32::from_le_bytes(*word);
        // Any other flag makes a number of restarts that does not fit.
        let restarts = u64::from(word & !UNIFORM_KEYS);
        let (entries, restarts) = usize::try_from(restarts * 4)
            .ok()
            .and_then(|len| rest.len().checked_sub(len))
            .and_then(|at| rest.split_at_checked(at))
            .ok_or(corrupt("the restarts do not fit"))?;
        Ok(Self {
            form,
            entries_len: entries.len(),
            rest: Cursor::new(entries),
            restarts: restarts.as_chunks().0,
            uniform_keys: word & UNIFORM_KEYS != 0,
            key: Vec::new(),
            handle: None,
        })
    }

    /// Offset of the second entry that shares nothing with the one before, as the block says; `None` if there is but one.
    pub(crate) fn second_restart(&self) -> Option<usize> {
        self.restarts.get(1).and_then(|offset| usize::try_from(u32::from_le_bytes(*offset)).ok())
    }

    /// Whether the writer found the keys spread evenly.
    pub(crate) fn uniform_keys(&self) -> bool {
        self.uniform_keys
    }

    /// Offset of the next entry.
    pub(crate) fn position(&self) -> usize {
        self.entries_len - self.rest.remaining()
    }

    pub(crate) fn next_entry(&mut self) -> Result<Option<IndexEntry<'_>>, Error> {
        if self.rest.remaining() == 0 {
            return Ok(None);
        }
        let shared = self.length()?;
        let unshared = self.length()?;
        let value_len = if self.form.deltas { None } else { Some(self.length()?) };
        if shared > self.key.len() {
            return Err(corrupt("an entry shares more than its predecessor has"));
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(self.rest.take(unshared).ok_or(corrupt("an entry is longer than the block"))?);

        let before = if shared > 0 && self.form.deltas { self.handle } else { None };
        let handle = match value_len {
            None => read_value(&mut self.rest, self.form, before)?,
            Some(len) => {
                let mut value = Cursor::new(self.rest.take(len).ok_or(corrupt("an entry is longer than the block"))?);
                let handle = read_value(&mut value, self.form, before)?;
                if value.remaining() > 0 {
                    return Err(corrupt("a value is too long"));
                }
                handle
            }
        };
        self.handle = Some(handle);
        Ok(Some(IndexEntry { key: &self.key, handle }))
    }

    fn length(&mut self) -> Result<usize, Error> {
        self.rest.varint32().and_then(|length| usize::try_from(length).ok()).ok_or(corrupt("an entry's lengths are cut off"))
    }
}

/// Reads a value; with `before`, the handle of the entry before, it is a delta.
fn read_value(from: &mut Cursor<'_>, form: IndexLayout, before: Option<BlockHandle>) -> Result<BlockHandle, Error> {
    let handle = match before {
        None => BlockHandle::decode(from),
        Some(before) => from.varint_signed64().and_then(|delta| {
            let offset = before.offset.checked_add(before.size)?.checked_add(TRAILER_SIZE)?;
            Some(BlockHandle { offset, size: before.size.checked_add_signed(delta)? })
        }),
    };
    let handle = handle.ok_or(corrupt("bad block handle"))?;
    if form.first_keys {
        let len = from.varint32().and_then(|len| usize::try_from(len).ok());
        len.and_then(|len| from.take(len)).ok_or(corrupt("the first key of a block is cut off"))?;
    }
    Ok(handle)
}

pub(super) fn corrupt(what: &'static str) -> Error {
    Error::CorruptBlock { block: MetaBlock::Index, what }
}

#[cfg(test)]
mod tests {
    use super::{IndexBlock, IndexLayout};
    use crate::error::Error;

    const PLAIN: IndexLayout = IndexLayout { partitioned: false, user_keys: true, deltas: false, first_keys: false };
    const DELTAS: IndexLayout = IndexLayout { deltas: true, ..PLAIN };
    const FIRST_KEYS: IndexLayout = IndexLayout { first_keys: true, ..DELTAS };

    /// Every entry of a block with one restart: key, offset, size.
    fn all(form: IndexLayout, entries: &[u8], word: u32) -> Result<Vec<(Vec<u8>, u64, u64)>, Error> {
        let content = [entries, &[0; 4], &word.to_le_bytes()].concat();
        let mut block = IndexBlock::new(&content, form)?;
        let mut found = Vec::new();
        while let Some(entry) = block.next_entry()? {
            found.push((entry.key.to_vec(), entry.handle.offset, entry.handle.size));
        }
        Ok(found)
    }

    #[test]
    fn values_are_read_in_full_and_as_deltas() {
        let wanted = [(b"ab".to_vec(), 0, 100), (b"ac".to_vec(), 105, 98), (b"b".to_vec(), 4096, 7)];
        assert_eq!(all(PLAIN, b"\0\x02\x02ab\0\x64\x01\x01\x02c\x69\x62\0\x01\x03b\x80\x20\x07", 1).unwrap(), wanted);
        assert_eq!(all(DELTAS, b"\0\x02ab\0\x64\x01\x01c\x03\0\x01b\x80\x20\x07", 1).unwrap(), wanted);
        let with_first_keys = b"\0\x02ab\0\x64\x01x\x01\x01c\x03\x02yy\0\x01b\x80\x20\x07\0";
        assert_eq!(all(FIRST_KEYS, with_first_keys, 1 | 1 << 29).unwrap(), wanted);
    }

    #[test]
    fn flags_of_data_blocks_and_overlong_values_are_damage() {
        for flag in [28, 30, 31] {
            assert!(matches!(all(PLAIN, b"", 1 | 1 << flag), Err(Error::CorruptBlock { .. })));
        }
        for entries in [
            &b"\0\x02\x03ab\0\x64\x01"[..], // a byte behind the handle
            b"\x01\x02\x02ab\0\x64",        // shares with nothing
            b"\0\x02\x02ab\0",              // ends early
            b"\0\x02\x7fab\0\x64",
            b"\0\x7f\x02ab\0\x64",
        ] {
            assert!(matches!(all(PLAIN, entries, 1), Err(Error::CorruptBlock { .. })));
        }
        // A block smaller than nothing, and a first key that is cut off.
        assert!(matches!(all(DELTAS, b"\0\x02ab\0\x01\x01\x01c\x03", 1), Err(Error::CorruptBlock { .. })));
        assert!(matches!(all(FIRST_KEYS, b"\0\x02ab\0\x01\x02x", 1), Err(Error::CorruptBlock { .. })));
    }
}

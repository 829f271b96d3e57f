//! Where a block stands in its file.

use crate::block::TRAILER_SIZE;
use crate::cursor::Cursor;

/// Offset and size of a block, in bytes. The size leaves out the block's 5-byte trailer.
///
/// Source: `BlockHandle`, table/format.h, RocksDB 11.8. A decoded handle is only what the file claims; use
/// [`end`](Self::end) to check it against the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHandle {
    /// Offset of the block's first byte from the start of the file.
    pub offset: u64,
    /// Bytes of the block as stored, without its trailer.
    pub size: u64,
}

impl BlockHandle {
    /// Offset just behind the block's trailer, or `None` if it exceeds 64 bits.
    pub fn end(&self) -> Option<u64> {
        self.offset.checked_add(self.size)?.checked_add(TRAILER_SIZE)
    }

    /// Reads two varint64: offset, then size.
    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Option<Self> {
        Some(Self { offset: cursor.varint64()?, size: cursor.varint64()? })
    }
}

impl std::fmt::Display for BlockHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes at offset {}", self.size, self.offset)
    }
}

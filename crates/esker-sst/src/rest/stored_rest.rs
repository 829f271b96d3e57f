//! The bytes behind the data blocks, as the file has them.

use crate::block::{BlockChecksum, StoredBlock};
use crate::block_handle::BlockHandle;
use crate::compression::decompress;
use crate::table_map::MAX_INDEX_BLOCK_SIZE;

/// The end of a file, from some offset on.
#[derive(Clone, Copy)]
pub(super) struct StoredRest<'r> {
    pub bytes: &'r [u8],
    pub offset: u64,
    pub checksum: BlockChecksum,
}

impl<'r> StoredRest<'r> {
    /// Where a block with its trailer stands in the bytes.
    pub(super) fn range(&self, handle: BlockHandle) -> Option<std::ops::Range<usize>> {
        let start = usize::try_from(handle.offset.checked_sub(self.offset)?).ok()?;
        let end = usize::try_from(handle.end()?.checked_sub(self.offset)?).ok()?;
        (end <= self.bytes.len()).then_some(start..end)
    }

    /// A block, verified.
    pub(super) fn open(&self, handle: BlockHandle) -> Option<StoredBlock<'r>> {
        self.checksum.open(self.bytes.get(self.range(handle)?)?, handle.offset).ok()
    }

    /// The content of an index block, decompressed into `plain` if need be, and its compression type.
    pub(super) fn index<'p>(&self, handle: BlockHandle, plain: &'p mut Vec<u8>) -> Option<(&'p [u8], u8)>
    where
        'r: 'p,
    {
        let block = self.open(handle)?;
        if block.compression_type == 0 {
            return Some((block.payload, 0));
        }
        decompress(block.compression_type, &[], block.payload, MAX_INDEX_BLOCK_SIZE as usize, plain).ok()?;
        Some((plain, block.compression_type))
    }
}

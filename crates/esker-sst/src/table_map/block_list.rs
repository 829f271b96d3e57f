//! Handles in file order and the keys between them.

use crate::block_handle::BlockHandle;
use crate::error::Error;
use crate::table_map::{MAX_DATA_BLOCKS, MAX_SEPARATOR_BYTES};

/// Blocks that do not overlap, by rising offsets, each with a separator; all separators in one arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BlockList {
    handles: Vec<BlockHandle>,
    separators: Vec<u8>,
    separator_ends: Vec<u32>,
    /// End of the last block, trailer included.
    end: u64,
    /// Where all blocks must have ended.
    limit: u64,
}

impl BlockList {
    pub(super) fn new(limit: u64) -> Self {
        Self { handles: Vec::new(), separators: Vec::new(), separator_ends: Vec::new(), end: 0, limit }
    }

    pub(super) fn push(&mut self, handle: BlockHandle, separator: &[u8]) -> Result<(), Error> {
        let end = handle.end().filter(|end| handle.offset >= self.end && *end <= self.limit).ok_or(Error::MisplacedBlock {
            handle,
            from: self.end,
            limit: self.limit,
        })?;
        if self.handles.len() >= MAX_DATA_BLOCKS {
            return Err(Error::IndexTooLarge { max: MAX_DATA_BLOCKS as u64, what: "blocks" });
        }
        let separators_end = self.separators.len() + separator.len();
        let end_32 = u32::try_from(separators_end).ok().filter(|_| separators_end <= MAX_SEPARATOR_BYTES);
        let end_32 = end_32.ok_or(Error::IndexTooLarge { max: MAX_SEPARATOR_BYTES as u64, what: "bytes of keys" })?;
        self.separators.extend_from_slice(separator);
        self.separator_ends.push(end_32);
        self.handles.push(handle);
        self.end = end;
        Ok(())
    }

    pub(super) fn handles(&self) -> &[BlockHandle] {
        &self.handles
    }

    pub(super) fn into_handles(self) -> Vec<BlockHandle> {
        self.handles
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn separator(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).and_then(|before| self.separator_ends.get(before)).map_or(0, |end| *end as usize);
        let end = self.separator_ends.get(index).map_or(start, |end| *end as usize);
        self.separators.get(start..end).unwrap_or_default()
    }
}

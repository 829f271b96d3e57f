//! Reading blocks of a file: several with one read, each verified and decompressed.

use crate::block::BlockChecksum;
use crate::block_fault::BlockFault;
use crate::block_handle::BlockHandle;
use crate::error::{Error, MetaBlock};
use crate::footer::Footer;
use crate::read_at::ReadAt;
use crate::table_map::{Decompress, MAX_INDEX_BLOCK_SIZE};
use crate::table_tail::read_at;

/// Blocks are read together as long as they, and the gaps between them, take no more bytes than this.
const READ_SIZE: u64 = 1 << 20;

/// Reads blocks, in buffers that it keeps.
pub(super) struct BlockReader<'r, 'd, R: ?Sized> {
    file: &'r R,
    checksum: BlockChecksum,
    /// Where every block must have ended.
    limit: u64,
    decompress: &'r mut Decompress<'d>,
    stored: Vec<u8>,
    plain: Vec<u8>,
}

impl<'r, 'd, R: ReadAt + ?Sized> BlockReader<'r, 'd, R> {
    pub(super) fn new(file: &'r R, footer: &Footer, decompress: &'r mut Decompress<'d>) -> Self {
        let (checksum, limit) = (footer.block_checksum(), footer.offset);
        Self { file, checksum, limit, decompress, stored: Vec::new(), plain: Vec::new() }
    }

    /// Reads index blocks and hands the content of each to `each`, in order. The handles must rise.
    pub(super) fn read(&mut self, handles: &[BlockHandle], each: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        self.read_as(MetaBlock::Index, handles, each)
    }

    /// Reads blocks of the kind that `block` names.
    pub(super) fn read_as(
        &mut self,
        block: MetaBlock,
        mut handles: &[BlockHandle],
        mut each: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while let Some(first) = handles.first() {
            let (together, later) = handles.split_at_checked(count_together(handles)).unwrap_or((handles, &[]));
            let last = together.last().unwrap_or(first);
            let end = last.end().filter(|end| *end <= self.limit && first.offset <= *end).ok_or(Error::BlockOutOfBounds {
                block,
                handle: *last,
                limit: self.limit,
            })?;
            if let Some(handle) = together.iter().find(|handle| handle.size > MAX_INDEX_BLOCK_SIZE) {
                return Err(Error::BlockTooLarge { block, handle: *handle, max_size: MAX_INDEX_BLOCK_SIZE });
            }
            // At most one largest block with its trailer, or READ_SIZE.
            self.stored.resize((end - first.offset) as usize, 0);
            read_at(self.file, &mut self.stored, first.offset)?;
            for handle in together {
                self.open(block, *handle, first.offset, &mut each)?;
            }
            handles = later;
        }
        Ok(())
    }

    /// Verifies and decompresses a block of what was read from `start` on.
    fn open(
        &mut self,
        block: MetaBlock,
        handle: BlockHandle,
        start: u64,
        each: &mut impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let stored = handle
            .end()
            .and_then(|end| Some(usize::try_from(handle.offset.checked_sub(start)?).ok()?..usize::try_from(end.checked_sub(start)?).ok()?))
            .and_then(|range| self.stored.get(range))
            .ok_or(Error::CorruptBlock { block, what: "blocks are not in order" })?;
        let opened = self.checksum.open(stored, handle.offset).map_err(|fault| match fault {
            BlockFault::Checksum { stored, computed } => Error::BlockChecksum { block, handle, stored, computed },
            _ => Error::CorruptBlock { block, what: "too short for its trailer" },
        })?;
        let compression_type = opened.compression_type;
        if compression_type == 0 {
            return each(opened.payload);
        }
        if block != MetaBlock::Index {
            return Err(Error::CompressedMetaBlock { block, compression_type });
        }
        self.plain.clear();
        if !(self.decompress)(compression_type, opened.payload, MAX_INDEX_BLOCK_SIZE as usize, &mut self.plain) {
            return Err(Error::NotDecompressed { block, handle, compression_type });
        }
        each(&self.plain)
    }
}

/// How many blocks, at least one, one read takes from the front.
fn count_together(handles: &[BlockHandle]) -> usize {
    let start = handles.first().map_or(0, |first| first.offset);
    let fits = |handle: &&BlockHandle| handle.end().and_then(|end| end.checked_sub(start)).is_some_and(|len| len <= READ_SIZE);
    handles.iter().take_while(fits).count().max(1)
}

//! Reading the entries of one data block of a table.

use crate::block::{BlockChecksum, TRAILER_SIZE};
use crate::block_fault::BlockFault;
use crate::block_handle::BlockHandle;
use crate::compression::{self, DecompressFault};
use crate::data_block;
use crate::entries::{ENTRIES_BYTES_MAX, Entries};
use crate::read_at::ReadAt;
use crate::table_map::TableMap;

/// Why the entries of a block cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadFault {
    /// Its bytes cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// It is damaged, or of a form that is not known.
    #[error("cannot be decoded: {0}")]
    Block(#[from] BlockFault),
    /// It does not decompress.
    #[error("cannot be decompressed: {0}")]
    Decompress(#[from] DecompressFault),
}

/// Reads data blocks of one table; keeps its buffers.
pub struct TableBlockReader {
    checksum: BlockChecksum,
    dictionary: Vec<u8>,
    stored: Vec<u8>,
    plain: Vec<u8>,
}

impl TableBlockReader {
    /// A reader of the blocks of this table.
    pub fn new(map: &TableMap) -> Self {
        let dictionary = map.dictionary.clone().unwrap_or_default();
        Self { checksum: map.tail.footer.block_checksum(), dictionary, stored: Vec::new(), plain: Vec::new() }
    }

    /// Replaces `entries` by those of a block, which is read from `file`.
    ///
    /// # Errors
    /// If it cannot be read, or is not whole.
    pub fn read<R: ReadAt + ?Sized>(&mut self, file: &R, handle: BlockHandle, entries: &mut Entries) -> Result<(), ReadFault> {
        entries.clear();
        let len = usize::try_from(handle.size + TRAILER_SIZE).ok().filter(|len| *len <= ENTRIES_BYTES_MAX);
        let Some(len) = len else { return Err(BlockFault::TooLarge { limit: ENTRIES_BYTES_MAX as u64 }.into()) };
        self.stored.resize(len, 0);
        file.read_exact_at(&mut self.stored, handle.offset)?;
        let block = self.checksum.open(&self.stored, handle.offset)?;
        let plain = if block.compression_type == compression::NONE {
            block.payload
        } else {
            compression::decompress(block.compression_type, &self.dictionary, block.payload, ENTRIES_BYTES_MAX, &mut self.plain)?;
            &self.plain
        };
        data_block::decode(plain, entries)?;
        Ok(())
    }
}

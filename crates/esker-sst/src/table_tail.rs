//! Reading the end of a table: footer, metaindex, properties.

use crate::block::{TRAILER_SIZE, verify_meta_block};
use crate::block_handle::BlockHandle;
use crate::error::{Error, MetaBlock};
use crate::footer::{FOOTER_SIZE, Footer};
use crate::metaindex::{MetaIndex, NamedBlock};
use crate::properties::TableProperties;
use crate::read_at::ReadAt;

/// Largest metaindex block read, in bytes: some 50 bytes for each of a handful of meta blocks, with much room.
pub const MAX_METAINDEX_SIZE: u64 = 64 << 10;

/// Largest properties block read, in bytes. RocksDB's own properties take about 1.5 KiB; user collectors (key-range
/// summaries, time maps) may add some MiB to the largest files.
pub const MAX_PROPERTIES_SIZE: u64 = 16 << 20;

/// What the end of a table file says, every byte of it checked where the file has checksums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableTail {
    /// Length of the file in bytes.
    pub size: u64,
    /// The footer.
    pub footer: Footer,
    /// The index block, or the top level of a partitioned index: inside the file, its bytes not yet read.
    pub index: BlockHandle,
    /// The properties block, which ends before the metaindex block starts.
    pub properties_block: BlockHandle,
    /// The properties.
    pub properties: TableProperties,
    /// Every meta block that the metaindex names, by rising names: filter, dictionary, range deletions, properties and,
    /// from format_version 6 on, the index. Only the handles of the two that have fields of their own are checked.
    pub meta_blocks: Vec<NamedBlock>,
}

impl TableTail {
    /// Reads the tail of `file` with three reads, together at most [`FOOTER_SIZE`], [`MAX_METAINDEX_SIZE`],
    /// [`MAX_PROPERTIES_SIZE`] and two trailers. No byte is read, and no memory taken, for a handle that fails its check.
    pub fn read<R: ReadAt + ?Sized>(file: &R) -> Result<Self, Error> {
        let size = file.len();
        let footer = read_footer(file, size)?;

        let contents =
            ReadBlock { block: MetaBlock::MetaIndex, handle: footer.metaindex, limit: footer.offset, max_size: MAX_METAINDEX_SIZE }
                .read(file)?;
        let metaindex = MetaIndex::decode(verify_meta_block(&footer, MetaBlock::MetaIndex, footer.metaindex, &contents)?)?;

        let index = footer.index.or(metaindex.index).ok_or(Error::MissingMetaBlock { block: MetaBlock::Index })?;
        check_bounds(MetaBlock::Index, index, footer.offset)?;

        let contents = ReadBlock {
            block: MetaBlock::Properties,
            handle: metaindex.properties,
            limit: footer.metaindex.offset,
            max_size: MAX_PROPERTIES_SIZE,
        }
        .read(file)?;
        let properties = TableProperties::decode(verify_meta_block(&footer, MetaBlock::Properties, metaindex.properties, &contents)?)?;

        Ok(Self { size, footer, index, properties_block: metaindex.properties, properties, meta_blocks: metaindex.blocks })
    }
}

impl TableTail {
    /// Handle of the meta block of this name, not yet checked; `None` if there is none.
    pub fn meta_block(&self, name: &[u8]) -> Option<BlockHandle> {
        self.meta_blocks.iter().find(|block| block.name == name).map(|block| block.handle)
    }
}

fn read_footer<R: ReadAt + ?Sized>(file: &R, size: u64) -> Result<Footer, Error> {
    let mut buffer = [0; FOOTER_SIZE];
    let len = usize::try_from(size).unwrap_or(usize::MAX).min(FOOTER_SIZE);
    let last = buffer.get_mut(..len).unwrap_or_default();
    read_at(file, last, size - last.len() as u64)?;
    Footer::decode(last, size)
}

/// A block to read, and the bounds it must keep.
struct ReadBlock {
    block: MetaBlock,
    handle: BlockHandle,
    /// Where the block with its trailer must have ended.
    limit: u64,
    max_size: u64,
}

impl ReadBlock {
    /// The block's bytes and its trailer.
    fn read<R: ReadAt + ?Sized>(&self, file: &R) -> Result<Vec<u8>, Error> {
        check_bounds(self.block, self.handle, self.limit)?;
        let too_large = Error::BlockTooLarge { block: self.block, handle: self.handle, max_size: self.max_size };
        if self.handle.size > self.max_size {
            return Err(too_large);
        }
        let len = usize::try_from(self.handle.size + TRAILER_SIZE).map_err(|_| too_large)?;
        let mut bytes = vec![0; len];
        read_at(file, &mut bytes, self.handle.offset)?;
        Ok(bytes)
    }
}

fn check_bounds(block: MetaBlock, handle: BlockHandle, limit: u64) -> Result<(), Error> {
    if handle.end().is_some_and(|end| end <= limit) {
        return Ok(());
    }
    Err(Error::BlockOutOfBounds { block, handle, limit })
}

pub(crate) fn read_at<R: ReadAt + ?Sized>(file: &R, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
    let len = buffer.len() as u64;
    file.read_exact_at(buffer, offset).map_err(|source| Error::Read { offset, len, source })
}

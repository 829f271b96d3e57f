//! Where a table's data blocks stand, and between which keys: its index, read.
//!
//! An index entry says of a data block its handle and a separator: a key that is not below any key of the block and not
//! above any of the next. Types of index (`BlockBasedTableOptions::IndexType`, include/rocksdb/table.h, RocksDB 11.8):
//!
//! ```text
//! 0  one block                                          1  the same; meta blocks for a hash table over prefixes beside it
//! 2  partitions, and a block of their handles over them 3  one block whose values also hold each block's first key
//! ```
//!
//! Data blocks come first in the file, in order. Between them may be padding, or values that RocksDB 11.8 can put there
//! (embedded blobs): gaps are no fault.

mod block_list;
pub(crate) mod index_block;
mod read_blocks;

use block_list::BlockList;
use index_block::{IndexBlock, IndexLayout};
use read_blocks::BlockReader;

use crate::block_handle::BlockHandle;
use crate::error::{Error, MetaBlock};
use crate::internal_key::user_key;
use crate::read_at::ReadAt;
use crate::table_tail::TableTail;

/// Largest index block, partition or dictionary read, in bytes, stored or decompressed.
pub const MAX_INDEX_BLOCK_SIZE: u64 = 64 << 20;

/// Most data blocks of a table: 16 GiB of blocks of 4 KiB. Their handles take 80 MiB.
pub const MAX_DATA_BLOCKS: usize = 4 << 20;

/// Most bytes of all separators of a table together.
pub const MAX_SEPARATOR_BYTES: usize = 64 << 20;

/// `kCompressionDictBlockName`, table/meta_blocks.cc, RocksDB 11.8.
const DICTIONARY_NAME: &[u8] = b"rocksdb.compression_dict";

/// Decompresses the payload of a block: compression type, payload, most bytes it may become, and where they go (cleared
/// before). Returns false if the type is not supported, the payload is damaged, or the limit is exceeded.
pub type Decompress<'d> = dyn FnMut(u8, &[u8], usize, &mut Vec<u8>) -> bool + 'd;

/// Where a table's data blocks stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableMap {
    /// The end of the file that led here.
    pub tail: TableTail,
    /// End of the last data block, trailer included; 0 if there is none. Padding may follow.
    pub data_end: u64,
    /// What data blocks are compressed with, as the file holds it; index blocks are compressed without.
    pub dictionary: Option<Vec<u8>>,
    /// Partitions of the index, in order; none for an index of one block.
    pub index_partitions: Vec<BlockHandle>,
    blocks: BlockList,
}

impl TableMap {
    /// Reads the index of `file`, whose tail is `tail`, and the compression dictionary if there is one. Every block read is
    /// verified. Partitions are read in pieces of about 1 MiB.
    ///
    /// Fails if a data block overlaps another or stands behind the first meta block, if a limit of this module is exceeded,
    /// or if `decompress` fails for an index block.
    pub fn read<R: ReadAt + ?Sized>(file: &R, tail: TableTail, decompress: &mut Decompress<'_>) -> Result<Self, Error> {
        let form = IndexLayout::of(&tail.properties)?;
        let mut reader = BlockReader::new(file, &tail.footer, decompress);
        let dictionary = tail.meta_block(DICTIONARY_NAME).map(|handle| read_dictionary(&mut reader, handle)).transpose()?;
        let mut limit = meta_start(&tail);
        let mut index_partitions = BlockList::new(tail.index.offset);
        if form.partitioned {
            reader.read(&[tail.index], |content| {
                let mut block = IndexBlock::new(content, form)?;
                while let Some(entry) = block.next_entry()? {
                    index_partitions.push(entry.handle, b"")?;
                }
                Ok(())
            })?;
        }
        let index_partitions = index_partitions.into_handles();
        limit = index_partitions.first().map_or(limit, |first| limit.min(first.offset));

        let mut blocks = BlockList::new(limit);
        let index_blocks = if form.partitioned { &index_partitions[..] } else { &[tail.index] };
        reader.read(index_blocks, |content| {
            let mut block = IndexBlock::new(content, form)?;
            while let Some(entry) = block.next_entry()? {
                let separator = if form.user_keys { Some(entry.key) } else { user_key(entry.key) };
                blocks.push(entry.handle, separator.ok_or(index_block::corrupt("a key is shorter than its trailer"))?)?;
            }
            Ok(())
        })?;
        Ok(Self { data_end: blocks.end(), dictionary, index_partitions, blocks, tail })
    }

    /// Number of data blocks.
    pub fn len(&self) -> usize {
        self.blocks.handles().len()
    }

    /// Whether there is no data block: a table of range deletions only.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where data block `index` stands. Offsets rise, and each block ends, trailer included, before the next starts.
    pub fn handle(&self, index: usize) -> Option<BlockHandle> {
        self.blocks.handles().get(index).copied()
    }

    /// Separator behind data block `index`: not below any user key of it, not above any of the next block, in the order of
    /// the table's comparator. Both blocks may have versions of one user key, which then is the separator. It has a
    /// timestamp if the user keys in the file have one; keys that differ there only do not stand in bytewise order. Empty if
    /// there is no such block.
    pub fn separator(&self, index: usize) -> &[u8] {
        self.blocks.separator(index)
    }
}

/// The first byte that belongs to a meta block.
fn meta_start(tail: &TableTail) -> u64 {
    let named = tail.meta_blocks.iter().map(|block| block.handle.offset);
    named.chain([tail.index.offset, tail.footer.metaindex.offset]).min().unwrap_or_default()
}

fn read_dictionary<R: ReadAt + ?Sized>(reader: &mut BlockReader<'_, '_, R>, handle: BlockHandle) -> Result<Vec<u8>, Error> {
    let mut dictionary = Vec::new();
    reader.read_as(MetaBlock::Dictionary, &[handle], |content| {
        dictionary.extend_from_slice(content);
        Ok(())
    })?;
    Ok(dictionary)
}

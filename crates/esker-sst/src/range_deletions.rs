//! The range deletions of a table: a meta block of their own, laid out as a data block.
//!
//! Source: `WriteRangeDelBlock`, table/block_based/block_based_table_builder.cc, and `kRangeDelBlockName`,
//! table/meta_blocks.cc, RocksDB 11.8.

use crate::block::{TRAILER_SIZE, verify_meta_block};
use crate::data_block;
use crate::entries::{ENTRIES_BYTES_MAX, Entries};
use crate::error::{Error, MetaBlock};
use crate::read_at::ReadAt;
use crate::table_tail::{TableTail, read_at};

const NAME: &[u8] = b"rocksdb.range_del";
const BLOCK: MetaBlock = MetaBlock::RangeDeletions;

/// Reads a table's range deletions: internal keys at which they begin, and as values the user keys before which they end.
/// Both have timestamps if the table's keys have.
///
/// # Errors
/// If the block is out of bounds or damaged.
pub fn range_deletions<R: ReadAt + ?Sized>(file: &R, tail: &TableTail) -> Result<Entries, Error> {
    let mut entries = Entries::new();
    let Some(handle) = tail.meta_block(NAME) else { return Ok(entries) };
    let limit = tail.footer.offset;
    if handle.end().is_none_or(|end| end > limit) {
        return Err(Error::BlockOutOfBounds { block: BLOCK, handle, limit });
    }
    let max_size = ENTRIES_BYTES_MAX as u64;
    if handle.size > max_size {
        return Err(Error::BlockTooLarge { block: BLOCK, handle, max_size });
    }
    let mut stored = vec![0; usize::try_from(handle.size + TRAILER_SIZE).unwrap_or(0)];
    read_at(file, &mut stored, handle.offset)?;
    let contents = verify_meta_block(&tail.footer, BLOCK, handle, &stored)?;
    let corrupt = Error::CorruptBlock { block: BLOCK, what: "its entries cannot be decoded" };
    data_block::decode(contents, &mut entries).map_err(|_| corrupt)?;
    Ok(entries)
}

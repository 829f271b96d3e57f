//! From entries and a form to the bytes of a data block.

use std::ops::Range;

use crate::block_fault::BlockFault;
use crate::data_block::{BlockBuilder, BlockForm};
use crate::entries::Entries;

/// Appends to `out` the data block, uncompressed and without trailer, that RocksDB builds in this form of the entries in
/// `range`.
///
/// Fails if `range` is not inside the entries, if the block needs offsets beyond 32 bits, or if it has more restarts than
/// its hash index can tell apart. After a fault `out` holds part of a block.
pub fn encode(form: &BlockForm, entries: &Entries, range: Range<usize>, out: &mut Vec<u8>) -> Result<(), BlockFault> {
    if range.start > range.end || range.end > entries.len() {
        return Err(BlockFault::corrupt("there are fewer entries than the block has"));
    }
    let mut builder = BlockBuilder::default();
    builder.begin(form, out);
    let mut before: &[u8] = &[];
    for index in range {
        let key = entries.key(index);
        builder.push(before, key, entries.value(index), out)?;
        before = key;
    }
    builder.finish(out)
}

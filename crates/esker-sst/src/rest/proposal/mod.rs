//! How a block of a file may have been made, by the look of it.

pub(super) mod filter;
pub(super) mod index;

use crate::block_handle::BlockHandle;
use crate::rest::built_block::BuiltBlock;

/// A block of the file and the ways in which it may have been made, the likeliest first. Encoders are yet to be found.
pub(super) struct Proposal {
    pub handle: BlockHandle,
    /// How the block is compressed; 0 is not at all.
    pub compression_type: u8,
    pub ways: Vec<BuiltBlock>,
}

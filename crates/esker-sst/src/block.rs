//! A block as it stands in the file: its bytes, then a trailer of 5 bytes.
//!
//! ```text
//! n  the block, compressed or not
//! 1  compression type; 0 is none
//! 4  checksum of the n + 1 bytes before it, little-endian
//! ```
//!
//! Source: `BlockBasedTableBuilder::WriteMaybeCompressedBlockImpl`, table/block_based/block_based_table_builder.cc, and
//! `VerifyBlockChecksum`, table/block_based/reader_common.cc, RocksDB 11.8.

use crate::block_fault::BlockFault;
use crate::block_handle::BlockHandle;
use crate::checksum::{ChecksumType, context_modifier};
use crate::error::{Error, MetaBlock};
use crate::footer::Footer;
use crate::global_seqno::without_global_seqno;

/// Bytes behind a block: compression type and checksum (`BlockBasedTable::kBlockTrailerSize`).
pub const TRAILER_SIZE: u64 = 5;

const CHECKSUM_SIZE: usize = 4;

/// `kNoCompression`, include/rocksdb/compression_type.h, RocksDB 11.8.
const NO_COMPRESSION: u8 = 0;

/// A block as stored, its checksum verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBlock<'a> {
    /// The block's bytes, compressed or not, without trailer.
    pub payload: &'a [u8],
    /// How they are compressed, by `CompressionType` of include/rocksdb/compression_type.h; 0 is not at all.
    pub compression_type: u8,
}

/// What the checksums of a file's blocks depend on beside the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockChecksum {
    /// Kind of checksum.
    pub checksum_type: ChecksumType,
    /// Random number of the file, from format_version 6 on; 0 before.
    pub base_context_checksum: u32,
}

impl BlockChecksum {
    /// The checksum that must be stored for `bytes` (a block and its type byte, or a footer) that start at `offset` of the
    /// file.
    pub fn of(&self, bytes: &[u8], offset: u64) -> u32 {
        self.checksum_type.compute(bytes).wrapping_add(context_modifier(self.base_context_checksum, offset))
    }

    /// Verifies a block that stands at `offset` of the file: `stored` is the block with its trailer.
    pub fn open<'a>(&self, stored: &'a [u8], offset: u64) -> Result<StoredBlock<'a>, BlockFault> {
        let (checked, checksum) = stored.split_last_chunk::<CHECKSUM_SIZE>().ok_or(BlockFault::corrupt("too short for its trailer"))?;
        let (compression_type, payload) = checked.split_last().ok_or(BlockFault::corrupt("too short for its trailer"))?;
        let stored = u32::from_le_bytes(*checksum);
        let computed = self.of(checked, offset);
        if stored != computed {
            return Err(BlockFault::Checksum { stored, computed });
        }
        Ok(StoredBlock { payload, compression_type: *compression_type })
    }

    /// Appends the trailer of the block that stands in `out` from `start` to the end, and is to stand at `offset` of the
    /// file. A `start` behind the end means a block without bytes.
    pub fn seal(&self, start: usize, offset: u64, compression_type: u8, out: &mut Vec<u8>) {
        let start = start.min(out.len());
        out.push(compression_type);
        let checksum = self.of(out.get(start..).unwrap_or_default(), offset);
        out.extend_from_slice(&checksum.to_le_bytes());
    }
}

/// Verifies an uncompressed meta block and returns its contents, without the trailer.
///
/// `serialized` are the bytes at `handle`, with the trailer; `block` says for errors, and for the one exception, which
/// block it is: a properties block whose global sequence number was overwritten in place is accepted if it matches its
/// checksum with that number set back to 0 (see [`crate::global_seqno`]).
pub fn verify_meta_block<'a>(footer: &Footer, block: MetaBlock, handle: BlockHandle, serialized: &'a [u8]) -> Result<&'a [u8], Error> {
    let too_short = Error::CorruptBlock { block, what: "too short for its trailer" };
    let Some((checked, stored)) = serialized.split_last_chunk::<CHECKSUM_SIZE>() else {
        return Err(too_short);
    };
    let Some((compression_type, contents)) = checked.split_last() else {
        return Err(too_short);
    };
    let stored = u32::from_le_bytes(*stored);
    let computed = footer.checksum_of(checked, handle.offset);
    let matches = stored == computed
        || block == MetaBlock::Properties
            && without_global_seqno(checked, contents.len()).is_some_and(|original| footer.checksum_of(&original, handle.offset) == stored);
    if !matches {
        return Err(Error::BlockChecksum { block, handle, stored, computed });
    }
    if *compression_type != NO_COMPRESSION {
        return Err(Error::CompressedMetaBlock { block, compression_type: *compression_type });
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::{StoredBlock, verify_meta_block};
    use crate::block_fault::BlockFault;
    use crate::block_handle::BlockHandle;
    use crate::checksum::ChecksumType;
    use crate::error::{Error, MetaBlock};
    use crate::footer::Footer;

    const HANDLE: BlockHandle = BlockHandle { offset: 4096, size: 3 };

    fn footer(base_context_checksum: u32) -> Footer {
        Footer { format_version: 6, checksum_type: ChecksumType::Xxh3, base_context_checksum, offset: 9000, metaindex: HANDLE, index: None }
    }

    fn sealed(footer: &Footer, contents: &[u8], compression_type: u8) -> Vec<u8> {
        let mut bytes = [contents, &[compression_type]].concat();
        let checksum = footer.checksum_of(&bytes, HANDLE.offset);
        bytes.extend(checksum.to_le_bytes());
        bytes
    }

    #[test]
    fn a_block_moved_to_another_offset_or_file_fails_its_check() {
        let here = footer(77);
        let block = sealed(&here, b"abc", 0);
        let check = |footer: &Footer, offset| verify_meta_block(footer, MetaBlock::MetaIndex, BlockHandle { offset, ..HANDLE }, &block);
        assert_eq!(check(&here, HANDLE.offset).unwrap(), b"abc");
        assert!(matches!(check(&here, 4097), Err(Error::BlockChecksum { .. })));
        assert!(matches!(check(&footer(78), HANDLE.offset), Err(Error::BlockChecksum { .. })));
    }

    #[test]
    fn a_compressed_meta_block_is_named_as_such() {
        let block = sealed(&footer(1), b"abc", 7);
        assert!(matches!(
            verify_meta_block(&footer(1), MetaBlock::Properties, HANDLE, &block),
            Err(Error::CompressedMetaBlock { block: MetaBlock::Properties, compression_type: 7 })
        ));
    }

    #[test]
    fn a_sealed_block_opens_at_its_offset_only() {
        let checksum = footer(77).block_checksum();
        let mut file = b"what stands before".to_vec();
        let start = file.len();
        file.extend_from_slice(b"abc");
        checksum.seal(start, 4096, 7, &mut file);
        assert_eq!(file.len(), start + 3 + 5);
        let block = &file[start..];
        assert_eq!(checksum.open(block, 4096).unwrap(), StoredBlock { payload: b"abc", compression_type: 7 });
        assert!(matches!(checksum.open(block, 4097), Err(BlockFault::Checksum { .. })));
        for len in 0..5 {
            assert!(matches!(checksum.open(&block[..len], 4096), Err(BlockFault::Corrupt { .. })));
        }
        checksum.seal(usize::MAX, 0, 0, &mut file);
        assert_eq!(checksum.open(&file[file.len() - 5..], 0).unwrap().payload, b"");
    }

    #[test]
    fn a_block_without_room_for_its_trailer_is_corrupt() {
        for len in 0..5 {
            assert!(matches!(verify_meta_block(&footer(1), MetaBlock::MetaIndex, HANDLE, &[0; 5][..len]), Err(Error::CorruptBlock { .. })));
        }
    }
}

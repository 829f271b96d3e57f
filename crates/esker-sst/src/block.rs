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

use crate::block_handle::BlockHandle;
use crate::error::{Error, MetaBlock};
use crate::footer::Footer;
use crate::global_seqno::without_global_seqno;

/// Bytes behind a block: compression type and checksum (`BlockBasedTable::kBlockTrailerSize`).
pub const TRAILER_SIZE: u64 = 5;

const CHECKSUM_SIZE: usize = 4;

/// `kNoCompression`, include/rocksdb/compression_type.h, RocksDB 11.8.
const NO_COMPRESSION: u8 = 0;

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
    use super::verify_meta_block;
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
    fn a_block_without_room_for_its_trailer_is_corrupt() {
        for len in 0..5 {
            assert!(matches!(verify_meta_block(&footer(1), MetaBlock::MetaIndex, HANDLE, &[0; 5][..len]), Err(Error::CorruptBlock { .. })));
        }
    }
}

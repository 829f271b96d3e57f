//! The last 53 bytes of a block-based table.
//!
//! ```text
//! 1   checksum type
//! 40  format_version 2 to 5: metaindex handle, index handle, padding that nobody checks
//!     format_version 6, 7:   magic 3e 00 7a 00 | footer checksum | base context | metaindex size | 16 unchecked, 8 zero bytes
//! 4   format_version
//! 8   magic number
//! ```
//!
//! Source: the comment on the footer format and `Footer::DecodeFrom`, table/format.cc, RocksDB 11.8.

use crate::block::{BlockChecksum, TRAILER_SIZE};
use crate::block_handle::BlockHandle;
use crate::checksum::ChecksumType;
use crate::cursor::Cursor;
use crate::error::Error;
use crate::other_table::OtherTable;

/// Bytes of the footer of every block-based table read here (`Footer::kNewVersionsEncodedLength`).
pub const FOOTER_SIZE: usize = 53;

/// The oldest and the newest format_version read (`kMinSupportedBbtFormatVersionForRead`, `kLatestBbtFormatVersion`).
const FORMAT_VERSIONS: std::ops::RangeInclusive<u32> = 2..=7;

/// `kBlockBasedTableMagicNumber`, table/block_based/block_based_table_builder.cc.
const BLOCK_BASED_MAGIC: u64 = 0x88e2_41b7_85f4_cff7;

/// Bytes of the shortest footer of any table kind (`Footer::kMinEncodedLength`).
const MIN_FOOTER_SIZE: usize = 48;

const MAGIC_SIZE: usize = 8;

/// `kExtendedMagic`; read as the handles of an older version it is invalid, so a damaged version field is noticed.
const EXTENDED_MAGIC: [u8; 4] = [0x3e, 0x00, 0x7a, 0x00];

/// What a footer says. Handles are not yet checked against the file, but for the metaindex of format_version 6 and 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// 2 to 7.
    pub format_version: u32,
    /// Checksum kind of every block, and of the footer from format_version 6 on.
    pub checksum_type: ChecksumType,
    /// Random number of this file that goes into every checksum from format_version 6 on; 0 before.
    pub base_context_checksum: u32,
    /// Where the footer starts: file length less [`FOOTER_SIZE`].
    pub offset: u64,
    /// The metaindex block.
    pub metaindex: BlockHandle,
    /// The index block. From format_version 6 on the metaindex names it instead, and this is `None`.
    pub index: Option<BlockHandle>,
}

impl Footer {
    /// Decodes the footer from the `last` bytes of a file of `file_size` bytes: at least [`FOOTER_SIZE`] of them, or the
    /// whole file if it is shorter.
    ///
    /// From format_version 6 on the footer's checksum is verified; with checksum type none too, where the context alone is
    /// stored. Older footers have none.
    pub fn decode(last: &[u8], file_size: u64) -> Result<Self, Error> {
        check_magic(last, file_size)?;
        let too_short = Error::TooShort { len: file_size };
        let Some((_, raw)) = last.split_last_chunk::<FOOTER_SIZE>() else {
            return Err(too_short);
        };
        let Some(offset) = file_size.checked_sub(FOOTER_SIZE as u64) else {
            return Err(too_short);
        };
        let format_version = decode_format_version(raw)?;
        let mut cursor = Cursor::new(raw);
        let type_byte = cursor.byte().ok_or(truncated())?;
        let checksum_type = ChecksumType::from_byte(type_byte).ok_or(Error::UnknownChecksumType { found: type_byte })?;
        if format_version >= 6 {
            decode_with_context(raw, cursor, format_version, checksum_type, offset)
        } else {
            let metaindex = BlockHandle::decode(&mut cursor).ok_or(corrupt("bad metaindex handle"))?;
            let index = BlockHandle::decode(&mut cursor).ok_or(corrupt("bad index handle"))?;
            Ok(Self { format_version, checksum_type, base_context_checksum: 0, offset, metaindex, index: Some(index) })
        }
    }

    /// The checksum that must be stored for `bytes` (a block and its type byte, or a footer) that start at `offset`.
    pub fn checksum_of(&self, bytes: &[u8], offset: u64) -> u32 {
        self.block_checksum().of(bytes, offset)
    }

    /// What the checksums of this file's blocks depend on.
    pub fn block_checksum(&self) -> BlockChecksum {
        BlockChecksum { checksum_type: self.checksum_type, base_context_checksum: self.base_context_checksum }
    }
}

/// Sorts out everything that is no block-based table.
fn check_magic(last: &[u8], file_size: u64) -> Result<(), Error> {
    if file_size == 0 {
        return Err(Error::Empty);
    }
    let too_short = Error::TooShort { len: file_size };
    let Some((_, magic)) = last.split_last_chunk::<MAGIC_SIZE>() else {
        return Err(too_short);
    };
    let magic = u64::from_le_bytes(*magic);
    if magic == BLOCK_BASED_MAGIC {
        Ok(())
    } else if last.len() < MIN_FOOTER_SIZE {
        Err(too_short)
    } else if let Some(other) = OtherTable::from_magic(magic).or_else(|| OtherTable::from_blob_footer(last)) {
        Err(Error::OtherTable(other))
    } else {
        Err(Error::UnknownMagic { found: magic })
    }
}

fn decode_format_version(raw: &[u8; FOOTER_SIZE]) -> Result<u32, Error> {
    let mut cursor = Cursor::new(raw);
    cursor.take(FOOTER_SIZE - MAGIC_SIZE - 4).ok_or(truncated())?;
    match cursor.fixed32().ok_or(truncated())? {
        0 | 1 => Err(Error::OtherTable(OtherTable::OldBlockBased)),
        found if FORMAT_VERSIONS.contains(&found) => Ok(found),
        found => Err(Error::UnsupportedFormatVersion { found }),
    }
}

/// Decodes the middle part of format_version 6 and 7; `cursor` stands behind the checksum type.
fn decode_with_context(
    raw: &[u8; FOOTER_SIZE],
    mut cursor: Cursor<'_>,
    format_version: u32,
    checksum_type: ChecksumType,
    offset: u64,
) -> Result<Footer, Error> {
    if cursor.bytes4().ok_or(truncated())? != EXTENDED_MAGIC {
        return Err(corrupt("bad extended magic number"));
    }
    let stored = cursor.fixed32().ok_or(truncated())?;
    let base_context_checksum = cursor.fixed32().ok_or(truncated())?;
    if base_context_checksum == 0 {
        return Err(corrupt("base context checksum is 0"));
    }
    let metaindex_size = u64::from(cursor.fixed32().ok_or(truncated())?);
    // The metaindex block ends where the footer starts.
    let metaindex_offset = offset
        .checked_sub(TRAILER_SIZE)
        .and_then(|end| end.checked_sub(metaindex_size))
        .ok_or(corrupt("metaindex block is larger than the file"))?;
    let footer = Footer {
        format_version,
        checksum_type,
        base_context_checksum,
        offset,
        metaindex: BlockHandle { offset: metaindex_offset, size: metaindex_size },
        index: None,
    };
    let computed = footer.checksum_of(&without_checksum(raw), offset);
    if stored != computed {
        return Err(Error::FooterChecksum { stored, computed });
    }
    cursor.take(16).ok_or(truncated())?;
    match cursor.fixed64().ok_or(truncated())? {
        0 => Ok(footer),
        found => Err(Error::UnsupportedFeature { found }),
    }
}

/// The footer as its checksum sees it: the checksum's own 4 bytes are zero.
fn without_checksum(raw: &[u8; FOOTER_SIZE]) -> [u8; FOOTER_SIZE] {
    const CHECKSUM: std::ops::Range<usize> = 5..9;
    let mut copy = *raw;
    if let Some(checksum) = copy.get_mut(CHECKSUM) {
        checksum.fill(0);
    }
    copy
}

fn corrupt(what: &'static str) -> Error {
    Error::CorruptFooter { what }
}

fn truncated() -> Error {
    corrupt("it ends early")
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_BASED_MAGIC, EXTENDED_MAGIC, FOOTER_SIZE, Footer};
    use crate::checksum::{ChecksumType, context_modifier};
    use crate::error::Error;
    use crate::other_table::OtherTable;

    /// A footer of format_version 5 with the given version and checksum type written over.
    fn footer(format_version: u32, checksum_type: u8) -> [u8; FOOTER_SIZE] {
        let mut raw = [0; FOOTER_SIZE];
        raw[0] = checksum_type;
        raw[1..5].copy_from_slice(&[200, 1, 33, 100]);
        raw[5] = 9;
        raw[41..45].copy_from_slice(&format_version.to_le_bytes());
        raw[45..].copy_from_slice(&BLOCK_BASED_MAGIC.to_le_bytes());
        raw
    }

    #[test]
    fn old_footer_gives_both_handles() {
        let footer = Footer::decode(&footer(5, 4), 1000).unwrap();
        assert_eq!(footer.offset, 947);
        assert_eq!((footer.metaindex.offset, footer.metaindex.size), (200, 33));
        let index = footer.index.unwrap();
        assert_eq!((index.offset, index.size), (100, 9));
    }

    #[test]
    fn unknown_versions_and_checksum_types_are_named() {
        for version in [8, 100, u32::MAX] {
            assert!(matches!(
                Footer::decode(&footer(version, 4), 1000),
                Err(Error::UnsupportedFormatVersion { found }) if found == version
            ));
        }
        for version in [0, 1] {
            assert!(matches!(Footer::decode(&footer(version, 1), 1000), Err(Error::OtherTable(OtherTable::OldBlockBased))));
        }
        for checksum_type in [5, 255] {
            assert!(matches!(
                Footer::decode(&footer(5, checksum_type), 1000),
                Err(Error::UnknownChecksumType { found }) if found == checksum_type
            ));
        }
    }

    #[test]
    fn a_version_field_damaged_from_5_to_6_is_noticed() {
        assert!(matches!(Footer::decode(&footer(6, 0), 1000), Err(Error::CorruptFooter { .. })));
    }

    /// A footer of format_version 6 with a valid checksum, in a file of 1000 bytes.
    fn footer_with_context(base: u32, metaindex_size: u32, reserved: u64) -> [u8; FOOTER_SIZE] {
        let mut raw = footer(6, 4);
        raw[1..41].fill(0);
        raw[1..5].copy_from_slice(&EXTENDED_MAGIC);
        raw[9..13].copy_from_slice(&base.to_le_bytes());
        raw[13..17].copy_from_slice(&metaindex_size.to_le_bytes());
        raw[33..41].copy_from_slice(&reserved.to_le_bytes());
        let checksum = ChecksumType::Xxh3.compute(&raw).wrapping_add(context_modifier(base, 947));
        raw[5..9].copy_from_slice(&checksum.to_le_bytes());
        raw
    }

    #[test]
    fn new_footer_ends_the_metaindex_where_it_starts_itself() {
        let footer = Footer::decode(&footer_with_context(7, 42, 0), 1000).unwrap();
        assert_eq!((footer.metaindex.offset, footer.metaindex.size), (900, 42));
        assert_eq!((footer.base_context_checksum, footer.index), (7, None));
    }

    #[test]
    fn new_footers_that_ask_for_the_unknown_are_refused() {
        let decode = |base, metaindex_size, reserved| Footer::decode(&footer_with_context(base, metaindex_size, reserved), 1000);
        assert!(matches!(decode(7, 42, 1 << 63), Err(Error::UnsupportedFeature { found }) if found == 1 << 63));
        assert!(matches!(decode(0, 42, 0), Err(Error::CorruptFooter { .. })));
        assert!(matches!(decode(7, 943, 0), Err(Error::CorruptFooter { .. })));
    }

    #[test]
    fn files_too_short_for_a_footer_are_refused() {
        let raw = footer(5, 4);
        assert!(matches!(Footer::decode(&[], 0), Err(Error::Empty)));
        for len in 1..FOOTER_SIZE {
            let end = &raw[FOOTER_SIZE - len..];
            assert!(matches!(
                Footer::decode(end, len as u64),
                Err(Error::TooShort { len: found }) if found == len as u64
            ));
        }
    }
}

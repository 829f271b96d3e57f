//! Files of RocksDB that are no block-based table this crate reads, known by their magic number.

use crate::checksum::mask_crc;

/// A kind of file that is recognised, so that a report can name it, and not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherTable {
    /// A block-based table of format_version 0 or 1, which RocksDB itself no longer reads since 11.0.
    OldBlockBased,
    /// A plain table.
    Plain,
    /// A cuckoo table.
    Cuckoo,
    /// A closed blob file.
    Blob,
}

impl OtherTable {
    /// Tells the kind from the 8 bytes that end a table file.
    ///
    /// Sources, all RocksDB 11.8: `Footer::DecodeFrom`, table/format.cc (old block-based);
    /// table/plain/plain_table_builder.cc (both plain magics); table/cuckoo/cuckoo_table_builder.cc.
    pub(crate) fn from_magic(magic: u64) -> Option<Self> {
        match magic {
            0xdb47_7524_8b80_fb57 => Some(Self::OldBlockBased),
            0x8242_2296_63bf_9564 | 0x4f34_18eb_7a8f_13b8 => Some(Self::Plain),
            0x9267_89d0_c5f1_7873 => Some(Self::Cuckoo),
            _ => None,
        }
    }

    /// Tells a blob file from its last bytes, of which at least 32 are needed: a magic number of 32 bits starts the blob
    /// footer and a masked CRC-32C ends it. The checksum is asked for because 32 bits alone are met by chance.
    ///
    /// Source: `BlobLogFooter`, db/blob/blob_log_format.{h,cc}, RocksDB 11.8.
    pub(crate) fn from_blob_footer(last: &[u8]) -> Option<Self> {
        const FOOTER_SIZE: usize = 32;
        const MAGIC: [u8; 4] = 0x0024_8f37_u32.to_le_bytes();

        let footer = last.get(last.len().checked_sub(FOOTER_SIZE)?..)?;
        let (fields, crc) = footer.split_last_chunk::<4>()?;
        let closed = fields.starts_with(&MAGIC) && u32::from_le_bytes(*crc) == mask_crc(crc32c::crc32c(fields));
        closed.then_some(Self::Blob)
    }
}

impl std::fmt::Display for OtherTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OldBlockBased => "block-based table of format_version 0 or 1",
            Self::Plain => "plain table",
            Self::Cuckoo => "cuckoo table",
            Self::Blob => "blob file",
        })
    }
}

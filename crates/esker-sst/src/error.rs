//! Everything that can be wrong with a table file.

use crate::block_handle::BlockHandle;
use crate::other_table::OtherTable;
use crate::unique_id::NoUniqueId;

/// A meta block that an error speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaBlock {
    /// Maps the names of meta blocks to their handles.
    MetaIndex,
    /// Holds the table properties.
    Properties,
    /// The index block, the top level of a partitioned index, or a partition of it.
    Index,
    /// Holds what data blocks are compressed with.
    Dictionary,
    /// Holds the range deletions.
    RangeDeletions,
}

impl std::fmt::Display for MetaBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::MetaIndex => "metaindex",
            Self::Properties => "properties",
            Self::Index => "index",
            Self::Dictionary => "dictionary",
            Self::RangeDeletions => "range deletions",
        })
    }
}

/// Why a file cannot be read as a block-based table or has no identity.
///
/// The file's name is the caller's to add. [`Error::is_foreign`] tells a healthy file of another kind from a damaged one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,

    /// The file is shorter than the smallest table.
    #[error("{len} bytes are too few for a table")]
    TooShort {
        /// Bytes found.
        len: u64,
    },

    /// The file does not end in a magic number of RocksDB: no table, or a truncated one.
    #[error("unknown magic number {found:#018x}: no RocksDB table, or a truncated one")]
    UnknownMagic {
        /// The file's last 8 bytes, little-endian.
        found: u64,
    },

    /// A file of RocksDB of another kind.
    #[error("a {0}, which is not read")]
    OtherTable(OtherTable),

    /// A block-based table newer than 7, or a damaged version field.
    #[error("format_version {found} is not supported (2 to 7 are)")]
    UnsupportedFormatVersion {
        /// The version found, never 0 or 1: those are [`OtherTable::OldBlockBased`].
        found: u32,
    },

    /// The footer names a checksum kind that RocksDB up to 11.8 does not have.
    #[error("unknown checksum type {found}")]
    UnknownChecksumType {
        /// The byte found.
        found: u8,
    },

    /// The footer sets reserved bytes, which RocksDB keeps for features to come.
    #[error("the footer uses a feature of a newer RocksDB (reserved bytes {found:#018x})")]
    UnsupportedFeature {
        /// The reserved bytes, little-endian; not 0.
        found: u64,
    },

    /// The footer contradicts itself.
    #[error("corrupt footer: {what}")]
    CorruptFooter {
        /// What is wrong.
        what: &'static str,
    },

    /// The footer's own checksum, which format_version 6 brought, does not match.
    #[error("footer checksum mismatch: stored {stored:#010x}, computed {computed:#010x}")]
    FooterChecksum {
        /// Checksum in the footer.
        stored: u32,
        /// Checksum of the footer's bytes, with context.
        computed: u32,
    },

    /// A handle points outside the bytes its block may use.
    #[error("{block} block ({handle}) does not end before offset {limit}")]
    BlockOutOfBounds {
        /// Whose handle.
        block: MetaBlock,
        /// What it says.
        handle: BlockHandle,
        /// Where the block, its trailer included, must have ended.
        limit: u64,
    },

    /// A block exceeds the size up to which this crate reads it.
    #[error("{block} block ({handle}) is larger than {max_size} bytes")]
    BlockTooLarge {
        /// Which block.
        block: MetaBlock,
        /// Where and how large it claims to be.
        handle: BlockHandle,
        /// The limit in bytes.
        max_size: u64,
    },

    /// A block's bytes do not match its checksum.
    #[error("{block} block ({handle}) checksum mismatch: stored {stored:#010x}, computed {computed:#010x}")]
    BlockChecksum {
        /// Which block.
        block: MetaBlock,
        /// Where it stands.
        handle: BlockHandle,
        /// Checksum in the trailer.
        stored: u32,
        /// Checksum of the block's bytes, with context.
        computed: u32,
    },

    /// A meta block is compressed, which RocksDB never does to those read here.
    #[error("{block} block is compressed (type {compression_type}), which RocksDB does not do")]
    CompressedMetaBlock {
        /// Which block.
        block: MetaBlock,
        /// The compression type byte of its trailer.
        compression_type: u8,
    },

    /// A block's bytes match their checksum but make no sense.
    #[error("corrupt {block} block: {what}")]
    CorruptBlock {
        /// Which block.
        block: MetaBlock,
        /// What is wrong.
        what: &'static str,
    },

    /// A block cannot be decompressed: damage, or a compression that is not supported.
    #[error("{block} block ({handle}) does not decompress (type {compression_type})")]
    NotDecompressed {
        /// Which block.
        block: MetaBlock,
        /// Where it stands.
        handle: BlockHandle,
        /// The compression type byte of its trailer.
        compression_type: u8,
    },

    /// The index has an unknown type, or no type.
    #[error("unknown index type {found:?}")]
    UnknownIndexType {
        /// The number found, `None` if the properties have none.
        found: Option<u32>,
    },

    /// The index names more blocks, or longer keys, than this crate reads.
    #[error("the index has more than {max} {what}")]
    IndexTooLarge {
        /// The limit.
        max: u64,
        /// Of what.
        what: &'static str,
    },

    /// A block that the index names does not stand between its neighbours.
    #[error("the index names a block ({handle}) that is not between {from} and {limit}")]
    MisplacedBlock {
        /// What the index says.
        handle: BlockHandle,
        /// Where the block before it ended.
        from: u64,
        /// Where the block, its trailer included, must have ended.
        limit: u64,
    },

    /// The metaindex does not name a block that every table has.
    #[error("the metaindex names no {block} block")]
    MissingMetaBlock {
        /// Which block.
        block: MetaBlock,
    },

    /// A property is there with a value that cannot be its value.
    #[error("malformed property {name}")]
    MalformedProperty {
        /// The property's name in the file.
        name: &'static str,
    },

    /// The tail is longer than any RocksDB writes.
    #[error("{tail_size} bytes from the properties block to the end are more than {max_size}")]
    TailTooLarge {
        /// Bytes from the properties block to the end of the file.
        tail_size: u64,
        /// The limit in bytes.
        max_size: u64,
    },

    /// The table is healthy and has no unique id.
    #[error("no unique id: {0}")]
    NoUniqueId(#[from] NoUniqueId),

    /// The caller's [`ReadAt`](crate::ReadAt) failed.
    #[error("reading {len} bytes at offset {offset}: {source}")]
    Read {
        /// Offset of the read.
        offset: u64,
        /// Bytes wanted.
        len: u64,
        /// What the caller's reader said.
        source: std::io::Error,
    },
}

impl Error {
    /// Whether the file may well be healthy but is of a kind, version or origin without an identity, so that a backup
    /// reads and hashes it. Everything else is damage, a file that is no table, or a failed read.
    pub fn is_foreign(&self) -> bool {
        matches!(
            self,
            Self::OtherTable(_)
                | Self::UnsupportedFormatVersion { .. }
                | Self::UnknownChecksumType { .. }
                | Self::UnsupportedFeature { .. }
                | Self::BlockTooLarge { .. }
                | Self::TailTooLarge { .. }
                | Self::NotDecompressed { .. }
                | Self::UnknownIndexType { .. }
                | Self::IndexTooLarge { .. }
                | Self::NoUniqueId(_)
        )
    }
}

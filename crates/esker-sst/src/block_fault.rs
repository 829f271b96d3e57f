//! Why a block's bytes cannot be turned into entries, or entries into a block's bytes.

/// What is wrong with a block. Offset and file are the caller's to add.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockFault {
    /// The bytes contradict the format: damage, or a writer that follows other rules.
    #[error("{what}")]
    Corrupt {
        /// What is wrong.
        what: &'static str,
    },

    /// The block sets a flag that RocksDB 11.8 does not know.
    #[error("unknown flag in the word {found:#010x} that ends the block")]
    UnknownFlag {
        /// The block's last 4 bytes, little-endian.
        found: u32,
    },

    /// The block is sound, but a form cannot say how it was built.
    #[error("{what}")]
    NotExpressible {
        /// What the form has no room for.
        what: &'static str,
    },

    /// The stored bytes do not match their checksum.
    #[error("checksum mismatch: stored {stored:#010x}, computed {computed:#010x}")]
    Checksum {
        /// Checksum in the trailer.
        stored: u32,
        /// Checksum of the block's bytes and compression type, with context.
        computed: u32,
    },

    /// The entries, or the block built of them, exceed a limit.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
}

impl BlockFault {
    pub(crate) fn corrupt(what: &'static str) -> Self {
        Self::Corrupt { what }
    }
}

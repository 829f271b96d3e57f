//! Data blocks: sorted entries with shared key prefixes, to [`Entries`](crate::Entries) and back, byte for byte.
//!
//! ```text
//! entries        shared: varint32 | unshared: varint32 | value length: varint32 | key suffix | value
//! restarts       u32 each: offsets of the entries that share nothing, every restart_interval-th
//! hash index     one byte for each bucket, u16: number of buckets      (if flag 31 is set)
//! values offset  u32: where the values start                           (if flag 28 is set)
//! footer word    u32: number of restarts, flags in bits 28 to 31
//! ```
//!
//! With flag 28 keys and values stand apart: entries without values, then all values, then the restarts; an entry at a
//! restart has a fourth number, the offset of its value among the values.
//!
//! Everything in a block but its entries follows from five numbers, its [`BlockForm`]: [`decode`] finds them, [`encode`]
//! uses them. A block that RocksDB did not write, or that a later version writes otherwise, decodes to a form that encodes
//! to other bytes, or to a fault; so who relies on a form compares.
//!
//! Sources, RocksDB 11.8: table/block_based/block_builder.cc, data_block_footer.{h,cc}, data_block_hash_index.{h,cc}; the
//! same without separate values in 7.8.

mod builder;
mod decode;
mod encode;
mod hash_index;
mod layout;

pub use builder::BlockBuilder;
pub use decode::decode;
pub use encode::encode;

/// All that a data block holds beside its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BlockForm {
    /// Entries from one restart to the next. 0 if the block has one restart only, at its start: any number that is at
    /// least the number of entries means the same.
    pub restart_interval: u32,
    /// Whether a key leaves out what it shares with its predecessor, as far as possible. True if no key could.
    pub shares_prefixes: bool,
    /// Buckets of the hash index; 0 if there is none.
    pub hash_buckets: u16,
    /// Whether values stand apart from keys.
    pub separate_values: bool,
    /// Whether the block is marked as one whose keys are spread evenly. RocksDB 11.8 marks index blocks only.
    pub uniform_keys: bool,
}

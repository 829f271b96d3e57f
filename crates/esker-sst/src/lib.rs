//! RocksDB block-based tables, read as bytes: no I/O, no RocksDB.
//!
//! A table file ends in what tells one file from every other:
//!
//! ```text
//! data blocks | filter, index, dictionary, range deletions | properties | metaindex | footer
//!                                                          ^ tail_offset                    ^ size
//! ```
//!
//! The footer, 53 bytes, names the checksum kind and the metaindex block; that block maps names to block handles; one of
//! them leads to the properties block, which holds the database id, the session id and the file number from which RocksDB
//! derives the file's unique id. [`identify`] walks this way and returns a [`TableIdentity`]: the id, the size, and where
//! the tail begins. A backup that hashes the tail knows whether it has stored this very file before, without reading the
//! data. Why the tail and not only the id: an id names a file, it does not prove its bytes (see [`global_seqno`]).
//!
//! [`TableMap`] reads the index, which says where the data blocks stand; [`data_block`] turns each into [`Entries`] and a
//! [`BlockForm`], and these back into the same bytes; [`BlockChecksum`] opens and seals blocks as stored.
//!
//! The order above is that of `BlockBasedTableBuilder::Finish` (table/block_based/block_based_table_builder.cc, RocksDB
//! 11.8); files written by 7.8 have it too. Every fact taken from RocksDB names its file and version where it is used.
//!
//! Nothing here trusts its input: every length is checked before use, no allocation exceeds a named limit, and damage is
//! an [`Error`], never a panic.

#![deny(clippy::indexing_slicing)]
#![forbid(unsafe_code)]

mod bijective_hash;
pub mod block;
mod block_fault;
pub mod block_handle;
pub mod checksum;
pub mod compression;
mod cursor;
pub mod data_block;
pub mod encoder;
mod entries;
mod error;
pub mod footer;
pub mod global_seqno;
mod identity;
pub mod internal_key;
pub mod meta_entries;
pub mod metaindex;
mod murmur;
mod other_table;
mod properties;
mod range_deletions;
mod read_at;
mod read_block;
pub mod rest;
pub mod session_id;
pub mod table_map;
mod table_tail;
mod unique_id;
mod varint;

pub use block::{BlockChecksum, StoredBlock};
pub use block_fault::BlockFault;
pub use block_handle::BlockHandle;
pub use checksum::ChecksumType;
pub use data_block::BlockForm;
pub use entries::{ENTRIES_BYTES_MAX, Entries};
pub use error::{Error, MetaBlock};
pub use footer::Footer;
pub use identity::{MAX_TAIL_SIZE, TableIdentity, identify};
pub use metaindex::NamedBlock;
pub use other_table::OtherTable;
pub use properties::TableProperties;
pub use range_deletions::range_deletions;
pub use read_at::ReadAt;
pub use read_block::{ReadFault, TableBlockReader};
pub use table_map::TableMap;
pub use table_tail::{MAX_METAINDEX_SIZE, MAX_PROPERTIES_SIZE, TableTail};
pub use unique_id::{InternalUniqueId, NoUniqueId, UniqueId};

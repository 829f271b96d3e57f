//! Which file a table file is.

use crate::error::Error;
use crate::read_at::ReadAt;
use crate::table_tail::TableTail;
use crate::unique_id::{InternalUniqueId, UniqueId};

/// Longest tail of a table that has an identity, in bytes, so that a caller may read it at once. RocksDB writes
/// properties, metaindex and footer one behind the other, so a longer tail is made up.
pub const MAX_TAIL_SIZE: u64 = 17 << 20;

/// What tells a table file from every other without reading its data.
///
/// Two files with equal ids, equal sizes and equal hashes of their tails are taken for the same file. The id alone does
/// not do: `write_global_seqno` and damage keep it. The tail holds the entry counts, the times, the global sequence
/// number and, from format_version 6 on, a random number of the file, and pins the size of everything before it. Damage
/// to the data blocks stays unseen, which is why backups read files again in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableIdentity {
    /// RocksDB's id of 192 bits.
    pub unique_id: UniqueId,
    /// Length of the file in bytes.
    pub size: u64,
    /// Where the properties block starts: from here to `size` reaches the tail.
    pub tail_offset: u64,
}

impl TableIdentity {
    /// Length of the tail in bytes: more than 0, at most [`MAX_TAIL_SIZE`] if made by [`identify`].
    pub fn tail_size(&self) -> u64 {
        self.size.saturating_sub(self.tail_offset)
    }
}

impl TableTail {
    /// The identity of the table with this tail, if its properties give it a unique id.
    pub fn identity(&self) -> Result<TableIdentity, Error> {
        let unique_id = InternalUniqueId::from_properties(&self.properties)?.to_public();
        let identity = TableIdentity { unique_id, size: self.size, tail_offset: self.properties_block.offset };
        let tail_size = identity.tail_size();
        if tail_size > MAX_TAIL_SIZE {
            return Err(Error::TailTooLarge { tail_size, max_size: MAX_TAIL_SIZE });
        }
        Ok(identity)
    }
}

/// The identity of a table file. Reads a few KiB at its end, see [`TableTail::read`] for the bound.
///
/// Fails for anything that is no healthy block-based table with a unique id; [`Error::is_foreign`] tells the files that
/// are to be read and hashed from those that are to be reported.
pub fn identify<R: ReadAt + ?Sized>(file: &R) -> Result<TableIdentity, Error> {
    TableTail::read(file)?.identity()
}

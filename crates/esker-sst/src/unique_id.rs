//! The id that RocksDB gives every table file, of 192 bits.
//!
//! It is a function of the database id, the session id and the file number in the table's properties, so it stays with
//! the file through copies, links, ingestion and renumbering. RocksDB also knows a form of 128 bits, the first two thirds
//! of this one; its header recommends 192 for "a shared global namespace for SST file backups"
//! (include/rocksdb/unique_id.h, RocksDB 11.8). Both are stable by promise.

use std::fmt;

use twox_hash::XxHash3_128;

use crate::bijective_hash::bijective_hash;
use crate::properties::TableProperties;
use crate::session_id::SessionId;

/// Why a table has no unique id. Tables of RocksDB before 6.24 and of other writers have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoUniqueId {
    /// There is no database id.
    #[error("the table has no database id")]
    NoDbId,
    /// There is no original file number.
    #[error("the table has no original file number")]
    NoFileNumber,
    /// There is no session id.
    #[error("the table has no session id")]
    NoSessionId,
    /// The session id is not 13 to 24 base-36 digits.
    #[error("the table's session id is malformed")]
    MalformedSessionId,
}

/// RocksDB's internal form of the id: three words with more structure. The MANIFEST stores the first two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InternalUniqueId([u64; 3]);

impl InternalUniqueId {
    /// Computes the id of the table with these properties.
    pub fn from_properties(properties: &TableProperties) -> Result<Self, NoUniqueId> {
        Self::new(
            properties.db_id.as_deref().unwrap_or_default(),
            properties.db_session_id.as_deref().unwrap_or_default(),
            properties.original_file_number,
        )
    }

    /// Computes the id from its parts; an empty id or the number 0 means that the part is missing.
    ///
    /// Source: `GetSstInternalUniqueId` without force, table/unique_id.cc, and `Hash2x64`, util/hash.cc, RocksDB 11.8.
    pub fn new(db_id: &[u8], db_session_id: &[u8], original_file_number: u64) -> Result<Self, NoUniqueId> {
        if db_id.is_empty() {
            return Err(NoUniqueId::NoDbId);
        }
        if original_file_number == 0 {
            return Err(NoUniqueId::NoFileNumber);
        }
        if db_session_id.is_empty() {
            return Err(NoUniqueId::NoSessionId);
        }
        let session = SessionId::decode(db_session_id).ok_or(NoUniqueId::MalformedSessionId)?;
        let hash = XxHash3_128::oneshot_with_seed(session.upper, db_id);
        let (high, low) = ((hash >> 64) as u64, hash as u64);
        Ok(Self([session.lower, high ^ original_file_number, low]))
    }

    /// The three words, in RocksDB's order.
    pub fn words(&self) -> [u64; 3] {
        self.0
    }

    /// The public form, which hides the structure and loses nothing.
    ///
    /// Source: `InternalUniqueIdToExternal` and `EncodeUniqueIdBytes`, table/unique_id.cc, RocksDB 11.8.
    pub fn to_public(self) -> UniqueId {
        // They make zero map to zero, so that zero can stand for no id.
        const HIGH_OFFSET: u64 = 17_391_078_804_906_429_400;
        const LOW_OFFSET: u64 = 6_417_269_962_128_484_497;
        let [low, high, extra] = self.0;
        let (high, low) = bijective_hash(high.wrapping_add(HIGH_OFFSET), low.wrapping_add(LOW_OFFSET));
        UniqueId::from_words([low, high, extra.wrapping_add(low).wrapping_add(high)])
    }
}

/// RocksDB's public, extended unique id of a table file: 24 bytes (`GetExtendedUniqueIdFromTableProperties`).
///
/// It says which file this is. It does not prove that the bytes are still those that were written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UniqueId([u8; 24]);

impl UniqueId {
    /// The id with these bytes, as stored earlier.
    pub fn from_bytes(bytes: [u8; 24]) -> Self {
        Self(bytes)
    }

    /// The id's bytes, in RocksDB's order; the first 16 are the 128-bit form.
    pub fn as_bytes(&self) -> &[u8; 24] {
        &self.0
    }

    fn from_words([first, second, third]: [u64; 3]) -> Self {
        let mut bytes = [0; 24];
        let words = [first, second, third];
        for (target, word) in bytes.chunks_exact_mut(8).zip(words) {
            target.copy_from_slice(&word.to_le_bytes());
        }
        Self(bytes)
    }
}

/// As `UniqueIdToHumanString` prints it: three groups of 16 hexadecimal digits.
impl fmt::Display for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            if place == 8 || place == 16 {
                f.write_str("-")?;
            }
            write!(f, "{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UniqueId({self})")
    }
}

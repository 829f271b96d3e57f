//! How the keys of a column family are made and sorted.

use esker_format::run::KeyOrder;

use crate::error::{OpsError, Result};

/// Bytes of sequence number and type behind every key.
pub(super) const TRAILER_BYTES: usize = 8;
/// Bytes of the timestamps of RocksDB's own comparators that have any.
const TIMESTAMP_BYTES: usize = 8;

/// Order and form of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyForm {
    pub(super) order: KeyOrder,
    /// Bytes of timestamp at the end of each user key.
    pub(super) timestamp_size: usize,
}

/// An internal key in parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct InternalKey<'k> {
    pub(super) key: &'k [u8],
    pub(super) timestamp: &'k [u8],
    pub(super) sequence: u64,
    pub(super) kind: u8,
}

impl<'k> InternalKey<'k> {
    pub(super) fn of(key: &'k [u8], timestamp: &'k [u8], trailer: u64) -> Self {
        Self { key, timestamp, sequence: trailer >> 8, kind: (trailer & 0xff) as u8 }
    }
}

impl KeyForm {
    /// The form by the comparator's name (`BytewiseComparator` and the like, util/comparator.cc, RocksDB 11.8).
    ///
    /// # Errors
    /// `Unreadable` for a comparator of an application's own.
    pub(super) fn of(comparator: Option<&str>) -> Result<Self> {
        let (order, timestamp_size) = match comparator {
            Some("leveldb.BytewiseComparator") => (KeyOrder::Ascending, 0),
            Some("rocksdb.ReverseBytewiseComparator") => (KeyOrder::Descending, 0),
            Some("leveldb.BytewiseComparator.u64ts") => (KeyOrder::Ascending, TIMESTAMP_BYTES),
            Some("rocksdb.ReverseBytewiseComparator.u64ts") => (KeyOrder::Descending, TIMESTAMP_BYTES),
            other => {
                let name = other.unwrap_or("of an unknown name");
                return Err(OpsError::Unreadable(format!("its keys are sorted by the comparator {name}, which only the application has")));
            }
        };
        Ok(Self { order, timestamp_size })
    }

    /// A user key with its timestamp, in parts; `None` if it is too short.
    pub(super) fn split_user<'k>(&self, user_key: &'k [u8]) -> Option<(&'k [u8], &'k [u8])> {
        user_key.split_at_checked(user_key.len().checked_sub(self.timestamp_size)?)
    }

    /// An internal key in parts; `None` if it is too short.
    pub(super) fn split<'k>(&self, internal: &'k [u8]) -> Option<InternalKey<'k>> {
        let (user_key, trailer) = internal.split_last_chunk::<TRAILER_BYTES>()?;
        let (key, timestamp) = self.split_user(user_key)?;
        Some(InternalKey::of(key, timestamp, u64::from_le_bytes(*trailer)))
    }
}

/// A timestamp as a number; 0 if the key has none.
pub(super) fn time_of(timestamp: &[u8]) -> u64 {
    timestamp.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

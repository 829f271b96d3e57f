//! The key of an entry as files hold it: user key, then 8 bytes of sequence number and type.

/// Bytes behind the user key: `sequence << 8 | type`, little-endian (`kNumInternalBytes`, db/dbformat.h, RocksDB 11.8).
pub const TRAILER_LEN: usize = 8;

/// The user key of an internal key, with its timestamp if the table keeps one. `None` if the key is too short to be one.
pub fn user_key(key: &[u8]) -> Option<&[u8]> {
    key.split_last_chunk::<TRAILER_LEN>().map(|(user_key, _)| user_key)
}

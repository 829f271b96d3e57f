//! What a table's filters hold: which part of each key, hashed how.

use crate::murmur::murmur;
use crate::rest::xxph3::xxph3;

/// Seed of `BloomHash`, util/hash.h, RocksDB 11.8.
const BLOOM_SEED: u32 = 0xbc9f_1d34;

/// How filters hash keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyHash {
    /// 64 bits: filters of format_version 5 and later (`GetSliceHash64`, util/hash.h, RocksDB 11.8).
    Xxph3,
    /// 32 bits: older filters (`BloomHash`, util/hash.h, RocksDB 11.8).
    Murmur,
}

/// What of each user key goes into the filters of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterKeys {
    /// How keys are hashed; `None` where no filter is to be rebuilt, and nothing is hashed.
    pub hash: Option<KeyHash>,
    /// Bytes at the end of user keys, their timestamp, that filters leave out.
    pub timestamp_size: u8,
}

impl FilterKeys {
    /// For tables without a filter that could be rebuilt.
    pub const NONE: Self = Self { hash: None, timestamp_size: 0 };

    /// As a number, for storing: timestamp size times 4, and 0 for no hash, 1 for [`KeyHash::Xxph3`], 2 for
    /// [`KeyHash::Murmur`].
    pub fn to_number(self) -> u64 {
        let hash = match self.hash {
            None => 0,
            Some(KeyHash::Xxph3) => 1,
            Some(KeyHash::Murmur) => 2,
        };
        u64::from(self.timestamp_size) << 2 | hash
    }

    /// From the number of [`to_number`](Self::to_number); `None` if it is none.
    pub fn from_number(number: u64) -> Option<Self> {
        let hash = match number & 3 {
            0 => None,
            1 => Some(KeyHash::Xxph3),
            2 => Some(KeyHash::Murmur),
            _ => return None,
        };
        Some(Self { hash, timestamp_size: u8::try_from(number >> 2).ok()? })
    }

    /// The part of an internal key that filters hold; empty if the key is shorter than what it must end in.
    #[inline]
    pub(super) fn part_of<'k>(&self, internal_key: &'k [u8]) -> &'k [u8] {
        let end = internal_key.len().saturating_sub(8 + usize::from(self.timestamp_size));
        internal_key.get(..end).unwrap_or_default()
    }

    /// Hash of such a part; a 32-bit hash in the lower half.
    #[inline]
    pub(super) fn hash_of(&self, part: &[u8]) -> Option<u64> {
        match self.hash? {
            KeyHash::Xxph3 => Some(xxph3(part)),
            KeyHash::Murmur => Some(murmur(BLOOM_SEED, part).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FilterKeys, KeyHash};

    #[test]
    fn numbers_stand_for_what_they_were_made_of() {
        for hash in [None, Some(KeyHash::Xxph3), Some(KeyHash::Murmur)] {
            for timestamp_size in [0, 8, 255] {
                let keys = FilterKeys { hash, timestamp_size };
                assert_eq!(FilterKeys::from_number(keys.to_number()), Some(keys));
            }
        }
        assert_eq!(FilterKeys::from_number(3), None);
        assert_eq!(FilterKeys::from_number(256 << 2), None);
    }

    #[test]
    fn keys_too_short_for_their_trailer_and_timestamp_have_an_empty_part() {
        let keys = FilterKeys { timestamp_size: 8, ..FilterKeys::NONE };
        assert_eq!(keys.part_of(b"user key timestamp trailer."), b"user key ti");
        assert_eq!(keys.part_of(b"0123456789abcde"), b"");
        assert_eq!(keys.part_of(b""), b"");
    }
}

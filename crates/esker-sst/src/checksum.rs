//! The 32-bit checksums of blocks and footers.

use twox_hash::{XxHash3_64, XxHash32, XxHash64};

/// How the blocks of a file, and from format_version 6 on its footer, are checksummed.
///
/// Source: `ChecksumType`, include/rocksdb/table.h, RocksDB 11.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumType {
    /// No checksum: the stored value is 0 (plus the context of format_version 6).
    None,
    /// CRC-32C, masked.
    Crc32c,
    /// XXH32, seed 0.
    XxHash,
    /// Lower half of XXH64, seed 0.
    XxHash64,
    /// Lower half of XXH3 over all bytes but the last, which is mixed in apart.
    Xxh3,
}

impl ChecksumType {
    /// The type stored as `byte`, or `None` if no RocksDB up to 11.8 writes it.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::None,
            1 => Self::Crc32c,
            2 => Self::XxHash,
            3 => Self::XxHash64,
            4 => Self::Xxh3,
            _ => return None,
        })
    }

    /// The byte that a footer stores for it.
    pub fn to_byte(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Crc32c => 1,
            Self::XxHash => 2,
            Self::XxHash64 => 3,
            Self::Xxh3 => 4,
        }
    }

    /// The checksum of `data`, without context.
    ///
    /// Source: `ComputeBuiltinChecksum`, table/format.cc, RocksDB 11.8.
    pub fn compute(self, data: &[u8]) -> u32 {
        match self {
            Self::None => 0,
            Self::Crc32c => mask_crc(crc32c::crc32c(data)),
            Self::XxHash => XxHash32::oneshot(0, data),
            Self::XxHash64 => lower_half(XxHash64::oneshot(0, data)),
            Self::Xxh3 => match data.split_last() {
                None => 0,
                Some((last, rest)) => mix_last_byte(lower_half(XxHash3_64::oneshot(rest)), *last),
            },
        }
    }
}

/// What format_version 6 adds, modulo 2^32, to a checksum: it depends on the file and on the offset, so that a block
/// copied from another file or place fails its check. A `base` of 0 means no context and gives 0.
///
/// Source: `ChecksumModifierForContext`, table/format.h, RocksDB 11.8.
pub fn context_modifier(base: u32, offset: u64) -> u32 {
    if base == 0 {
        return 0;
    }
    base ^ lower_half(offset).wrapping_add(lower_half(offset >> 32))
}

/// Source: `crc32c::Mask`, util/crc32c.h, RocksDB 11.8.
pub(crate) fn mask_crc(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Source: `ModifyChecksumForLastByte`, table/format.cc, RocksDB 11.8.
fn mix_last_byte(checksum: u32, last: u8) -> u32 {
    checksum ^ u32::from(last).wrapping_mul(0x6b90_83d9)
}

fn lower_half(value: u64) -> u32 {
    (value & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::{ChecksumType, context_modifier, mask_crc};

    #[test]
    fn crc_is_masked_as_rocksdb_masks_it() {
        // crc32c of 32 zero bytes: RFC 3720, B.4.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(ChecksumType::Crc32c.compute(&[0; 32]), mask_crc(0x8a91_36aa));
        assert_eq!(mask_crc(0x8a91_36aa), 0x0fd7_fffa);
    }

    #[test]
    fn no_checksum_and_empty_xxh3_are_zero() {
        assert_eq!(ChecksumType::None.compute(b"abc"), 0);
        assert_eq!(ChecksumType::Xxh3.compute(b""), 0);
    }

    #[test]
    fn context_depends_on_both_halves_of_the_offset_and_is_off_for_base_zero() {
        assert_eq!(context_modifier(0, 77), 0);
        assert_eq!(context_modifier(5, 0), 5);
        assert_eq!(context_modifier(5, 1 << 32), 5 ^ 1);
        assert_eq!(context_modifier(5, (1 << 32) | u64::from(u32::MAX)), 5);
    }
}

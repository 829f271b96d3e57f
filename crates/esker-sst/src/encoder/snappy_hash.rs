//! The hash functions of Snappy's versions: what its output changed by from 1.1.8 to the commit behind 1.1.10 that was read.
//!
//! Each turns 4 bytes into a place of a table whose size is a power of two, from 256 to the version's largest. A table's places
//! are counted by `mask`, its size less 1.

const MULTIPLIER: u32 = 0x1e35_a7bd;

/// A version's hash function and largest table.
pub(super) trait SnappyHash {
    /// Places of the largest table.
    const MAX_PLACES: usize;

    fn of(bytes: u32, mask: u32) -> usize;
}

/// Up to 1.1.8: as many of the product's upper bits as the table needs.
pub(super) struct UpperBits;
impl SnappyHash for UpperBits {
    const MAX_PLACES: usize = 1 << 14;

    #[inline(always)]
    fn of(bytes: u32, mask: u32) -> usize {
        (bytes.wrapping_mul(MULTIPLIER) >> mask.leading_zeros()) as usize
    }
}

/// 1.1.9: the lower ones of the product's 14 upper bits.
pub(super) struct Of14Bits;
impl SnappyHash for Of14Bits {
    const MAX_PLACES: usize = 1 << 14;

    #[inline(always)]
    fn of(bytes: u32, mask: u32) -> usize {
        ((bytes.wrapping_mul(MULTIPLIER) >> 18) & mask) as usize
    }
}

/// From 1.1.10, compiled without CRC instructions: the lower ones of the product's 15 upper bits.
pub(super) struct Of15Bits;
impl SnappyHash for Of15Bits {
    const MAX_PLACES: usize = 1 << 15;

    #[inline(always)]
    fn of(bytes: u32, mask: u32) -> usize {
        ((bytes.wrapping_mul(MULTIPLIER) >> 17) & mask) as usize
    }
}

/// From 1.1.10, compiled with the CRC instruction of SSE 4.2 or ARMv8: CRC32C of twice the mask, begun with the bytes.
pub(super) struct Crc;
impl SnappyHash for Crc {
    const MAX_PLACES: usize = 1 << 15;

    #[inline(always)]
    fn of(bytes: u32, mask: u32) -> usize {
        ((crc_of_word(bytes ^ (mask << 1)) >> 1) & mask) as usize
    }
}

/// What the CRC32C instruction makes of a word, which is a function of word xor CRC before.
#[inline(always)]
fn crc_of_word(word: u32) -> u32 {
    let [first, second, third, fourth] = word.to_le_bytes();
    let [of_fourth, of_third, of_second, of_first] = &CRC_TABLES;
    let pick = |table: &[u32; 256], byte: u8| table.get(usize::from(byte)).copied().unwrap_or_default();
    pick(of_first, first) ^ pick(of_second, second) ^ pick(of_third, third) ^ pick(of_fourth, fourth)
}

/// Slicing tables of CRC32C (reflected polynomial 0x82f63b78): the CRC of a byte followed by 0, 1, 2 and 3 zero bytes.
static CRC_TABLES: [[u32; 256]; 4] = crc_tables();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler, which reports an index out of range")]
const fn crc_tables() -> [[u32; 256]; 4] {
    let mut tables = [[0; 256]; 4];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut zeros = 0;
        while zeros < 4 {
            let mut bit = 0;
            while bit < 8 {
                crc = (crc >> 1) ^ (if crc & 1 == 1 { 0x82f6_3b78 } else { 0 });
                bit += 1;
            }
            tables[zeros][byte] = crc;
            zeros += 1;
        }
        byte += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_crc_is_that_of_crc32c() {
        for word in [0, 1, 0x1234_5678, u32::MAX] {
            assert_eq!(crc_of_word(!word), !crc32c::crc32c(&word.to_le_bytes()));
        }
    }

    #[test]
    fn no_hash_leaves_its_table() {
        for mask in [0xff, 0xfff, 0x3fff] {
            for bytes in [0, 1, 0x6162_6364, u32::MAX] {
                for place in [UpperBits::of(bytes, mask), Of14Bits::of(bytes, mask), Of15Bits::of(bytes, mask), Crc::of(bytes, mask)] {
                    assert!(place <= mask as usize);
                }
            }
        }
    }
}

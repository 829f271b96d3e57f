//! The text form of a database session id.

/// Digits that hold the lower 62 bits.
const LOWER_DIGITS: usize = 12;

/// Lengths accepted; RocksDB writes 20.
const LENGTHS: std::ops::RangeInclusive<usize> = 13..=24;

/// A session id: about 103 random bits, drawn at every opening of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionId {
    /// Of the 64 bits about 39 are kept by the text form.
    pub upper: u64,
    /// Kept in full. Distinct among all sessions of one process.
    pub lower: u64,
}

impl SessionId {
    /// Decodes base-36 text of 13 to 24 digits, in either case: the last 12 digits hold the lower 62 bits, those before
    /// hold the other bits. Overflow wraps. `None` for another length or another character.
    ///
    /// Source: `DecodeSessionId`, table/unique_id.cc, and `ParseBaseChars`, util/string_util.h, RocksDB 11.8.
    pub fn decode(text: &[u8]) -> Option<Self> {
        const LOWER_MASK: u64 = u64::MAX >> 2;
        if !LENGTHS.contains(&text.len()) {
            return None;
        }
        let (front, back) = text.split_at_checked(text.len().checked_sub(LOWER_DIGITS)?)?;
        let (front, back) = (base36(front)?, base36(back)?);
        Some(Self { upper: front >> 2, lower: (back & LOWER_MASK) | (front << 62) })
    }
}

fn base36(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = char::from(*digit).to_digit(36)?;
        Some(value.wrapping_mul(36).wrapping_add(u64::from(digit)))
    })
}

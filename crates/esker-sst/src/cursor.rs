//! Reading integers and slices from the front of a byte slice, bounds checked.
//!
//! Encodings: util/coding.h and util/coding_lean.h, RocksDB 11.8.

/// The unread rest of a byte slice. Every read advances it, or returns `None` and leaves the caller to report damage.
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn bytes4(&mut self) -> Option<[u8; 4]> {
        self.array()
    }

    pub(crate) fn fixed32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn fixed64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// LEB128, at most 10 bytes. RocksDB drops bits beyond the 64th; no writer makes them, so here they are damage.
    pub(crate) fn varint64(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let shifted = bits << shift;
            if shifted >> shift != bits {
                return None;
            }
            value |= shifted;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A signed number: zigzag, then LEB128 (`PutVarsignedint64`).
    pub(crate) fn varint_signed64(&mut self) -> Option<i64> {
        let value = self.varint64()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A LEB128 number that fits 32 bits.
    pub(crate) fn varint32(&mut self) -> Option<u32> {
        u32::try_from(self.varint64()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Cursor;

    #[test]
    fn varints_of_every_length_are_read() {
        for (bytes, value) in [
            (&[0x00][..], 0),
            (&[0x7f], 127),
            (&[0x80, 0x01], 128),
            (&[0xff, 0xff, 0xff, 0xff, 0x0f], u64::from(u32::MAX)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], u64::MAX),
        ] {
            assert_eq!(Cursor::new(bytes).varint64(), Some(value));
        }
    }

    #[test]
    fn varints_that_end_early_or_overflow_are_refused() {
        assert_eq!(Cursor::new(&[]).varint64(), None);
        assert_eq!(Cursor::new(&[0x80]).varint64(), None);
        assert_eq!(Cursor::new(&[0xff; 11]).varint64(), None);
        let mut bit_65 = [0xff; 10];
        bit_65[9] = 0x03;
        assert_eq!(Cursor::new(&bit_65).varint64(), None);
        assert_eq!(Cursor::new(&[0x80, 0x80, 0x80, 0x80, 0x10]).varint32(), None);
    }

    #[test]
    fn signed_numbers_alternate_around_zero() {
        for (bytes, value) in [(&[0][..], 0), (&[1], -1), (&[2], 1), (&[3], -2), (&[0x80, 0x01], 64)] {
            assert_eq!(Cursor::new(bytes).varint_signed64(), Some(value));
        }
        let least = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Cursor::new(&least).varint_signed64(), Some(i64::MIN));
    }

    #[test]
    fn a_slice_longer_than_the_rest_is_refused() {
        let mut cursor = Cursor::new(&[1, 2, 3]);
        assert_eq!(cursor.take(2), Some(&[1, 2][..]));
        assert_eq!(cursor.take(2), None);
        assert_eq!(cursor.remaining(), 1);
        assert_eq!(cursor.fixed32(), None);
    }
}

//! Variable-length numbers in hot loops: LEB128 (util/coding.h, RocksDB 11.8).

/// Takes a number of at most 5 bytes off the front. `None` if the bytes end in it or it exceeds 32 bits.
#[inline]
pub(crate) fn take_varint32(bytes: &mut &[u8]) -> Option<u32> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        *bytes = rest;
        return Some(u32::from(first));
    }
    take_long(bytes)
}

fn take_long(bytes: &mut &[u8]) -> Option<u32> {
    let mut value = 0u64;
    for (place, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            *bytes = bytes.get(place + 1..)?;
            return u32::try_from(value).ok();
        }
    }
    None
}

/// Appends a number in its shortest form.
#[inline]
pub(crate) fn put_varint32(mut value: u32, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a number of 64 bits in its shortest form.
#[inline]
pub(crate) fn put_varint64(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed number: zigzag, then LEB128 (`PutVarsignedint64`).
#[inline]
pub(crate) fn put_varint_signed64(value: i64, out: &mut Vec<u8>) {
    put_varint64(((value << 1) ^ (value >> 63)) as u64, out);
}

#[cfg(test)]
mod tests {
    use super::{put_varint_signed64, put_varint32, put_varint64, take_varint32};
    use crate::cursor::Cursor;

    #[test]
    fn numbers_of_every_length_come_back() {
        for value in [0, 1, 127, 128, 16_383, 16_384, (1 << 21) - 1, 1 << 21, (1 << 28) - 1, 1 << 28, u32::MAX] {
            let mut bytes = Vec::new();
            put_varint32(value, &mut bytes);
            bytes.push(9);
            let mut rest = &bytes[..];
            assert_eq!((take_varint32(&mut rest), rest), (Some(value), &[9][..]));
        }
    }

    #[test]
    fn numbers_of_64_bits_and_signed_ones_come_back() {
        for value in [0, 127, 128, u64::from(u32::MAX) + 1, u64::MAX] {
            let (mut plain, mut signed) = (Vec::new(), Vec::new());
            put_varint64(value, &mut plain);
            put_varint_signed64(value as i64, &mut signed);
            assert_eq!(Cursor::new(&plain).varint64(), Some(value));
            assert_eq!(Cursor::new(&signed).varint_signed64(), Some(value as i64));
        }
    }

    #[test]
    fn numbers_that_end_early_or_exceed_32_bits_are_refused() {
        for bytes in [&[][..], &[0x80], &[0xff, 0xff], &[0xff, 0xff, 0xff, 0xff, 0x10], &[0x80; 6]] {
            assert_eq!(take_varint32(&mut &bytes[..]), None);
        }
    }
}

//! Variable-length numbers of 32 bits in hot loops: LEB128, at most 5 bytes (util/coding.h, RocksDB 11.8).

/// Takes a number off the front. `None` if the bytes end in it or it exceeds 32 bits.
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

#[cfg(test)]
mod tests {
    use super::{put_varint32, take_varint32};

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
    fn numbers_that_end_early_or_exceed_32_bits_are_refused() {
        for bytes in [&[][..], &[0x80], &[0xff, 0xff], &[0xff, 0xff, 0xff, 0xff, 0x10], &[0x80; 6]] {
            assert_eq!(take_varint32(&mut &bytes[..]), None);
        }
    }
}

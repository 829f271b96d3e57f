//! The primitives every record is made of (format-spec chapter 0): little-endian integers, canonical varints,
//! length-prefixed bytes. `Writer` and `Reader` are a pair; what one writes the other reads.

use crate::error::{FormatError, Result};
use crate::{formats, limits};

/// Items that a list makes room for before it has read any: a short item may be a long one in memory.
const LIST_RESERVED: usize = 1024;

/// A record with one encoding.
pub trait Record: Sized {
    /// What people call it, for errors.
    const NAME: &'static str;

    /// The lowest format that can express this record where it is an object of its own (V4).
    fn format(&self) -> u16 {
        formats::FIRST
    }

    /// Appends the record.
    fn write(&self, out: &mut Writer);

    /// Reads the record that `write` wrote, in the layout of the reader's format.
    ///
    /// # Errors
    /// Whatever is wrong with the bytes.
    fn read(input: &mut Reader<'_>) -> Result<Self>;

    /// The record's bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.write(&mut out);
        out.into_bytes()
    }

    /// The record that these bytes hold, all of them, in the first format.
    ///
    /// # Errors
    /// Whatever is wrong with the bytes, also bytes left over.
    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::from_bytes_in(formats::FIRST, bytes)
    }

    /// The record that these bytes hold, all of them, as they stand in an object of this format.
    ///
    /// # Errors
    /// As `from_bytes`.
    fn from_bytes_in(format: u16, bytes: &[u8]) -> Result<Self> {
        let mut input = Reader::in_format(format, bytes);
        let record = Self::read(&mut input)?;
        input.finish(Self::NAME)?;
        Ok(record)
    }
}

/// Builds the bytes of a record.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// With room for so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_le_bytes());
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    /// LEB128: seven bits a byte, least significant first, the shortest form.
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.bytes.push(value.to_le_bytes()[0]);
    }

    /// A signed number as a varint of its zigzag form.
    pub fn signed(&mut self, value: i64) {
        self.varint((value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned());
    }

    /// Bytes as they are; the reader must know how many.
    pub fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }

    /// A varint length, then the bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        self.varint(value.len() as u64);
        self.raw(value);
    }

    /// UTF-8 text as `bytes`.
    pub fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// A flag byte (0 or 1), then the value if there is one.
    pub fn option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            put(self, value);
        }
    }

    /// A varint count, then every item.
    pub fn list<T>(&mut self, items: &[T], mut put: impl FnMut(&mut Self, &T)) {
        self.varint(items.len() as u64);
        items.iter().for_each(|item| put(self, item));
    }

    /// How many bytes were written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All that was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads the bytes of a record and never past their end.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
    format: u16,
}

impl<'a> Reader<'a> {
    /// Starts at the first of these bytes, of the first format.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::in_format(formats::FIRST, bytes)
    }

    /// Starts at the first of these bytes, which stand in an object of this format.
    pub fn in_format(format: u16, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0, format }
    }

    /// The format of the object that the bytes stand in; what it decides is read by it.
    pub fn format(&self) -> u16 {
        self.format
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next `len` bytes as they are.
    ///
    /// # Errors
    /// `CutShort`.
    pub fn raw(&mut self, len: usize, field: &'static str) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(len) {
            Some((head, rest)) => {
                self.rest = rest;
                self.offset += len;
                Ok(head)
            }
            None => Err(self.cut_short(field, len as u64)),
        }
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// `CutShort`.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.raw(N, field)?);
        Ok(out)
    }

    /// One byte.
    ///
    /// # Errors
    /// `CutShort`.
    pub fn u8(&mut self, field: &'static str) -> Result<u8> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    /// Two bytes, little-endian.
    ///
    /// # Errors
    /// `CutShort`.
    pub fn u16(&mut self, field: &'static str) -> Result<u16> {
        self.array(field).map(u16::from_le_bytes)
    }

    /// Four bytes, little-endian.
    ///
    /// # Errors
    /// `CutShort`.
    pub fn u32(&mut self, field: &'static str) -> Result<u32> {
        self.array(field).map(u32::from_le_bytes)
    }

    /// Eight bytes, little-endian.
    ///
    /// # Errors
    /// `CutShort`.
    pub fn u64(&mut self, field: &'static str) -> Result<u64> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// A varint in its shortest form.
    ///
    /// # Errors
    /// `CutShort`, `BadValue` for one that is too long or over 64 bits.
    #[inline]
    pub fn varint(&mut self, field: &'static str) -> Result<u64> {
        // Most numbers are small, and there are millions of them.
        let (value, rest, taken) = match self.rest {
            [byte @ ..0x80, rest @ ..] => (u64::from(*byte), rest, 1),
            [low, high @ 1..0x80, rest @ ..] => (u64::from(low & 0x7f) | u64::from(*high) << 7, rest, 2),
            _ => return self.long_varint(field),
        };
        self.rest = rest;
        self.offset = self.offset.wrapping_add(taken);
        Ok(value)
    }

    fn long_varint(&mut self, field: &'static str) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(field)?;
            let bits = u64::from(byte & 0x7f);
            if (shift == 63 && bits > 1) || (shift > 0 && byte == 0) {
                return Err(FormatError::BadValue { field, found: "a varint that is not in its shortest form".into() });
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(FormatError::BadValue { field, found: "a varint over 64 bits".into() })
    }

    /// A varint of at most `limit`.
    ///
    /// # Errors
    /// As `varint`, and `OverLimit`.
    pub fn varint_max(&mut self, field: &'static str, limit: u64) -> Result<u64> {
        let found = self.varint(field)?;
        if found > limit { Err(FormatError::OverLimit { field, found, limit }) } else { Ok(found) }
    }

    /// A signed number in zigzag form.
    ///
    /// # Errors
    /// As `varint`.
    pub fn signed(&mut self, field: &'static str) -> Result<i64> {
        let value = self.varint(field)?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// Length-prefixed bytes of at most `limit`.
    ///
    /// # Errors
    /// `CutShort`, `OverLimit`.
    pub fn bytes(&mut self, field: &'static str, limit: usize) -> Result<&'a [u8]> {
        let len = self.varint_max(field, limit as u64)?;
        match usize::try_from(len) {
            Ok(len) => self.raw(len, field),
            Err(_) => Err(self.cut_short(field, len)),
        }
    }

    /// Length-prefixed UTF-8 of at most `limit` bytes.
    ///
    /// # Errors
    /// As `bytes`, and `BadValue` for what is not UTF-8.
    pub fn text(&mut self, field: &'static str, limit: usize) -> Result<String> {
        let bytes = self.bytes(field, limit)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(FormatError::BadValue { field, found: "text that is not UTF-8".into() }),
        }
    }

    /// A flag byte, then the value if the flag says so.
    ///
    /// # Errors
    /// `BadValue` for a flag that is neither 0 nor 1.
    pub fn option<T>(&mut self, field: &'static str, get: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        match self.u8(field)? {
            0 => Ok(None),
            1 => get(self).map(Some),
            other => Err(FormatError::BadValue { field, found: other.to_string() }),
        }
    }

    /// A count, then that many items; `item_min` is the least an item takes, so that a count without bytes behind it
    /// is refused before anything is allocated.
    ///
    /// # Errors
    /// `OverLimit`, `CutShort`, and what `get` returns.
    pub fn list<T>(&mut self, field: &'static str, item_min: usize, get: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.list_max(field, limits::LIST_MAX, item_min, get)
    }

    /// As `list`, with at most `limit` items.
    ///
    /// # Errors
    /// As `list`.
    pub fn list_max<T>(
        &mut self,
        field: &'static str,
        limit: u64,
        item_min: usize,
        mut get: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let count = self.varint_max(field, limit)?;
        let needed = count.saturating_mul(item_min as u64);
        if needed > self.rest.len() as u64 {
            return Err(self.cut_short(field, needed));
        }
        let mut items = Vec::with_capacity(usize::try_from(count).unwrap_or(0).min(LIST_RESERVED));
        for _ in 0..count {
            items.push(get(self)?);
        }
        Ok(items)
    }

    /// Asserts that nothing is left.
    ///
    /// # Errors
    /// `TrailingBytes`.
    pub fn finish(&self, what: &'static str) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(FormatError::TrailingBytes { what, extra: self.rest.len() }) }
    }

    fn cut_short(&self, field: &'static str, needed: u64) -> FormatError {
        FormatError::CutShort { field, offset: self.offset, needed, left: self.rest.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_and_bytes_come_back(value: u64, signed: i64, bytes: Vec<u8>) {
            let mut out = Writer::default();
            out.varint(value);
            out.signed(signed);
            out.bytes(&bytes);
            let stored = out.into_bytes();
            let mut input = Reader::new(&stored);
            prop_assert_eq!(input.varint("v").unwrap(), value);
            prop_assert_eq!(input.signed("s").unwrap(), signed);
            prop_assert_eq!(input.bytes("b", 1 << 20).unwrap(), &bytes[..]);
            input.finish("test").unwrap();
        }
    }

    #[test]
    fn a_varint_has_one_form_only() {
        assert!(Reader::new(&[0x80, 0x00]).varint("v").is_err());
        assert!(Reader::new(&[0xff; 11]).varint("v").is_err());
        assert!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).varint("v").is_err());
    }

    #[test]
    fn a_huge_count_is_refused_before_anything_is_allocated() {
        let mut out = Writer::default();
        out.varint(limits::LIST_MAX);
        let stored = out.into_bytes();
        let outcome = Reader::new(&stored).list("list", 1, |input| input.u8("item"));
        assert!(matches!(outcome, Err(FormatError::CutShort { .. })));
    }
}

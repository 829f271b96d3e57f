//! Reading the fields of RocksDB's records: LEB128 numbers and strings with their length in front (util/coding.h).

/// What is left of a record.
pub(crate) struct Fields<'r>(pub(crate) &'r [u8]);

impl<'r> Fields<'r> {
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn string(&mut self) -> Option<&'r [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        self.string().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}

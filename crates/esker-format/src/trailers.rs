//! The column of trailers (format-spec chapter 17): types in one row, sequence numbers as bytes of equal weight.
//!
//! A trailer is what RocksDB calls the packed sequence and type of an internal key: `sequence << 8 | type`.

use crate::error::{FormatError, Result};
use crate::wire::{Reader, Writer};

/// Bytes of a sequence number.
const SEQUENCE_LEN: u8 = 7;

/// Appends the column. The reader must know how many trailers there are.
pub(crate) fn write_sequences(out: &mut Writer, trailers: &[u64]) {
    let types: Vec<u8> = trailers.iter().map(|trailer| trailer.to_le_bytes()[0]).collect();
    out.raw(&types);
    let sequences = || trailers.iter().map(|trailer| trailer >> 8);
    let least = sequences().min().unwrap_or(0);
    let width = width_of(sequences().max().unwrap_or(0) - least);
    out.varint(least);
    out.u8(width);
    for plane in 0..width {
        let bytes: Vec<u8> = sequences().map(|sequence| ((sequence - least) >> (8 * plane)).to_le_bytes()[0]).collect();
        out.raw(&bytes);
    }
}

/// Reads the column of `count` trailers, which the caller has bounded.
pub(crate) fn read_sequences(input: &mut Reader<'_>, count: usize) -> Result<Vec<u64>> {
    let mut trailers = Vec::new();
    read_sequences_into(input, count, &mut trailers)?;
    Ok(trailers)
}

/// As `read_sequences`, in place of what `trailers` holds.
pub(crate) fn read_sequences_into(input: &mut Reader<'_>, count: usize, trailers: &mut Vec<u64>) -> Result<()> {
    let types = input.raw(count, "types")?;
    let least = input.varint_max("least sequence number", (1 << 56) - 1)?;
    let width = input.u8("width of sequence numbers")?;
    if width > SEQUENCE_LEN {
        return Err(FormatError::OverLimit { field: "width of sequence numbers", found: width.into(), limit: SEQUENCE_LEN.into() });
    }
    trailers.clear();
    trailers.resize(count, 0);
    for plane in 0..width {
        for (offset, byte) in trailers.iter_mut().zip(input.raw(count, "sequence numbers")?) {
            *offset |= u64::from(*byte) << (8 * plane);
        }
    }
    let bad = |found: &str| FormatError::BadValue { field: "sequence numbers", found: found.into() };
    let (min, max) = (trailers.iter().min().copied().unwrap_or(0), trailers.iter().max().copied().unwrap_or(0));
    if min != 0 || width_of(max) != width || (count == 0 && least != 0) {
        return Err(bad("a column that is not in its shortest form"));
    }
    if max > ((1 << 56) - 1) - least {
        return Err(bad("a number over 56 bits"));
    }
    for (trailer, kind) in trailers.iter_mut().zip(types) {
        *trailer = (least + *trailer) << 8 | u64::from(*kind);
    }
    Ok(())
}

/// Bytes that a number needs.
fn width_of(number: u64) -> u8 {
    u8::try_from((u64::BITS - number.leading_zeros()).div_ceil(8)).unwrap_or(SEQUENCE_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn trailers_come_back(trailers: Vec<u64>) {
            let mut out = Writer::default();
            write_sequences(&mut out, &trailers);
            let bytes = out.into_bytes();
            let mut input = Reader::new(&bytes);
            prop_assert_eq!(read_sequences(&mut input, trailers.len()).unwrap(), trailers);
            input.finish("trailers").unwrap();
        }
    }

    #[test]
    fn trailers_without_sequence_numbers_cost_a_byte_each() {
        let mut out = Writer::default();
        write_sequences(&mut out, &[1; 1000]);
        assert_eq!(out.len(), 1002);
    }

    #[test]
    fn a_column_that_could_be_shorter_is_refused() {
        let mut out = Writer::default();
        write_sequences(&mut out, &[0x101, 0x201]);
        let bytes = out.into_bytes();
        for (at, value) in [(2, 0), (3, 2), (4, 1)] {
            let mut changed = bytes.clone();
            changed[at] = value;
            changed.push(0);
            changed.push(0);
            assert!(read_sequences(&mut Reader::new(&changed), 2).is_err() || at == 2, "{at}");
        }
    }
}

//! RocksDB's log format (`db/log_format.h`, `db/log_reader.cc`): blocks of 32 KiB with framed, checksummed pieces.

use std::io::Read;
use std::path::Path;

use crate::{Error, Result};

const BLOCK_BYTES: usize = 32_768;
const HEADER_BYTES: usize = 7;

const ZERO: u8 = 0;
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;
/// From here on four types as those above, which bear the number of their log.
const NUMBERED_FULL: u8 = 5;
const NUMBERED_LAST: u8 = 8;
const NUMBER_BYTES: usize = 4;
/// Says how large timestamps are, which an engine's comparator says as well.
const TIMESTAMP_SIZES: u8 = 10;
const NUMBERED_TIMESTAMP_SIZES: u8 = 11;
/// Types with this bit may be passed over by who does not know them.
const IGNORABLE: u8 = 1 << 7;

/// Reads the records of a MANIFEST or a write-ahead log with one block and one record in memory.
pub(crate) struct LogReader<'p, R> {
    file: R,
    path: &'p Path,
    /// Bytes of a record that are kept.
    kept_bytes: usize,
    /// Number of the log, if its records may bear it: pieces that bear another are left from what the file held before.
    log_number: Option<u32>,
    block: Vec<u8>,
    /// Position in `block` of what is not read yet.
    at: usize,
    /// Offset in the file of `block`'s end.
    end_offset: u64,
    record: Vec<u8>,
}

/// One piece of a record.
struct Piece {
    kind: u8,
    start: usize,
    end: usize,
}

impl<'p, R: Read> LogReader<'p, R> {
    /// Of each record no more than `kept_bytes` are kept.
    pub(crate) fn new(file: R, path: &'p Path, kept_bytes: usize) -> Self {
        Self { file, path, kept_bytes, log_number: None, block: Vec::new(), at: 0, end_offset: 0, record: Vec::new() }
    }

    /// Of a write-ahead log, which RocksDB may have written into a file that held another log before.
    pub(crate) fn of_log(file: R, path: &'p Path, kept_bytes: usize, number: u64) -> Self {
        Self { log_number: u32::try_from(number & u64::from(u32::MAX)).ok(), ..Self::new(file, path, kept_bytes) }
    }

    /// The next record, cut to what is kept; `None` at the end. A torn record at the end is no record.
    ///
    /// # Errors
    /// [`Error::Damaged`] on a wrong checksum or an unknown piece; [`Error::Io`].
    pub(crate) fn next_record(&mut self) -> Result<Option<&[u8]>> {
        self.record.clear();
        while let Some(piece) = self.next_piece()? {
            if matches!(piece.kind, FULL | FIRST) {
                self.record.clear();
            }
            let bytes = self.block.get(piece.start..piece.end).unwrap_or_default();
            let room = self.kept_bytes.saturating_sub(self.record.len());
            self.record.extend(bytes.iter().take(room));
            if matches!(piece.kind, FULL | LAST) {
                return Ok(Some(&self.record));
            }
        }
        Ok(None)
    }

    fn next_piece(&mut self) -> Result<Option<Piece>> {
        loop {
            let header = self.block.get(self.at..).and_then(<[u8]>::first_chunk::<HEADER_BYTES>);
            let Some(&[c0, c1, c2, c3, l0, l1, kind]) = header else {
                if !self.next_block()? {
                    return Ok(None);
                }
                continue;
            };
            let length = usize::from(u16::from_le_bytes([l0, l1]));
            if kind == ZERO && length == 0 {
                // Space set aside and never written.
                self.at = self.block.len();
                continue;
            }
            let start = self.at.saturating_add(HEADER_BYTES);
            let end = start.saturating_add(length);
            let Some(checked) = self.block.get(start.saturating_sub(1)..end) else {
                return if self.block.len() < BLOCK_BYTES { Ok(None) } else { Err(self.damaged("a piece is too long")) };
            };
            if masked(crc32c::crc32c(checked)) != u32::from_le_bytes([c0, c1, c2, c3]) {
                return Err(self.damaged("a checksum is wrong"));
            }
            self.at = end;
            match (kind, self.log_number) {
                (FULL | FIRST | MIDDLE | LAST, _) => return Ok(Some(Piece { kind, start, end })),
                (NUMBERED_FULL..=NUMBERED_LAST, Some(number)) => {
                    let found = self.block.get(start..).and_then(<[u8]>::first_chunk::<NUMBER_BYTES>);
                    let is_own = found.is_some_and(|found| u32::from_le_bytes(*found) == number);
                    let kind = kind - NUMBERED_FULL + FULL;
                    // Another number: this log ends here, and what it overwrote goes on.
                    return Ok(is_own.then_some(Piece { kind, start: start + NUMBER_BYTES, end }));
                }
                (TIMESTAMP_SIZES | NUMBERED_TIMESTAMP_SIZES, Some(_)) => {}
                _ if kind & IGNORABLE != 0 => {}
                _ => return Err(self.damaged(&format!("a piece is of type {kind}, which is not known"))),
            }
        }
    }

    /// Reads the next block; false at the end of the file.
    fn next_block(&mut self) -> Result<bool> {
        self.block.clear();
        self.at = 0;
        let read = self.file.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut self.block);
        let read = read.map_err(|source| Error::std("read", self.path, source))?;
        self.end_offset = self.end_offset.saturating_add(read as u64);
        Ok(read > 0)
    }

    fn damaged(&self, cause: &str) -> Error {
        let behind = self.block.len().saturating_sub(self.at) as u64;
        let offset = self.end_offset.saturating_sub(behind);
        Error::Damaged { path: self.path.to_path_buf(), offset, cause: cause.to_owned() }
    }
}

/// RocksDB stores checksums rotated and shifted (`util/crc32c.h`).
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn piece(kind: u8, bytes: &[u8]) -> Vec<u8> {
        let checked = [&[kind], bytes].concat();
        let mut framed = masked(crc32c::crc32c(&checked)).to_le_bytes().to_vec();
        framed.extend((bytes.len() as u16).to_le_bytes());
        framed.extend(checked);
        framed
    }

    #[test]
    fn records_are_joined_and_torn_tails_end_the_log() {
        let log = [piece(FULL, b"one"), piece(FIRST, b"t"), piece(MIDDLE, b"w"), piece(LAST, b"o"), piece(FULL, b"x")];
        let mut log = log.concat();
        log.pop();
        let mut reader = LogReader::new(log.as_slice(), Path::new("MANIFEST-1"), 100);
        assert_eq!(reader.next_record().unwrap(), Some(&b"one"[..]));
        assert_eq!(reader.next_record().unwrap(), Some(&b"two"[..]));
        assert_eq!(reader.next_record().unwrap(), None);
    }

    #[test]
    fn a_flipped_bit_is_named_with_its_place() {
        let mut log = [piece(FULL, b"one"), piece(FULL, b"two")].concat();
        log[18] ^= 1;
        let mut reader = LogReader::new(log.as_slice(), Path::new("MANIFEST-1"), 100);
        assert!(reader.next_record().is_ok());
        let error = reader.next_record().unwrap_err().to_string();
        assert_eq!(error, "MANIFEST-1 is damaged at byte 10: a checksum is wrong");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut reader = LogReader::new(bytes.as_slice(), Path::new("m"), 100);
            while let Ok(Some(_)) = reader.next_record() {}
        }
    }
}

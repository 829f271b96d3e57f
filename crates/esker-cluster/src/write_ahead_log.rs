//! What an engine's write-ahead log holds beyond its tables.
//!
//! A record is a write batch: sequence number of its first entry (8 bytes), number of entries (4), then the entries, each a
//! tag, the id of its column family if the tag says so, a key, and a value if it has one (db/write_batch.cc,
//! `ReadRecordFromWriteBatch`, and db/dbformat.h, RocksDB 11.8).

use std::io::Read;
use std::path::Path;

use crate::fields::Fields;
use crate::log_reader::LogReader;
use crate::{Error, Result};

/// Bytes of one write batch, at most.
const BATCH_BYTES_MAX: usize = 256 << 20;

/// An entry of a write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logged<'a> {
    /// Id of its column family.
    pub family: u32,
    /// Its sequence number.
    pub sequence: u64,
    /// Its type, as in an internal key.
    pub kind: u8,
    /// Its key, or the begin of a range deletion, with the timestamp if it has one.
    pub key: &'a [u8],
    /// Its value, or the end of a range deletion.
    pub value: &'a [u8],
}

/// What a tag stands for.
enum Tag {
    /// An entry of this type, whether it names its family, and whether it has a value.
    Entry { kind: u8, has_family: bool, has_value: bool },
    /// A string that is no entry.
    Note,
    /// Nothing.
    Nothing,
    /// A step of a transaction in two phases, or something newer.
    Unknown,
}

impl Tag {
    fn of(tag: u8) -> Self {
        let entry = |kind, has_family, has_value| Self::Entry { kind, has_family, has_value };
        match tag {
            0x00 | 0x07 | 0x14 => entry(tag, false, false),
            0x01 | 0x02 | 0x0f | 0x11 | 0x16 | 0x18 => entry(tag, false, true),
            0x04 => entry(0x00, true, false),
            0x05 => entry(0x01, true, true),
            0x06 => entry(0x02, true, true),
            0x08 => entry(0x07, true, false),
            0x0e => entry(0x0f, true, true),
            0x10 => entry(0x11, true, true),
            0x17 => entry(0x16, true, true),
            0x19 => entry(0x18, true, true),
            0x03 => Self::Note,
            0x0d => Self::Nothing,
            _ => Self::Unknown,
        }
    }
}

/// Gives the entries of the log with this number in order to `take`; `path` is what errors call it. A record that is cut off
/// at the end was never acknowledged and is left out, as RocksDB does.
///
/// # Errors
/// [`Error::Damaged`] for what cannot be read, transactions in two phases among it; [`Error::Io`].
pub fn read_log(log: impl Read, path: &Path, number: u64, take: &mut dyn FnMut(Logged<'_>)) -> Result<()> {
    let mut reader = LogReader::of_log(log, path, BATCH_BYTES_MAX, number);
    while let Some(record) = reader.next_record()? {
        read_batch(record, take).map_err(|cause| Error::Damaged { path: path.to_path_buf(), offset: 0, cause })?;
    }
    Ok(())
}

fn read_batch(record: &[u8], take: &mut dyn FnMut(Logged<'_>)) -> std::result::Result<(), String> {
    let cut = || "a write batch is cut off".to_owned();
    let (first, rest) = record.split_first_chunk::<8>().ok_or_else(cut)?;
    let mut sequence = u64::from_le_bytes(*first);
    let mut fields = Fields(rest.get(4..).ok_or_else(cut)?);
    while let Some((tag, rest)) = fields.0.split_first() {
        fields = Fields(rest);
        match Tag::of(*tag) {
            Tag::Entry { kind, has_family, has_value } => {
                let family = if has_family { fields.varint().and_then(|id| u32::try_from(id).ok()).ok_or_else(cut)? } else { 0 };
                let key = fields.string().ok_or_else(cut)?;
                let value = if has_value { fields.string().ok_or_else(cut)? } else { &[] };
                take(Logged { family, sequence, kind, key, value });
                sequence = sequence.checked_add(1).ok_or_else(|| "it counts beyond the last sequence number".to_owned())?;
            }
            Tag::Note => drop(fields.string().ok_or_else(cut)?.len()),
            Tag::Nothing => {}
            Tag::Unknown => return Err(format!("an entry has tag {tag:#04x}, which is not read (transactions in two phases are not)")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Family, sequence number, type, key, value.
    type Entry = (u32, u64, u8, Vec<u8>, Vec<u8>);

    fn all(record: &[u8]) -> std::result::Result<Vec<Entry>, String> {
        let mut found = Vec::new();
        read_batch(record, &mut |entry| {
            found.push((entry.family, entry.sequence, entry.kind, entry.key.to_vec(), entry.value.to_vec()));
        })?;
        Ok(found)
    }

    #[test]
    fn a_batch_at_the_last_sequence_number_is_refused() {
        let record = [&u64::MAX.to_le_bytes()[..], &1u32.to_le_bytes(), b"\x01\x01a\x01v"].concat();
        assert!(all(&record).unwrap_err().contains("sequence number"));
    }

    #[test]
    fn entries_count_up_and_notes_do_not_count() {
        let entries: [&[u8]; 5] = [b"\x01\x01a\x01v", b"\x03\x04note", b"\x0d", b"\x04\x07\x01b", b"\x0f\x01c\x01d"];
        let record = [&5u64.to_le_bytes()[..], &3u32.to_le_bytes(), &entries.concat()].concat();
        let found = all(&record).unwrap();
        assert_eq!(found[0], (0, 5, 1, b"a".to_vec(), b"v".to_vec()));
        assert_eq!(found[1], (7, 6, 0, b"b".to_vec(), Vec::new()));
        assert_eq!(found[2], (0, 7, 0x0f, b"c".to_vec(), b"d".to_vec()));
    }

    #[test]
    fn transactions_in_two_phases_are_refused() {
        let record = [&[0; 12][..], &[0x09]].concat();
        assert!(all(&record).unwrap_err().contains("0x09"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = all(&bytes);
        }
    }
}

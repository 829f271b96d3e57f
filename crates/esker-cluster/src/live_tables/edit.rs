//! One version edit, tables included.
//!
//! Tags and layouts: `enum Tag`, `enum NewFileCustomTag` and `VersionEdit::DecodeFrom`, db/version_edit.{h,cc}, and
//! db/blob/blob_file_addition.cc, RocksDB 11.8; 7.8 has the same.

use crate::fields::Fields;

use super::LiveTable;

/// Tags with this bit may be passed over by who does not know them; their field is one length-prefixed string.
const IGNORABLE: u64 = 1 << 13;
/// Ends what follows a table.
const TABLE_END: u64 = 1;
/// What follows a table and has this bit must be understood.
const TABLE_NEEDED: u64 = 1 << 6;
/// The one of those that is known: on which data path the table stands.
const TABLE_PATH: u64 = 65;
/// Follows a table whose keys were written without their timestamps.
const TABLE_TIMESTAMPS: u64 = 16;

/// What an edit says of tables and families.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Edit {
    pub family: u32,
    pub added_family: Option<String>,
    pub is_dropped: bool,
    pub comparator: Option<String>,
    pub log_number: Option<u64>,
    pub log_number_min: Option<u64>,
    pub added: Vec<(u64, LiveTable)>,
    pub deleted: Vec<u64>,
}

impl Edit {
    /// Reads an edit, all of it.
    ///
    /// # Errors
    /// What cannot be read of it.
    pub(super) fn parse(record: &[u8]) -> Result<Self, String> {
        let mut edit = Self::default();
        let mut fields = Fields(record);
        while !fields.0.is_empty() {
            let tag = fields.varint().ok_or("a tag is cut off")?;
            let known = edit.read(tag, &mut fields).ok_or_else(|| format!("the field of tag {tag} is cut off"))?;
            if !known {
                return Err(format!("tag {tag} is not known"));
            }
        }
        Ok(edit)
    }

    /// Reads a field; whether its tag is known.
    fn read(&mut self, tag: u64, fields: &mut Fields<'_>) -> Option<bool> {
        match tag {
            1 => self.comparator = Some(fields.text()?),
            2 => self.log_number = Some(fields.varint()?),
            // Next file number, last sequence, previous log, highest family, edits left in an atomic group.
            3 | 4 | 9 | 203 | 300 => drop(fields.varint()?),
            // Where compaction goes on: level and key.
            5 => {
                fields.varint()?;
                fields.string()?;
            }
            6 => {
                fields.varint()?;
                self.deleted.push(fields.varint()?);
            }
            7 | 100 | 102 | 103 => self.added.push(table(tag, fields)?),
            10 => self.log_number_min = Some(fields.varint()?),
            200 => self.family = u32::try_from(fields.varint()?).ok()?,
            201 => self.added_family = Some(fields.text()?),
            202 => self.is_dropped = true,
            // A blob file: number, values, their bytes, checksum method, checksum.
            400 => {
                blob_counts(fields)?;
                fields.string()?;
                fields.string()?;
                pass_over(fields)?;
            }
            // Garbage in one: number, values, their bytes.
            401 => {
                blob_counts(fields)?;
                pass_over(fields)?;
            }
            tag if tag & IGNORABLE != 0 => drop(fields.string()?),
            _ => return Some(false),
        }
        Some(true)
    }
}

/// A table: level, number, in one form its path, size, first and last key, but in the oldest form sequence numbers, in the
/// newest form more, each with its length.
fn table(tag: u64, fields: &mut Fields<'_>) -> Option<(u64, LiveTable)> {
    let level = u32::try_from(fields.varint()?).ok()?;
    let number = fields.varint()?;
    if tag == 102 {
        fields.varint()?;
    }
    fields.varint()?;
    let (smallest, largest) = (fields.string()?.to_vec(), fields.string()?.to_vec());
    let (mut largest_sequence, mut has_timestamps) = (u64::MAX >> 8, true);
    if tag != 7 {
        fields.varint()?;
        largest_sequence = fields.varint()?;
    }
    if tag == 103 {
        loop {
            let more = fields.varint()?;
            if more == TABLE_END {
                break;
            }
            let value = fields.string()?;
            has_timestamps &= more != TABLE_TIMESTAMPS || value != [0];
            if more & TABLE_NEEDED != 0 && more != TABLE_PATH {
                return None;
            }
        }
    }
    Some((number, LiveTable { level, smallest, largest, largest_sequence, has_timestamps }))
}

fn blob_counts(fields: &mut Fields<'_>) -> Option<()> {
    (0..3).try_for_each(|_| fields.varint().map(drop))
}

/// Passes over what newer versions say of a blob file.
fn pass_over(fields: &mut Fields<'_>) -> Option<()> {
    while fields.varint()? != 0 {
        fields.string()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tables_of_every_form_are_read() {
        let bounds = [&[3][..], b"abc", &[2], b"xy"].concat();
        let newest = [&[103, 2, 9, 77][..], &bounds, &[4, 8], &[5, 1, 0], &[1]].concat();
        let oldest = [&[7, 0, 3, 77][..], &bounds].concat();
        let with_path = [&[102, 1, 4, 1, 77][..], &bounds, &[4, 8]].concat();
        let all = [&[200, 1, 6][..], &[6, 1, 5], &newest, &oldest, &with_path, &[0x81, 0x40, 2], b"id"].concat();
        let edit = Edit::parse(&all).unwrap();
        assert_eq!((edit.family, edit.deleted), (6, vec![5]));
        let added: Vec<_> = edit.added.iter().map(|(number, table)| (*number, table.level, table.largest_sequence)).collect();
        assert_eq!(added, [(9, 2, 8), (3, 0, u64::MAX >> 8), (4, 1, 8)]);
        assert!(edit.added.iter().all(|(_, table)| table.smallest == b"abc" && table.largest == b"xy"));
    }

    #[test]
    fn what_a_newer_rocksdb_may_write_is_refused() {
        assert!(Edit::parse(&[99]).unwrap_err().contains("tag 99"));
        assert!(Edit::parse(&[6, 1]).unwrap_err().contains("cut off"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Edit::parse(&bytes);
        }
    }
}

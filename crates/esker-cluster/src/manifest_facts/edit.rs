//! One version edit, as far as the engine's facts need it.
//!
//! Tags are those of RocksDB 11.8 (`enum Tag` in `db/version_edit.h`); the order in which they are written
//! (`VersionEdit::EncodeTo`) puts everything wanted before the lists of files, or into edits that have none.

use crate::fields::Fields;

/// Tags with this bit may be passed over by who does not know them; their field is one length-prefixed string.
const IGNORABLE: u64 = 1 << 13;

/// The parts of a version edit that tell of column families.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Edit {
    pub db_id: Option<String>,
    pub comparator: Option<String>,
    pub column_family: u32,
    pub added: Option<String>,
    pub dropped: bool,
}

impl Edit {
    /// Reads an edit. One that holds files, or tags of a newer RocksDB, tells no more than its database id.
    pub(super) fn parse(record: &[u8]) -> Self {
        let mut edit = Self::default();
        let mut fields = Fields(record);
        match edit.read(&mut fields) {
            Some(()) => edit,
            None => Self { db_id: edit.db_id, ..Self::default() },
        }
    }

    fn read(&mut self, fields: &mut Fields<'_>) -> Option<()> {
        while !fields.0.is_empty() {
            match fields.varint()? {
                1 => self.comparator = Some(fields.text()?),
                // Log number, next file number, last sequence, previous log, oldest log to keep, highest family.
                2..=4 | 9 | 10 | 203 => drop(fields.varint()?),
                200 => self.column_family = u32::try_from(fields.varint()?).ok()?,
                201 => self.added = Some(fields.text()?),
                202 => self.dropped = true,
                // Number of edits left in an atomic group.
                300 => drop(fields.varint()?),
                tag if tag == IGNORABLE.saturating_add(1) => self.db_id = Some(fields.text()?),
                tag if tag & IGNORABLE != 0 => drop(fields.string()?),
                _ => return None,
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_edit_that_adds_a_family_is_read_and_one_with_files_only_for_its_id() {
        let added = [&[1, 3][..], b"cmp", &[200, 1, 5], &[201, 1, 2], b"cf", &[2, 9]].concat();
        let edit = Edit::parse(&added);
        assert_eq!((edit.column_family, edit.added.as_deref()), (5, Some("cf")));
        assert_eq!(edit.comparator.as_deref(), Some("cmp"));
        let files = [&[0x81, 0x40, 2][..], b"id", &[103, 0, 1, 2, 3]].concat();
        assert_eq!(Edit::parse(&files), Edit { db_id: Some("id".to_owned()), ..Edit::default() });
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Edit::parse(&bytes);
        }
    }
}

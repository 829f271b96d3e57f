//! Which tables make up an engine: its MANIFEST, read to the end.
//!
//! A MANIFEST is a log of version edits. Each adds tables to column families, with the keys that they begin and end at, or
//! takes tables away. What stands at the end is what RocksDB would open.

mod edit;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use crate::log_reader::LogReader;
use crate::{Error, Result};
use edit::Edit;

/// Bytes of one version edit, at most: the first of a MANIFEST names all tables, some 100 to 200 bytes each.
const EDIT_BYTES_MAX: usize = 256 << 20;

/// A table of an engine. Keys are internal: user key, timestamp if there is one, 8 bytes of sequence number and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveTable {
    /// The level that it stands on.
    pub level: u32,
    /// Its first key.
    pub smallest: Vec<u8>,
    /// Its last key, or the end of its last range deletion.
    pub largest: Vec<u8>,
    /// Its highest sequence number: that of all its entries, if it was ingested.
    pub largest_sequence: u64,
    /// Whether its keys have their timestamps, if the family's keys have any.
    pub has_timestamps: bool,
}

/// A column family and its tables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LiveFamily {
    /// Its name; bytes that are no UTF-8 are replaced.
    pub name: String,
    /// Name of the comparator that orders its keys.
    pub comparator: Option<String>,
    /// Write-ahead logs with a lower number have nothing for it that is not in tables.
    pub log_number: u64,
    /// By file number.
    pub tables: BTreeMap<u64, LiveTable>,
}

/// What makes up an engine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LiveTables {
    /// By the family's id.
    pub families: BTreeMap<u32, LiveFamily>,
    /// Write-ahead logs with a lower number are not needed.
    pub log_number_min: u64,
}

/// Reads a MANIFEST; `path` is what errors call it.
///
/// # Errors
/// [`Error::Damaged`] if a checksum is wrong, or for what a newer RocksDB may have written; [`Error::Io`].
pub fn live_tables(manifest: impl Read, path: &Path) -> Result<LiveTables> {
    let mut reader = LogReader::new(manifest, path, EDIT_BYTES_MAX);
    let default = LiveFamily { name: "default".to_owned(), ..LiveFamily::default() };
    let mut live = LiveTables { families: BTreeMap::from([(0, default)]), log_number_min: 0 };
    let mut number = 0u64;
    while let Some(record) = reader.next_record()? {
        let told = Edit::parse(record);
        let edit = told.map_err(|what| Error::Damaged {
            path: path.to_path_buf(),
            offset: 0,
            cause: format!("its version edit {number} cannot be read: {what}"),
        })?;
        live.apply(edit);
        number += 1;
    }
    Ok(live)
}

impl LiveTables {
    fn apply(&mut self, edit: Edit) {
        self.log_number_min = self.log_number_min.max(edit.log_number_min.unwrap_or(0));
        if edit.is_dropped {
            self.families.remove(&edit.family);
            return;
        }
        if let Some(name) = edit.added_family {
            self.families.insert(edit.family, LiveFamily { name, ..LiveFamily::default() });
        }
        let Some(family) = self.families.get_mut(&edit.family) else { return };
        if let Some(comparator) = edit.comparator {
            family.comparator = Some(comparator);
        }
        family.log_number = family.log_number.max(edit.log_number.unwrap_or(0));
        for number in edit.deleted {
            family.tables.remove(&number);
        }
        family.tables.extend(edit.added);
    }
}

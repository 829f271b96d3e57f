//! What a MANIFEST tells of its engine: column families, their comparators, the database id.
//!
//! The MANIFEST is what RocksDB itself checks at open; an OPTIONS file may be absent or stale.

mod edit;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::OFlags;

use crate::facts::ColumnFamily;
use crate::log_reader::LogReader;
use crate::path::join;
use crate::{Engine, EngineFacts, Error, FileKind, Result, Root};
use edit::Edit;

/// Longer than any `IDENTITY`, which holds a UUID of 36 bytes.
const IDENTITY_LIMIT_BYTES: u64 = 256;
/// Records that tell of column families are tiny; of longer ones only this much is looked at.
const KEPT_BYTES: usize = 64 << 10;

/// Reads an engine's facts from the MANIFEST that its `CURRENT` names, and `IDENTITY` if the MANIFEST has no id.
///
/// Merge operators and format versions are not in there; see [`EngineFacts::add_options`] and
/// [`EngineFacts::add_format_version`].
///
/// # Errors
/// [`Error::Damaged`] if a record's checksum is wrong; [`Error::Io`] if the file cannot be read.
pub fn manifest_facts(root: &Root, engine: &Engine) -> Result<EngineFacts> {
    let mut facts = facts_in(root, &engine.path, &engine.manifest)?;
    if facts.db_id.is_none() && engine.files.iter().any(|file| file.kind == FileKind::Identity) {
        let text = root.read_small(&join(&engine.path, b"IDENTITY"), IDENTITY_LIMIT_BYTES)?;
        let id = String::from_utf8_lossy(&text).trim().to_owned();
        facts.db_id = Some(id).filter(|id| !id.is_empty());
    }
    Ok(facts)
}

/// Reads the facts of the MANIFEST `name` in `folder`.
pub(crate) fn facts_in(root: &Root, folder: &[u8], name: &[u8]) -> Result<EngineFacts> {
    let relative = join(folder, name);
    let path = root.absolute(&relative);
    let handle = root.open_read_only(&relative, OFlags::empty()).map_err(|errno| Error::io("open", &path, errno))?;
    read(File::from(handle), &path)
}

fn read(file: impl Read, path: &Path) -> Result<EngineFacts> {
    let mut reader = LogReader::new(file, path, KEPT_BYTES);
    let mut db_id = None;
    let default = ColumnFamily { name: "default".to_owned(), ..ColumnFamily::default() };
    let mut families = BTreeMap::from([(0, default)]);
    while let Some(record) = reader.next_record()? {
        let edit = Edit::parse(record);
        db_id = edit.db_id.clone().or(db_id);
        apply(&mut families, edit);
    }
    let comparator = families.get(&0).and_then(|family: &ColumnFamily| family.comparator.clone());
    let column_families = families.into_values().collect();
    Ok(EngineFacts { comparator, merge_operator: None, column_families, max_format_version: None, db_id })
}

fn apply(families: &mut BTreeMap<u32, ColumnFamily>, edit: Edit) {
    if edit.dropped {
        families.remove(&edit.column_family);
        return;
    }
    if let Some(name) = edit.added {
        families.insert(edit.column_family, ColumnFamily { name, ..ColumnFamily::default() });
    }
    if let (Some(comparator), Some(family)) = (edit.comparator, families.get_mut(&edit.column_family)) {
        family.comparator = Some(comparator);
    }
}

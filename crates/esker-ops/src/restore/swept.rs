//! Writing the tables that are made of sorted runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use esker_cluster::Target;
use esker_format::ChunkId;
use esker_format::file_table::FileContent;
use esker_repo::reader::ChunkReader;

use super::WrittenFile;
use super::partial::{Losses, tolerate};
use crate::error::{OpsError, Result};
use crate::job::{FirstFault, Job};
use crate::sweep::{PieceOf, SweepTarget, SweptFile, sweep};

/// Bytes read back at a time.
const READ_BACK_BYTES: usize = 1 << 20;

/// Tables of all hosts that are to be written.
#[derive(Default)]
pub(super) struct SweptHosts<'a> {
    files: Vec<SweptFile>,
    written: Vec<Written<'a>>,
}

/// One of them. It is open from its first piece to its last: there may be more tables than files may be open.
struct Written<'a> {
    host: &'a Target,
    path: Vec<u8>,
    state: Mutex<State>,
}

struct State {
    file: Option<Arc<WrittenFile>>,
    /// Whether something may stand there from an earlier run.
    existed: bool,
    pieces_left: usize,
}

struct Writing<'a> {
    written: &'a [Written<'a>],
    files: &'a [SweptFile],
    resume: bool,
    kept: &'a AtomicU64,
    losses: Option<&'a Losses>,
    job: &'a Job,
}

impl<'a> SweptHosts<'a> {
    /// Adds a table.
    pub(super) fn add(&mut self, host: &'a Target, path: &[u8], name: String, content: FileContent, space: String) {
        let state = State { file: None, existed: false, pieces_left: content.recipe.len() };
        self.files.push(SweptFile { name, content, space });
        self.written.push(Written { host, path: path.to_vec(), state: Mutex::new(state) });
    }

    /// Rebuilds them all.
    pub(super) fn write(
        self,
        reader: &ChunkReader,
        resume: bool,
        kept: &AtomicU64,
        fault: &FirstFault,
        losses: Option<&Losses>,
        job: &Job,
    ) {
        if !fault.is_set() {
            let target = Writing { written: &self.written, files: &self.files, resume, kept, losses, job };
            fault.note(sweep(reader, &self.files, &target, job));
        }
    }
}

impl Writing<'_> {
    /// The file of a piece, opened if need be; with whether something may stand there from an earlier run.
    fn file(&self, piece: PieceOf) -> Result<(Arc<WrittenFile>, bool)> {
        let written = self.written.get(piece.file).ok_or_else(|| OpsError::Damage("a table that is not in the sweep".into()))?;
        let mut state = written.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &state.file {
            return Ok((Arc::clone(file), state.existed));
        }
        let (file, existed) = WrittenFile::create(written.host, &written.path, self.resume)?;
        let file = Arc::new(file);
        state.file = Some(Arc::clone(&file));
        state.existed = existed;
        Ok((file, existed))
    }
}

impl SweepTarget for Writing<'_> {
    fn has(&self, piece: PieceOf, hash: &[u8; 32]) -> Result<bool> {
        let (file, existed) = self.file(piece)?;
        if !existed {
            return Ok(false);
        }
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; READ_BACK_BYTES];
        let mut at = 0;
        while at < piece.len {
            let len = usize::try_from(piece.len - at).unwrap_or(usize::MAX).min(buffer.len());
            let bytes = buffer.get_mut(..len).unwrap_or_default();
            file.file.read_at(piece.offset + at, bytes)?;
            hasher.update(bytes);
            at += len as u64;
        }
        let is_there = *hasher.finalize().as_bytes() == *hash;
        if is_there {
            self.kept.fetch_add(piece.len, Ordering::Relaxed);
        }
        Ok(is_there)
    }

    fn put(&self, piece: PieceOf, at: u64, bytes: &[u8]) -> Result<()> {
        Ok(self.file(piece)?.0.file.write_at(piece.offset + at, bytes)?)
    }

    fn done(&self, piece: PieceOf) -> Result<()> {
        self.job.progress.advance(piece.len);
        self.file(piece)?.0.settle(piece.offset, piece.len);
        let Some(written) = self.written.get(piece.file) else { return Ok(()) };
        let mut state = written.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pieces_left = state.pieces_left.saturating_sub(1);
        if state.pieces_left == 0 {
            state.file = None;
        }
        Ok(())
    }

    fn failed(&self, piece: PieceOf, _: Option<ChunkId>, error: OpsError) -> Result<()> {
        // The file stays open: other pieces of it may be at work.
        tolerate(self.losses, self.files.get(piece.file).map_or("a table", |file| &file.name), error)
    }
}

//! Writing the tables that are made of sorted runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use esker_format::ChunkId;
use esker_format::file_table::FileContent;
use esker_repo::reader::ChunkReader;

use super::{WrittenFile, of_file};
use crate::error::{OpsError, Result};
use crate::job::{FirstFault, Job};
use crate::sweep::{PieceOf, SweepTarget, SweptFile, sweep};

/// Bytes read back at a time.
const READ_BACK_BYTES: usize = 1 << 20;

/// Tables of all hosts, open for writing.
#[derive(Default)]
pub(super) struct SweptHosts {
    files: Vec<SweptFile>,
    written: Vec<Written>,
}

struct Written {
    /// Closed with its last piece.
    file: Mutex<Option<Arc<WrittenFile>>>,
    pieces_left: Mutex<usize>,
    /// Whether something may stand there from an earlier run.
    existed: bool,
}

struct Writing<'a> {
    written: &'a [Written],
    files: &'a [SweptFile],
    kept: &'a AtomicU64,
    job: &'a Job,
}

impl SweptHosts {
    /// Adds a table.
    pub(super) fn add(&mut self, file: Arc<WrittenFile>, content: FileContent, space: String, existed: bool) {
        let pieces_left = Mutex::new(content.recipe.len());
        self.files.push(SweptFile { name: file.name.clone(), content, space });
        self.written.push(Written { file: Mutex::new(Some(file)), pieces_left, existed });
    }

    /// Rebuilds them all.
    pub(super) fn write(self, reader: &ChunkReader, kept: &AtomicU64, fault: &FirstFault, job: &Job) {
        if !fault.is_set() {
            let target = Writing { written: &self.written, files: &self.files, kept, job };
            fault.note(sweep(reader, &self.files, &target, job));
        }
    }
}

impl Writing<'_> {
    fn file(&self, piece: PieceOf) -> Result<(&Written, Arc<WrittenFile>)> {
        let written = self.written.get(piece.file);
        let file = written.and_then(|written| written.file.lock().unwrap_or_else(PoisonError::into_inner).clone());
        written.zip(file).ok_or_else(|| OpsError::Damage("a table was closed too early".into()))
    }
}

impl SweepTarget for Writing<'_> {
    fn has(&self, piece: PieceOf, hash: &[u8; 32]) -> Result<bool> {
        let (written, file) = self.file(piece)?;
        if !written.existed {
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
        Ok(self.file(piece)?.1.file.write_at(piece.offset + at, bytes)?)
    }

    fn done(&self, piece: PieceOf) -> Result<()> {
        self.job.progress.advance(piece.len);
        let (written, file) = self.file(piece)?;
        file.settle(piece.offset, piece.len);
        let mut left = written.pieces_left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = left.saturating_sub(1);
        if *left == 0 {
            drop(written.file.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
        Ok(())
    }

    fn failed(&self, piece: PieceOf, _: Option<ChunkId>, error: OpsError) -> Result<()> {
        Err(of_file(self.files.get(piece.file).map_or("a table", |file| &file.name), error))
    }
}

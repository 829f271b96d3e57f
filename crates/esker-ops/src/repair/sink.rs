//! Where mended chunks go: into packs of a session of the repair, each only if its id is one of those that are lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use esker_format::ChunkId;
use esker_format::seal::ChunkKind;
use esker_repo::{Repository, Writer, WriterOptions};

use crate::error::Result;

/// The job that a repair's sessions name.
const JOB: &str = "repair";

/// Takes what was found again. Without anything to write there is no session.
pub(super) struct Sink<'a> {
    repository: &'a Arc<Repository>,
    options: WriterOptions,
    writer: Option<Writer>,
    /// What is wanted.
    wanted: BTreeMap<ChunkId, ChunkKind>,
    /// Chunks taken so far.
    pub(super) chunks: u64,
}

impl<'a> Sink<'a> {
    /// For these chunks. `runs` says whether the repository has runs, and sparse forms of them.
    pub(super) fn new(repository: &'a Arc<Repository>, workers: usize, runs: (bool, bool), wanted: BTreeMap<ChunkId, ChunkKind>) -> Self {
        let options = WriterOptions { workers, sorted_runs: runs.0, sparse_runs: runs.1, ..WriterOptions::default() };
        Self { repository, options, writer: None, wanted, chunks: 0 }
    }

    /// Whether a chunk is still wanted.
    pub(super) fn wants(&self, chunk: &ChunkId) -> bool {
        self.wanted.contains_key(chunk)
    }

    /// What is still wanted.
    pub(super) fn wanted(&self) -> impl Iterator<Item = (ChunkId, ChunkKind)> + '_ {
        self.wanted.iter().map(|(id, kind)| (*id, *kind))
    }

    /// Takes bytes if they are a chunk that is wanted; says whether they were.
    ///
    /// # Errors
    /// `Store`, `Cache`.
    pub(super) fn give(&mut self, kind: ChunkKind, plain: &[u8]) -> Result<bool> {
        let id = self.repository.sealing().chunk_id(kind, plain);
        if self.wanted.get(&id) != Some(&kind) {
            return Ok(false);
        }
        self.writer()?.submit(kind, id, plain.to_vec())?;
        self.wanted.remove(&id);
        self.chunks += 1;
        Ok(true)
    }

    /// Takes a form of a run that is wanted, in the run's place.
    ///
    /// # Errors
    /// `Store`, `Cache`.
    pub(super) fn give_form(&mut self, run: &ChunkId, form: &[u8]) -> Result<()> {
        let id = self.repository.sealing().chunk_id(ChunkKind::SparseRun, form);
        if self.wanted.remove(run).is_some() {
            self.writer()?.submit(ChunkKind::SparseRun, id, form.to_vec())?;
            self.chunks += 1;
        }
        Ok(())
    }

    fn writer(&mut self) -> Result<&Writer> {
        Ok(match self.writer.take() {
            Some(writer) => self.writer.insert(writer),
            None => self.writer.insert(Writer::begin(self.repository, JOB, &self.options)?),
        })
    }

    /// Makes durable and indexed what was taken, and ends the session; gives the bytes that were written.
    ///
    /// # Errors
    /// `Store`, and the first fault of any write.
    pub(super) fn finish(self) -> Result<u64> {
        let Some(writer) = self.writer else { return Ok(0) };
        let flushed = writer.flush();
        let stored = writer.stored();
        // Whether or not all was written, what was is whole: the session needs no manifest.
        let ended = writer.abandon();
        flushed?;
        ended?;
        Ok(stored.data + stored.meta)
    }
}

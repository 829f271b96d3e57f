//! What the comparison of keys reads: chunks, runs and recipe pieces, counted.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use esker_format::ChunkId;
use esker_format::recipe::Piece;
use esker_format::run::Run;
use esker_repo::RepoError;
use esker_repo::reader::{ChunkReader, ReadContext};

use crate::error::{OpsError, Result};
use crate::job::Job;
use crate::run_cache::RunCache;

/// Reads for one comparison.
pub(super) struct Store<'r> {
    pub(super) reader: &'r ChunkReader,
    pub(super) job: &'r Job,
    context: RefCell<ReadContext>,
    cache: RunCache,
    read_bytes: Cell<u64>,
    /// What ended a read below a function that can say no more than that it failed.
    fault: RefCell<Option<OpsError>>,
}

impl<'r> Store<'r> {
    pub(super) fn new(reader: &'r ChunkReader, job: &'r Job) -> Result<Self> {
        Ok(Self {
            reader,
            job,
            context: RefCell::new(ReadContext::new()?),
            cache: RunCache::default(),
            read_bytes: Cell::new(0),
            fault: RefCell::new(None),
        })
    }

    /// Plain bytes of runs and of chunks of files that were read.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes.get()
    }

    /// Works with what a read needs to keep.
    pub(super) fn with_context<T>(&self, work: impl FnOnce(&mut ReadContext) -> T) -> T {
        work(&mut self.context.borrow_mut())
    }

    /// The bytes of a chunk.
    pub(super) fn chunk(&self, id: &ChunkId) -> Result<Vec<u8>> {
        self.job.cancel.check()?;
        let bytes = self.reader.read(&mut self.context.borrow_mut(), id)?;
        self.count(bytes.len() as u64);
        Ok(bytes)
    }

    /// Runs, with as few requests as possible.
    pub(super) fn runs(&self, ids: &[ChunkId]) -> Result<Vec<Arc<Run>>> {
        self.job.cancel.check()?;
        self.cache.get(self.reader, &mut self.context.borrow_mut(), ids, &|place| {
            self.count(u64::from(place.frame.entry.plain_len));
            Ok(())
        })
    }

    /// Gives recipe pieces to `take`, with their positions in `ids`, in whatever order they come.
    pub(super) fn pieces(&self, ids: &[ChunkId], mut take: impl FnMut(usize, Piece) -> Result<()>) -> Result<()> {
        self.job.cancel.check()?;
        self.reader.read_scattered::<OpsError, _>(&mut self.context.borrow_mut(), ids, |position, bytes| {
            let of = || format!("recipe piece {}", ids.get(position).copied().unwrap_or(ChunkId([0; 32])));
            take(position, Piece::decode(bytes?).map_err(|source| RepoError::Object { path: of(), source })?)
        })
    }

    /// One recipe piece.
    pub(super) fn piece(&self, id: &ChunkId) -> Result<Piece> {
        Ok(esker_repo::tables::read_piece(self.reader, &mut self.context.borrow_mut(), id)?)
    }

    /// Keeps what ended a read for whoever hears that it failed.
    pub(super) fn keep_fault(&self, error: OpsError) -> std::io::Error {
        self.fault.borrow_mut().get_or_insert(error);
        std::io::Error::other("a chunk cannot be read")
    }

    /// What a failure below was about: a chunk that cannot be read, or else bytes that cannot be made sense of.
    pub(super) fn fault(&self, name: &str, what: impl std::fmt::Display) -> OpsError {
        self.fault.borrow_mut().take().unwrap_or_else(|| OpsError::Unreadable(format!("{name}: {what}")))
    }

    fn count(&self, bytes: u64) {
        self.read_bytes.set(self.read_bytes.get() + bytes);
    }
}

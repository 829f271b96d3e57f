//! What one thread of a merge stores and reads with.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use esker_dedup::sorted::{ChunkStore, SortedError};
use esker_format::ChunkId;
use esker_format::run::Run;
use esker_format::seal::ChunkKind;
use esker_format::sparse_run::is_form;
use esker_format::table_recipe::ChunkUse;
use esker_repo::reader::ReadContext;
use esker_repo::{Claim, Repository, Writer};

use super::recent::RecentRuns;
use crate::error::{OpsError, Result};

/// What was stored.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct StoredCounts {
    pub(super) new_chunks: u64,
    pub(super) new_bytes: u64,
    pub(super) left_over_bytes: u64,
}

/// Stores through a writer and counts.
pub(super) struct Worker<'a> {
    pub(super) repository: &'a Repository,
    pub(super) writer: &'a Writer,
    pub(super) context: ReadContext,
    pub(super) stored: StoredCounts,
    recent: &'a RecentRuns,
}

impl<'a> Worker<'a> {
    pub(super) fn new(repository: &'a Repository, writer: &'a Writer, recent: &'a RecentRuns) -> Result<Self> {
        Ok(Self { repository, writer, context: ReadContext::new()?, stored: StoredCounts::default(), recent })
    }

    /// Names a chunk and stores it if it is new.
    pub(super) fn store(&mut self, kind: ChunkKind, bytes: Vec<u8>) -> Result<ChunkId> {
        let id = self.repository.sealing().chunk_id(kind, &bytes);
        let len = bytes.len() as u64;
        match self.writer.claim(&id)? {
            Claim::New => {
                self.stored.new_chunks += 1;
                self.stored.new_bytes += len;
                self.writer.submit(kind, id, bytes)?;
            }
            Claim::Known { left_over: true } => self.stored.left_over_bytes += len,
            Claim::Known { left_over: false } | Claim::Mine => {}
        }
        Ok(id)
    }
}

impl ChunkStore for Worker<'_> {
    type Error = OpsError;

    fn load_run(&mut self, id: &ChunkId) -> Result<Option<Arc<Run>>> {
        let is_whole = self.writer.holds(id)?;
        if !is_whole && !self.writer.has_forms(id)? {
            return Ok(None);
        }
        if let Some(run) = self.recent.get(id) {
            return Ok(Some(run));
        }
        if !is_whole {
            // Nothing is copied from it but entries of forms that this writer sees.
            let held = self.writer.held_of(&mut self.context, id)?.map(Arc::new);
            return Ok(held.inspect(|held| self.recent.keep(id, held)));
        }
        match self.writer.reader().read(&mut self.context, id) {
            Ok(bytes) if is_form(&bytes) => Ok(None),
            Ok(bytes) => Ok(self.recent.decode(id, &bytes)),
            Err(error) if error.is_damage() => {
                self.writer.mistrust(id);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn load_runs(&mut self, ids: &[ChunkId]) -> Result<Vec<Option<Arc<Run>>>> {
        let (mut runs, mut wanted, mut forms) = (HashMap::new(), Vec::with_capacity(ids.len()), HashSet::new());
        for id in ids {
            let is_whole = self.writer.holds(id)?;
            if !is_whole && !self.writer.has_forms(id)? {
                continue;
            }
            match self.recent.get(id) {
                Some(run) => drop(runs.insert(*id, run)),
                None => wanted.push(*id),
            }
            if !is_whole {
                forms.insert(*id);
            }
        }
        let reader = self.writer.reader();
        let ordered = reader.in_store_order(wanted)?;
        let recent = self.recent;
        let read = reader.read_each::<OpsError, _>(&mut self.context, &ordered, |position, place, bytes| {
            let Some(id) = ordered.get(position) else { return Ok(()) };
            // A form that was not read where this writer sees it may have entries that do not exist for it.
            if place.is_some() || !(forms.contains(id) || is_form(bytes)) {
                runs.extend(recent.decode(id, bytes).map(|run| (*id, run)));
            }
            Ok(())
        });
        match read {
            Err(error) if !error.is_damage() => Err(error),
            // One of them is lost: each by itself.
            Err(_) => ids.iter().map(|id| self.load_run(id)).collect(),
            Ok(()) => ids.iter().map(|id| runs.get(id).map_or_else(|| self.load_run(id), |run| Ok(Some(Arc::clone(run))))).collect(),
        }
    }

    fn store_run(&mut self, bytes: Vec<u8>) -> Result<ChunkId> {
        self.store(ChunkKind::Run, bytes)
    }

    fn store_bytes(&mut self, bytes: &[u8]) -> Result<ChunkUse> {
        let len = u32::try_from(bytes.len()).map_err(|_| SortedError::Recipe("a chunk over 4 GiB".into()))?;
        Ok(ChunkUse { id: self.store(ChunkKind::Bytes, bytes.to_vec())?, len })
    }
}

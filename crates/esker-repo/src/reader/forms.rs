//! Runs that stand as sparse forms: reading what forms hold together, and asking what is held.

use esker_format::entry_set::EntrySet;
use esker_format::run::Run;
use esker_format::{ChunkId, sparse_run};

use super::{ChunkReader, ReadContext};
use crate::error::{RepoError, Result};
use crate::index::{Index, Location};

impl ChunkReader {
    /// The entries that these forms of a run hold together, those that cannot be read left out; `None` if none can.
    ///
    /// # Errors
    /// `Store`, `Cold`.
    pub(super) fn join_forms(
        &self,
        index: &Index,
        context: &mut ReadContext,
        run: &ChunkId,
        forms: &[Location],
        faults: &mut Vec<String>,
    ) -> Result<Option<Run>> {
        let mut joined: Option<Run> = None;
        for place in forms {
            let read = self.read_form(index, context, run, place);
            let added = read.and_then(|form| match &joined {
                Some(before) => before.join(&form).map_err(RepoError::object(format!("forms of run {run}"))),
                None => Ok(form),
            });
            match added {
                Ok(more) => joined = Some(more),
                Err(error @ (RepoError::Store { .. } | RepoError::Cold { .. })) => return Err(error),
                Err(error) => faults.push(error.to_string()),
            }
        }
        Ok(joined)
    }

    /// The form of a run at this place of an index.
    ///
    /// # Errors
    /// `Missing`, `Object` if it is not whole there; `Store`.
    pub(crate) fn read_form(&self, index: &Index, context: &mut ReadContext, run: &ChunkId, place: &Location) -> Result<Run> {
        let bytes = match self.cached(index, &[Some(*place)], context)? {
            Some(bytes) => bytes,
            None => self.read_at(index, context, place)?,
        };
        sparse_run::decode(run, &bytes).map_err(RepoError::object(format!("form {} of run {run}", place.frame.entry.chunk)))
    }

    /// What the index that the reader began with has of a run that stands there nowhere whole: for a writer, the entries that
    /// exist. `None` if there is no form, or none that can be read.
    ///
    /// # Errors
    /// `Store`, `Cold`, `Cache`.
    pub fn held_at_first(&self, context: &mut ReadContext, run: &ChunkId) -> Result<Option<Run>> {
        let (_, forms) = self.first.locate_with_forms(run)?;
        self.join_forms(&self.first, context, run, &forms, &mut Vec::new())
    }

    /// Reads all that stands for a chunk: the chunk, or every form of it.
    ///
    /// # Errors
    /// `ChunkLost` if it is whole nowhere and a form is damaged; `Store`.
    pub fn prove(&self, context: &mut ReadContext, chunk: &ChunkId) -> Result<()> {
        self.read(context, chunk)?;
        let index = self.index();
        let (_, forms) = index.locate_with_forms(chunk)?;
        let mut faults = Vec::new();
        if forms.is_empty() || self.is_whole_somewhere(&index, context, chunk)? {
            return Ok(());
        }
        self.join_forms(&index, context, chunk, &forms, &mut faults)?;
        if faults.is_empty() { Ok(()) } else { Err(RepoError::ChunkLost { chunk: *chunk, why: faults.join("; ") }) }
    }

    fn is_whole_somewhere(&self, index: &Index, context: &mut ReadContext, chunk: &ChunkId) -> Result<bool> {
        for place in index.locate(chunk)? {
            match self.read_at(index, context, &place) {
                Ok(_) => return Ok(true),
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Whether all these entries of a run stand at places of an index that count: the run does, or forms that can be read
    /// hold them.
    ///
    /// # Errors
    /// `Store`, `Cold`, `Cache`.
    pub fn holds_entries(
        &self,
        index: &Index,
        context: &mut ReadContext,
        (run, entries): (&ChunkId, &EntrySet),
        counts: impl Fn(&Location) -> bool,
    ) -> Result<bool> {
        let (mut whole, mut forms) = index.locate_with_forms(run)?;
        whole.retain(&counts);
        forms.retain(&counts);
        if !whole.is_empty() || forms.is_empty() {
            return Ok(!whole.is_empty());
        }
        let held = self.join_forms(index, context, run, &forms, &mut Vec::new())?;
        Ok(held.is_some_and(|held| entries.without(&held.held()).is_empty()))
    }
}

/// The one place to read a chunk from, if the first try is to be one: where it stands whole, or its only form.
pub(super) fn sole_place(index: &Index, chunk: &ChunkId) -> Result<Option<Location>> {
    let (whole, forms) = index.locate_with_forms(chunk)?;
    Ok(match forms.as_slice() {
        [only] if whole.is_empty() => Some(*only),
        _ => whole.first().copied(),
    })
}

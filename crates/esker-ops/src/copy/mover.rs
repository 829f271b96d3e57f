//! Chunks from one repository to the other: read and checked, named anew, claimed, stored; several threads at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use esker_format::entry_set::EntrySet;
use esker_format::seal::ChunkKind;
use esker_format::sparse_run::is_form;
use esker_format::{ChunkId, sparse_run};
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::scratch::ScratchMap;
use esker_repo::{Claim, RepoError, Repository, Writer};

use super::memo::{Memo, Sums};
use crate::error::{OpsError, Result};
use crate::job::{FirstFault, Job};

/// Stored bytes that one thread takes on at a time: about one request.
const STRETCH_BYTES: u64 = 8 << 20;

/// Threads beyond those that may compute if the store that is read is far: some always wait for it.
const WAITING_FAR: usize = 2;

/// Where a chunk stands in the repository that is read; of one that is nowhere, the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    pack: u32,
    offset: u32,
    stored_len: u32,
    plain_len: u32,
}

/// What a copy did to chunks.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Stored by this run.
    pub copied: AtomicU64,
    pub copied_bytes: AtomicU64,
    /// There already,
    pub known: AtomicU64,
    /// and of those, left by an interrupted run.
    pub left_over: AtomicU64,
    /// Plain bytes read.
    pub read_bytes: AtomicU64,
}

/// Carries chunks over for one backup.
pub(super) struct Mover<'a> {
    pub source: &'a ChunkReader,
    pub target: &'a Repository,
    pub writer: &'a Writer,
    pub memo: &'a Memo,
    /// By the ids of a run and of what was made of its forms: where the entries of that stood in the run.
    pub positions: &'a ScratchMap,
    pub job: &'a Job,
    pub counts: Counts,
    /// What could not be read, and why.
    damaged: Mutex<BTreeMap<ChunkId, String>>,
}

impl<'a> Mover<'a> {
    pub fn new(
        source: &'a ChunkReader,
        target: &'a Repository,
        writer: &'a Writer,
        (memo, positions): (&'a Memo, &'a ScratchMap),
        job: &'a Job,
    ) -> Self {
        Self { source, target, writer, memo, positions, job, counts: Counts::default(), damaged: Mutex::default() }
    }

    /// Sees to it that these chunks, each named once, are proven to be in the target; those that cannot be read are damaged
    /// from then on.
    ///
    /// # Errors
    /// Anything but damage of the source.
    pub fn carry(&self, wanted: &[(ChunkId, ChunkKind)]) -> Result<()> {
        let mut missing = Vec::new();
        for (id, kind) in wanted {
            if !self.is_there(id)? {
                missing.push((*id, *kind));
            }
        }
        let stretches = self.cut(missing, |place| place.stored_len, STRETCH_BYTES, true)?;
        let (next, fault) = (AtomicUsize::new(0), FirstFault::default());
        std::thread::scope(|scope| {
            let waiting = if self.source.repository().store().is_far() { WAITING_FAR } else { 0 };
            for _ in 0..self.job.threads.saturating_add(waiting).clamp(1, stretches.len().max(1)) {
                scope.spawn(|| fault.note(self.work(&stretches, &next, &fault)));
            }
        });
        fault.into_result()
    }

    /// What a run is called in the target if these entries of it are there, whether or not others are.
    ///
    /// # Errors
    /// Those of the target.
    pub fn holds_entries(&self, context: &mut ReadContext, run: &ChunkId, entries: &EntrySet) -> Result<Option<ChunkId>> {
        let Some(name) = self.memo.name(run)? else { return Ok(None) };
        // What stands there as a whole run may be one that was made of forms: only the run itself has these positions.
        if self.positions(run, &name)?.is_some() || self.writer.exists(&name).map_err(OpsError::within(self.target))?.is_some() {
            return Ok(None);
        }
        let holds = self.writer.holds_entries(context, &name, entries).map_err(OpsError::within(self.target))?;
        Ok(holds.then_some(name))
    }

    /// Where the entries of a run that was made of forms stood in the run itself, if `made` is such a one.
    ///
    /// # Errors
    /// `Cache`.
    pub fn positions(&self, run: &ChunkId, made: &ChunkId) -> Result<Option<EntrySet>> {
        Ok(self.positions.get(&[run.0, made.0].concat())?.map(|bytes| EntrySet::from_bytes(&bytes)))
    }

    /// Stores a chunk that was made here.
    ///
    /// # Errors
    /// Those of the target.
    pub fn store(&self, kind: ChunkKind, plain: Vec<u8>) -> Result<ChunkId> {
        self.writer.store(kind, plain).map_err(OpsError::within(self.target))
    }

    /// Reads chunks of tables and recipes in the order in which they stand, so many plain bytes of them at a time; what of
    /// a batch could be read is given to `take`.
    ///
    /// # Errors
    /// Anything but damage of the source, and what `take` returns.
    pub fn read_batches(
        &self,
        context: &mut ReadContext,
        chunks: Vec<ChunkId>,
        batch_bytes: u64,
        mut take: impl FnMut(Vec<(ChunkId, Vec<u8>)>) -> Result<()>,
    ) -> Result<()> {
        let tables = chunks.into_iter().map(|id| (id, ChunkKind::Table)).collect();
        for batch in self.cut(tables, |place| place.plain_len, batch_bytes, false)? {
            self.job.cancel.check()?;
            let mut read = Vec::new();
            self.read_whole_ones(context, &batch, |id, _, bytes| {
                read.push((id, bytes.to_vec()));
                Ok(())
            })?;
            take(read)?;
        }
        Ok(())
    }

    /// Why a chunk could not be copied, if it could not.
    pub fn damage(&self, chunk: &ChunkId) -> Option<String> {
        self.lock().get(chunk).cloned()
    }

    /// Notes that a chunk cannot be copied.
    pub fn note_damage(&self, chunk: ChunkId, why: String) {
        self.lock().entry(chunk).or_insert(why);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ChunkId, String>> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing is to be done for a chunk: it is there, or it was found damaged.
    fn is_there(&self, chunk: &ChunkId) -> Result<bool> {
        if self.memo.proven(chunk)?.is_some() || self.lock().contains_key(chunk) {
            return Ok(true);
        }
        let Some(id) = self.memo.name(chunk)? else { return Ok(false) };
        let found = self.writer.exists(&id).map_err(OpsError::within(self.target))?;
        if let Some(claim) = found {
            self.count_known(claim);
            self.memo.prove(chunk, id, Sums::default())?;
        }
        Ok(found.is_some())
    }

    fn count_known(&self, claim: Claim) {
        self.counts.known.fetch_add(1, Ordering::Relaxed);
        if claim == (Claim::Known { left_over: true }) {
            self.counts.left_over.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Chunks in the order in which they stand, cut where `weight` adds up to `limit`, and perhaps at packs.
    fn cut(
        &self,
        chunks: Vec<(ChunkId, ChunkKind)>,
        weight: impl Fn(&Place) -> u32,
        limit: u64,
        at_packs: bool,
    ) -> Result<Vec<Vec<(ChunkId, ChunkKind)>>> {
        let mut cut: Vec<Vec<(ChunkId, ChunkKind)>> = Vec::new();
        let (mut sum, mut pack) = (0, None);
        for (place, chunk) in self.in_order(chunks)? {
            sum += u64::from(weight(&place));
            match cut.last_mut().filter(|_| sum <= limit && (!at_packs || pack == Some(place.pack))) {
                Some(last) => last.push(chunk),
                None => {
                    sum = u64::from(weight(&place));
                    cut.push(vec![chunk]);
                }
            }
            pack = Some(place.pack);
        }
        Ok(cut)
    }

    fn in_order(&self, chunks: Vec<(ChunkId, ChunkKind)>) -> Result<Vec<(Place, (ChunkId, ChunkKind))>> {
        let index = self.source.index();
        let mut placed = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let place = index.locate(&chunk.0).map_err(OpsError::within(self.source.repository()))?.first().map(|place| Place {
                pack: place.pack,
                offset: place.frame.offset,
                stored_len: place.frame.entry.stored_len,
                plain_len: place.frame.entry.plain_len,
            });
            placed.push((place.unwrap_or_default(), chunk));
        }
        placed.sort_by_key(|(place, _)| *place);
        Ok(placed)
    }

    fn work(&self, stretches: &[Vec<(ChunkId, ChunkKind)>], next: &AtomicUsize, fault: &FirstFault) -> Result<()> {
        let mut context = ReadContext::new()?;
        while let Some(stretch) = stretches.get(next.fetch_add(1, Ordering::SeqCst)) {
            if fault.is_set() {
                return Ok(());
            }
            self.job.cancel.check()?;
            self.read_whole_ones(&mut context, stretch, |id, kind, bytes| self.take_read(id, kind, bytes))?;
        }
        Ok(())
    }

    /// Stores a chunk as it was read. A run may be read as a form whatever the index said: a prune that did not wait for this
    /// copy may have rewritten it since.
    fn take_read(&self, old: ChunkId, kind: ChunkKind, plain: &[u8]) -> Result<()> {
        match kind == ChunkKind::Run && is_form(plain) {
            true => self.take_form(old, plain),
            false => self.take(old, kind, plain),
        }
    }

    /// Makes a run of its own of what a form holds, in which entries have other positions.
    fn take_form(&self, run: ChunkId, form: &[u8]) -> Result<()> {
        let damaged = RepoError::object(format!("run {run}"));
        let held = match sparse_run::decode(&run, form) {
            Ok(held) => held,
            Err(error) => {
                self.note_damage(run, format!("run {run}: {error}"));
                return Ok(());
            }
        };
        let positions = held.held();
        let whole = held.into_whole().encode().map_err(damaged)?;
        let id = self.target.sealing().chunk_id(ChunkKind::Run, &whole);
        self.positions.put(&[run.0, id.0].concat(), positions.as_bytes())?;
        self.take(run, ChunkKind::Run, &whole)
    }

    /// Stores a chunk under the name that it has in the target.
    fn take(&self, old: ChunkId, kind: ChunkKind, plain: &[u8]) -> Result<()> {
        self.counts.read_bytes.fetch_add(plain.len() as u64, Ordering::Relaxed);
        let id = self.target.sealing().chunk_id(kind, plain);
        match self.writer.claim(&id).map_err(OpsError::within(self.target))? {
            Claim::New => {
                self.counts.copied.fetch_add(1, Ordering::Relaxed);
                self.counts.copied_bytes.fetch_add(plain.len() as u64, Ordering::Relaxed);
                self.writer.submit(kind, id, plain.to_vec()).map_err(OpsError::within(self.target))?;
            }
            Claim::Mine => {}
            known @ Claim::Known { .. } => self.count_known(known),
        }
        self.memo.prove(&old, id, Sums::default())
    }

    /// Gives every chunk that reads whole to `take`, and notes the others as damaged.
    fn read_whole_ones(
        &self,
        context: &mut ReadContext,
        chunks: &[(ChunkId, ChunkKind)],
        mut take: impl FnMut(ChunkId, ChunkKind, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let ids: Vec<ChunkId> = chunks.iter().map(|(id, _)| *id).collect();
        let mut from = 0;
        while from < ids.len() {
            let left = ids.get(from..).unwrap_or_default();
            let mut taken = 0;
            let read = self.source.read_each::<Fault, _>(context, left, |position, _, bytes| {
                taken = position + 1;
                let Some((id, kind)) = chunks.get(from + position) else { return Ok(()) };
                take(*id, *kind, bytes).map_err(Fault::Mine)
            });
            match read {
                Ok(()) => return Ok(()),
                Err(Fault::Mine(error)) => return Err(error),
                Err(Fault::Source(error)) if error.is_damage() => {
                    if let Some(id) = left.get(taken) {
                        self.note_damage(*id, error.to_string());
                    }
                    from += taken + 1;
                }
                Err(Fault::Source(error)) => return Err(OpsError::within(self.source.repository())(error)),
            }
        }
        Ok(())
    }
}

/// Whose fault ended a read: that of the repository that is read, or of what was done with the chunk.
enum Fault {
    Source(RepoError),
    Mine(OpsError),
}

impl From<RepoError> for Fault {
    fn from(error: RepoError) -> Self {
        Self::Source(error)
    }
}

//! Rebuilding many tables in one sweep over their keys.
//!
//! Tables draw on runs that others draw on too. File by file each run would be fetched several times; so the pieces of all
//! tables are rebuilt in the order of their first keys, and a run is fetched when the sweep comes to it and dropped when it
//! is past.

mod names;
mod plan;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use esker_dedup::sorted::rebuild::Sources;
use esker_dedup::sorted::{Rebuilder, rest};
use esker_format::ChunkId;
use esker_format::file_table::FileContent;
use esker_format::recipe::Piece;
use esker_format::run::Run;
use esker_format::table_recipe::{ChunkUse, TableRest};
use esker_repo::index::Location;
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::tables::read_piece;
use esker_sst::rest::{FilterKeys, TableFacts};

use crate::error::{OpsError, Result};
use crate::job::{Cancel, FirstFault, Job};
use crate::run_cache::RunCache;

use names::{Numbering, RunNames};
use plan::{FILES_AT_ONCE, Planned, Sketch, read_recipes};

/// Pieces that are rebuilt at once, at most: each needs all its runs in memory.
const REBUILDS_MAX: usize = 6;
const REBUILDS_FAR: usize = 12;
/// Workers beyond the threads that may compute: some always wait, for the store or for a run that another one fetches,
const WAITING: usize = 2;
/// and more of them for a store that is far, which takes a while to answer.
const WAITING_FAR: usize = 8;

/// A table to be rebuilt.
pub(crate) struct SweptFile {
    /// What people call it.
    pub(crate) name: String,
    /// What it was and how to rebuild it.
    pub(crate) content: FileContent,
    /// Files with the same word hold the same keys: the space, if there is one.
    pub(crate) space: String,
}

/// One piece of a swept file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PieceOf {
    /// Position of the file.
    pub(crate) file: usize,
    /// Position of the piece in its recipe.
    pub(crate) piece: usize,
    /// Where its bytes start in the file.
    pub(crate) offset: u64,
    /// How many they are.
    pub(crate) len: u64,
}

/// Where rebuilt bytes go.
pub(crate) trait SweepTarget: Sync {
    /// Whether to stop before the next piece and leave the rest undone.
    fn is_over(&self) -> bool {
        false
    }

    /// A run was read from this place.
    ///
    /// # Errors
    /// What stops the sweep.
    fn was_read(&self, _place: &Location) -> Result<()> {
        Ok(())
    }

    /// Whether the bytes of a piece stand at the target already.
    ///
    /// # Errors
    /// What stops the sweep.
    fn has(&self, piece: PieceOf, hash: &[u8; 32]) -> Result<bool>;

    /// Bytes of a piece, `at` bytes behind its start.
    ///
    /// # Errors
    /// What stops the sweep.
    fn put(&self, piece: PieceOf, at: u64, bytes: &[u8]) -> Result<()>;

    /// All bytes of a piece were put, or it was there.
    ///
    /// # Errors
    /// What stops the sweep.
    fn done(&self, piece: PieceOf) -> Result<()>;

    /// A piece cannot be rebuilt. `chunk` is to blame, if it is known.
    ///
    /// # Errors
    /// What stops the sweep; `Ok` leaves the file out and goes on.
    fn failed(&self, piece: PieceOf, chunk: Option<ChunkId>, error: OpsError) -> Result<()>;
}

/// What a file still waits for before what follows its data blocks can be rebuilt.
struct FileState {
    left: usize,
    /// What of the entries that needs, if it needs any.
    filter_keys: Option<FilterKeys>,
    facts: BTreeMap<usize, TableFacts>,
    /// What follows the data blocks, and its piece.
    rest: Option<(PieceOf, TableRest)>,
    has_failed: bool,
}

struct Sweep<'a, T> {
    reader: &'a ChunkReader,
    files: &'a [SweptFile],
    target: &'a T,
    job: &'a Job,
    cache: RunCache,
    names: RunNames,
    states: Vec<Mutex<FileState>>,
}

/// Rebuilds files, every piece once; pieces that stand at the target already are passed over.
///
/// # Errors
/// What the target returns, `Store`, `Cancelled`.
pub(crate) fn sweep<T: SweepTarget>(reader: &ChunkReader, files: &[SweptFile], target: &T, job: &Job) -> Result<()> {
    let mut sweep = Sweep { reader, files, target, job, cache: RunCache::default(), names: RunNames::default(), states: Vec::new() };
    let planned = sweep.plan()?;
    let (next, fault) = (AtomicUsize::new(0), FirstFault::default());
    let is_far = reader.repository().store().is_far();
    let (waiting, most) = if is_far { (WAITING_FAR, REBUILDS_FAR) } else { (WAITING, REBUILDS_MAX) };
    std::thread::scope(|scope| {
        for _ in 0..job.threads.saturating_add(waiting).min(most) {
            scope.spawn(|| {
                fault.note(ReadContext::new().map_err(OpsError::from).and_then(|mut context| {
                    let mut rebuilder = Rebuilder::default();
                    while let Some(piece) = planned.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if fault.is_set() || target.is_over() {
                            break;
                        }
                        job.cancel.check()?;
                        sweep.blocks(piece, &mut context, &mut rebuilder)?;
                    }
                    Ok(())
                }));
            });
        }
    });
    fault.into_result()
}

impl<T: SweepTarget> Sweep<'_, T> {
    /// Reads every recipe; what follows the data blocks of a table without any is rebuilt at once.
    fn plan(&mut self) -> Result<Vec<Planned>> {
        let mut planned: Vec<(&str, Planned)> = Vec::new();
        let mut ready = Vec::new();
        let (kept_bytes, mut numbering) = (AtomicUsize::new(0), Numbering::default());
        let mut number = 0;
        for files in self.files.chunks(FILES_AT_ONCE) {
            for (file, pieces) in files.iter().zip(read_recipes(self.reader, files, &kept_bytes, self.job)?) {
                let state = self.plan_file(number, file, pieces, &mut planned, &mut numbering)?;
                if state.left == 0 && !state.has_failed {
                    ready.push(number);
                }
                self.states.push(Mutex::new(state));
                number += 1;
            }
        }
        self.names = numbering.finish();
        let (mut context, mut rebuilder) = (ReadContext::new()?, Rebuilder::default());
        for number in ready {
            self.rest(number, &mut context, &mut rebuilder)?;
        }
        planned.sort_by(|(left_space, left), (right_space, right)| {
            let by_space = left_space.cmp(right_space).then((left.order as u8).cmp(&(right.order as u8)));
            by_space
                .then_with(|| left.order.compare(&left.first_key, &right.first_key))
                .then((left.place.file, left.place.piece).cmp(&(right.place.file, right.place.piece)))
        });
        Ok(planned.into_iter().map(|(_, piece)| piece).collect())
    }

    /// Takes the pieces of a file into the plan; what is wrong with them goes to the target.
    fn plan_file<'f>(
        &self,
        number: usize,
        file: &'f SweptFile,
        pieces: Vec<esker_repo::Result<Sketch>>,
        planned: &mut Vec<(&'f str, Planned)>,
        numbering: &mut Numbering,
    ) -> Result<FileState> {
        let mut state = FileState { left: 0, filter_keys: None, facts: BTreeMap::new(), rest: None, has_failed: false };
        let mut offset = 0u64;
        for (position, (id, sketch)) in file.content.recipe.iter().zip(pieces).enumerate() {
            let mut place = PieceOf { file: number, piece: position, offset, len: 0 };
            let (len, stated) = match &sketch {
                Ok(Sketch::Blocks { len, offset, .. }) => (*len, *offset),
                Ok(Sketch::Rest(rest)) => (rest.len, rest.offset),
                Ok(Sketch::Bytes) | Err(_) => (0, offset),
            };
            place.len = len;
            offset = offset.saturating_add(len);
            let misfits = stated != place.offset || offset > file.content.size || state.rest.is_some();
            let fault = match sketch {
                Err(error) => Some((Some(*id), error.into())),
                Ok(_) if misfits => Some((None, damage(&file.name, "its recipe does not fit its size"))),
                Ok(Sketch::Bytes) => Some((None, damage(&file.name, "its recipe mixes blocks and bytes"))),
                Ok(Sketch::Blocks { planned: piece, runs, .. }) => {
                    self.cache.announce(runs.iter());
                    state.left += 1;
                    planned.push((file.space.as_str(), Planned { place, runs: numbering.numbers(&runs), ..piece }));
                    None
                }
                Ok(Sketch::Rest(rest)) => {
                    let filter_keys = rest::filter_keys(&rest);
                    state.rest = Some((place, rest));
                    match filter_keys {
                        Ok(filter_keys) => {
                            state.filter_keys = filter_keys;
                            None
                        }
                        Err(error) => Some((None, of_file(&file.name, error.into()))),
                    }
                }
            };
            if let Some((chunk, error)) = fault {
                self.target.failed(place, chunk, error)?;
                state.has_failed = true;
                return Ok(state);
            }
        }
        if offset != file.content.size || state.rest.is_none() {
            let place = PieceOf { file: number, piece: file.content.recipe.len(), offset, len: 0 };
            self.target.failed(place, None, damage(&file.name, "its recipe does not fit its size"))?;
            state.has_failed = true;
        }
        Ok(state)
    }

    fn blocks(&self, planned: &Planned, context: &mut ReadContext, rebuilder: &mut Rebuilder) -> Result<()> {
        let runs = self.names.of(&planned.runs);
        let Some(filter_keys) = self.state(planned.place.file).filter(|state| !state.has_failed).map(|state| state.filter_keys) else {
            self.cache.release(runs.iter());
            return Ok(());
        };
        let rebuilt = self.rebuild_blocks(planned, &runs, filter_keys, context, rebuilder);
        self.cache.release(runs.iter());
        match rebuilt {
            Ok(facts) => {
                self.target.done(planned.place)?;
                let is_last = self.state(planned.place.file).is_some_and(|mut state| {
                    state.left -= 1;
                    state.facts.extend(facts.map(|facts| (planned.place.piece, facts)));
                    state.left == 0 && !state.has_failed
                });
                if is_last { self.rest(planned.place.file, context, rebuilder) } else { Ok(()) }
            }
            Err((chunk, error)) if error.is_damage() || matches!(error, OpsError::Encoder(_)) => {
                if let Some(mut state) = self.state(planned.place.file) {
                    state.has_failed = true;
                }
                self.target.failed(planned.place, chunk, error)
            }
            Err((_, error)) => Err(error),
        }
    }

    fn rebuild_blocks(
        &self,
        planned: &Planned,
        ids: &[ChunkId],
        filter_keys: Option<FilterKeys>,
        context: &mut ReadContext,
        rebuilder: &mut Rebuilder,
    ) -> std::result::Result<Option<TableFacts>, (Option<ChunkId>, OpsError)> {
        let kept = planned.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let piece = match kept.map_or_else(|| read_piece(self.reader, context, &planned.id), |kept| Ok(Piece::Blocks(kept))) {
            Ok(Piece::Blocks(piece)) => piece,
            Ok(_) => return Err((Some(planned.id), damage("a recipe", "is another than a moment ago"))),
            Err(error) => return Err((Some(planned.id), error.into())),
        };
        if filter_keys.is_none() && self.target.has(planned.place, &piece.hash).map_err(|error| (None, error))? {
            return Ok(None);
        }
        let runs = match self.cache.get(self.reader, context, ids, &|place| self.target.was_read(place)) {
            Ok(runs) => runs,
            Err(error) => return Err((self.to_blame(context, ids, &error), error)),
        };
        let mut facts = filter_keys.map(TableFacts::new);
        let mut sources = StoredSources { reader: self.reader, context, runs: &runs, blamed: None };
        let mut at = 0;
        let rebuilt = rebuilder.blocks::<OpsError>(&piece, &mut sources, facts.as_mut(), &mut |bytes| {
            self.target.put(planned.place, at, bytes)?;
            at += bytes.len() as u64;
            Ok(())
        });
        let blamed = sources.blamed;
        rebuilt.map(|()| facts).map_err(|error| (blamed, of_file(self.name(planned.place.file), error)))
    }

    /// Rebuilds what follows the data blocks of a file, which are all done.
    fn rest(&self, file: usize, context: &mut ReadContext, rebuilder: &mut Rebuilder) -> Result<()> {
        let Some((rest, facts)) = self.state(file).map(|mut state| (state.rest.take(), std::mem::take(&mut state.facts))) else {
            return Ok(());
        };
        let Some((place, piece)) = rest else { return Ok(()) };
        if self.target.has(place, &piece.hash)? {
            return self.target.done(place);
        }
        let mut sources = StoredSources { reader: self.reader, context, runs: &[], blamed: None };
        match rebuild_rest(&piece, facts, &mut sources, rebuilder) {
            Ok(bytes) => {
                self.target.put(place, 0, &bytes)?;
                self.target.done(place)
            }
            Err(error) if error.is_damage() || matches!(error, OpsError::Encoder(_)) => {
                self.target.failed(place, sources.blamed, of_file(self.name(file), error))
            }
            Err(error) => Err(error),
        }
    }

    /// The first run that cannot be read.
    fn to_blame(&self, context: &mut ReadContext, runs: &[ChunkId], error: &OpsError) -> Option<ChunkId> {
        let is_lost = |id: &&ChunkId| self.reader.prove(context, id).is_err();
        if error.is_damage() { runs.iter().find(is_lost).copied() } else { None }
    }

    fn name(&self, file: usize) -> &str {
        self.files.get(file).map_or("a file", |file| &file.name)
    }

    fn state(&self, file: usize) -> Option<std::sync::MutexGuard<'_, FileState>> {
        self.states.get(file).map(|state| state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Puts together what follows the data blocks of a table.
///
/// # Errors
/// `Damage`, `ChunkLost`, `Store`.
fn rebuild_rest(
    piece: &TableRest,
    facts: BTreeMap<usize, TableFacts>,
    sources: &mut StoredSources<'_>,
    rebuilder: &mut Rebuilder,
) -> Result<Vec<u8>> {
    let facts = facts.into_values().reduce(|mut all, later| {
        all.join(later);
        all
    });
    rebuilder.rest::<OpsError>(piece, sources, facts.as_ref())
}

/// Gives the bytes of one table in order to `take`.
///
/// # Errors
/// `Damage`, `ChunkLost`, `Store`, `Cancelled`, and what `take` returns.
pub(crate) fn rebuild_table(
    reader: &ChunkReader,
    context: &mut ReadContext,
    content: &FileContent,
    cancel: &Cancel,
    take: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let last = content.recipe.last().map(|id| read_piece(reader, context, id)).transpose()?;
    let Some(Piece::Rest(rest)) = last else { return Err(damage("the recipe", "does not end with what follows the blocks")) };
    let filter_keys = rest::filter_keys(&rest)?;
    let (cache, mut rebuilder, mut facts) = (RunCache::default(), Rebuilder::default(), BTreeMap::new());
    for (position, id) in content.recipe.iter().enumerate().take(content.recipe.len() - 1) {
        cancel.check()?;
        let Piece::Blocks(piece) = read_piece(reader, context, id)? else { return Err(damage("the recipe", "mixes blocks and bytes")) };
        let ids: Vec<ChunkId> = piece.runs.iter().map(|run| run.id).collect();
        let runs = cache.get(reader, context, &ids, &|_| Ok(()))?;
        let mut of_piece = filter_keys.map(TableFacts::new);
        let mut sources = StoredSources { reader, context, runs: &runs, blamed: None };
        rebuilder.blocks::<OpsError>(&piece, &mut sources, of_piece.as_mut(), take)?;
        facts.extend(of_piece.map(|facts| (position, facts)));
    }
    let mut sources = StoredSources { reader, context, runs: &[], blamed: None };
    take(&rebuild_rest(&rest, facts, &mut sources, &mut rebuilder)?)
}

/// Runs in memory, bytes from the store.
struct StoredSources<'a> {
    reader: &'a ChunkReader,
    context: &'a mut ReadContext,
    runs: &'a [Arc<Run>],
    /// The chunk that could not be read.
    blamed: Option<ChunkId>,
}

impl Sources<OpsError> for StoredSources<'_> {
    fn run(&mut self, number: usize) -> Result<Arc<Run>> {
        self.runs.get(number).cloned().ok_or_else(|| OpsError::Damage(format!("run {number} is not among the runs of its piece")))
    }

    fn bytes(&mut self, chunk: &ChunkUse) -> Result<Vec<u8>> {
        self.reader.read(self.context, &chunk.id).map_err(|error| {
            self.blamed = Some(chunk.id);
            error.into()
        })
    }
}

fn damage(name: &str, what: &str) -> OpsError {
    OpsError::Damage(format!("{name}: {what}"))
}

fn of_file(name: &str, error: OpsError) -> OpsError {
    if error.is_damage() { OpsError::Damage(format!("{name}: {error}")) } else { error }
}

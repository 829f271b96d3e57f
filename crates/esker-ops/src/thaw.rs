//! Packs in cold storage: which of them a restore needs, asking for them, and waiting until they can be read.
//!
//! A restore does not look for cold packs beforehand: on a store without any that would cost a request a pack. It begins, and
//! when it meets one, everything that it needs is looked at. What it wrote until then stays.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use esker_cluster::path::{escaped, join};
use esker_format::ChunkId;
use esker_format::file_table::{FileContent, FileRow, Node};
use esker_format::layout::{PackKind, PackName};
use esker_repo::index::SharedIndex;
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::store::classes::{ThawRequest, Warmth};
use esker_repo::tables::read_piece;
use esker_repo::{RepoError, Repository};
use serde::Serialize;

use crate::error::{OpsError, Result};
use crate::job::{FirstFault, Job};
use crate::restore::{RestoreReport, RestoreRequest, restore, restore_partial};
use crate::rows::{Place, walk_rows};
use crate::select::find_backup;
use crate::walk_left::{Visit, walk_left};

/// Threads that ask the store about packs.
const LOOKERS: usize = 8;
/// The first pause between two looks at thawing packs; each further one is twice as long, up to `PAUSE_MAX`.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// How often a wait looks whether it was cancelled.
const CANCEL_INTERVAL: Duration = Duration::from_millis(200);

/// A data pack that cannot be read yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColdPack {
    /// Its path in the repository.
    pub pack: String,
    /// Its bytes.
    pub bytes: u64,
    /// Its storage class.
    pub class: String,
    /// `thawing` if somebody asked for it, or else `cold`.
    pub state: Warmth,
}

/// What a restore has to wait for, and what it would wait for in vain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Frozen {
    /// The data packs that it needs and cannot read yet.
    pub cold: Vec<ColdPack>,
    /// `host/path` of files that are not whole, cold packs or not, as far as their names are known. Only a partial restore
    /// goes on without them.
    pub lost: Vec<String>,
}

/// What is done about cold packs.
pub struct Thawing<'a> {
    /// How they are asked for.
    pub request: ThawRequest,
    /// Whether to wait until they can be read.
    pub wait: bool,
    /// Hears what is cold before any of it is asked for.
    pub found: &'a mut dyn FnMut(&Frozen),
}

/// Restores, or restores what is whole if it may be `partial`; if packs must thaw first, asks for them and waits or ends.
///
/// # Errors
/// As `restore` and `restore_partial`; `Thawing` if packs were asked for and nobody waits. Of a damaged backup that must be
/// whole nothing is asked for.
pub fn restore_when_thawed(
    repository: &Arc<Repository>,
    request: &RestoreRequest,
    partial: bool,
    thawing: Thawing<'_>,
    job: &Job,
) -> Result<RestoreReport> {
    let restore = if partial { restore_partial } else { restore };
    loop {
        match restore(repository, request, job) {
            Err(OpsError::Repository(RepoError::Cold { .. })) => {}
            outcome => return outcome,
        }
        let frozen = frozen(repository, request, partial, job)?;
        (thawing.found)(&frozen);
        let packs = frozen.cold;
        for pack in packs.iter().filter(|pack| pack.state == Warmth::Cold) {
            job.cancel.check()?;
            repository.store().thaw(&pack.pack, thawing.request)?;
        }
        if !thawing.wait {
            return Err(OpsError::Thawing { packs: packs.len() as u64, bytes: packs.iter().map(|pack| pack.bytes).sum() });
        }
        wait(repository, packs, job)?;
    }
}

/// The data packs that a restore needs and cannot read yet.
///
/// # Errors
/// `Usage` if the backup is not found; `Store`; `ChunkLost` and other damage unless it may be `partial`.
pub fn frozen(repository: &Arc<Repository>, request: &RestoreRequest, partial: bool, job: &Job) -> Result<Frozen> {
    job.progress.phase("looking for cold packs", 0);
    let (packs, lost) = needed(repository, request, partial)?;
    let needed: Vec<(PackName, u64)> = packs.into_iter().collect();
    let cold = Mutex::new(Vec::new());
    let (next, fault) = (AtomicUsize::new(0), FirstFault::default());
    std::thread::scope(|scope| {
        for _ in 0..LOOKERS.min(needed.len()) {
            scope.spawn(|| {
                while let Some((name, bytes)) = needed.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| !fault.is_set()) {
                    let looked = job.cancel.check().and_then(|()| Ok(repository.store().look(&name.path())?));
                    fault.note(looked.map(|(class, state)| {
                        if state != Warmth::Warm {
                            let pack = ColdPack { pack: name.path(), bytes: *bytes, class, state };
                            cold.lock().unwrap_or_else(PoisonError::into_inner).push(pack);
                        }
                    }));
                }
            });
        }
    });
    fault.into_result()?;
    job.progress.finish();
    let mut cold = cold.into_inner().unwrap_or_else(PoisonError::into_inner);
    cold.sort_by(|a, b| a.pack.cmp(&b.pack));
    Ok(Frozen { cold, lost })
}

/// The data packs that the chosen files need, with their bytes, and the files that are not whole.
type Needed = (BTreeMap<PackName, u64>, Vec<String>);

fn needed(repository: &Arc<Repository>, request: &RestoreRequest, partial: bool) -> Result<Needed> {
    let backup = find_backup(repository, &request.backup)?;
    let reader = ChunkReader::open(repository)?;
    let (index, context) = (reader.index(), ReadContext::new()?);
    let mut needs = Needs { reader: &reader, index, context, packs: BTreeMap::new(), lost: partial.then(Vec::new) };
    let mut context = ReadContext::new()?;
    match partial {
        true => walk_left(&reader, &mut context, &backup.manifest, &request.selection, &mut needs)?,
        false => walk_rows(&reader, &mut context, &backup.manifest, &request.selection, |place, row| needs.row(place, row))?,
    }
    Ok((needs.packs, needs.lost.unwrap_or_default()))
}

/// Collects what files need.
struct Needs<'a> {
    reader: &'a ChunkReader,
    index: SharedIndex,
    context: ReadContext,
    packs: BTreeMap<PackName, u64>,
    /// Files that are not whole, if they may be.
    lost: Option<Vec<String>>,
}

impl Needs<'_> {
    fn file(&mut self, content: &FileContent) -> Result<()> {
        for piece in &content.recipe {
            for chunk in read_piece(self.reader, &mut self.context, piece)?.chunks() {
                let places = self.index.locate_read(&chunk.id)?;
                if places.is_empty() {
                    return Err(RepoError::ChunkLost { chunk: chunk.id, why: "no pack in the store holds it".into() }.into());
                }
                for place in places {
                    let pack = self.index.pack(place.pack)?;
                    if pack.name.kind == PackKind::Data {
                        self.packs.insert(pack.name, pack.bytes);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Visit for Needs<'_> {
    fn table(&mut self, _: Place<'_>, _: &ChunkId, _: bool, _: Option<RepoError>) -> Result<bool> {
        Ok(true)
    }

    fn row(&mut self, place: Place<'_>, row: FileRow) -> Result<()> {
        let Node::File(content) = &row.node else { return Ok(()) };
        match (self.file(content), &mut self.lost) {
            (Err(error), Some(lost)) if error.is_damage() => {
                lost.push(escaped(&join(place.host.name.as_bytes(), &row.path)));
                Ok(())
            }
            (outcome, _) => outcome,
        }
    }
}

/// Returns once all packs can be read.
fn wait(repository: &Arc<Repository>, mut packs: Vec<ColdPack>, job: &Job) -> Result<()> {
    job.progress.phase("waiting for packs to thaw", packs.iter().map(|pack| pack.bytes).sum());
    let mut pause = PAUSE_FIRST;
    while !packs.is_empty() {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            job.cancel.check()?;
            std::thread::sleep(CANCEL_INTERVAL);
        }
        let mut left = Vec::new();
        for pack in packs {
            match repository.store().look(&pack.pack)? {
                (_, Warmth::Warm) => job.progress.advance(pack.bytes),
                _ => left.push(pack),
            }
        }
        packs = left;
        pause = PAUSE_MAX.min(pause * 2);
    }
    job.progress.finish();
    Ok(())
}

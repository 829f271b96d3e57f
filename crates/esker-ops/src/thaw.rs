//! Packs in cold storage: which of them a restore needs, asking for them, and waiting until they can be read.
//!
//! A restore does not look for cold packs beforehand: on a store without any that would cost a request a pack. It begins, and
//! when it meets one, everything that it needs is looked at. What it wrote until then stays.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use esker_format::ChunkId;
use esker_format::file_table::Node;
use esker_format::layout::{PackKind, PackName};
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::store::classes::{ThawRequest, Warmth};
use esker_repo::tables::read_piece;
use esker_repo::{RepoError, Repository};
use serde::Serialize;

use crate::error::{OpsError, Result};
use crate::job::{FirstFault, Job};
use crate::restore::{RestoreReport, RestoreRequest, restore};
use crate::rows::walk_rows;
use crate::select::find_backup;

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

/// What is done about cold packs.
pub struct Thawing<'a> {
    /// How they are asked for.
    pub request: ThawRequest,
    /// Whether to wait until they can be read.
    pub wait: bool,
    /// Hears which packs are cold, once.
    pub found: &'a mut dyn FnMut(&[ColdPack]),
}

/// Restores; if packs must thaw first, asks for them and waits or ends.
///
/// # Errors
/// As `restore`; `Thawing` if packs were asked for and nobody waits.
pub fn restore_when_thawed(
    repository: &Arc<Repository>,
    request: &RestoreRequest,
    thawing: Thawing<'_>,
    job: &Job,
) -> Result<RestoreReport> {
    loop {
        match restore(repository, request, job) {
            Err(OpsError::Repository(RepoError::Cold { .. })) => {}
            outcome => return outcome,
        }
        let packs = cold_packs(repository, request, job)?;
        (thawing.found)(&packs);
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
/// `Usage` if the backup is not found; `ChunkLost`, `Store`.
pub fn cold_packs(repository: &Arc<Repository>, request: &RestoreRequest, job: &Job) -> Result<Vec<ColdPack>> {
    job.progress.phase("looking for cold packs", 0);
    let needed = needed_packs(repository, request)?;
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
    Ok(cold)
}

fn needed_packs(repository: &Arc<Repository>, request: &RestoreRequest) -> Result<Vec<(PackName, u64)>> {
    let backup = find_backup(repository, &request.backup)?;
    let reader = ChunkReader::open(repository)?;
    let (index, mut context, mut inner) = (reader.index(), ReadContext::new()?, ReadContext::new()?);
    let mut packs = BTreeMap::new();
    let mut need = |chunk: ChunkId| -> Result<()> {
        let places = index.locate_readable(&chunk)?;
        // Of a chunk one place is read, of sparse forms of a run all.
        let read = places.iter().enumerate().filter(|(number, place)| *number == 0 || place.frame.entry.form.is_some());
        for (_, place) in read {
            let pack = index.pack(place.pack)?;
            if pack.name.kind == PackKind::Data {
                packs.insert(pack.name, pack.bytes);
            }
        }
        Ok(())
    };
    walk_rows(&reader, &mut context, &backup.manifest, &request.selection, |_, row| {
        let Node::File(content) = row.node else { return Ok(()) };
        for piece in &content.recipe {
            read_piece(&reader, &mut inner, piece)?.chunks().try_for_each(|chunk| need(chunk.id))?;
        }
        Ok(())
    })?;
    Ok(packs.into_iter().collect())
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

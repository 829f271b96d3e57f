//! Prune: deletes packs that no backup needs, while others write and read (docs/concurrency.md, "Prune").
//!
//! 0. Sessions that may be dead give a sign of life, or are fenced.
//! 1. Doomed lists, manifests, segments and packs are listed, and what the backups need is marked.
//! 2. A doomed list is written: packs that no mark needs, of sessions that are over, and what is left of others' lists.
//! 3. Every session that stands after the list was written is waited for, until its end or its fence.
//! 4. All is listed and marked again. What is needed of the list after all stays.
//! 5. Index segments without the rest are written, old ones deleted, then the packs, and the list last.

mod explain;
mod mark;
mod marks;
mod plan;
mod report;
mod rescue;
mod segments;
mod staging;
mod uses;
mod watch;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use esker_format::audit::{Deed, Event};
use esker_format::doomed::{DoomedList, Forgotten, ForgottenKind};
use esker_format::layout::{ObjectKind, PackName, object_path};
use esker_format::seal::ChunkKind;
use esker_format::{ObjectId, SessionId};

use crate::environment::random;
use crate::error::{RepoError, Result};
use crate::index::Location;
use crate::listing::{Listing, ids};
use crate::manifests::Backups;
use crate::repository::Repository;
use crate::session::Session;
use crate::view::{View, Viewer};

pub use explain::{Explanation, NeededBy, explain};
pub use plan::{PackPlan, Plan, Why};
pub use report::Pruned;
pub use staging::Swept;
pub use watch::{JOB, SessionLine};

use mark::Marker;
use rescue::Rescue;
use watch::{Until, Watch, at_work};

/// Time without a sign of life after which a session is taken for dead, unless the caller says otherwise: ten beats.
pub const FENCE_AFTER: Duration = Duration::from_secs(600);
/// Packs for which a further thread deletes along.
const PACKS_A_WORKER: usize = 8;
/// How often the store is looked at while other prunes change it.
const LOOKS_MAX: u32 = 5;

/// How a prune works.
#[derive(Debug, Clone)]
pub struct PruneOptions {
    /// Time that this prune itself waits for a sign of life of a session before it takes it for dead.
    pub fence_after: Duration,
    /// Time that it waits for sessions in all; as long as it takes if `None`.
    pub max_wait: Option<Duration>,
    /// What is rewritten.
    pub repack: Repack,
    /// Requests that delete at once.
    pub workers: usize,
}

/// Which packs are rewritten without what nobody needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repack {
    /// Bytes that may be written again, at most; 0 rewrites nothing.
    pub bytes_max: u64,
    /// A pack is rewritten if at least so many percent of its bytes are not needed.
    pub dead_percent: u32,
}

impl Repack {
    /// Rewrites nothing.
    pub const NOTHING: Self = Self { bytes_max: 0, dead_percent: 100 };
}

/// Who is told how a prune goes, and may stop it.
pub trait Observer: Sync {
    /// Whether to go on.
    ///
    /// # Errors
    /// `Cancelled`.
    fn check(&self) -> Result<()>;
    /// A step begins.
    fn step(&self, _name: &str) {}
    /// These sessions are waited for.
    fn waiting(&self, _sessions: &[SessionLine]) {}
}

/// Prunes.
///
/// # Errors
/// `PruneStopped` if something must not be passed over, `PruneGaveUp` after `max_wait`: nothing was deleted then. `Store`
/// and what the observer returns; what such a prune left is finished by the next.
pub fn prune(repository: &Arc<Repository>, options: &PruneOptions, observer: &dyn Observer) -> Result<Pruned> {
    let session = Session::begin(repository, JOB)?;
    let watch = Watch {
        repository,
        observer,
        by: session.id(),
        fence_after: options.fence_after,
        max_wait: options.max_wait,
        waited: Duration::ZERO,
        fenced: Vec::new(),
    };
    let mut prune = Prune { repository, options, observer, session: session.id(), watch, list: None, report: Pruned::default() };
    let outcome = prune.run();
    if outcome.is_err() {
        prune.take_list_back();
    }
    // It committed nothing, so its fate is known however it ended. A session that cannot be ended is fenced by the next prune.
    let _ = session.end(None);
    outcome?;
    let Prune { watch, mut report, .. } = prune;
    report.fenced = watch.fenced;
    report.waited_ms = u64::try_from(watch.waited.as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

/// What a prune would do now. Writes nothing.
///
/// # Errors
/// As `prune`.
pub fn plan(repository: &Arc<Repository>, options: &PruneOptions, observer: &dyn Observer) -> Result<Plan> {
    let over = sessions_over(repository)?;
    let (looked, marker) = Looked::and_mark(repository, observer)?;
    let mut plan = Plan::of(&looked.view, &marker, &over, &options.repack);
    plan.at_work = at_work(repository)?.keys().map(|session| watch::line(repository, session)).collect::<Result<_>>()?;
    plan.swept = staging::sweep(repository, &over, true)?;
    Ok(plan)
}

/// One look at the store: the view, and the backups that stand in it.
struct Looked {
    /// Forgotten records that stood before: what they name, backups that stand here may name.
    records: Vec<ObjectId>,
    view: View,
    backups: Backups,
}

impl Looked {
    /// Looks, and stops if something is amiss (docs/concurrency.md, Prune).
    fn at(repository: &Arc<Repository>, observer: &dyn Observer) -> Result<Self> {
        observer.check()?;
        let records = ids(&repository.store, ObjectKind::Forgotten)?.into_keys().collect();
        let view = repository.view(Viewer::Reader)?;
        let backups = repository.backups_of(&view.listing.manifests)?;
        if let Some((_, error)) = backups.damaged.first() {
            return Err(stopped(format!("{error}; bring it back from a copy of the store, or forget that backup by its id")));
        }
        if let Some(error) = view.damaged_lists.first() {
            return Err(stopped(format!(
                "{error}: nobody knows what another prune wants to delete; find out who wrote it, then delete it"
            )));
        }
        if let Some(error) = view.synced.damaged.iter().find(|error| error.is_too_new()) {
            return Err(stopped(format!("{error}; prune with the esker that wrote it, or a newer one")));
        }
        Ok(Self { records, view, backups })
    }

    /// Looks and marks. Damage is believed only of a view that still holds: another prune may have moved what is needed.
    fn and_mark(repository: &Arc<Repository>, observer: &dyn Observer) -> Result<(Self, Marker)> {
        let mut tries = 1;
        loop {
            let looked = Self::at(repository, observer)?;
            match looked.mark(repository, &BTreeSet::new(), observer) {
                Ok(marker) => return Ok((looked, marker)),
                Err(RepoError::PruneStopped(_)) if tries < LOOKS_MAX && looked.is_stale(repository)? => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the store shows other packs or segments now.
    fn is_stale(&self, repository: &Repository) -> Result<bool> {
        let now = Listing::read(&repository.store)?;
        Ok(now.packs != self.view.listing.packs || now.segments != self.view.listing.segments)
    }

    /// Marks what the backups need, from nothing.
    fn mark(&self, repository: &Arc<Repository>, own: &BTreeSet<ObjectId>, observer: &dyn Observer) -> Result<Marker> {
        let mut marker = Marker::new(repository, Arc::clone(&self.view.synced.index), own, &self.others(None))?;
        marker.mark(&self.backups.found, observer)?;
        self.nobody_is_missing(repository, &marker)?;
        Ok(marker)
    }

    /// Stops if a manifest that a writer or this client saw is gone and nobody forgot it.
    fn nobody_is_missing(&self, repository: &Arc<Repository>, marker: &Marker) -> Result<()> {
        let mut gone: BTreeSet<ObjectId> = marker.seen.difference(&self.view.listing.manifests).copied().collect();
        gone.extend(repository.rolled_back(&self.backups)?);
        if gone.is_empty() {
            return Ok(());
        }
        let forgotten = repository.forgotten()?;
        for id in gone.iter().filter(|id| !forgotten.contains_key(id)) {
            let path = object_path(ObjectKind::Manifest, id);
            if repository.store.size(&path)?.is_none() {
                let what = format!("{path} is missing and nobody forgot it: the store lost it, hides it or was rolled back");
                return Err(stopped(format!("{what}; bring it back from a copy of the store, or esker forget {id}")));
            }
        }
        Ok(())
    }

    /// Packs of the lists of other prunes.
    fn others(&self, own: Option<ObjectId>) -> BTreeSet<ObjectId> {
        let lists = self.view.lists.iter().filter(|(id, _)| Some(**id) != own);
        lists.flat_map(|(_, list)| list.packs.iter().copied()).collect()
    }
}

/// The list that a prune wrote.
struct Own {
    id: ObjectId,
    packs: BTreeSet<ObjectId>,
    /// Whether the first of its packs may be gone.
    is_used: bool,
}

struct Prune<'a> {
    repository: &'a Arc<Repository>,
    options: &'a PruneOptions,
    observer: &'a dyn Observer,
    session: SessionId,
    watch: Watch<'a>,
    list: Option<Own>,
    report: Pruned,
}

impl Prune<'_> {
    fn run(&mut self) -> Result<()> {
        self.settle_suspects()?;
        let over = sessions_over(self.repository)?;
        self.observer.step("marking");
        let (looked, mut marker) = Looked::and_mark(self.repository, self.observer)?;
        let mut plan = Plan::of(&looked.view, &marker, &over, &self.options.repack);
        marker.prove_homes(&plan.going(), self.observer)?;
        self.rescue(&mut marker, &mut plan)?;
        let plan = Plan::of(&looked.view, &marker, &over, &Repack::NOTHING).with_rewritten(plan);
        self.report.begin(&plan);
        if !plan.packs.is_empty() {
            self.write_list(&plan)?;
            self.wait_for_sessions()?;
            self.observer.step("marking again");
            let (looked, go) = self.look_again(marker)?;
            self.observer.step("deleting");
            self.delete(&looked, &go)?;
        } else if looked.view.synced.index.absent() > 0 || !looked.view.lists.is_empty() {
            // What an interrupted prune left: segments that name packs which are gone, a list without packs.
            self.delete(&looked, &BTreeSet::new())?;
        }
        self.report.swept = staging::sweep(self.repository, &over, false)?;
        Ok(())
    }

    /// Step (3).
    fn wait_for_sessions(&mut self) -> Result<()> {
        self.observer.step("waiting");
        let mut sessions = at_work(self.repository)?;
        self.leave_out_prunes(&mut sessions)?;
        self.watch.wait(sessions, Until::ItsEnd)
    }

    /// Step (0): the packs of sessions that died go with this prune, not with the next.
    fn settle_suspects(&mut self) -> Result<()> {
        let mut sessions = at_work(self.repository)?;
        sessions.remove(&self.session);
        self.watch.retain_suspects(&mut sessions)?;
        self.observer.step("waiting");
        self.watch.wait(sessions, Until::ItIsKnown)
    }

    /// Copies needed chunks of packs that are to go. A pack of which not all that is needed reads whole stays.
    fn rescue(&mut self, marker: &mut Marker, plan: &mut Plan) -> Result<()> {
        if !marker.needs_rescue() && plan.packs.iter().all(|pack| pack.why != Why::NeededInPart) {
            return Ok(());
        }
        self.observer.step("rewriting");
        let rewritten = || plan.packs.iter().filter(|pack| pack.why == Why::NeededInPart);
        let makes_forms = marker.needs_rescue() || rewritten().any(|pack| pack.sparse_runs > 0);
        let mut rescue = Rescue::begin(self.repository, marker, self.session, makes_forms)?;
        marker.take_only_doomed(|chunk, lack| rescue.chunk(&chunk, lack))?;
        marker.take_lacking(|run, lacking| rescue.run(&run, &lacking))?;
        let mut emptied = Vec::new();
        for pack in plan.packs.iter().filter(|pack| pack.why == Why::NeededInPart) {
            self.observer.check()?;
            let Some(marks) = marker.marks.pack(&pack.name.id) else { continue };
            let table = match self.repository.read_frame_table(&pack.name, pack.bytes) {
                Ok(table) => table,
                Err(error) if error.is_damage() => continue,
                Err(error) => return Err(error),
            };
            let mut frames = Vec::new();
            for frame in table.frames().filter(|frame| marks.is_home(frame.number)) {
                let place = Location { pack: marks.entry.number, frame };
                let is_run = matches!(frame.entry.kind, ChunkKind::Run | ChunkKind::SparseRun);
                let needed = if is_run { marker.uses.of(&frame.entry.stands_for())? } else { None };
                frames.push((frame, needed.filter(|needed| needed.unneeded_bytes(&place) > 0).map(|needed| needed.entries)));
            }
            if rescue.frames(&marks.entry, &frames)? {
                emptied.push(pack.name);
            }
        }
        plan.packs.retain(|pack| pack.why != Why::NeededInPart || emptied.contains(&pack.name));
        self.report.rewritten_chunks += rescue.chunks;
        self.report.sparse_runs += rescue.forms;
        for pack in rescue.finish()? {
            let entry = plan::entry_of(&pack);
            self.report.written_bytes += entry.bytes;
            marker.marks.add_whole(entry);
        }
        for name in &emptied {
            if let Some(pack) = marker.marks.pack_mut(&name.id) {
                pack.clear_homes();
            }
        }
        Ok(())
    }

    /// Step (2).
    fn write_list(&mut self, plan: &Plan) -> Result<()> {
        // A list that nobody may act upon would only keep writers from what stands in it.
        let nothing = object_path(ObjectKind::DoomedList, &ObjectId(random(&*self.repository.environment)?));
        self.repository.store.delete(&nothing)?;
        let packs: Vec<ObjectId> = plan.packs.iter().map(|pack| pack.name.id).collect();
        let list = DoomedList { session: self.session, at_ms: self.repository.environment.now_ms(), packs: packs.clone() };
        let (id, _) = self.repository.write_object(ObjectKind::DoomedList, &list)?;
        self.list = Some(Own { id, packs: packs.into_iter().collect(), is_used: false });
        Ok(())
    }

    /// Prunes do not wait for each other, or two would for ever: each sees the other's list in its second look.
    fn leave_out_prunes(&self, sessions: &mut watch::AtWork) -> Result<()> {
        let mut prunes = Vec::new();
        for session in sessions.keys() {
            if *session == self.session || watch::line(self.repository, session)?.job == JOB {
                prunes.push(*session);
            }
        }
        prunes.iter().for_each(|session| drop(sessions.remove(session)));
        Ok(())
    }

    /// Step (4): gives the packs of the list that go.
    fn look_again(&mut self, marker: Marker) -> Result<(Looked, BTreeSet<ObjectId>)> {
        let mut first = Some(marker);
        let mut tries = 1;
        loop {
            let looked = Looked::at(self.repository, self.observer)?;
            match self.mark_again(&looked, first.take()) {
                Ok(go) => return Ok((looked, go)),
                Err(RepoError::PruneStopped(_)) if tries < LOOKS_MAX && looked.is_stale(self.repository)? => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Marks again; what the first look marked need not be walked once more, unless another prune took what it counted on.
    fn mark_again(&mut self, looked: &Looked, first: Option<Marker>) -> Result<BTreeSet<ObjectId>> {
        let own = self.list.as_ref().map(|list| list.packs.clone()).unwrap_or_default();
        let others = looked.others(self.list.as_ref().map(|list| list.id));
        let index = || Arc::clone(&looked.view.synced.index);
        let rebased = match first {
            Some(mut marker) => {
                marker.rebase(index(), &own, &others)?;
                marker.marks.are_intact().then_some(marker)
            }
            None => None,
        };
        let mut marker = rebased.map_or_else(|| Marker::new(self.repository, index(), &own, &others), Ok)?;
        marker.mark(&looked.backups.found, self.observer)?;
        looked.nobody_is_missing(self.repository, &marker)?;
        marker.prove_homes(&own, self.observer)?;
        if marker.needs_rescue() {
            let mut rescue = Rescue::begin(self.repository, &marker, self.session, true)?;
            marker.take_only_doomed(|chunk, lack| rescue.chunk(&chunk, lack))?;
            marker.take_lacking(|run, lacking| rescue.run(&run, &lacking))?;
            self.report.rewritten_chunks += rescue.chunks;
            self.report.sparse_runs += rescue.forms;
            self.report.written_bytes += rescue.finish()?.iter().map(|pack| pack.table.bytes()).sum::<u64>();
        }
        // What an interrupted job left and nobody indexed is relied upon from here on.
        let orphans = looked.view.synced.orphans.iter();
        let relied_upon = orphans.filter(|pack| marker.marks.pack(&pack.name.id).is_some_and(|marks| !marks.is_dead()));
        segments::publish(self.repository, relied_upon.cloned().collect())?;
        let is_needed = |id: &&ObjectId| marker.marks.pack(id).is_some_and(|pack| !pack.is_dead());
        let (back, go): (BTreeSet<ObjectId>, BTreeSet<ObjectId>) = own.iter().partition(|id| is_needed(id));
        self.report.taken_back = back.len() as u64;
        Ok(go)
    }

    /// Step (5).
    fn delete(&mut self, looked: &Looked, go: &BTreeSet<ObjectId>) -> Result<()> {
        self.observer.check()?;
        let manifests = || looked.backups.found.iter().map(|backup| &backup.manifest);
        let told = manifests().flat_map(|manifest| manifest.segments.iter().copied()).collect();
        let segments = segments::rewrite(self.repository, &looked.view.listing, go, &told)?;
        let mut packs: Vec<(PackName, u64)> =
            looked.view.listing.packs.iter().filter(|(name, _)| go.contains(&name.id)).map(|(name, size)| (*name, *size)).collect();
        let written: BTreeSet<ObjectId> = manifests().flat_map(|manifest| manifest.packs.iter().copied()).collect();
        self.record_forgotten(packs.iter().map(|(name, _)| *name).filter(|name| written.contains(&name.id)))?;
        self.log(&packs, true)?;
        // From here on it is for the next prune to finish what this one does not.
        if let Some(list) = &mut self.list {
            list.is_used = true;
        }
        let named = segments.delete_stale(self.repository, &mut self.report.refused)?;
        packs.retain(|(name, _)| !named.contains(name));
        let locked = self.delete_packs(&packs)?;
        packs.retain(|(name, _)| !locked.iter().any(|(path, _)| *path == name.path()));
        self.report.refused.extend(locked);
        self.report.delete(&packs, &segments);
        self.remove_lists(looked, go, &packs.iter().map(|(name, _)| name.id).collect())?;
        self.log(&packs, false)?;
        self.remove_records(&looked.records, &written)
    }

    /// The audit log says what is about to be deleted, and that it was.
    fn log(&self, packs: &[(PackName, u64)], intended: bool) -> Result<()> {
        if packs.is_empty() {
            return Ok(());
        }
        let (count, bytes) = (packs.len() as u64, packs.iter().map(|(_, bytes)| bytes).sum());
        self.repository.record(Some(self.session), Deed { intended, count, bytes, ..Deed::done(Event::Prune) }).map(drop)
    }

    /// Packs that a standing backup says it wrote are named, so that nobody takes them for lost.
    fn record_forgotten(&self, packs: impl Iterator<Item = PackName>) -> Result<()> {
        let objects: Vec<(ObjectId, String)> = packs.map(|name| (name.id, name.kind.folder().to_owned())).collect();
        if objects.is_empty() {
            return Ok(());
        }
        let (session, at_ms) = (self.session, self.repository.environment.now_ms());
        let record = Forgotten { session, at_ms, kind: ForgottenKind::Pack, objects, reason: "prune".into() };
        self.repository.write_object(ObjectKind::Forgotten, &record).map(drop)
    }

    /// Records of packs that no backup names any more.
    fn remove_records(&self, records: &[ObjectId], written: &BTreeSet<ObjectId>) -> Result<()> {
        for (id, read) in self.repository.read_objects::<Forgotten>(ObjectKind::Forgotten, records.iter().copied()) {
            match read {
                Ok(record) if record.kind == ForgottenKind::Pack && !record.objects.iter().any(|(pack, _)| written.contains(pack)) => {
                    // One that is locked goes with a later prune.
                    self.repository.store.delete_unless_locked(&object_path(ObjectKind::Forgotten, &id))?;
                }
                Ok(_) => {}
                // What cannot be read stays, and fsck says so.
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Gives those that the store refuses to delete.
    fn delete_packs(&self, packs: &[(PackName, u64)]) -> Result<Vec<(String, String)>> {
        let next = AtomicUsize::new(0);
        let delete = || -> Result<Vec<(String, String)>> {
            let mut refused = Vec::new();
            while let Some((name, _)) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.observer.check()?;
                refused.extend(self.repository.store.delete_unless_locked(&name.path())?.map(|why| (name.path(), why)));
            }
            Ok(refused)
        };
        let workers = self.options.workers.min(packs.len() / PACKS_A_WORKER);
        std::thread::scope(|scope| {
            let others: Vec<_> = (0..workers).map(|_| scope.spawn(delete)).collect();
            let outcome = delete();
            let panicked = |_| Err(RepoError::Internal("a deleting thread panicked".into()));
            let outcomes = others.into_iter().map(|other| other.join().unwrap_or_else(panicked));
            outcomes.fold(outcome, |all, more| Ok([all?, more?].concat()))
        })
    }

    /// Lists of which no pack is left: others', then the own one.
    fn remove_lists(&mut self, looked: &Looked, to_go: &BTreeSet<ObjectId>, gone: &BTreeSet<ObjectId>) -> Result<()> {
        let own = self.list.as_ref().map(|list| list.id);
        let left: BTreeSet<ObjectId> = looked.view.listing.packs.keys().map(|name| name.id).filter(|id| !gone.contains(id)).collect();
        let is_over = |list: &DoomedList| list.packs.iter().all(|pack| !left.contains(pack));
        let others = looked.view.lists.iter().filter(|(id, list)| Some(**id) != own && is_over(list));
        // What could not be deleted is for the next prune, and nobody relies on it until then.
        let own = own.as_ref().filter(|_| !left.iter().any(|pack| to_go.contains(pack)));
        for id in others.map(|(id, _)| id).chain(own) {
            let path = object_path(ObjectKind::DoomedList, id);
            if let Some(why) = self.repository.store.delete_unless_locked(&path)? {
                self.report.refused.push((path, why));
            }
        }
        self.list = None;
        Ok(())
    }

    /// A prune that deleted nothing yet needs no list.
    fn take_list_back(&mut self) {
        if let Some(list) = self.list.take().filter(|list| !list.is_used) {
            // If it stays, the next prune takes it over.
            let _ = self.repository.store.delete(&object_path(ObjectKind::DoomedList, &list.id));
        }
    }
}

/// Sessions that have ended or are fenced.
fn sessions_over(repository: &Repository) -> Result<BTreeSet<SessionId>> {
    let mut over = crate::listing::fences(&repository.store)?;
    let ended = crate::listing::sessions(&repository.store)?;
    over.extend(ended.into_iter().filter(|(_, records)| records.contains(&esker_format::layout::SessionRecord::End)).map(|(id, _)| id));
    Ok(over)
}

fn stopped(why: String) -> RepoError {
    RepoError::PruneStopped(why)
}

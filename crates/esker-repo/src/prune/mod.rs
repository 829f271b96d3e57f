//! Prune: deletes packs that no backup needs, while others write and read (docs/concurrency.md, "Prune").
//!
//! 0. Sessions that may be dead give a sign of life, or are fenced.
//! 1. Doomed lists, manifests, segments and packs are listed, and what the backups need is marked.
//! 2. A doomed list is written: packs that no mark needs, of sessions that are over, and what is left of others' lists.
//! 3. Every session that stands after the list was written is waited for, until its end or its fence.
//! 4. All is listed and marked again. What is needed of the list after all stays.
//! 5. Index segments without the rest are written, old ones deleted, then the packs, and the list last.

mod delete;
mod explain;
mod look;
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
use std::time::Duration;

use esker_format::doomed::DoomedList;
use esker_format::layout::{ObjectKind, object_path};
use esker_format::seal::ChunkKind;
use esker_format::{ObjectId, SessionId};

use crate::environment::random;
use crate::error::Result;
use crate::index::Location;
use crate::repository::Repository;
use crate::session::Session;

pub use explain::{Explanation, NeededBy, explain};
pub use plan::{PackPlan, Plan, Why};
pub use report::Pruned;
pub use staging::Swept;
pub use watch::{JOB, SessionLine};

use look::Looked;
use mark::Marker;
use rescue::Rescue;
use watch::{Until, Watch, at_work};

/// Time without a sign of life after which a session is taken for dead, unless the caller says otherwise: ten beats.
pub const FENCE_AFTER: Duration = Duration::from_secs(600);

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
    let (looked, marker) = Looked::until_it_holds(repository, observer, |looked| looked.mark(repository, &BTreeSet::new(), observer))?;
    let mut plan = Plan::of(&looked.view, &marker, &over, &options.repack);
    plan.at_work = at_work(repository)?.keys().map(|session| watch::line(repository, session)).collect::<Result<_>>()?;
    plan.swept = staging::sweep(repository, &over, true)?;
    Ok(plan)
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
        let (repository, observer) = (self.repository, self.observer);
        let (looked, (marker, plan)) = Looked::until_it_holds(repository, observer, |looked| self.mark_and_rescue(looked, &over))?;
        self.report.begin(&plan);
        if !plan.packs.is_empty() {
            self.write_list(&plan)?;
            self.wait_for_sessions()?;
            self.observer.step("marking again");
            let mut first = Some(marker);
            let (looked, go) = Looked::until_it_holds(repository, observer, |looked| self.mark_again(looked, first.take()))?;
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

    /// Step (1), and what must be written before the list.
    fn mark_and_rescue(&mut self, looked: &Looked, over: &BTreeSet<SessionId>) -> Result<(Marker, Plan)> {
        let mut marker = looked.mark(self.repository, &BTreeSet::new(), self.observer)?;
        let mut plan = Plan::of(&looked.view, &marker, over, &self.options.repack);
        marker.prove_homes(&plan.going(), self.observer)?;
        self.rescue(&mut marker, &mut plan)?;
        let plan = Plan::of(&looked.view, &marker, over, &Repack::NOTHING).with_rewritten(plan);
        Ok((marker, plan))
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

    /// Step (4): marks again, and gives the packs of the list that go. What the first look marked need not be walked once
    /// more, unless another prune took what it counted on.
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

//! One run: actors drawn from a seed take turns; then everything ends, one last prune runs, and what must hold is checked.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use esker_format::index_segment::IndexSegment;
use esker_format::layout::ObjectKind;
use esker_ops::OpsError;
use esker_ops::catalog::list;
use esker_ops::prune::{PruneRequest, prune};
use esker_repo::listing::Listing;
use esker_repo::{OpenOptions, RepoError, Repository, Store};
use esker_testkit::scheduler::{Death, ScheduledStore, Scheduler, Turn};
use esker_testkit::seeded::{ManualClock, SeededRandom, SplitMix64, mix64};
use object_store::ObjectStore;

use crate::deeds::at_its_root;
use crate::harm::Harm;
use crate::roles::{Role, draw_guests, draw_roles};
use crate::sabotage::{Sabotage, Sabotaged};
use crate::world::{ActorEnvironment, Standing, World, job};

/// What a run came to.
pub struct Outcome {
    pub faults: Vec<String>,
    /// Runs that prunes rewrote as sparse forms.
    pub sparse_runs: u64,
    pub trace: Vec<String>,
}

/// What the store is called, and that of another repository.
pub const LOCATION: &str = "shelf";
pub const ABROAD: &str = "abroad";
/// A copy of the store from before the run.
const BEFORE: &str = "before";
/// What a machine keeps of runs: some, so that others go.
const RUN_CACHE_BYTES: u64 = 16 << 10;
/// The number of who looks when all is over.
const NOBODY: usize = 99;

pub struct Run<'a> {
    pub world: &'a World,
    pub folder: &'a Path,
    store: Arc<dyn ObjectStore>,
    clock: Arc<ManualClock>,
    seed: u64,
    /// Whether requests fail now and then.
    pub fails: bool,
    /// What is left out of the protocol.
    sabotage: Option<Sabotage>,
    /// Backups that are forgotten at some time.
    pub goes: BTreeSet<usize>,
    /// Whether all are on one machine, with one cache.
    is_one_machine: bool,
    /// What is broken, until it is mended at the end.
    pub harm: Option<Harm>,
    pub committed: Mutex<Vec<Standing>>,
    faults: Mutex<Vec<String>>,
    sparse_runs: AtomicU64,
}

pub fn run(world: &World, seed: u64, sabotage: Option<Sabotage>) -> Outcome {
    let mut random = SplitMix64::new(mix64(seed));
    let mut roles = draw_roles(&mut random);
    let fails_one_in = [0, 0, 0, 80][random.below(4) as usize];
    let dies = |random: &mut SplitMix64| (random.below(4) == 0).then(|| Death { at: 1 + random.below(70), is_done: random.below(2) == 0 });
    let mut deaths: Vec<Option<Death>> = roles.iter().map(|_| dies(&mut random)).collect();
    let order = random.next_u64();
    let guests = draw_guests(&mut random);
    let is_plain = guests.is_none();
    roles.extend(guests.into_iter().flatten());
    deaths.resize_with(roles.len(), || dies(&mut random));
    let scheduler = Scheduler::new(order, deaths, fails_one_in);
    let folder = world.scratch();
    let store = world.store();
    let harm = if is_plain { None } else { Harm::inflict(&*store, &mut random) };
    let goes = roles.iter().filter_map(|role| if let Role::Forgetter { standing } = role { Some(*standing) } else { None });
    let run = Run {
        world,
        folder: folder.path(),
        store,
        clock: world.clock(),
        seed,
        fails: fails_one_in > 0,
        sabotage,
        goes: goes.collect(),
        is_one_machine: !is_plain && random.below(2) == 0,
        harm,
        committed: Mutex::default(),
        faults: Mutex::default(),
        sparse_runs: AtomicU64::new(0),
    };
    let actors = roles.iter().enumerate().map(|(number, role)| {
        let (run, turn, scheduler) = (&run, scheduler.turn(number), Arc::clone(&scheduler));
        let act = move || {
            let may_fail = || run.fails || scheduler.is_dead(number);
            run.act(number, role, turn, &may_fail);
        };
        Box::new(act) as Box<dyn FnOnce() + Send + '_>
    });
    scheduler.run(actors.collect());
    run.settle();
    let name = |actor: usize| format!("{actor} {}", roles[actor].name());
    let trace = scheduler.trace().into_iter().map(|(actor, what)| format!("{:<12} {what}", name(actor))).collect();
    Outcome { faults: run.faults.into_inner().unwrap(), sparse_runs: run.sparse_runs.into_inner(), trace }
}

/// Whether this is an error of who needs what is lost.
fn is_of_loss(error: &OpsError) -> bool {
    error.is_damage() || matches!(error, OpsError::Repository(RepoError::PruneStopped(_)))
}

impl Run<'_> {
    pub fn fault(&self, what: impl Into<String>) {
        self.faults.lock().unwrap().push(what.into());
    }

    /// The store as an actor sees it.
    fn store_of(&self, role: &Role, turn: &Turn) -> Arc<dyn ObjectStore> {
        let store: Arc<dyn ObjectStore> = Arc::new(ScheduledStore::new(Arc::clone(&self.store), turn.clone()));
        let is_misled = |sabotage: &Sabotage| match role {
            Role::Pruner(_) => sabotage.is_of_prune(),
            role if role.is_writer() => !sabotage.is_of_prune(),
            _ => false,
        };
        match self.sabotage.filter(is_misled) {
            Some(sabotage) => Arc::new(Sabotaged::new(store, sabotage)),
            None => store,
        }
    }

    /// The repository as the actor with this number opens it.
    fn open(&self, number: usize, store: Arc<dyn ObjectStore>, turn: Option<Turn>) -> Result<Arc<Repository>, OpsError> {
        self.open_at(LOCATION, number, store, turn)
    }

    pub fn open_at(
        &self,
        location: &str,
        number: usize,
        store: Arc<dyn ObjectStore>,
        turn: Option<Turn>,
    ) -> Result<Arc<Repository>, OpsError> {
        let random = SeededRandom::new(mix64(self.seed ^ mix64(number as u64 + 1)));
        let environment = Arc::new(ActorEnvironment { clock: Arc::clone(&self.clock), random, turn });
        let cache = self.folder.join(if self.is_one_machine { "cache".to_owned() } else { format!("cache{number}") });
        let run_cache_bytes = Some(if self.is_one_machine { RUN_CACHE_BYTES } else { 0 });
        let options = OpenOptions { secret: None, cache, run_cache_bytes, index_cache_bytes: 1 << 30, environment };
        Ok(Arc::new(Repository::open(Store::new(store, location)?, options)?))
    }

    fn act(&self, number: usize, role: &Role, turn: Turn, may_fail: &dyn Fn() -> bool) {
        let outcome = self.open(number, self.store_of(role, &turn), Some(turn)).and_then(|repository| match role {
            Role::Writer { name, source } => self.write(&repository, name, *source),
            Role::Forgetter { standing } => self.forget(&repository, *standing),
            Role::Pruner(request) => prune(&repository, request, &job()).map(|pruned| {
                self.sparse_runs.fetch_add(pruned.sparse_runs, Ordering::Relaxed);
            }),
            Role::Restorer { standing } => self.restore(&repository, *standing, &format!("actor{number}")),
            Role::Checker => self.check(&repository, self.harm.as_ref()).and_then(|()| self.audit(&repository)),
            Role::Lister => self.list(&repository),
            Role::Importer => self.import(number, &repository),
            Role::Exporter => self.export(number, &repository),
            Role::Mender => self.mend(&repository, None, self.harm.as_ref()),
            Role::Comparer => self.compare(&repository),
        });
        match outcome.map_err(at_its_root) {
            Ok(()) => {}
            // It slept too long.
            Err(OpsError::Overtaken(_)) => {}
            // A request that failed, or a process that died.
            Err(OpsError::Repository(RepoError::Store { .. }) | OpsError::Uncertain { .. }) if may_fail() => {}
            Err(error) if !role.is_writer() && self.is_lossy() && is_of_loss(&error) => {}
            Err(error) => self.fault(format!("{number} {}: {error}", role.name())),
        }
    }

    pub fn is_lossy(&self) -> bool {
        self.harm.as_ref().is_some_and(Harm::is_loss)
    }

    /// Everything has ended: one last prune, then what must hold.
    fn settle(&self) {
        self.clock.advance_ms(3_600_000);
        if let Err(error) = self.settled() {
            self.fault(format!("after all: {error}"));
        }
    }

    fn settled(&self) -> Result<(), OpsError> {
        let repository = self.open(NOBODY, Arc::clone(&self.store), None)?;
        if self.is_lossy() {
            // Nobody has built on what was lost.
            let committed = self.committed.lock().unwrap().clone();
            committed.iter().try_for_each(|backup| self.restored(&repository, &backup.id, backup.source, &backup.id))?;
        }
        if let Some(harm) = &self.harm {
            let before = self.open_at(BEFORE, NOBODY, self.world.store(), None)?;
            self.mend(&repository, Some(before).filter(|_| harm.is_loss()), None)?;
        }
        self.check(&repository, None)?;
        let quick = PruneRequest { fence_after: Duration::from_secs(10), ..PruneRequest::default() };
        prune(&repository, &quick, &job())?;
        self.check(&repository, None)?;
        self.audit(&repository)?;
        let valid: BTreeSet<String> =
            list(&repository)?.backups.into_iter().filter(|line| line.status == "ok").map(|line| line.id).collect();
        let kept = self.world.backups.iter().enumerate().filter(|(standing, _)| !self.goes.contains(standing)).map(|(_, backup)| backup);
        let committed = self.committed.lock().unwrap().clone();
        for backup in kept.chain(&committed) {
            if !valid.contains(&backup.id) {
                self.fault(format!("backup {} was committed and does not count", backup.id));
            }
        }
        if let Some(last) = committed.last() {
            self.restored(&repository, &last.id, last.source, "last")?;
        }
        for id in Listing::read(repository.store())?.segments.keys() {
            let replaces = repository.read_object::<IndexSegment>(ObjectKind::IndexSegment, id)?.replaces;
            if BTreeSet::from_iter(&replaces).len() < replaces.len() {
                self.fault(format!("segment {id} replaces one twice: {replaces:?}"));
            }
        }
        let left = prune(&repository, &PruneRequest { dry_run: true, ..quick }, &job())?;
        let listing = Listing::read(repository.store())?;
        if !left.packs.is_empty() || left.at_work_packs > 0 || !listing.doomed.is_empty() {
            self.fault(format!("garbage is left: {:?}, {} doomed lists", left, listing.doomed.len()));
        }
        Ok(())
    }
}

//! One run: actors drawn from a seed take turns; then everything ends, one last prune runs, and what must hold is checked.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use esker_ops::OpsError;
use esker_ops::catalog::list;
use esker_ops::prune::{PruneRequest, prune};
use esker_repo::listing::Listing;
use esker_repo::{OpenOptions, RepoError, Repository, Store};
use esker_testkit::scheduler::{Death, ScheduledStore, Scheduler, Turn};
use esker_testkit::seeded::{ManualClock, SeededRandom, SplitMix64, mix64};
use futures::executor::block_on;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::deeds::at_its_root;
use crate::roles::{Role, draw_guests, draw_roles};
use crate::sabotage::{Sabotage, Sabotaged};
use crate::world::{ActorEnvironment, Standing, World, job, objects_of};

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
    /// An index segment that nobody can read, until it is mended.
    torn: Option<String>,
    pub committed: Mutex<Vec<Standing>>,
    faults: Mutex<Vec<String>>,
    sparse_runs: AtomicU64,
}

/// Cuts an index segment short; its path.
fn tear_a_segment(store: &dyn ObjectStore, random: &mut SplitMix64) -> String {
    let paths: Vec<String> = objects_of(store).into_keys().filter(|path| path.starts_with("index/")).collect();
    let torn = paths[random.below(paths.len() as u64) as usize].clone();
    block_on(store.put(&ObjectPath::from(torn.as_str()), "torn".into())).unwrap();
    torn
}

pub fn run(world: &World, seed: u64, sabotage: Option<Sabotage>) -> Outcome {
    let mut random = SplitMix64::new(mix64(seed));
    let mut roles = draw_roles(&mut random);
    let fails_one_in = [0, 0, 0, 80][random.below(4) as usize];
    let dies = |random: &mut SplitMix64| (random.below(4) == 0).then(|| Death { at: 1 + random.below(70), is_done: random.below(2) == 0 });
    let mut deaths: Vec<Option<Death>> = roles.iter().map(|_| dies(&mut random)).collect();
    let order = random.next_u64();
    let (guests, has_torn) = draw_guests(&mut random);
    roles.extend(guests);
    deaths.resize_with(roles.len(), || dies(&mut random));
    let scheduler = Scheduler::new(order, deaths, fails_one_in);
    let folder = world.scratch();
    let store = world.store();
    let torn = has_torn.then(|| tear_a_segment(&*store, &mut random));
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
        torn,
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

impl Run<'_> {
    pub fn fault(&self, what: impl Into<String>) {
        self.faults.lock().unwrap().push(what.into());
    }

    /// The store as an actor sees it.
    fn store_of(&self, role: &Role, turn: &Turn) -> Arc<dyn ObjectStore> {
        let store: Arc<dyn ObjectStore> = Arc::new(ScheduledStore::new(Arc::clone(&self.store), turn.clone()));
        let is_misled = |sabotage: &Sabotage| match role {
            Role::Pruner(_) => sabotage.is_of_prune(),
            Role::Writer { .. } | Role::Importer => !sabotage.is_of_prune(),
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
        // Every actor is a machine of its own.
        let cache = self.folder.join(format!("cache{number}"));
        let options = OpenOptions { secret: None, cache, run_cache_bytes: None, index_cache_bytes: 1 << 30, environment };
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
            Role::Checker => self.check(&repository, self.torn.as_deref()).and_then(|()| self.audit(&repository)),
            Role::Lister => list(&repository).map(|found| found.findings.iter().for_each(|finding| self.fault(format!("list: {finding}")))),
            Role::Importer => self.import(number, &repository),
            Role::Exporter => self.export(number, &repository),
            Role::Mender => self.mend(&repository, self.torn.as_deref()),
            Role::Comparer => self.compare(&repository),
        });
        match outcome.map_err(at_its_root) {
            Ok(()) => {}
            // It slept too long.
            Err(OpsError::Overtaken(_)) => {}
            // A request that failed, or a process that died.
            Err(OpsError::Repository(RepoError::Store { .. }) | OpsError::Uncertain { .. }) if may_fail() => {}
            Err(error) => self.fault(format!("{number} {}: {error}", role.name())),
        }
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
        if let Some(torn) = &self.torn {
            self.mend(&repository, None)?;
            if block_on(self.store.head(&ObjectPath::from(torn.as_str()))).is_ok() {
                self.fault(format!("{torn} is torn and was not mended"));
            }
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
        let left = prune(&repository, &PruneRequest { dry_run: true, ..quick }, &job())?;
        let listing = Listing::read(repository.store())?;
        if !left.packs.is_empty() || left.at_work_packs > 0 || !listing.doomed.is_empty() {
            self.fault(format!("garbage is left: {:?}, {} doomed lists", left, listing.doomed.len()));
        }
        Ok(())
    }
}

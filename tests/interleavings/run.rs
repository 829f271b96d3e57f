//! One run: actors drawn from a seed take turns; then everything ends, one last prune runs, and what must hold is checked.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use esker_format::verification::Level;
use esker_ops::OpsError;
use esker_ops::audit::{AuditRequest, audit};
use esker_ops::backup::backup;
use esker_ops::catalog::list;
use esker_ops::forget::{ForgetRequest, forget};
use esker_ops::fsck::{FsckRequest, Severity, fsck};
use esker_ops::prune::{PruneRequest, prune};
use esker_ops::restore::{RestoreRequest, restore};
use esker_repo::listing::Listing;
use esker_repo::{OpenOptions, RepoError, Repository, Store};
use esker_testkit::scheduler::{Death, ScheduledStore, Scheduler, Turn};
use esker_testkit::seeded::{ManualClock, SeededRandom, SplitMix64, mix64};
use object_store::ObjectStore;

use crate::sabotage::{Sabotage, Sabotaged};
use crate::world::{ActorEnvironment, SOURCES, Standing, TWIN, World, job};

/// What a run came to.
pub struct Outcome {
    pub faults: Vec<String>,
    /// Runs that prunes rewrote as sparse forms.
    pub sparse_runs: u64,
    pub trace: Vec<String>,
}

/// How often a writer begins anew after it was fenced or a request failed.
const TRIES: u32 = 3;
/// What the store is called.
const LOCATION: &str = "shelf";
/// The number of who looks when all is over.
const NOBODY: usize = 99;

#[derive(Debug, Clone)]
enum Role {
    Writer { name: String, source: usize },
    Forgetter { standing: usize },
    Pruner(PruneRequest),
    Restorer { standing: usize },
    Checker,
    Lister,
}

struct Run<'a> {
    world: &'a World,
    folder: &'a Path,
    store: Arc<dyn ObjectStore>,
    clock: Arc<ManualClock>,
    seed: u64,
    /// Whether requests fail now and then.
    fails: bool,
    /// What is left out of the protocol.
    sabotage: Option<Sabotage>,
    /// Backups that are forgotten at some time.
    goes: BTreeSet<usize>,
    committed: Mutex<Vec<Standing>>,
    faults: Mutex<Vec<String>>,
    sparse_runs: AtomicU64,
}

pub fn run(world: &World, seed: u64, sabotage: Option<Sabotage>) -> Outcome {
    let mut random = SplitMix64::new(mix64(seed));
    let roles = draw_roles(&mut random);
    let fails_one_in = [0, 0, 0, 80][random.below(4) as usize];
    let dies = |random: &mut SplitMix64| (random.below(4) == 0).then(|| Death { at: 1 + random.below(70), is_done: random.below(2) == 0 });
    let deaths: Vec<Option<Death>> = roles.iter().map(|_| dies(&mut random)).collect();
    let scheduler = Scheduler::new(random.next_u64(), deaths, fails_one_in);
    let folder = world.scratch();
    let goes = roles.iter().filter_map(|role| if let Role::Forgetter { standing } = role { Some(*standing) } else { None });
    let run = Run {
        world,
        folder: folder.path(),
        store: world.store(),
        clock: world.clock(),
        seed,
        fails: fails_one_in > 0,
        sabotage,
        goes: goes.collect(),
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

fn draw_roles(random: &mut SplitMix64) -> Vec<Role> {
    let writers = 1 + random.below(3);
    let mut roles: Vec<Role> = (0..writers)
        .map(|number| Role::Writer { name: format!("new{number}"), source: random.below(SOURCES.len() as u64) as usize })
        .collect();
    for _ in 0..1 + random.below(2) {
        // Ten seconds to some hours: how often a prune looks before it takes a session for dead.
        let fence_after = Duration::from_secs([10, 100, 1000, 5000][random.below(4) as usize]);
        let max_repack = [0, 1 << 20][random.below(2) as usize];
        roles.push(Role::Pruner(PruneRequest { fence_after, max_repack, repack_percent: 20, ..PruneRequest::default() }));
    }
    // The first backup and the last always stay.
    roles.push(Role::Forgetter { standing: [1, TWIN][random.below(2) as usize] });
    let others =
        [Role::Forgetter { standing: 2 }, Role::Restorer { standing: 4 }, Role::Restorer { standing: 1 }, Role::Checker, Role::Lister];
    for role in others {
        if random.below(3) == 0 {
            roles.push(role);
        }
    }
    roles
}

impl Role {
    fn name(&self) -> &'static str {
        match self {
            Self::Writer { .. } => "writer",
            Self::Forgetter { .. } => "forget",
            Self::Pruner(_) => "prune",
            Self::Restorer { .. } => "restore",
            Self::Checker => "fsck",
            Self::Lister => "list",
        }
    }
}

impl Run<'_> {
    fn fault(&self, what: impl Into<String>) {
        self.faults.lock().unwrap().push(what.into());
    }

    /// The store as an actor sees it.
    fn store_of(&self, role: &Role, turn: &Turn) -> Arc<dyn ObjectStore> {
        let store: Arc<dyn ObjectStore> = Arc::new(ScheduledStore::new(Arc::clone(&self.store), turn.clone()));
        let is_misled = |sabotage: &Sabotage| match role {
            Role::Pruner(_) => sabotage.is_of_prune(),
            Role::Writer { .. } => !sabotage.is_of_prune(),
            _ => false,
        };
        match self.sabotage.filter(is_misled) {
            Some(sabotage) => Arc::new(Sabotaged::new(store, sabotage)),
            None => store,
        }
    }

    /// The repository as the actor with this number opens it.
    fn open(&self, number: usize, store: Arc<dyn ObjectStore>, turn: Option<Turn>) -> Result<Arc<Repository>, OpsError> {
        let random = SeededRandom::new(mix64(self.seed ^ mix64(number as u64 + 1)));
        let environment = Arc::new(ActorEnvironment { clock: Arc::clone(&self.clock), random, turn });
        // Every actor is a machine of its own.
        let cache = self.folder.join(format!("cache{number}"));
        let options = OpenOptions { secret: None, cache, run_cache_bytes: None, index_cache_bytes: 1 << 30, environment };
        Ok(Arc::new(Repository::open(Store::new(store, LOCATION)?, options)?))
    }

    fn act(&self, number: usize, role: &Role, turn: Turn, may_fail: &dyn Fn() -> bool) {
        let outcome = self.open(number, self.store_of(role, &turn), Some(turn)).and_then(|repository| match role {
            Role::Writer { name, source } => self.write(&repository, name, *source),
            Role::Forgetter { standing } => self.forget(&repository, *standing),
            Role::Pruner(request) => prune(&repository, request, &job()).map(|pruned| {
                self.sparse_runs.fetch_add(pruned.sparse_runs, Ordering::Relaxed);
            }),
            Role::Restorer { standing } => self.restore(&repository, *standing, &format!("actor{number}")),
            Role::Checker => self.check(&repository).and_then(|()| self.audit(&repository)),
            Role::Lister => list(&repository).map(|found| found.findings.iter().for_each(|finding| self.fault(format!("list: {finding}")))),
        });
        match outcome {
            Ok(()) => {}
            // It slept too long.
            Err(OpsError::Overtaken(_)) => {}
            // A request that failed, or a process that died.
            Err(OpsError::Repository(RepoError::Store { .. }) | OpsError::Uncertain { .. }) if may_fail() => {}
            Err(error) => self.fault(format!("{number} {}: {error}", role.name())),
        }
    }

    fn write(&self, repository: &Arc<Repository>, name: &str, source: usize) -> Result<(), OpsError> {
        let mut tries = 1;
        loop {
            match backup(repository, &self.world.request(&format!("{name}-{tries}"), source), &job()) {
                Ok(report) => {
                    let id = report.id.expect("it was committed");
                    self.committed.lock().unwrap().push(Standing { id, source });
                    return Ok(());
                }
                Err(OpsError::Repository(RepoError::Fenced(_) | RepoError::Store { .. })) if tries < TRIES => tries += 1,
                Err(OpsError::Repository(RepoError::Fenced(_))) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn forget(&self, repository: &Arc<Repository>, standing: usize) -> Result<(), OpsError> {
        let names = vec![self.world.backups[standing].id.clone()];
        forget(repository, &ForgetRequest { names, ..ForgetRequest::default() }).map(drop)
    }

    fn restore(&self, repository: &Arc<Repository>, standing: usize, folder: &str) -> Result<(), OpsError> {
        let Standing { id, source } = self.world.backups[standing].clone();
        match self.restored(repository, &id, source, folder) {
            // Forgotten before or while it was restored.
            Err(OpsError::Usage(_) | OpsError::Damage(_)) if self.goes.contains(&standing) => Ok(()),
            Err(OpsError::Repository(error)) if error.is_damage() && self.goes.contains(&standing) => Ok(()),
            outcome => outcome,
        }
    }

    fn restored(&self, repository: &Arc<Repository>, id: &str, source: usize, folder: &str) -> Result<(), OpsError> {
        let target = self.folder.join(folder);
        let request = RestoreRequest { backup: id.to_owned(), target: target.clone(), selection: Default::default(), dry_run: false };
        restore(repository, &request, &job())?;
        for name in self.world.files(source) {
            let (file, restored) = (self.world.source(source).join(&name), target.join("h").join(&name));
            if fs::read(file).unwrap() != fs::read(&restored).unwrap_or_default() {
                self.fault(format!("backup {id}: {} is not what was backed up", restored.display()));
            }
        }
        Ok(())
    }

    fn check(&self, repository: &Arc<Repository>) -> Result<(), OpsError> {
        let request =
            FsckRequest { backup: None, level: Level::Files, sample_percent: 100, time_limit: None, scratch: None, remember: true };
        let report = fsck(repository, &request, &job())?;
        // A process that dies right after its commit leaves a session without an end: fsck says so, until a prune fences it.
        // A trial of the store whose request was lost says that the store cannot do it.
        let is_meant = |object: &str| object.starts_with("sessions/") || (self.fails && object == LOCATION);
        let damage = report.findings.iter().filter(|finding| finding.severity == Severity::Damage && !is_meant(&finding.object));
        damage.for_each(|finding| self.fault(format!("fsck: {}: {}", finding.object, finding.what)));
        Ok(())
    }

    /// The log is whole at any time, and accounts for what stands.
    fn audit(&self, repository: &Arc<Repository>) -> Result<(), OpsError> {
        let report = audit(repository, &AuditRequest::default(), &job())?;
        let damage = report.findings.iter().filter(|finding| finding.severity == Severity::Damage);
        damage.for_each(|finding| self.fault(format!("audit: {}: {}", finding.object, finding.what)));
        Ok(())
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
        self.check(&repository)?;
        let quick = PruneRequest { fence_after: Duration::from_secs(10), ..PruneRequest::default() };
        prune(&repository, &quick, &job())?;
        self.check(&repository)?;
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

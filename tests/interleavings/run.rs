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
use esker_ops::copy::{CopyReport, CopyRequest, Outcome as CopyOutcome, copy};
use esker_ops::forget::{ForgetRequest, forget};
use esker_ops::fsck::{Finding, FsckReport, FsckRequest, Severity, fsck};
use esker_ops::prune::{PruneRequest, prune};
use esker_ops::repair::{RepairRequest, repair};
use esker_ops::restore::{RestoreRequest, restore};
use esker_repo::listing::Listing;
use esker_repo::{OpenOptions, RepoError, Repository, Store};
use esker_testkit::scheduler::{Death, ScheduledStore, Scheduler, Turn};
use esker_testkit::seeded::{ManualClock, SeededRandom, SplitMix64, mix64};
use futures::executor::block_on;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::sabotage::{Sabotage, Sabotaged};
use crate::world::{ActorEnvironment, SOURCES, Standing, TWIN, World, job, objects_of};

/// What a run came to.
pub struct Outcome {
    pub faults: Vec<String>,
    /// Runs that prunes rewrote as sparse forms.
    pub sparse_runs: u64,
    pub trace: Vec<String>,
}

/// How often a writer begins anew after it was fenced or a request failed.
const TRIES: u32 = 3;
/// What the store is called, and that of another repository.
const LOCATION: &str = "shelf";
const ABROAD: &str = "abroad";
/// The number of who looks when all is over.
const NOBODY: usize = 99;

#[derive(Debug, Clone)]
enum Role {
    Writer {
        name: String,
        source: usize,
    },
    Forgetter {
        standing: usize,
    },
    Pruner(PruneRequest),
    Restorer {
        standing: usize,
    },
    Checker,
    Lister,
    /// Copies what another repository holds into this one.
    Importer,
    /// Copies what this one holds into another.
    Exporter,
    Mender,
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
    /// An index segment that nobody can read, until it is mended.
    torn: Option<String>,
    committed: Mutex<Vec<Standing>>,
    faults: Mutex<Vec<String>>,
    sparse_runs: AtomicU64,
}

fn whole() -> FsckRequest {
    FsckRequest { backup: None, level: Level::Files, sample_percent: 100, time_limit: None, scratch: None, remember: true }
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

/// Who is there in one run of three, beside the others; and whether an index segment is torn from the begin.
fn draw_guests(random: &mut SplitMix64) -> (Vec<Role>, bool) {
    if random.below(3) > 0 {
        return (Vec::new(), false);
    }
    let mut guests = Vec::new();
    for guest in [Role::Importer, Role::Exporter, Role::Mender] {
        if random.below(2) == 0 {
            guests.push(guest);
        }
    }
    (guests, random.below(3) == 0)
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
            Self::Importer => "copy in",
            Self::Exporter => "copy out",
            Self::Mender => "repair",
        }
    }
}

/// An error without the word in which of two repositories it happened.
fn at_its_root(error: OpsError) -> OpsError {
    match error {
        OpsError::In { error, .. } => at_its_root(*error),
        error => error,
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

    fn open_at(&self, location: &str, number: usize, store: Arc<dyn ObjectStore>, turn: Option<Turn>) -> Result<Arc<Repository>, OpsError> {
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

    /// Copies all that the other repository holds into this one: a writer whose sessions follow one another.
    fn import(&self, number: usize, repository: &Arc<Repository>) -> Result<(), OpsError> {
        let abroad = self.open_at(ABROAD, number, self.world.store_abroad(), None)?;
        for tries in 1.. {
            match copy(&abroad, repository, &CopyRequest::default(), &job()).map_err(at_its_root) {
                Ok(report) => {
                    let copies = self.copies(&report, &self.world.abroad);
                    self.committed.lock().unwrap().extend(copies);
                    return Ok(());
                }
                Err(OpsError::Repository(RepoError::Fenced(_) | RepoError::Store { .. })) if tries < TRIES => {}
                Err(OpsError::Repository(RepoError::Fenced(_))) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Copies all that this repository holds into the other: a reader with a session.
    fn export(&self, number: usize, repository: &Arc<Repository>) -> Result<(), OpsError> {
        let store = self.world.store_abroad();
        let abroad = || self.open_at(ABROAD, number, Arc::clone(&store), None);
        let report = copy(repository, &abroad()?, &CopyRequest::default(), &job())?;
        let copies = self.copies(&report, &self.world.backups);
        copies.iter().try_for_each(|copy| self.restored(&abroad()?, &copy.id, copy.source, &format!("copy{number}-{}", copy.id)))
    }

    /// Those of these backups that stand in both repositories now, called as in the one that was written. One that is
    /// damaged must have been forgotten.
    fn copies(&self, report: &CopyReport, of: &[Standing]) -> Vec<Standing> {
        report.findings.iter().for_each(|finding| self.fault(format!("copy: {finding}")));
        let mut copies = Vec::new();
        for line in &report.backups {
            let standing = of.iter().position(|standing| standing.id == line.id);
            let goes = standing.is_some_and(|standing| report.from.location == LOCATION && self.goes.contains(&standing));
            if line.outcome == CopyOutcome::Damaged && !goes {
                self.fault(format!("copy: {} is damaged: {:?}", line.label, line.findings));
            }
            if let (Some(standing), Some(id)) = (standing, &line.copy) {
                copies.push(Standing { id: id.clone(), source: of[standing].source });
            }
        }
        copies
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

    fn check(&self, repository: &Arc<Repository>, torn: Option<&str>) -> Result<(), OpsError> {
        self.judge(&fsck(repository, &whole(), &job())?, torn);
        Ok(())
    }

    /// Repairs with what is left of the repository alone.
    fn mend(&self, repository: &Arc<Repository>, torn: Option<&str>) -> Result<(), OpsError> {
        self.judge(&repair(repository, &whole(), &RepairRequest::default(), &job())?, torn);
        Ok(())
    }

    /// Nothing may be damaged but a segment that was torn, and packs that only it named.
    fn judge(&self, report: &FsckReport, torn: Option<&str>) {
        // A process that dies right after its commit leaves a session without an end: fsck says so, until a prune fences it.
        // A trial of the store whose request was lost says that the store cannot do it.
        let is_meant = |finding: &&Finding| {
            let object = finding.object.as_str();
            object.starts_with("sessions/")
                || (self.fails && object == LOCATION)
                || torn.is_some_and(|torn| torn == object || finding.what.ends_with("a segment is lost"))
        };
        let damage = report.findings.iter().filter(|finding| finding.severity == Severity::Damage && !is_meant(finding));
        damage.for_each(|finding| self.fault(format!("fsck: {}: {}", finding.object, finding.what)));
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

//! Repositories in memory, and the verbs behind the binary with an injected clock and store.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use esker_format::ObjectId;
use esker_format::config::ChunkerParameters;
use esker_format::doomed::DoomedList;
use esker_format::key::{Argon2Cost, Secret};
use esker_format::layout::{ObjectKind, PackName};
use esker_format::sorted_totals::SortedTotals;
use esker_ops::backup::{BackupReport, BackupRequest, backup};
use esker_ops::fsck::{FsckReport, FsckRequest, Severity, fsck};
use esker_ops::restore::{RestoreReport, RestoreRequest, restore};
use esker_ops::select::Selection;
use esker_ops::{Job, OpsError, Progress};
use esker_repo::session::Session;
use esker_repo::{Effort, Environment, InitOptions, OpenOptions, RepoError, Repository, Store};
use esker_testkit::seeded::{ManualClock, SeededRandom};
use futures::executor::block_on;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use tempfile::TempDir;

use super::hosts::noise;

/// A clock that stands where it is put, and randomness from a seed.
pub struct TestEnvironment {
    pub clock: ManualClock,
    random: SeededRandom,
}

impl TestEnvironment {
    pub fn at(now_ms: u64, seed: u64) -> Arc<Self> {
        Arc::new(Self { clock: ManualClock::new(now_ms), random: SeededRandom::new(seed) })
    }
}

impl Environment for TestEnvironment {
    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    fn fill_random(&self, bytes: &mut [u8]) -> Result<(), RepoError> {
        self.random.fill(bytes);
        Ok(())
    }

    /// The clock says that the time has passed, and others get a moment.
    fn pause(&self, time: Duration) {
        self.clock.advance_ms(u64::try_from(time.as_millis()).unwrap());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A repository in memory with one cache folder.
pub struct Shelf {
    pub store: Arc<dyn ObjectStore>,
    pub environment: Arc<TestEnvironment>,
    pub secret: Option<Secret>,
    /// Bytes of runs that its cache may keep; none unless a story is about that.
    pub run_cache_bytes: u64,
    location: &'static str,
    scratch: TempDir,
}

impl Shelf {
    /// A new repository with small chunks and packs.
    pub fn new(secret: Option<Secret>, now_ms: u64) -> Self {
        Self::over(Arc::new(InMemory::new()), secret, TestEnvironment::at(now_ms, 7)).made()
    }

    /// A second new repository beside this one: its chunks have other names.
    pub fn elsewhere(&self) -> Self {
        let environment = TestEnvironment::at(self.environment.now_ms(), 8);
        Self { location: "elsewhere", ..Self::over(Arc::new(InMemory::new()), self.secret.clone(), environment) }.made()
    }

    fn made(self) -> Self {
        let init = InitOptions {
            argon2: Argon2Cost::CHEAP,
            chunker: ChunkerParameters { min: 64, avg: 256, max: 1024 },
            pack_target: 64 << 10,
            ..InitOptions::new(self.secret.clone())
        };
        Repository::init(Store::new(Arc::clone(&self.store), self.location).unwrap(), &init, self.options()).unwrap();
        self
    }

    /// One with a backup, `one`, of a folder with a file, and that folder.
    pub fn with_one_backup() -> (Self, PathBuf) {
        let shelf = Self::new(None, 1_800_000_000_000);
        let source = shelf.path("source");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("file"), noise(1, 5000)).unwrap();
        shelf.backup("one", &source).unwrap();
        (shelf, source)
    }

    /// What stands in this store, seen by a client that never saw it before.
    pub fn over(store: Arc<dyn ObjectStore>, secret: Option<Secret>, environment: Arc<TestEnvironment>) -> Self {
        Self { store, environment, secret, run_cache_bytes: 0, location: "shelf", scratch: super::quick_folder() }
    }

    /// The same repository as another client sees it.
    pub fn other_client(&self) -> Self {
        Self::over(Arc::clone(&self.store), self.secret.clone(), Arc::clone(&self.environment))
    }

    fn options(&self) -> OpenOptions {
        let environment: Arc<dyn Environment> = Arc::clone(&self.environment) as _;
        let run_cache_bytes = Some(self.run_cache_bytes);
        let index_cache_bytes = esker_repo::INDEX_CACHE_BYTES;
        OpenOptions {
            secret: self.secret.clone(),
            cache: self.scratch.path().join("cache"),
            run_cache_bytes,
            index_cache_bytes,
            environment,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    pub fn try_open(&self) -> Result<Arc<Repository>, OpsError> {
        let store = Store::new(Arc::clone(&self.store), self.location)?;
        Ok(Arc::new(Repository::open(store, self.options())?))
    }

    #[track_caller]
    pub fn open(&self) -> Arc<Repository> {
        self.try_open().unwrap()
    }

    pub fn backup(&self, label: &str, host: &Path) -> Result<BackupReport, OpsError> {
        self.backup_in(label, host, &job())
    }

    pub fn backup_in(&self, label: &str, host: &Path, job: &Job) -> Result<BackupReport, OpsError> {
        backup(&self.try_open()?, &request(label, host), job)
    }

    pub fn restore(&self, name: &str, target: &Path) -> Result<RestoreReport, OpsError> {
        let (backup, target) = (name.to_owned(), target.to_path_buf());
        restore(&self.try_open()?, &RestoreRequest { backup, target, selection: Selection::default(), dry_run: false }, &job())
    }

    pub fn fsck(&self) -> Result<FsckReport, OpsError> {
        let request = FsckRequest {
            backup: None,
            level: esker_format::verification::Level::Files,
            sample_percent: 100,
            time_limit: None,
            scratch: None,
            remember: false,
        };
        fsck(&self.try_open()?, &request, &job())
    }

    /// What fsck calls damage, as `object: what`.
    #[track_caller]
    pub fn damage(&self) -> Vec<String> {
        let findings = self.fsck().unwrap().findings;
        let damage = findings.into_iter().filter(|finding| finding.severity == Severity::Damage);
        damage.map(|finding| format!("{}: {}", finding.object, finding.what)).collect()
    }

    /// What sorted runs came to in a backup.
    #[track_caller]
    pub fn sorted(&self, label: &str) -> SortedTotals {
        let backups = self.open().backups().unwrap().found;
        let backup = backups.into_iter().find(|backup| backup.manifest.label == label).unwrap();
        backup.manifest.sorted.expect("tables went through a merge")
    }

    /// Every object with its bytes.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let listed: Vec<_> = block_on(self.store.list(None).map_ok(|meta| meta.location).try_collect()).unwrap();
        listed.into_iter().map(|path| (path.to_string(), self.read(path.as_ref()))).collect()
    }

    /// A store with these objects.
    pub fn store_of(objects: &BTreeMap<String, Vec<u8>>) -> Arc<dyn ObjectStore> {
        let store = InMemory::new();
        for (path, bytes) in objects {
            block_on(store.put(&ObjectPath::from(path.as_str()), bytes.clone().into())).unwrap();
        }
        Arc::new(store)
    }

    fn read(&self, path: &str) -> Vec<u8> {
        block_on(async { self.store.get(&ObjectPath::from(path)).await.unwrap().bytes().await.unwrap().to_vec() })
    }

    /// Removes an object behind the repository's back.
    pub fn lose(&self, path: &str) {
        let paths = futures::stream::iter([Ok(ObjectPath::from(path))]).boxed();
        block_on(self.store.delete_stream(paths).try_collect::<Vec<_>>()).unwrap();
    }
}

/// What backs up one host called `h`.
pub fn request(label: &str, host: &Path) -> BackupRequest {
    BackupRequest {
        hosts: vec![("h".to_owned(), host.to_path_buf())],
        cluster: None,
        space: None,
        label: Some(label.to_owned()),
        tags: Vec::new(),
        dry_run: false,
        reread: false,
        reread_share: 0,
        effort: Effort::Configured,
        no_reencode: false,
    }
}

/// What a prune writes before it waits: its list of packs.
pub fn doom(repository: &Arc<Repository>, packs: &[PackName]) -> ObjectId {
    let prune = Session::begin(repository, "prune").unwrap();
    let list = DoomedList { session: prune.id(), at_ms: 1, packs: packs.iter().map(|pack| pack.id).collect() };
    let id = repository.write_object(ObjectKind::DoomedList, &list).unwrap().0;
    prune.end(None).unwrap();
    id
}

/// A job with one thread.
pub fn job() -> Job {
    Job { threads: 1, ..Job::default() }
}

/// A job during which something happens once: when a phase begins, or when its first bytes are done.
pub fn job_during(phase: &'static str, moment: Moment, act: impl FnOnce() + Send + 'static) -> Job {
    let hook = Hook { phase, moment, in_phase: AtomicBool::new(false), act: Mutex::new(Some(Box::new(act))) };
    Job { progress: Arc::new(hook), ..job() }
}

/// When in a phase something happens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Begin,
    FirstBytes,
}

struct Hook {
    phase: &'static str,
    moment: Moment,
    in_phase: AtomicBool,
    act: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Hook {
    fn reached(&self, moment: Moment) {
        if self.moment == moment
            && let Some(act) = self.act.lock().unwrap().take()
        {
            act();
        }
    }
}

impl Progress for Hook {
    fn phase(&self, name: &str, _: u64) {
        self.in_phase.store(name == self.phase, Ordering::SeqCst);
        if name == self.phase {
            self.reached(Moment::Begin);
        }
    }

    fn advance(&self, _: u64) {
        if self.in_phase.load(Ordering::SeqCst) {
            self.reached(Moment::FirstBytes);
        }
    }

    fn finish(&self) {
        self.in_phase.store(false, Ordering::SeqCst);
    }
}

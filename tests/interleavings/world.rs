//! What every run begins with: folders to back up, and a repository that holds backups, garbage and a dead session.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use esker_format::config::ChunkerParameters;
use esker_ops::backup::{BackupRequest, backup};
use esker_ops::forget::{ForgetRequest, forget};
use esker_ops::keys::{KeyCounts, KeyDiffRequest, diff_keys};
use esker_ops::{Job, OpsError};
use esker_repo::{Effort, Environment, InitOptions, OpenOptions, RepoError, Repository, Store};
use esker_testkit::scheduler::Turn;
use esker_testkit::seeded::{ManualClock, SeededRandom, SplitMix64};
use esker_testkit::workload::{Compression, Engine, Kind, Workload};
use futures::TryStreamExt;
use futures::executor::block_on;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use tempfile::TempDir;

/// Folders to back up, each with the contents of its files: backups share much.
pub const SOURCES: [[u64; 3]; 6] = [[0, 1, 2], [2, 3, 4], [4, 5, 0], [6, 7, 8], [6, 9, 8], [6, 1, 10]];
/// Folders that were backed up at once, so that what both have stands twice.
const TWINS: [usize; 2] = [3, 4];
/// The backup whose twin stays.
pub const TWIN: usize = 3;
const START_MS: u64 = 1_800_000_000_000;

/// A backup that stands when a run begins.
#[derive(Debug, Clone)]
pub struct Standing {
    pub id: String,
    pub source: usize,
}

pub struct World {
    folder: TempDir,
    /// Whether each folder to back up holds an engine, too, whose tables are stored as sorted runs.
    has_engines: bool,
    objects: BTreeMap<String, Bytes>,
    pub backups: Vec<Standing>,
    objects_abroad: BTreeMap<String, Bytes>,
    /// What another repository holds, whose chunks have other names.
    pub abroad: Vec<Standing>,
    /// How the keys of the first and the last backup differ.
    pub difference: KeyCounts,
}

/// Time and randomness of one actor.
pub struct ActorEnvironment {
    pub clock: Arc<ManualClock>,
    pub random: SeededRandom,
    /// What takes its turns; nobody else runs without it.
    pub turn: Option<Turn>,
}

impl Environment for ActorEnvironment {
    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    fn fill_random(&self, bytes: &mut [u8]) -> Result<(), RepoError> {
        self.random.fill(bytes);
        Ok(())
    }

    fn pause(&self, time: Duration) {
        if let Some(turn) = &self.turn {
            turn.step("pause");
        }
        self.clock.advance_ms(u64::try_from(time.as_millis()).unwrap());
    }
}

fn quick_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let make = |folder: &Path| tempfile::Builder::new().prefix("esker-interleavings-").tempdir_in(folder);
    if memory.is_dir() { make(memory).unwrap_or_else(|_| tempfile::tempdir().unwrap()) } else { tempfile::tempdir().unwrap() }
}

pub fn job() -> Job {
    Job { threads: 1, ..Job::default() }
}

fn request(label: &str, source: &Path, has_engines: bool) -> BackupRequest {
    BackupRequest {
        hosts: vec![("h".to_owned(), source.to_path_buf())],
        cluster: None,
        space: None,
        label: Some(label.to_owned()),
        tags: Vec::new(),
        dry_run: false,
        reread: false,
        reread_share: 0,
        effort: Effort::Level(1),
        no_reencode: !has_engines,
    }
}

impl World {
    /// With files alone, or with engines beside them.
    pub fn new(has_engines: bool) -> Self {
        let folder = quick_folder();
        for (source, contents) in SOURCES.iter().enumerate() {
            let path = folder.path().join(format!("source{source}"));
            fs::create_dir(&path).unwrap();
            for (file, content) in contents.iter().enumerate() {
                let mut bytes = vec![0; 500 + 100 * *content as usize];
                SplitMix64::new(*content).fill(&mut bytes);
                fs::write(path.join(format!("file{file}")), bytes).unwrap();
            }
        }
        if has_engines {
            add_engines(folder.path());
        }
        let mut world = Self {
            folder,
            has_engines,
            objects: BTreeMap::new(),
            backups: Vec::new(),
            objects_abroad: BTreeMap::new(),
            abroad: Vec::new(),
            difference: KeyCounts::default(),
        };
        world.fill();
        world.fill_abroad();
        world
    }

    /// A request to back up one of the folders.
    pub fn request(&self, label: &str, source: usize) -> BackupRequest {
        request(label, &self.source(source), self.has_engines)
    }

    /// Three backups, then two at once, then one of what both of those have; the second of the two is forgotten.
    fn fill(&mut self) {
        let (store, clock) = self.empty(0);
        for source in 0..3 {
            self.add(&store, &clock, source);
        }
        let before = objects_of(&*store);
        for twin in TWINS {
            let alone = store_with(&before);
            self.add(&alone, &clock, twin);
            put_all(&*store, &objects_of(&*alone));
        }
        let twin = self.backups.pop().unwrap();
        self.add(&store, &clock, 5);
        let names = vec![twin.id];
        let repository = self.open(&store, &clock);
        forget(&repository, &ForgetRequest { names, ..ForgetRequest::default() }).unwrap();
        self.difference = self.differences(&repository).unwrap();
        assert!(!self.has_engines || self.difference.changed > 0, "{:?}", self.difference);
        self.objects = objects_of(&*store);
    }

    /// Counts how the keys of the first and the last backup differ.
    pub fn differences(&self, repository: &Arc<Repository>) -> Result<KeyCounts, OpsError> {
        if !self.has_engines {
            return Ok(KeyCounts::default());
        }
        let (from, to) = (self.backups[0].id.clone(), self.backups[self.backups.len() - 1].id.clone());
        let request = KeyDiffRequest { from, to, ..KeyDiffRequest::default() };
        Ok(diff_keys(repository, &request, &job(), &mut |_| Ok(()))?.counts)
    }

    /// Two backups of what the first repository holds in part.
    fn fill_abroad(&mut self) {
        let (store, clock) = self.empty(1);
        let at_home = std::mem::take(&mut self.backups);
        for source in [1, 4] {
            self.add(&store, &clock, source);
        }
        self.abroad = std::mem::replace(&mut self.backups, at_home);
        self.objects_abroad = objects_of(&*store);
    }

    /// A repository without backups, one of its own for each seed.
    fn empty(&self, seed: u64) -> (Arc<dyn ObjectStore>, Arc<ManualClock>) {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let clock = Arc::new(ManualClock::new(START_MS));
        let chunker = ChunkerParameters { min: 64, avg: 256, max: 1024 };
        let init = InitOptions { chunker, pack_target: 64 << 10, ..InitOptions::new(None) };
        Repository::init(Store::new(Arc::clone(&store), "the first").unwrap(), &init, self.options(&clock, seed)).unwrap();
        (store, clock)
    }

    fn add(&mut self, store: &Arc<dyn ObjectStore>, clock: &Arc<ManualClock>, source: usize) {
        clock.advance_ms(1000);
        let report = backup(&self.open(store, clock), &self.request(&format!("first{source}"), source), &job()).unwrap();
        self.backups.push(Standing { id: report.id.unwrap(), source });
    }

    fn open(&self, store: &Arc<dyn ObjectStore>, clock: &Arc<ManualClock>) -> Arc<Repository> {
        let opened = Repository::open(Store::new(Arc::clone(store), "the first").unwrap(), self.options(clock, clock.now_ms()));
        Arc::new(opened.unwrap())
    }

    fn options(&self, clock: &Arc<ManualClock>, seed: u64) -> OpenOptions {
        let environment = Arc::new(ActorEnvironment { clock: Arc::clone(clock), random: SeededRandom::new(seed), turn: None });
        OpenOptions {
            secret: None,
            cache: self.folder.path().join("cache-of-the-first"),
            run_cache_bytes: None,
            index_cache_bytes: 1 << 30,
            environment,
        }
    }

    pub fn source(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("source{number}"))
    }

    /// The files of a folder that a backup takes, below it.
    pub fn files(&self, number: usize) -> Vec<PathBuf> {
        let folder = self.source(number);
        let mut folders = vec![folder.clone()];
        let mut files = Vec::new();
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    // A log of RocksDB's own doings is left out.
                    false if path.file_name().unwrap().as_encoded_bytes().starts_with(b"LOG") => {}
                    false => files.push(path.strip_prefix(&folder).unwrap().to_path_buf()),
                }
            }
        }
        files
    }

    /// A folder of its own for a run.
    pub fn scratch(&self) -> TempDir {
        tempfile::tempdir_in(self.folder.path()).unwrap()
    }

    /// A store as it is at the begin.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        store_with(&self.objects)
    }

    /// The other repository as it is at the begin.
    pub fn store_abroad(&self) -> Arc<dyn ObjectStore> {
        store_with(&self.objects_abroad)
    }

    /// When a run begins.
    pub fn clock(&self) -> Arc<ManualClock> {
        Arc::new(ManualClock::new(START_MS + 3_600_000))
    }
}

/// An engine that is small and changes much from one folder to the next: a backup needs some entries of most runs before it.
fn add_engines(folder: &Path) {
    let workload = Workload { kind: Kind::Compacted, entries: 60, partitions: 1, compression: Compression::None, ..Workload::default() };
    let mut engine = Engine::create(&folder.join("live"), &workload);
    for source in 0..SOURCES.len() {
        engine.checkpoint(&folder.join(format!("source{source}/engine")));
        engine.write_unflushed(20);
        engine.next_day();
    }
}

fn store_with(objects: &BTreeMap<String, Bytes>) -> Arc<dyn ObjectStore> {
    let store = InMemory::new();
    put_all(&store, objects);
    Arc::new(store)
}

fn put_all(store: &dyn ObjectStore, objects: &BTreeMap<String, Bytes>) {
    for (path, bytes) in objects {
        block_on(store.put(&ObjectPath::from(path.as_str()), bytes.clone().into())).unwrap();
    }
}

pub fn objects_of(store: &dyn ObjectStore) -> BTreeMap<String, Bytes> {
    let listed: Vec<_> = block_on(store.list(None).map_ok(|meta| meta.location).try_collect()).unwrap();
    let read = |path: &ObjectPath| block_on(async { store.get(path).await.unwrap().bytes().await.unwrap() });
    listed.iter().map(|path| (path.to_string(), read(path))).collect()
}

//! Folders as hosts have them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use esker_testkit::cluster::{Cluster, ClusterSpec, host_name};
use esker_testkit::seeded::SplitMix64;
use esker_testkit::tree::assert_same_tree;
use esker_testkit::workload::{Engine, Workload};
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{DB, Options};
use tempfile::TempDir;

use super::esker::Esker;

/// `NAME=FOLDER`, as `--host` takes it.
pub fn host(name: &str, folder: &Path) -> String {
    format!("{name}={}", folder.display())
}

/// A host's restored folder is the one that was backed up: names, bytes, modes, times and owners, its own included.
#[track_caller]
pub fn assert_restored(source: &Path, restored: &Path, left_out: &[&str]) {
    assert_same_tree(source, restored, left_out);
    let (a, b) = (fs::metadata(source).unwrap(), fs::metadata(restored).unwrap());
    assert_eq!(a.permissions().mode(), b.permissions().mode(), "mode of {}", source.display());
    assert_eq!((a.mtime(), a.mtime_nsec()), (b.mtime(), b.mtime_nsec()), "mtime of {}", source.display());
}

/// Bytes that nothing compresses.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    SplitMix64::new(seed).fill(&mut bytes);
    bytes
}

/// A checkpoint in `folder` of an engine that holds `entries` entries.
pub fn small_engine(folder: &Path, entries: u32) {
    let live = tempfile::tempdir_in(folder.parent().unwrap()).unwrap();
    let mut options = Options::default();
    options.create_if_missing(true);
    let db = DB::open(&options, live.path()).unwrap();
    for entry in 0..entries {
        db.put(format!("entry {entry:08}"), noise(u64::from(entry), 40)).unwrap();
    }
    checkpoint_of(&db, folder);
}

/// A checkpoint in the new folder, with what was written in tables.
pub fn checkpoint_of(db: &DB, folder: &Path) {
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    Checkpoint::new(db).unwrap().create_checkpoint(folder).unwrap();
}

/// Hosts of a sample cluster, with a checkpoint of each day.
pub struct Host;

impl Host {
    /// Makes `days` checkpoints of a cluster of three hosts and two spaces in `folder`; gives the folder of each day, which
    /// holds the hosts' folders.
    pub fn cluster(folder: &Path, days: u32, entries: u64) -> Vec<PathBuf> {
        let spec = ClusterSpec { workload: Workload { entries, partitions: 4, ..Workload::default() }, ..ClusterSpec::default() };
        let mut cluster = Cluster::create(&folder.join("live"), &spec);
        let mut folders = Vec::new();
        for day in 0..days {
            if day > 0 {
                cluster.next_day();
            }
            folders.push(cluster.checkpoint_into(folder, &format!("day{day}")));
        }
        folders
    }

    /// The arguments that back up every host of such a day.
    pub fn arguments(day: &Path) -> Vec<String> {
        (0..3).flat_map(|number| ["--host".to_owned(), host(&host_name(number), &day.join(host_name(number)))]).collect()
    }

    /// A live engine of the sample workload in `folder`.
    pub fn engine(folder: &Path, entries: u64) -> Engine {
        Engine::create(folder, &Workload { entries, partitions: 4, ..Workload::default() })
    }
}

/// Room that a folder in memory must have.
const MEMORY_NEEDED: u64 = 2 << 30;

/// A folder in memory if there is one with room: a test that waits for a disk waits for whatever else writes to it.
pub fn quick_folder() -> TempDir {
    let make = |folder: &Path| tempfile::Builder::new().prefix("esker-user-").tempdir_in(folder);
    let memory = Path::new("/dev/shm");
    let has_room = rustix::fs::statvfs(memory).is_ok_and(|state| state.f_bavail * state.f_frsize >= MEMORY_NEEDED);
    let in_memory = if has_room { make(memory).ok() } else { None };
    in_memory.unwrap_or_else(|| make(&std::env::temp_dir()).unwrap())
}

/// The backup's host `h` is restored as this folder.
#[track_caller]
pub fn comes_back(esker: &Esker, label: &str, folder: &Path) {
    let target = tempfile::tempdir_in(esker.folder()).unwrap();
    let target = target.path().join("t");
    esker.run(&["restore", label, "--target", target.to_str().unwrap()]).exits(0);
    assert_restored(folder, &target.join("h"), &[]);
}

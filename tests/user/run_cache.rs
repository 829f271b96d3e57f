//! Runs of earlier backups come from the cache of this machine if it has them. A cache that is empty, damaged, deleted, small
//! or shared changes what is asked of the store, never a backup.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use esker_format::key::Secret;
use esker_format::manifest::Manifest;
use esker_ops::Job;
use esker_ops::backup::{BackupRequest, backup};
use esker_testkit::faulty_store::{FaultPlan, FaultyStore, Operation};
use esker_testkit::workload::{Engine, Kind, Workload};
use zeroize::Zeroizing;

use crate::kit::{Esker, Shelf, TestEnvironment, assert_restored, host, quick_folder, request};

const PLENTY: u64 = 256 << 20;

/// The folders of two days of a host whose engine is compacted as a whole each night: all its tables are new each day.
fn days(folder: &Path, seed: u64) -> Vec<PathBuf> {
    let workload = Workload { kind: Kind::Compacted, entries: 60_000, partitions: 4, seed, ..Workload::default() };
    let mut engine = Engine::create(&folder.join("live"), &workload);
    let mut day = |number: u32| {
        if number > 0 {
            engine.next_day();
        }
        let day = folder.join(format!("day{number}"));
        fs::create_dir(&day).unwrap();
        engine.checkpoint(&day.join("engine"));
        day
    };
    vec![day(0), day(1)]
}

/// The folder of the runs below a client's cache.
fn runs_folder(cache: &Path) -> Option<PathBuf> {
    let mut folders = fs::read_dir(cache).ok()?.flatten().map(|entry| entry.path());
    folders.find(|path| path.file_name().unwrap().to_string_lossy().starts_with("runs-1-"))
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect()
}

/// A store with a backup of the first day, and the cache of the client that made it.
struct FirstDay {
    shelf: Shelf,
    objects: BTreeMap<String, Vec<u8>>,
    days: Vec<PathBuf>,
    _folder: tempfile::TempDir,
}

/// A backup of the second day.
struct SecondDay {
    client: Shelf,
    manifest: Manifest,
    /// Requests for parts of data packs.
    data_requests: usize,
}

impl FirstDay {
    fn new() -> Self {
        let folder = quick_folder();
        let days = days(folder.path(), 1);
        let mut shelf = Shelf::new(Some(Secret::Passphrase(Zeroizing::new("secret".into()))), 1_800_000_000_000);
        shelf.run_cache_bytes = PLENTY;
        shelf.backup("one", &days[0]).unwrap();
        Self { objects: shelf.objects(), shelf, days, _folder: folder }
    }

    /// A backup of the second day by a client with that cache, after something happened to its runs.
    fn second_day(&self, run_cache_bytes: u64, reread: bool, happens: impl FnOnce(&Path)) -> SecondDay {
        let plan = FaultPlan::default();
        let store = FaultyStore::with_plan(Shelf::store_of(&self.objects), plan.clone());
        let environment = TestEnvironment::at(1_800_000_100_000, 9);
        let mut client = Shelf::over(Arc::new(store), self.shelf.secret.clone(), environment);
        client.run_cache_bytes = run_cache_bytes;
        let runs = runs_folder(&self.shelf.path("cache")).unwrap();
        let copy = client.path("cache").join(runs.file_name().unwrap());
        fs::create_dir_all(&copy).unwrap();
        for file in files_of(&runs) {
            fs::copy(&file, copy.join(file.file_name().unwrap())).unwrap();
        }
        happens(&copy);
        let request = BackupRequest { reread, ..request("two", &self.days[1]) };
        let report = backup(&client.open(), &request, &Job { threads: 1, ..Job::default() }).unwrap();
        assert!(report.warnings.is_empty(), "{:?}", report.warnings);
        let is_data = |(operation, path): &&(Operation, object_store::path::Path)| {
            *operation == Operation::Get && path.as_ref().starts_with("packs/data")
        };
        let data_requests = plan.journal().iter().filter(is_data).count();
        let found = client.open().backups().unwrap().found;
        let manifest = found.into_iter().find(|backup| backup.manifest.label == "two").unwrap().manifest;
        SecondDay { client, manifest, data_requests }
    }

    #[track_caller]
    fn assert_restored(&self, second: &SecondDay) {
        for (label, day) in ["one", "two"].iter().zip(&self.days) {
            let target = second.client.path(label);
            second.client.other_client().restore(label, &target).unwrap();
            assert_restored(day, &target.join("h"), &[]);
        }
    }
}

#[test]
fn an_incremental_with_its_cache_reads_no_data_and_without_it_is_the_same() {
    let first = FirstDay::new();
    let warm = first.second_day(PLENTY, false, |_| {});
    assert_eq!(warm.data_requests, 0);
    let (totals, sorted) = (warm.manifest.totals, warm.manifest.sorted.clone().unwrap());
    assert!(sorted.copied_bytes > 10 * sorted.literal_bytes && totals.new_bytes < totals.bytes / 5, "{totals:?} {sorted:?}");
    first.assert_restored(&warm);

    let damage = |folder: &Path| {
        for (number, file) in files_of(folder).iter().enumerate() {
            let mut bytes = fs::read(file).unwrap();
            match number % 4 {
                0 => bytes.truncate(bytes.len() / 2),
                1 => bytes.clear(),
                2 => bytes[number] ^= 1,
                _ => bytes = fs::read(&files_of(folder)[0]).unwrap(),
            }
            fs::write(file, bytes).unwrap();
        }
    };
    let empty = |folder: &Path| files_of(folder).into_iter().for_each(|file| fs::remove_file(file).unwrap());
    let deleted = |folder: &Path| fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    let others = [
        ("none", first.second_day(0, false, |_| {})),
        ("damaged", first.second_day(PLENTY, false, damage)),
        ("empty", first.second_day(PLENTY, false, empty)),
        ("deleted", first.second_day(PLENTY, false, deleted)),
        ("with room for one or two", first.second_day(1 << 20, false, |_| {})),
    ];
    for (name, other) in &others {
        assert!(other.data_requests > 0, "{name}");
        // Tables are named by their content: the same references are the same recipes over the same runs.
        assert_eq!(other.manifest.hosts, warm.manifest.hosts, "{name}");
        assert_eq!((other.manifest.totals, &other.manifest.sorted), (totals, &Some(sorted.clone())), "{name}");
        first.assert_restored(other);
    }
    let [none, damaged, empty, deleted, _] = others.map(|(_, other)| other.data_requests);
    assert_eq!([damaged, deleted], [empty, empty]);
    assert!(none >= empty);
}

#[test]
fn a_reread_asks_the_store_for_every_run_it_relies_on_though_the_cache_has_it() {
    let first = FirstDay::new();
    let trusting = first.second_day(PLENTY, false, |_| {});
    let reread = first.second_day(PLENTY, true, |_| {});
    assert_eq!(trusting.data_requests, 0);
    assert!(reread.data_requests > 0);
    assert_eq!(reread.manifest.hosts, trusting.manifest.hosts);
    first.assert_restored(&reread);
}

#[test]
fn a_size_on_the_command_line_makes_a_cache_for_a_folder_too_and_processes_share_it() {
    let esker = Esker::encrypted();
    let hosts = [1, 2].map(|seed| {
        let folder = esker.path(&format!("host{seed}"));
        fs::create_dir(&folder).unwrap();
        (folder.clone(), days(&folder, seed))
    });
    let size = 3 << 20;
    let argument = size.to_string();
    for day in 0..2 {
        let start = |(number, (_, days)): (usize, &(PathBuf, Vec<PathBuf>))| {
            let (name, label) = (format!("h{number}"), format!("h{number}-{day}"));
            esker.start(&["backup", "--host", &host(&name, &days[day]), "--label", &label, "--cache-size", &argument])
        };
        let writers: Vec<_> = hosts.iter().enumerate().map(start).collect();
        writers.into_iter().for_each(|child| drop(esker.wait(child).exits(0)));
        let runs = runs_folder(&esker.cache()).unwrap();
        let kept: u64 = files_of(&runs).iter().map(|file| file.metadata().unwrap().len()).sum();
        // Two at once may be a step of one of them over it.
        assert!(kept > size / 4 && kept <= size + size / 16 + (2 << 20), "{kept}");
        for (number, (folder, days)) in hosts.iter().enumerate() {
            let target = folder.join(format!("t{day}"));
            esker.run(&["restore", &format!("h{number}-{day}"), "--target", target.to_str().unwrap()]).exits(0);
            assert_restored(&days[day], &target.join(format!("h{number}")), &[]);
        }
    }
    esker.run(&["fsck", "--level", "files"]).exits(0);
    let again = |label: &str| esker.command(&["backup", "--host", &host("h0", &hosts[0].1[0]), "--label", label]);
    esker.run_command(again("without").env("ESKER_CACHE_SIZE", "1000")).exits(0);
    assert_eq!(files_of(&runs_folder(&esker.cache()).unwrap()).len(), 0);
    fs::remove_dir_all(esker.cache()).unwrap();
    esker.run_command(&mut again("default")).exits(0);
    assert_eq!(runs_folder(&esker.cache()), None, "a folder needs none");
}

//! Work that was interrupted: killed, cancelled, out of disk. Nothing that was done before is lost, and the next run goes
//! on from what was uploaded.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use esker_format::layout::{ObjectKind, object_path};
use esker_ops::OpsError;
use esker_ops::prune::{PruneRequest, prune};
use esker_repo::manifests::Standing;
use esker_testkit::faulty_store::{Effect, FaultPlan, FaultyStore, Operation};
use esker_testkit::seeded::SplitMix64;
use esker_testkit::tree::inventory;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::kit::{Esker, Shelf, TestEnvironment, assert_restored, host, job, noise, number};

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Waits until something is so, but not beyond the end of the process; whether it came to be.
fn until(child: &mut Child, so: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !so() {
        if child.try_wait().unwrap().is_some() || start.elapsed() > Duration::from_secs(60) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// A repository of small packs with a backup `old` of a folder, to which `len` bytes of noise were added then.
fn grown(len: usize) -> (Esker, PathBuf, PathBuf) {
    let esker = Esker::plain(&["--chunk-min", "4096", "--chunk-avg", "8192", "--chunk-max", "16384", "--pack-size", "262144"]);
    let (old, source) = (esker.path("old"), esker.path("source"));
    for folder in [&old, &source] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("first"), noise(1, 20_000)).unwrap();
    }
    esker.run(&["backup", "--host", &host("h", &old), "--label", "old"]).exits(4);
    fs::write(source.join("noise"), noise(2, len)).unwrap();
    (esker, old, source)
}

fn packs(repo: &Path) -> usize {
    let files = |folder: &Path| fs::read_dir(folder).map_or(0, |entries| entries.flatten().count());
    let sessions = fs::read_dir(repo.join("packs/data")).map_or_else(|_| Vec::new(), |entries| entries.flatten().collect());
    sessions.iter().map(|session| files(&session.path())).sum()
}

#[track_caller]
fn restores(esker: &Esker, label: &str, source: &Path) {
    let target = tempfile::tempdir_in(esker.folder()).unwrap();
    let target = target.path().join("t");
    esker.run(&["restore", label, "--target", target.to_str().unwrap()]).exits(0);
    assert_restored(source, &target.join("h"), &[]);
}

/// Findings of a check that may have notices, but no damage: but for the end of a session whose writer died between its
/// commit and its end, which nothing can tell from a record that was lost.
#[track_caller]
fn only_notices(esker: &Esker) {
    let run = esker.run(&["fsck", "--level", "files", "--json"]);
    let report = run.json();
    let damage =
        |finding: &&Value| finding["severity"] == "damage" && !finding["what"].as_str().unwrap().contains("its writer died right after");
    assert_eq!(report["findings"].as_array().unwrap().iter().filter(damage).count(), 0, "{report}");
}

#[test]
fn a_backup_killed_after_packs_were_uploaded_leaves_them_to_the_next() {
    let (esker, old, source) = grown(30 << 20);
    let backup = ["backup", "--host", &host("h", &source), "--label", "new", "--json"];
    let before = packs(&esker.repo());
    let mut child = esker.start(&backup);
    assert!(until(&mut child, || packs(&esker.repo()) > before + 4), "30 MiB are many packs");
    signal(&child, Signal::KILL);
    assert_eq!(esker.wait(child).code, None);
    assert_eq!(esker.labels(), ["old"]);
    only_notices(&esker);
    assert!(esker.run(&["fsck"]).exits(0).text().contains("left by an interrupted job"));
    restores(&esker, "old", &old);
    let report = esker.run(&backup).exits(4).json();
    assert!(number(&report, "left_over_bytes") >= 4 * 200_000, "{report}");
    assert_eq!(number(&report, "left_over_bytes") + number(&report, "new_bytes"), 30 << 20);
    only_notices(&esker);
    restores(&esker, "new", &source);
    restores(&esker, "old", &old);
    assert!(!esker.run(&["fsck"]).exits(0).text().contains("notice"), "what was left over is indexed now");
}

#[test]
fn a_backup_killed_at_any_moment_harms_nothing_that_was_there() {
    let (esker, old, source) = grown(100_000);
    let mut random = SplitMix64::new(20);
    let start = Instant::now();
    esker.run(&["backup", "--host", &host("h", &source), "--label", "warm"]).exits(4);
    let whole_ms = start.elapsed().as_millis() as u64 + 1;
    for seed in 0..20 {
        fs::write(source.join("noise"), noise(1000 + seed, 3 << 20)).unwrap();
        let label = format!("killed{seed}");
        let child = esker.start(&["backup", "--host", &host("h", &source), "--label", &label]);
        std::thread::sleep(Duration::from_millis(random.below(whole_ms * 3)));
        signal(&child, Signal::KILL);
        let run = esker.wait(child);
        let label = match run.code {
            Some(code) => {
                assert_eq!(code, 4, "it was done before it was killed");
                label
            }
            None => {
                let label = format!("next{seed}");
                esker.run(&["backup", "--host", &host("h", &source), "--label", &label]).exits(4);
                label
            }
        };
        restores(&esker, &label, &source);
    }
    only_notices(&esker);
    restores(&esker, "old", &old);
}

#[test]
fn a_restore_killed_in_the_middle_goes_on_with_the_same_command() {
    let (esker, _, source) = grown(40 << 20);
    fs::create_dir(source.join("folder")).unwrap();
    fs::write(source.join("folder/last"), noise(3, 1 << 20)).unwrap();
    esker.run(&["backup", "--host", &host("h", &source), "--label", "new"]).exits(4);
    let target = esker.path("t");
    let restore = ["restore", "new", "--target", target.to_str().unwrap(), "--json", "--threads", "1"];
    let written = || fs::metadata(target.join("h/noise")).map_or(0, |meta| meta.blocks() * 512);
    let mut killed = 0;
    for round in 1..=6 {
        let mut child = esker.start(&restore);
        if until(&mut child, || written() > round * (5 << 20)) {
            signal(&child, Signal::KILL);
        }
        killed += u64::from(esker.wait(child).code.is_none());
    }
    assert!(killed > 0, "40 MiB are not written before the first 5 MiB are seen");
    if target.join(".esker-restore").exists() {
        // What stands there belongs to this restore and to no other.
        let other = ["restore", "old", "--target", target.to_str().unwrap()];
        esker.run(&other).exits(2).says("holds another restore that was not finished");
        let report = esker.run(&restore).exits(0).json();
        assert!(number(&report, "kept_bytes") > 0, "{report}");
    }
    assert!(!target.join(".esker-restore").exists());
    assert_restored(&source, &target.join("h"), &[]);
    esker.run(&restore).exits(2).says("is not empty");
}

#[test]
fn a_resumed_restore_mends_what_was_garbled_meanwhile() {
    let (esker, _, source) = grown(30 << 20);
    fs::write(source.join("hole"), vec![0; 100_000]).unwrap();
    fs::File::create(source.join("sparse")).unwrap().set_len(1 << 20).unwrap();
    esker.run(&["backup", "--host", &host("h", &source), "--label", "new"]).exits(4);
    let target = esker.path("t");
    let restore = ["restore", "new", "--target", target.to_str().unwrap(), "--json", "--threads", "1"];
    let mut child = esker.start(&restore);
    assert!(until(&mut child, || target.join("h").exists()));
    signal(&child, Signal::KILL);
    assert_eq!(esker.wait(child).code, None, "30 MiB take a moment");
    let folder = target.join("h");
    for (name, bytes) in [("noise", noise(9, 3 << 20)), ("first", Vec::new()), ("sparse", noise(8, 2 << 20)), ("hole", noise(7, 100_000))] {
        fs::write(folder.join(name), bytes).unwrap();
    }
    esker.run(&restore).exits(0);
    assert_restored(&source, &folder, &[]);
}

#[test]
fn a_target_that_holds_something_else_is_left_alone() {
    let (esker, _, _) = grown(100);
    let target = esker.path("t");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("mine"), "precious").unwrap();
    esker.run(&["restore", "old", "--target", target.to_str().unwrap()]).exits(2).says("is not empty");
    assert_eq!(inventory(&target).len(), 1);
    fs::write(target.join(".esker-restore"), "not a mark").unwrap();
    esker.run(&["restore", "old", "--target", target.to_str().unwrap()]).exits(2);
    assert_eq!(inventory(&target).len(), 2);
    esker.run(&["restore", "old", "--target", target.join("mine").to_str().unwrap()]).exits(1).says("mine");
    esker.run(&["restore", "old", "--target", "/proc/nowhere"]).exits(1);
}

#[test]
fn ctrl_c_ends_a_backup_with_130_and_the_next_one_goes_on() {
    for kind in [Signal::INT, Signal::TERM] {
        let (esker, old, source) = grown(40 << 20);
        let backup = ["backup", "--host", &host("h", &source), "--label", "new", "--json"];
        let before = packs(&esker.repo());
        let mut child = esker.start(&backup);
        assert!(until(&mut child, || packs(&esker.repo()) > before + 4));
        signal(&child, kind);
        let run = esker.wait(child).exits(130);
        assert_eq!(run.stderr.lines().last(), Some("esker: cancelled"));
        assert_eq!(run.json()["exit"], 130);
        assert_eq!(esker.labels(), ["old"]);
        esker.run(&["fsck", "--level", "files"]).exits(0);
        restores(&esker, "old", &old);
        assert!(number(&esker.run(&backup).exits(4).json(), "left_over_bytes") > 0);
        restores(&esker, "new", &source);
    }
}

#[test]
fn ctrl_c_ends_a_restore_with_130_and_the_same_command_goes_on() {
    let (esker, _, source) = grown(80 << 20);
    esker.run(&["backup", "--host", &host("h", &source), "--label", "new"]).exits(4);
    let target = esker.path("t");
    let restore = ["restore", "new", "--target", target.to_str().unwrap(), "--threads", "1", "--json"];
    let mut child = esker.start(&restore);
    assert!(until(&mut child, || target.join("h/noise").exists()), "80 MiB take a moment");
    signal(&child, Signal::INT);
    esker.wait(child).exits(130);
    esker.run(&restore).exits(0);
    assert_restored(&source, &target.join("h"), &[]);
    esker.run(&["fsck"]).exits(0);
}

/// A small file system in memory, gone when this is.
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// `None` where mounting is not allowed.
    fn mount(at: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "esker-test"]).arg(&at).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(at))
    }

    fn remount(&self, options: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_under_the_repository_ends_the_backup_loudly_and_loses_nothing() {
    let esker = Esker::without_repository(None);
    let Some(disk) = Tmpfs::mount(esker.repo(), "4m") else { return };
    esker
        .run(&["init", "--no-encryption", "--pack-size", "65536", "--chunk-min", "1024", "--chunk-avg", "4096", "--chunk-max", "16384"])
        .exits(0);
    let (old, source) = (esker.path("old"), esker.path("source"));
    fs::create_dir(&old).unwrap();
    fs::create_dir(&source).unwrap();
    fs::write(old.join("file"), noise(1, 200_000)).unwrap();
    fs::write(source.join("file"), noise(2, 10 << 20)).unwrap();
    esker.run(&["backup", "--host", &host("h", &old), "--label", "old"]).exits(4);
    let run = esker.run(&["backup", "--host", &host("h", &source), "--label", "new"]).exits(1);
    assert!(run.stderr.contains("cannot write packs/") && run.stderr.contains("No space left"), "{}", run.stderr);
    assert_eq!(esker.labels(), ["old"]);
    restores(&esker, "old", &old);
    esker.run(&["fsck", "--level", "files"]).exits(0);
    disk.remount("size=64m");
    let report = esker.json(&["backup", "--host", &host("h", &source), "--label", "new"], 4);
    assert!(number(&report, "left_over_bytes") > 1 << 20, "{report}");
    restores(&esker, "new", &source);
    restores(&esker, "old", &old);
    esker.run(&["fsck", "--level", "files"]).exits(0);
}

#[test]
fn a_full_disk_under_the_target_ends_the_restore_and_room_lets_it_go_on() {
    let (esker, _, source) = grown(8 << 20);
    esker.run(&["backup", "--host", &host("h", &source), "--label", "new"]).exits(4);
    let Some(disk) = Tmpfs::mount(esker.path("disk"), "4m") else { return };
    let target = disk.0.join("t");
    let restore = ["restore", "new", "--target", target.to_str().unwrap(), "--json"];
    let run = esker.run(&restore).exits(1);
    assert!(run.stderr.contains("disk full while writing") && run.stderr.contains("/h/"), "{}", run.stderr);
    disk.remount("size=64m");
    assert!(number(&esker.run(&restore).exits(0).json(), "kept_bytes") > 0);
    assert_restored(&source, &target.join("h"), &[]);
}

#[test]
fn what_is_mounted_read_only_can_be_read_and_is_named_when_it_cannot_be_written() {
    let esker = Esker::without_repository(Some("with a Passphrase"));
    let Some(disk) = Tmpfs::mount(esker.path("disk"), "16m") else { return };
    std::os::unix::fs::symlink(disk.0.join("repo"), esker.repo()).unwrap();
    fs::create_dir(disk.0.join("repo")).unwrap();
    esker.run(&["init"]).exits(0);
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), noise(1, 10_000)).unwrap();
    esker.run(&["backup", "--host", &host("h", &source), "--label", "one"]).exits(4);
    disk.remount("ro");
    let in_disk = disk.0.join("t");
    esker.run(&["restore", "one", "--target", in_disk.to_str().unwrap()]).exits(1).says("Read-only file system");
    assert_eq!(esker.labels(), ["one"]);
    let target = esker.path("t");
    esker.run(&["restore", "one", "--target", target.to_str().unwrap()]).exits(0).says("without protection from a prune");
    assert_restored(&source, &target.join("h"), &[]);
    esker.run(&["fsck", "--level", "files", "--no-remember"]).exits(0);
    esker.run(&["fsck", "--level", "files"]).exits(0);
    esker.run(&["backup", "--host", &host("h", &source)]).exits(1).says("cannot write sessions/").says("Read-only");
    esker.run(&["forget", "one"]).exits(1).says("Read-only");
}

/// Runs a backup in memory against a store that goes wrong at its n-th operation, for every n, and sees that the store is
/// none the worse.
fn at_every_operation(go_wrong: impl Fn(&FaultPlan, u64)) {
    let shelf = Shelf::new(None, 1_800_000_000_000);
    let (old, new) = (shelf.path("old"), shelf.path("new"));
    for (folder, seed) in [(&old, 1), (&new, 2)] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("same"), noise(0, 1500)).unwrap();
        fs::write(folder.join("file"), noise(seed, 1500)).unwrap();
    }
    shelf.backup("old", &old).unwrap();
    let objects = shelf.objects();
    let (mut failed, mut reused, mut nth) = (0, 0, 0);
    loop {
        nth += 1;
        let inner = Shelf::store_of(&objects);
        let store = FaultyStore::new(Arc::clone(&inner));
        let plan = store.plan();
        go_wrong(&plan, nth);
        let environment = TestEnvironment::at(1_800_000_100_000 + nth, 100 + nth);
        let faulty = Shelf::over(Arc::new(store), None, Arc::clone(&environment));
        let outcome = faulty.backup("new", &new);
        if plan.operations() < nth {
            outcome.unwrap();
            break;
        }
        if let Err(error) = outcome {
            failed += 1;
            assert!(!error.to_string().is_empty() && !error.is_damage(), "operation {nth}: {error}");
        }
        let next = Shelf::over(inner, None, environment);
        let damage: Vec<String> = next.damage().into_iter().filter(|text| !text.contains("its writer died right after")).collect();
        assert_eq!(damage, Vec::<String>::new(), "operation {nth}: {:?}", plan.journal().last());
        reused += u64::from(next.backup("next", &new).unwrap().left_over_bytes > 0);
        for (label, folder) in [("old", &old), ("next", &new)] {
            next.restore(label, &next.path(label)).unwrap();
            assert_restored(folder, &next.path(label).join("h"), &[]);
        }
        // Whatever of the first try is listed is whole.
        if next.open().backups().unwrap().found.iter().any(|backup| backup.manifest.label == "new") {
            next.restore("new", &next.path("new")).unwrap();
            assert_restored(&new, &next.path("new").join("h"), &[]);
        }
    }
    assert!(failed > 10 && reused > 0, "{failed} of {nth} failed, {reused} left something over");
}

#[test]
fn a_store_that_fails_at_any_one_operation_loses_nothing() {
    at_every_operation(|plan, nth| plan.fail_nth(nth, Effect::NotDone));
}

#[test]
fn a_store_whose_answer_is_lost_at_any_one_operation_loses_nothing() {
    at_every_operation(|plan, nth| plan.fail_nth(nth, Effect::Done));
}

#[test]
fn a_store_that_is_gone_from_any_operation_on_loses_nothing() {
    at_every_operation(|plan, nth| plan.fail_all_from(nth));
}

#[test]
fn a_store_that_is_full_from_any_operation_on_loses_nothing() {
    at_every_operation(|plan, nth| plan.disk_full_from(nth));
}

#[test]
fn a_manifest_that_arrives_after_its_writer_gave_up_and_its_packs_went_does_not_count() {
    let (shelf, source) = Shelf::with_one_backup();
    fs::write(source.join("new"), noise(2, 5000)).unwrap();
    let late = |store: FaultyStore| Shelf::over(Arc::new(store), None, TestEnvironment::at(1_800_000_001_000, 8));
    let store = FaultyStore::new(Shelf::store_of(&shelf.objects()));
    late(store.clone()).backup("late", &source).unwrap();
    let journal = store.plan().journal();
    let put: Vec<_> = journal.iter().filter(|(operation, _)| *operation == Operation::Put).collect();
    let nth = put.iter().position(|(_, path)| path.as_ref().starts_with("manifests/")).unwrap() as u64 + 1;

    let store = FaultyStore::new(Arc::clone(&shelf.store));
    store.plan().fail_nth_of(Operation::Put, nth, Effect::Done);
    let error = late(store).backup("late", &source).unwrap_err();
    assert!(matches!(error, OpsError::Uncertain { .. }), "{error}");
    // It is still on its way.
    let late = shelf.open().backups().unwrap().found.into_iter().find(|backup| backup.manifest.label == "late").unwrap();
    let path = object_path(ObjectKind::Manifest, &late.id);
    let bytes = shelf.objects().remove(&path).unwrap();
    shelf.lose(&path);
    shelf.environment.clock.advance_ms(600_000);
    let request = PruneRequest { fence_after: Duration::from_secs(10), ..PruneRequest::default() };
    let pruned = prune(&shelf.open(), &request, &job()).unwrap();
    assert_eq!((pruned.packs.len(), pruned.fenced.len()), (2, 1), "{pruned:?}");
    shelf.open().store().put(&path, bytes).unwrap();
    let standings: Vec<_> = shelf.open().backups().unwrap().found.iter().map(|backup| backup.standing).collect();
    assert_eq!(standings, [Standing::Valid, Standing::Undecided]);
    assert_eq!(shelf.damage(), Vec::<String>::new());
}

#[test]
fn credentials_that_can_neither_delete_nor_overwrite_suffice_for_backups_and_restores() {
    let store = FaultyStore::new(Arc::clone(&Shelf::new(None, 1).store));
    store.plan().append_only();
    let shelf = Shelf::over(Arc::new(store), None, TestEnvironment::at(2, 2));
    let source = shelf.path("source");
    fs::create_dir(&source).unwrap();
    for label in ["one", "two"] {
        fs::write(source.join("file"), noise(label.len() as u64, 5000)).unwrap();
        shelf.backup(label, &source).unwrap();
        shelf.restore(label, &shelf.path(label)).unwrap();
        assert_restored(&source, &shelf.path(label).join("h"), &[]);
    }
    assert_eq!(shelf.damage(), Vec::<String>::new());
}

//! The local index: it may be deleted, damaged, left by another version or grow too large, and nobody notices but by the
//! time it takes; and the index segments that it is made from, which are put together as they become many.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use esker_format::ObjectId;
use esker_format::index_segment::IndexSegment;
use esker_format::layout::{ObjectKind, object_path};
use esker_repo::listing::{Listing, ids};
use esker_testkit::faulty_store::{FaultyStore, Operation};

use crate::kit::{Esker, Shelf, TestEnvironment, assert_restored, doom, host, names, noise};

/// A repository of so many chunks that their index is on disk, with one backup of the folder.
fn many_chunks() -> (Esker, PathBuf) {
    let esker = Esker::plain(&["--chunk-min", "64", "--chunk-avg", "256", "--chunk-max", "1024"]);
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("noise"), noise(1, 9 << 20)).unwrap();
    esker.run(&["backup", "--host", &host("h", &source), "--label", "one"]).exits(4);
    esker.run(&["ls", "one"]).exits(0);
    assert_eq!(generations(&esker.cache()).len(), 1, "an index of so many chunks is on disk");
    (esker, source)
}

fn below(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if wanted(&path) {
            found.push(path.clone());
        }
        if path.is_dir() {
            found.extend(below(&path, wanted));
        }
    }
    found
}

fn generations(cache: &Path) -> Vec<PathBuf> {
    below(cache, &|path| path.is_dir() && path.file_name().unwrap().to_string_lossy().starts_with("gen-"))
}

#[track_caller]
fn comes_back(esker: &Esker, source: &Path, args: &[&str]) {
    let target = tempfile::tempdir_in(esker.folder()).unwrap();
    let target = target.path().join("t");
    esker.run(&[&["restore", "one", "--target", target.to_str().unwrap()], args].concat()).exits(0);
    assert_restored(source, &target.join("h"), &[]);
}

#[test]
fn a_cache_that_is_deleted_is_made_anew() {
    let (esker, source) = many_chunks();
    fs::remove_dir_all(esker.cache()).unwrap();
    comes_back(&esker, &source, &[]);
    assert_eq!(generations(&esker.cache()).len(), 1);
    fs::remove_dir_all(&generations(&esker.cache())[0]).unwrap();
    esker.run(&["backup", "--host", &host("h", &source), "--label", "two"]).exits(4);
    assert_eq!(esker.labels(), ["one", "two"]);
}

#[test]
fn a_cache_that_is_damaged_is_made_anew_by_the_command_that_meets_it() {
    let (esker, source) = many_chunks();
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 5] = [
        ("flipped bits", |path| {
            let bytes: Vec<u8> = fs::read(path).unwrap().iter().map(|byte| byte ^ 0x55).collect();
            fs::write(path, bytes).unwrap();
        }),
        ("one flipped bit in each block", |path| {
            let mut bytes = fs::read(path).unwrap();
            let len = bytes.len();
            (0..len.saturating_sub(2000)).step_by(4096).for_each(|at| bytes[at + 100] ^= 1);
            fs::write(path, bytes).unwrap();
        }),
        ("cut short", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("empty", |path| fs::write(path, b"").unwrap()),
        ("gone", |path| fs::remove_file(path).unwrap()),
    ];
    for (name, harm) in harms {
        for kind in [".sst", "CURRENT", "MANIFEST-"] {
            let is_of_kind = |path: &Path| path.is_file() && path.file_name().unwrap().to_string_lossy().contains(kind);
            let files = below(&generations(&esker.cache())[0], &is_of_kind);
            assert!(!files.is_empty(), "{kind}");
            files.iter().for_each(|file| harm(file));
            eprintln!("{kind} {name}");
            comes_back(&esker, &source, &[]);
            esker.run(&["fsck"]).exits(0);
            assert_eq!(generations(&esker.cache()).len(), 1, "{kind} {name}");
        }
    }
}

#[test]
fn caches_of_other_versions_and_repositories_go_for_want_of_room_and_not_before() {
    let (esker, source) = many_chunks();
    // As another version of Esker would have left it, and perhaps another one still uses.
    let other = esker.cache().join("index-1-00112233445566778899aabbccddeeff/gen-0123");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("in-use"), b"").unwrap();
    fs::write(other.join("000001.sst"), noise(3, 1 << 20)).unwrap();
    comes_back(&esker, &source, &[]);
    assert!(other.exists());
    let used = fs::File::open(other.join("in-use")).unwrap();
    rustix::fs::flock(&used, rustix::fs::FlockOperation::LockShared).unwrap();
    comes_back(&esker, &source, &["--index-cache-size", "1"]);
    assert!(other.exists(), "a process uses it");
    drop(used);
    comes_back(&esker, &source, &["--index-cache-size", "100000000"]);
    assert!(other.exists(), "there is room");
    comes_back(&esker, &source, &["--index-cache-size", "1000000"]);
    assert!(!other.parent().unwrap().exists(), "it was used longest ago");
    assert_eq!(generations(&esker.cache()).len(), 1, "what is in use stays, whatever it takes");
    comes_back(&esker, &source, &[]);
}

#[test]
fn two_commands_at_once_make_and_sweep_the_same_cache() {
    let (esker, source) = many_chunks();
    for round in 0..4 {
        fs::remove_dir_all(esker.cache()).unwrap();
        let size = if round % 2 == 0 { "1" } else { "100000000" };
        let running: Vec<_> = (0..4).map(|_| esker.start(&["ls", "one", "--index-cache-size", size])).collect();
        running.into_iter().for_each(|child| drop(esker.wait(child).exits(0)));
    }
    comes_back(&esker, &source, &[]);
}

/// A shelf with so many backups of small folders that differ a little.
fn nights(count: u64) -> (Shelf, PathBuf) {
    let shelf = Shelf::new(None, 1_800_000_000_000);
    let source = shelf.path("source");
    fs::create_dir(&source).unwrap();
    for night in 0..count {
        fs::write(source.join("noise"), noise(night, 700)).unwrap();
        shelf.environment.clock.advance_ms(86_400_000);
        shelf.backup(&format!("night {night}"), &source).unwrap();
    }
    (shelf, source)
}

/// How often a client that has no cache reads an index segment.
fn segments_read(shelf: &Shelf) -> usize {
    let store = FaultyStore::new(Arc::clone(&shelf.store));
    let plan = store.plan();
    let client = Shelf::over(Arc::new(store), None, TestEnvironment::at(1_900_000_000_000, 8));
    let target = client.path("t");
    client.restore("latest", &target).unwrap();
    plan.journal().iter().filter(|(operation, path)| *operation == Operation::Get && path.as_ref().starts_with("index/")).count()
}

#[test]
fn segments_of_many_nights_are_read_as_a_few() {
    let (shelf, source) = nights(70);
    let repository = shelf.open();
    let segments = ids(repository.store(), ObjectKind::IndexSegment).unwrap();
    assert!(segments.len() > 70, "nothing is deleted before there is a prune: {}", segments.len());
    let read = segments_read(&shelf);
    assert!(read < 20, "a new client reads {read} of {} segments", segments.len());
    assert!(shelf.damage().is_empty(), "{:?}", shelf.damage());
    // Whoever reads them all, as versions before this one do, finds the same.
    let of = |id| repository.read_object::<IndexSegment>(ObjectKind::IndexSegment, id).unwrap();
    let all: Vec<IndexSegment> = segments.keys().map(of).collect();
    for larger in all.iter().filter(|segment| !segment.replaces.is_empty()) {
        for id in &larger.replaces {
            of(id).packs.iter().for_each(|pack| assert!(larger.packs.contains(pack), "a merge keeps every pair"));
        }
    }
    let target = shelf.path("t");
    shelf.restore("night 3", &target).unwrap();
    assert_eq!(fs::read(target.join("h/noise")).unwrap(), noise(3, 700));
    drop(source);
}

#[test]
fn a_merged_segment_that_is_damaged_or_lies_costs_only_that_others_are_read() {
    let (shelf, _) = nights(20);
    let repository = shelf.open();
    let segments: Vec<_> = ids(repository.store(), ObjectKind::IndexSegment).unwrap().into_keys().collect();
    let is_merged = |id: &&_| !repository.read_object::<IndexSegment>(ObjectKind::IndexSegment, id).unwrap().replaces.is_empty();
    let merged: Vec<_> = segments.iter().filter(is_merged).copied().collect();
    assert!(!merged.is_empty());
    // One that says that it stands for others and does not.
    let lie = IndexSegment { replaces: segments.iter().filter(|id| !merged.contains(id)).copied().collect(), packs: Vec::new() };
    repository.write_object(ObjectKind::IndexSegment, &lie).unwrap();
    let client = shelf.other_client();
    for night in 0..20 {
        let target = client.path(&format!("t{night}"));
        client.restore(&format!("night {night}"), &target).unwrap();
        assert_eq!(fs::read(target.join("h/noise")).unwrap(), noise(night, 700));
    }
    assert!(client.damage().is_empty(), "{:?}", client.damage());
    merged.iter().for_each(|id| shelf.lose(&format!("index/{id}")));
    let client = shelf.other_client();
    client.restore("night 1", &client.path("t")).unwrap();
    assert!(client.damage().is_empty(), "what it stood for is still there: {:?}", client.damage());
}

#[test]
fn segments_are_merged_by_who_has_a_session_and_not_while_a_prune_may_be_at_work() {
    let (shelf, source) = nights(8);
    let repository = shelf.open();
    let merged = || {
        let of = |id: ObjectId| repository.read_object::<IndexSegment>(ObjectKind::IndexSegment, &id).unwrap();
        ids(repository.store(), ObjectKind::IndexSegment).unwrap().into_keys().filter(|id| !of(*id).replaces.is_empty()).count()
    };
    let packs: Vec<_> = Listing::read(repository.store()).unwrap().packs.into_keys().take(1).collect();
    let list = doom(&repository, &packs);
    shelf.backup("while it is", &source).unwrap();
    assert_eq!(merged(), 0, "what goes is named no more often");
    shelf.lose(&object_path(ObjectKind::DoomedList, &list));

    let store = FaultyStore::new(Arc::clone(&shelf.store));
    Shelf::over(Arc::new(store.clone()), None, TestEnvironment::at(1_900_000_000_000, 8)).backup("after it", &source).unwrap();
    assert_eq!(merged(), 1);
    let journal = store.plan().journal();
    let first =
        |operation, folder: &str| journal.iter().position(|(done, path)| *done == operation && path.as_ref().starts_with(folder)).unwrap();
    let steps = [(Operation::Put, "sessions"), (Operation::List, "doomed"), (Operation::List, "packs"), (Operation::Put, "index")];
    assert!(steps.map(|(operation, folder)| first(operation, folder)).is_sorted(), "{journal:?}");
}

#[test]
fn a_folder_that_may_only_be_read_needs_no_room_in_the_repository() {
    let (esker, source) = many_chunks();
    fs::remove_dir_all(esker.cache()).unwrap();
    fs::set_permissions(esker.repo(), fs::Permissions::from_mode(0o500)).unwrap();
    comes_back(&esker, &source, &[]);
    fs::set_permissions(esker.repo(), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(names(&esker.json(&["list"], 0)["backups"], "label"), ["one"]);
}

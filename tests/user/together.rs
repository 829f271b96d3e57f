//! Several at once: writers beside writers and readers, and writers beside a prune.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use esker_format::index_segment::IndexSegment;
use esker_format::layout::{ObjectKind, PackKind, SessionRecord, fence_path, object_path};
use esker_format::session::Fence;
use esker_format::{ObjectId, SessionId};
use esker_ops::OpsError;
use esker_ops::backup::backup;
use esker_ops::prune::{PruneRequest, prune};
use esker_repo::listing::{Listing, ids, sessions};
use esker_repo::manifests::Standing;
use esker_repo::session::Session;
use esker_repo::{Environment, OpenOptions, RepoError, Repository, Store, Writer, WriterOptions};
use esker_testkit::faulty_store::{FaultyStore, Operation};
use esker_testkit::tree::copy_tree;

use crate::kit::{
    Esker, Moment, Shelf, TestEnvironment, assert_restored, doom, host, id_of, job, job_during, names, noise, number, request,
};
use crate::prune::{forget_named, patient, prune_until_it_waits};

#[test]
fn backups_at_once_share_repository_and_cache_and_lose_nothing() {
    let esker = Esker::encrypted();
    let hosts: Vec<_> = (0..4)
        .map(|number| {
            let folder = esker.path(&format!("host{number}"));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("shared"), noise(1, 2 << 20)).unwrap();
            fs::write(folder.join("own"), noise(10 + number, 1 << 20)).unwrap();
            folder
        })
        .collect();
    for round in 0..3 {
        let label = |number: usize| format!("round{round}-{number}");
        let start = |(number, folder): (usize, &std::path::PathBuf)| {
            esker.start(&["backup", "--host", &host("h", folder), "--label", &label(number)])
        };
        let writers: Vec<_> = hosts.iter().enumerate().map(start).collect();
        let readers: Vec<_> = (0..3).map(|_| esker.start(&["list"])).collect();
        writers.into_iter().for_each(|child| drop(esker.wait(child).exits(4)));
        readers.into_iter().for_each(|child| drop(esker.wait(child).exits(0)));
        let targets: Vec<_> = (0..4).map(|number| esker.path(&format!("t{round}-{number}"))).collect();
        let restores: Vec<_> =
            (0..4).map(|number| esker.start(&["restore", &label(number), "--target", targets[number].to_str().unwrap()])).collect();
        restores.into_iter().for_each(|child| drop(esker.wait(child).exits(0)));
        for (target, folder) in targets.iter().zip(&hosts) {
            assert_restored(folder, &target.join("h"), &[]);
        }
        if round == 1 {
            fs::remove_dir_all(esker.cache()).unwrap();
        }
    }
    assert_eq!(esker.labels().len(), 12);
    esker.run(&["fsck", "--level", "files"]).exits(0);
}

#[test]
fn two_backups_at_once_with_one_label_are_both_kept_or_one_is_refused() {
    let esker = Esker::encrypted();
    let folders = ["a", "b"].map(|name| {
        let folder = esker.path(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("file"), noise(name.len() as u64, 1 << 20)).unwrap();
        folder
    });
    let children: Vec<_> =
        folders.iter().map(|folder| esker.start(&["backup", "--host", &host("h", folder), "--label", "same", "--json"])).collect();
    let runs: Vec<_> = children.into_iter().map(|child| esker.wait(child)).collect();
    let mut ids = Vec::new();
    for (run, folder) in runs.iter().zip(&folders) {
        match run.code {
            Some(4) => ids.push((id_of(&run.json()), folder)),
            code => assert!(code == Some(2) && run.stderr.contains("already"), "{run:?}"),
        }
    }
    assert!(!ids.is_empty());
    assert_eq!(names(&esker.json(&["list"], 0)["backups"], "label"), vec!["same"; ids.len()]);
    if ids.len() == 2 {
        esker.run(&["show", "same"]).exits(2).says("2 backups are called \"same\": name one by its id").says(&ids[0].0[..8]);
    }
    for (id, folder) in &ids {
        let target = esker.path(&id[..8]);
        esker.run(&["restore", id, "--target", target.to_str().unwrap()]).exits(0);
        assert_restored(folder, &target.join("h"), &[]);
    }
}

fn packs(repository: &Repository, kind: PackKind) -> Vec<esker_format::layout::PackName> {
    Listing::read(repository.store()).unwrap().packs.into_keys().filter(|name| name.kind == kind).collect()
}

pub(crate) fn fence(repository: &Arc<Repository>, session: SessionId) {
    let fence = Fence { by: SessionId([9; 16]), at_ms: 1 };
    repository.write_placed(ObjectKind::Fence, &fence_path(&session), &fence).unwrap();
}

#[test]
fn what_a_prune_has_doomed_does_not_exist_for_the_next_writer() {
    for kinds in [&[PackKind::Data][..], &[PackKind::Meta], &[PackKind::Data, PackKind::Meta]] {
        let (shelf, source) = Shelf::with_one_backup();
        let repository = shelf.open();
        let doomed: Vec<_> = kinds.iter().flat_map(|kind| packs(&repository, *kind)).collect();
        doom(&repository, &doomed);
        // The file is known and did not change, but what it is made of is about to go: it is read and stored again.
        let report = shelf.backup("two", &source).unwrap();
        assert_eq!(report.new_bytes > 0, kinds.contains(&PackKind::Data), "{report:?}");
        shelf.backup("three", &source).unwrap();
        doomed.iter().for_each(|pack| shelf.lose(&pack.path()));
        for label in ["two", "three"] {
            let target = shelf.path(label);
            shelf.other_client().restore(label, &target).unwrap();
            assert_restored(&source, &target.join("h"), &[]);
        }
        let damaged = shelf.restore("one", &shelf.path("t"));
        // What `one` needs stands in the new packs too.
        damaged.unwrap();
        assert_restored(&source, &shelf.path("t").join("h"), &[]);
    }
}

#[test]
fn a_check_beside_a_backup_that_has_just_committed_finds_no_damage() {
    let (mut shelf, source) = Shelf::with_one_backup();
    let other = shelf.other_client();
    let store = FaultyStore::new(Arc::clone(&shelf.store));
    // The record of a backup comes between its manifest and the end of its session.
    store.plan().before_first(Operation::Put, "audit/", move || {
        let report = other.fsck().unwrap();
        assert_eq!(report.backups, 2);
        assert!(!report.is_damaged() && report.findings[0].what.contains("two, which is whole, ends just now"), "{report:?}");
        // Nothing would tell that from a record that was lost an hour ago.
        other.environment.clock.advance_ms(3_600_000);
        assert!(other.damage()[0].contains("its writer died right after the commit"));
    });
    shelf.store = Arc::new(store);
    shelf.backup("two", &source).unwrap();
    assert_eq!(shelf.damage(), Vec::<String>::new());
}

#[test]
fn a_pack_that_nobody_indexed_and_a_prune_wants_to_delete_is_not_indexed_any_more() {
    for is_doomed in [false, true] {
        let (shelf, source) = Shelf::with_one_backup();
        let repository = shelf.open();
        let known = packs(&repository, PackKind::Data);
        let writer = Writer::begin(&repository, "backup", &WriterOptions { workers: 1, ..WriterOptions::default() }).unwrap();
        writer.store(esker_format::seal::ChunkKind::Bytes, noise(9, 3000)).unwrap();
        writer.flush().unwrap();
        drop(writer);
        let left: Vec<_> = packs(&repository, PackKind::Data).into_iter().filter(|pack| !known.contains(pack)).collect();
        let segments = |repository: &Repository| -> Vec<(ObjectId, IndexSegment)> {
            let all = ids(repository.store(), ObjectKind::IndexSegment).unwrap().into_keys();
            all.map(|id| (id, repository.read_object(ObjectKind::IndexSegment, &id).unwrap())).collect()
        };
        let names = |segment: &IndexSegment| segment.packs.iter().any(|pack| left.contains(&pack.name));
        // As if it had died before it could write it.
        segments(&repository).iter().filter(|(_, segment)| names(segment)).for_each(|(id, _)| shelf.lose(&format!("index/{id}")));
        if is_doomed {
            doom(&repository, &left);
        }
        shelf.backup("two", &source).unwrap();
        assert_eq!(segments(&repository).iter().filter(|(_, segment)| names(segment)).count(), usize::from(!is_doomed));
    }
}

#[test]
fn a_prune_that_ends_while_a_writer_lists_the_store_takes_nothing_that_it_relies_on() {
    // Before the first list is read, or when all but packs or lists are listed, whichever of these come last.
    for (operation, folder, nth) in [(Operation::Get, "doomed", 1), (Operation::List, "manifests", 2), (Operation::List, "index", 1)] {
        let shelf = Shelf::new(None, 1_800_000_000_000);
        let source = shelf.path("source");
        fs::create_dir(&source).unwrap();
        // So many that the index is on this machine's disk, and nothing of it must be asked for.
        for night in 0..12 {
            fs::write(source.join("file"), noise(night, 3000)).unwrap();
            shelf.environment.clock.advance_ms(1000);
            shelf.backup(&format!("night {night}"), &source).unwrap();
        }
        shelf.damage();
        let sleeper = Session::begin(&shelf.open(), "backup").unwrap();
        forget_named(&shelf, "night 3");
        let waiting = prune_until_it_waits(&shelf, patient());

        let store = FaultyStore::new(Arc::clone(&shelf.store));
        store.plan().before_nth(operation, folder, nth, move || {
            sleeper.end(None).unwrap();
            assert!(!waiting.join().unwrap().packs.is_empty());
        });
        let writer = Shelf::over(Arc::new(store), None, Arc::clone(&shelf.environment));
        copy_tree(&shelf.path("cache"), &writer.path("cache"));
        fs::write(source.join("file"), noise(3, 3000)).unwrap();
        shelf.environment.clock.advance_ms(1000);
        writer.backup("as it was", &source).unwrap();
        let client = shelf.other_client();
        client.restore("as it was", &client.path("t")).unwrap();
        assert_restored(&source, &client.path("t").join("h"), &[]);
        assert_eq!(client.damage(), Vec::<String>::new());
        assert!(Listing::read(shelf.open().store()).unwrap().doomed.is_empty(), "the prune has ended: {operation:?} {folder}");
    }
}

/// An environment in which something happens when randomness is first asked for: a session is about to be named.
struct BeforeTheSession {
    inner: Arc<TestEnvironment>,
    act: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Environment for BeforeTheSession {
    fn now_ms(&self) -> u64 {
        self.inner.now_ms()
    }

    fn fill_random(&self, bytes: &mut [u8]) -> Result<(), RepoError> {
        let act = self.act.lock().unwrap().take();
        if let Some(act) = act {
            act();
        }
        self.inner.fill_random(bytes)
    }

    fn pause(&self, time: Duration) {
        self.inner.pause(time);
    }
}

#[test]
fn nothing_is_built_on_a_backup_that_was_forgotten_and_pruned_before_the_session_stood() {
    let start_ms = 1_800_000_000_000;
    let shelf = Arc::new(Shelf::new(None, start_ms));
    let (source, other) = (shelf.path("source"), shelf.path("other"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&other).unwrap();
    fs::write(source.join("first"), noise(1, 5000)).unwrap();
    shelf.backup("first", &source).unwrap();
    shelf.environment.clock.advance_ms(2000);
    fs::write(source.join("second"), noise(2, 5000)).unwrap();
    fs::write(other.join("second"), noise(2, 5000)).unwrap();
    shelf.backup("base", &source).unwrap();
    // By another clock it is older than `base`, whose packs it needs, too: what `base` says can be read as long as it stands.
    let behind = Shelf::over(Arc::clone(&shelf.store), None, TestEnvironment::at(start_ms + 1000, 9));
    behind.backup("stays", &other).unwrap();
    forget_named(&shelf, "first");

    let held = Arc::clone(&shelf);
    let act = move || {
        forget_named(&held, "base");
        let pruned = prune(&held.other_client().open(), &PruneRequest { max_repack: 0, ..PruneRequest::default() }, &job()).unwrap();
        assert!(!pruned.packs.is_empty(), "{pruned:?}");
    };
    shelf.environment.clock.advance_ms(2000);
    let environment = BeforeTheSession { inner: Arc::clone(&shelf.environment), act: Mutex::new(Some(Box::new(act))) };
    let options = OpenOptions {
        secret: None,
        cache: shelf.path("cache-of-the-next"),
        run_cache_bytes: None,
        index_cache_bytes: esker_repo::INDEX_CACHE_BYTES,
        environment: Arc::new(environment),
    };
    let repository = Repository::open(Store::new(Arc::clone(&shelf.store), "shelf").unwrap(), options).unwrap();
    backup(&Arc::new(repository), &request("next", &source), &job()).unwrap();
    shelf.other_client().restore("next", &shelf.path("t")).unwrap();
    assert_restored(&source, &shelf.path("t").join("h"), &[]);
    assert_eq!(shelf.damage(), Vec::<String>::new());
}

#[test]
fn a_writer_that_was_taken_for_dead_does_not_commit() {
    let (shelf, source) = Shelf::with_one_backup();
    fs::write(source.join("new"), noise(2, 5000)).unwrap();
    let repository = shelf.open();
    let prune = Arc::clone(&repository);
    let job = job_during("storing", Moment::Begin, move || {
        let running = sessions(prune.store()).unwrap().into_iter().find(|(_, records)| records.len() == 1).unwrap().0;
        fence(&prune, running);
    });
    let error = shelf.backup_in("fenced", &source, &job).unwrap_err();
    assert!(matches!(error, OpsError::Repository(RepoError::Fenced(_))), "{error}");
    assert!(error.to_string().contains("run it again"));
    let labels = || shelf.open().backups().unwrap().found.into_iter().map(|backup| backup.manifest.label).collect::<Vec<_>>();
    assert_eq!(labels(), ["one"]);
    // The next session looks its packs up like any others.
    shelf.environment.clock.advance_ms(1);
    let report = shelf.backup("two", &source).unwrap();
    assert_eq!(report.new_bytes, 0, "{report:?}");
    assert_eq!(labels(), ["one", "two"]);
    assert_eq!(shelf.damage(), Vec::<String>::new());
    shelf.restore("two", &shelf.path("t")).unwrap();
    assert_restored(&source, &shelf.path("t").join("h"), &[]);
}

#[test]
fn a_writer_that_is_taken_for_dead_when_its_manifest_is_on_its_way_asks_what_it_is_worth() {
    for is_doomed in [false, true] {
        let (shelf, source) = Shelf::with_one_backup();
        fs::write(source.join("new"), noise(2, 5000)).unwrap();
        let (prune, known) = (shelf.open(), packs(&shelf.open(), PackKind::Data));
        let store = FaultyStore::new(Arc::clone(&shelf.store));
        store.plan().before_first(Operation::Put, "manifests", move || {
            let running = sessions(prune.store()).unwrap().into_iter().find(|(_, records)| records.len() == 1).unwrap().0;
            fence(&prune, running);
            if is_doomed {
                let written: Vec<_> = packs(&prune, PackKind::Data).into_iter().filter(|pack| !known.contains(pack)).collect();
                doom(&prune, &written);
            }
        });
        let writer = Shelf::over(Arc::new(store), None, TestEnvironment::at(1_800_000_001_000, 8));
        let outcome = writer.backup("two", &source);
        let found = shelf.open().backups().unwrap().found.pop().unwrap();
        assert_eq!(found.manifest.label, "two");
        let ended = sessions(shelf.open().store()).unwrap()[&found.manifest.session].contains(&SessionRecord::End);
        match outcome {
            Ok(_) => assert!(!is_doomed && ended && found.standing == Standing::Valid),
            Err(OpsError::Repository(RepoError::Fenced(_))) => assert!(is_doomed && !ended && found.standing == Standing::Undecided),
            Err(error) => panic!("{error}"),
        }
    }
}

fn standing(shelf: &Shelf) -> Standing {
    shelf.open().backups().unwrap().found[0].standing
}

#[test]
fn a_fenced_backup_counts_while_all_that_it_needs_is_kept() {
    let (shelf, source) = Shelf::with_one_backup();
    let repository = shelf.open();
    let session = repository.backups().unwrap().found[0].manifest.session;
    fence(&repository, session);
    assert_eq!(standing(&shelf), Standing::Valid);
    for kind in [PackKind::Data, PackKind::Meta] {
        let list = doom(&repository, &packs(&repository, kind));
        assert_eq!(standing(&shelf), Standing::Undecided, "{kind:?}");
        let listed = esker_ops::catalog::list(&repository).unwrap();
        assert_eq!(listed.backups[0].status, "undecided");
        for name in ["one", "latest"] {
            assert!(matches!(shelf.restore(name, &shelf.path("t")), Err(OpsError::Usage(_))), "{name}");
        }
        // Its id still names it, for who knows what they do.
        let target = shelf.path(&format!("{kind:?}"));
        shelf.restore(&listed.backups[0].id, &target).unwrap();
        assert_restored(&source, &target.join("h"), &[]);
        shelf.lose(&object_path(ObjectKind::DoomedList, &list));
        assert_eq!(standing(&shelf), Standing::Valid, "the prune took its list back");
    }
    packs(&repository, PackKind::Data).iter().for_each(|pack| shelf.lose(&pack.path()));
    assert_eq!(standing(&shelf), Standing::Undecided, "the prune went through with it");
    // It is no base for the next one, which stores everything.
    let report = shelf.backup("two", &source).unwrap();
    assert!((report.read_bytes, report.reused_files) == (5000, 0) && report.new_bytes > 4000, "{report:?}");
}

#[test]
fn the_list_of_a_fenced_backup_says_so_to_its_user() {
    let esker = Esker::plain(&[]);
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), noise(1, 5000)).unwrap();
    let backup = |label: &str| esker.json(&["backup", "--host", &host("h", &source), "--label", label], 4);
    backup("one");
    let store = esker_repo::Store::open_local(esker.repo().to_str().unwrap(), false).unwrap();
    let cache = esker.path("other-cache");
    let environment = Arc::new(esker_repo::SystemEnvironment);
    let options = esker_repo::OpenOptions {
        secret: None,
        cache,
        run_cache_bytes: None,
        index_cache_bytes: esker_repo::INDEX_CACHE_BYTES,
        environment,
    };
    let repository = Arc::new(Repository::open(store, options).unwrap());
    fence(&repository, repository.backups().unwrap().found[0].manifest.session);
    assert_eq!(esker.json(&["list"], 0)["backups"][0]["status"], "ok");
    doom(&repository, &packs(&repository, PackKind::Data));
    assert_eq!(esker.json(&["list"], 0)["backups"][0]["status"], "undecided");
    let target = esker.path("t");
    esker.run(&["restore", "one", "--target", target.to_str().unwrap()]).exits(2);
    // Taken up again, the same label is taken already, and nothing of the undecided one is built upon.
    assert_eq!(number(&backup("two"), "new_bytes"), 5000);
    restores(&esker, "two", &source, &target);
}

#[track_caller]
fn restores(esker: &Esker, label: &str, source: &Path, target: &Path) {
    esker.run(&["restore", label, "--target", target.to_str().unwrap()]).exits(0);
    assert_restored(source, &target.join("h"), &[]);
}

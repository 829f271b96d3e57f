//! Pruning: what goes, what stays, and what happens when something comes between.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use esker_format::layout::{ObjectKind, SessionRecord, object_path, session_path};
use esker_format::session::SessionBeat;
use esker_ops::OpsError;
use esker_ops::forget::{ForgetRequest, forget};
use esker_ops::prune::{PruneReport, PruneRequest, explain, prune};
use esker_repo::listing::Listing;
use esker_repo::session::Session;
use esker_repo::{Environment, OpenOptions, RepoError, Repository, Store, Writer, WriterOptions};
use esker_testkit::faulty_store::{FaultyStore, Operation};

use crate::kit::{Esker, Host, Moment, Shelf, TestEnvironment, assert_restored, doom, host, job, job_during, noise, number};

#[track_caller]
fn restores(esker: &Esker, label: &str, source: &Path) {
    let target = esker.path(&format!("restored-{label}"));
    let _ = fs::remove_dir_all(&target);
    esker.run(&["restore", label, "--target", target.to_str().unwrap()]).exits(0);
    assert_restored(source, &target.join("h"), &[]);
}

#[test]
fn what_only_forgotten_backups_needed_is_deleted_and_the_rest_stays_as_it_was() {
    let esker = Esker::encrypted();
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("always"), noise(1, 3 << 20)).unwrap();
    let mut days = Vec::new();
    for day in 0..3 {
        let _ = fs::remove_file(source.join(format!("day{}", day - 1)));
        fs::write(source.join(format!("day{day}")), noise(10 + day as u64, 4 << 20)).unwrap();
        esker.run(&["backup", "--host", &host("h", &source), "--label", &format!("day{day}")]).exits(4);
        let kept = esker.path(&format!("as-it-was-{day}"));
        assert!(std::process::Command::new("cp").arg("-a").arg(&source).arg(&kept).status().unwrap().success());
        days.push(kept);
    }
    let nothing = esker.json(&["prune"], 0);
    assert_eq!((number(&nothing, "deleted_bytes"), nothing["packs"].as_array().unwrap().len()), (0, 0));

    esker.run(&["forget", "day1"]).exits(0);
    let size = || number(&esker.json(&["stats"], 0), "data_pack_bytes");
    let before = size();
    let planned = esker.json(&["prune", "--dry-run"], 0);
    assert_eq!(planned["packs"][0]["why"], "unneeded", "{planned}");
    assert!((4 << 20..5 << 20).contains(&number(&planned, "deleted_bytes")), "{planned}");
    assert_eq!(size(), before, "a dry run deletes nothing");
    let text = esker.run(&["prune", "--dry-run"]).exits(0).text();
    assert!(text.contains("would delete") && text.contains("unneeded") && text.contains("4.0 MiB"), "{text}");

    let pruned = esker.json(&["prune"], 0);
    assert_eq!(pruned["packs"], planned["packs"]);
    assert!(before - size() >= 4 << 20);
    assert!(number(&esker.json(&["stats"], 0), "unneeded_bytes") < 64 << 10, "nothing but overhead is left");
    for level in ["existence", "structure", "data", "files"] {
        assert_eq!(esker.json(&["fsck", "--level", level], 0)["findings"].as_array().unwrap().len(), 0, "{level}");
    }
    restores(&esker, "day0", &days[0]);
    restores(&esker, "day2", &days[2]);
    // The cache knows what went, and the next backup does not rely on it.
    fs::copy(days[1].join("day1"), source.join("day1")).unwrap();
    let report = esker.json(&["backup", "--host", &host("h", &source), "--label", "day3"], 4);
    assert!(number(&report, "new_bytes") >= 4 << 20, "{report}");
    restores(&esker, "day3", &source);
    assert_eq!(number(&esker.json(&["prune"], 0), "deleted_bytes"), 0);
    fs::remove_dir_all(esker.cache()).unwrap();
    assert_eq!(number(&esker.json(&["prune"], 0), "deleted_bytes"), 0);
    esker.run(&["fsck", "--level", "files"]).exits(0);
}

#[test]
fn runs_and_recipes_of_forgotten_days_go_and_replicas_still_come_back() {
    let esker = Esker::plain(&["--pack-size", "65536"]);
    let days = Host::cluster(esker.folder(), 4, 3000);
    for (number, day) in days.iter().enumerate().take(3) {
        let label = format!("day{number}");
        let mut arguments = vec!["backup".to_owned(), "--label".into(), label];
        arguments.extend(Host::arguments(day));
        esker.run(&arguments).exits(0);
    }
    esker.run(&["forget", "day0", "day1"]).exits(0);
    let pruned = esker.json(&["prune"], 0);
    assert!(!pruned["packs"].as_array().unwrap().is_empty(), "{pruned}");
    assert_eq!(esker.json(&["fsck", "--level", "engine"], 0)["findings"].as_array().unwrap().len(), 0);
    let mut arguments = vec!["backup".to_owned(), "--label".into(), "day3".into()];
    arguments.extend(Host::arguments(&days[3]));
    esker.run(&arguments).exits(0);
    esker.run(&["fsck", "--level", "files"]).exits(0);
    for (label, day) in [("day2", &days[2]), ("day3", &days[3])] {
        let target = esker.path(&format!("restored-{label}"));
        esker.run(&["restore", label, "--target", target.to_str().unwrap()]).exits(0);
        for host in fs::read_dir(day).unwrap() {
            let host = host.unwrap();
            assert_restored(&host.path(), &target.join(host.file_name()), &["LOCK", "LOG"]);
        }
    }
}

#[test]
fn explain_says_which_backups_keep_a_pack_and_which_session_does() {
    let (shelf, source) = Shelf::with_one_backup();
    fs::write(source.join("second"), noise(2, 5000)).unwrap();
    shelf.backup("two", &source).unwrap();
    let repository = shelf.open();
    let packs: Vec<_> = Listing::read(repository.store()).unwrap().packs.into_keys().collect();
    let of = |name: &esker_format::layout::PackName| explain(&repository, &name.id.to_string()[..12], &job()).unwrap();
    let shared = packs.iter().map(of).find(|found| found.pack.starts_with("packs/data") && found.needed_by.len() == 2).unwrap();
    assert!(shared.needed_by.iter().all(|user| user.bytes > 4000) && shared.verdict.contains("2 backups need it"), "{shared:?}");
    let own = packs.iter().map(of).find(|found| found.pack.starts_with("packs/data") && found.needed_by.len() == 1).unwrap();
    assert_eq!(own.needed_by[0].label, "two");
    assert!(matches!(explain(&repository, "00000000", &job()), Err(OpsError::Usage(_))));
    forget_named(&shelf, "two");
    let gone = explain(&repository, &own.pack, &job()).unwrap();
    assert!(gone.needed_by.is_empty() && gone.verdict.contains("no backup needs"), "{gone:?}");
}

pub(crate) fn forget_named(shelf: &Shelf, label: &str) {
    let request = ForgetRequest { names: vec![label.to_owned()], ..ForgetRequest::default() };
    forget(&shelf.open(), &request).unwrap();
}

/// Ten seconds without a sign of life, by the shelf's clock.
fn quick() -> PruneRequest {
    PruneRequest { fence_after: Duration::from_secs(10), ..PruneRequest::default() }
}

pub(crate) fn patient() -> PruneRequest {
    PruneRequest { fence_after: Duration::from_secs(1_000_000), ..PruneRequest::default() }
}

fn prune_shelf(shelf: &Shelf, request: &PruneRequest) -> Result<PruneReport, OpsError> {
    prune(&shelf.try_open()?, request, &job())
}

/// Prunes on another machine; comes back when the prune has written its list and waits.
pub(crate) fn prune_until_it_waits(shelf: &Shelf, request: PruneRequest) -> JoinHandle<PruneReport> {
    let repository = shelf.other_client();
    let opened = repository.open();
    let store = shelf.open();
    let handle = std::thread::spawn(move || {
        let _kept = repository;
        prune(&opened, &request, &job()).unwrap()
    });
    while Listing::read(store.store()).unwrap().doomed.is_empty() {
        assert!(!handle.is_finished(), "it did not wait");
        std::thread::sleep(Duration::from_millis(1));
    }
    handle
}

#[test]
fn a_prune_waits_for_a_backup_that_relies_on_what_it_wants_to_delete_and_leaves_it_that() {
    let (shelf, source) = Shelf::with_one_backup();
    let shelf = Arc::new(shelf);
    let waiting = Arc::new(Mutex::new(None));
    let (held, handle) = (Arc::clone(&shelf), Arc::clone(&waiting));
    // The backup has found its file known by then.
    let job = job_during("storing", Moment::Begin, move || {
        forget_named(&held, "one");
        *handle.lock().unwrap() = Some(prune_until_it_waits(&held, patient()));
    });
    let report = shelf.backup_in("two", &source, &job).unwrap();
    assert_eq!(report.reused_files, 1, "{report:?}");
    let pruned = waiting.lock().unwrap().take().unwrap().join().unwrap();
    assert!(pruned.taken_back > 0 && pruned.fenced.is_empty(), "{pruned:?}");
    assert_eq!(shelf.damage(), Vec::<String>::new());
    shelf.other_client().restore("two", &shelf.path("t")).unwrap();
    assert_restored(&source, &shelf.path("t").join("h"), &[]);
}

#[test]
fn a_backup_that_begins_while_a_prune_waits_stores_again_what_is_to_go() {
    let (shelf, source) = Shelf::with_one_backup();
    let shelf = Arc::new(shelf);
    let repository = shelf.open();
    forget_named(&shelf, "one");
    let sleeper = Session::begin(&repository, "backup").unwrap();
    let waiting = prune_until_it_waits(&shelf, patient());
    let report = shelf.backup("two", &source).unwrap();
    assert!(report.new_bytes > 4000, "{report:?}");
    sleeper.end(None).unwrap();
    let pruned = waiting.join().unwrap();
    assert!(pruned.taken_back == 0 && pruned.packs.len() == 2, "{pruned:?}");
    assert_eq!(shelf.damage(), Vec::<String>::new());
    shelf.restore("two", &shelf.path("t")).unwrap();
    assert_restored(&source, &shelf.path("t").join("h"), &[]);
}

#[test]
fn a_prune_waits_for_a_backup_that_began_right_before_its_list() {
    let (shelf, source) = Shelf::with_one_backup();
    let shelf = Arc::new(shelf);
    forget_named(&shelf, "one");
    let running = Arc::new(Mutex::new(None));
    let store = FaultyStore::new(Arc::clone(&shelf.store));
    let (held, handle, folder) = (Arc::clone(&shelf), Arc::clone(&running), source.clone());
    store.plan().before_first(Operation::Put, "doomed", move || {
        let (found, is_found) = std::sync::mpsc::channel();
        let start_ms = held.environment.now_ms();
        *handle.lock().unwrap() = Some(std::thread::spawn(move || {
            let (looked, repository) = (Arc::clone(&held), held.open());
            // It has found its file known by then, and goes on once the prune waits, or has deleted that.
            let job = job_during("storing", Moment::Begin, move || {
                found.send(()).unwrap();
                while looked.environment.now_ms() == start_ms && !Listing::read(repository.store()).unwrap().packs.is_empty() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            held.backup_in("two", &folder, &job).unwrap()
        }));
        is_found.recv().unwrap();
    });
    let pruner = Shelf::over(Arc::new(store), None, Arc::clone(&shelf.environment));
    let pruned = prune_shelf(&pruner, &patient()).unwrap();
    let report = running.lock().unwrap().take().unwrap().join().unwrap();
    assert_eq!(report.new_bytes, 0, "{report:?}");
    let client = shelf.other_client();
    client.restore("two", &client.path("t")).unwrap();
    assert_restored(&source, &client.path("t").join("h"), &[]);
    assert!(pruned.taken_back > 0, "{pruned:?}");
}

#[test]
fn a_backup_that_begins_while_a_prune_deletes_relies_on_nothing_that_goes() {
    let (shelf, source) = Shelf::with_one_backup();
    let shelf = Arc::new(shelf);
    forget_named(&shelf, "one");
    let store = FaultyStore::new(Arc::clone(&shelf.store));
    let (held, folder) = (Arc::clone(&shelf), source.clone());
    store.plan().before_first(Operation::Delete, "packs", move || drop(held.backup("two", &folder).unwrap()));
    let pruner = Shelf::over(Arc::new(store), None, Arc::clone(&shelf.environment));
    assert_eq!(prune_shelf(&pruner, &patient()).unwrap().packs.len(), 2);
    let client = shelf.other_client();
    client.restore("two", &client.path("t")).unwrap();
    assert_restored(&source, &client.path("t").join("h"), &[]);
    assert_eq!(client.damage(), Vec::<String>::new());
}

/// A clock whose pauses a session at work uses for a beat now and then, and for its end.
struct Beating {
    inner: Arc<TestEnvironment>,
    pauses: AtomicU32,
    session: Mutex<Option<(Arc<Repository>, Session)>>,
}

impl Environment for Beating {
    fn now_ms(&self) -> u64 {
        self.inner.now_ms()
    }

    fn fill_random(&self, bytes: &mut [u8]) -> Result<(), RepoError> {
        self.inner.fill_random(bytes)
    }

    fn pause(&self, time: Duration) {
        self.inner.pause(time);
        let pauses = self.pauses.fetch_add(1, Ordering::SeqCst) + 1;
        let mut session = self.session.lock().unwrap();
        if let Some((repository, session)) = session.as_ref().filter(|_| pauses.is_multiple_of(8)) {
            // By a clock that stands: it is a sign of life all the same.
            let path = session_path(&session.id(), SessionRecord::Beat(pauses / 8));
            repository.write_placed(ObjectKind::SessionBeat, &path, &SessionBeat { at_ms: 0 }).unwrap();
        }
        if pauses == 50 {
            session.take().unwrap().1.end(None).unwrap();
        }
    }
}

#[test]
fn a_session_that_beats_is_waited_for_however_long_it_takes() {
    let (shelf, _) = Shelf::with_one_backup();
    forget_named(&shelf, "one");
    let repository = shelf.open();
    let session = Session::begin(&repository, "backup").unwrap();
    shelf.environment.clock.advance_ms(600_000);
    let environment = Beating {
        inner: Arc::clone(&shelf.environment),
        pauses: AtomicU32::new(0),
        session: Mutex::new(Some((Arc::clone(&repository), session))),
    };
    let options = OpenOptions {
        secret: None,
        cache: shelf.path("cache-of-the-prune"),
        run_cache_bytes: None,
        index_cache_bytes: esker_repo::INDEX_CACHE_BYTES,
        environment: Arc::new(environment),
    };
    let pruner = Repository::open(Store::new(Arc::clone(&shelf.store), "shelf").unwrap(), options).unwrap();
    // Ten pauses without a sign of life are enough to take it for dead.
    let pruned = prune(&Arc::new(pruner), &quick(), &job()).unwrap();
    assert_eq!((pruned.fenced.len(), pruned.packs.len()), (0, 2), "{pruned:?}");
    assert!(pruned.waited_ms >= 50_000, "{pruned:?}");
}

#[test]
fn a_restore_that_runs_when_its_backup_is_forgotten_and_pruned_comes_to_its_end() {
    let (shelf, source) = Shelf::with_one_backup();
    let shelf = Arc::new(shelf);
    shelf.environment.clock.advance_ms(1000);
    shelf.backup("two", &source).unwrap();
    fs::write(source.join("file"), noise(3, 5000)).unwrap();
    let waiting = Arc::new(Mutex::new(None));
    let (held, handle) = (Arc::clone(&shelf), Arc::clone(&waiting));
    let repository = shelf.open();
    let phase = job_during("restoring", Moment::Begin, move || {
        forget_named(&held, "one");
        forget_named(&held, "two");
        *handle.lock().unwrap() = Some(prune_until_it_waits(&held, patient()));
    });
    let target = shelf.path("t");
    let request =
        esker_ops::restore::RestoreRequest { backup: "one".into(), target: target.clone(), selection: Default::default(), dry_run: false };
    let report = esker_ops::restore::restore(&repository, &request, &phase).unwrap();
    assert!(report.protected);
    assert_eq!(fs::read(target.join("h/file")).unwrap(), noise(1, 5000));
    let pruned = waiting.lock().unwrap().take().expect("the restore had that phase").join().unwrap();
    assert_eq!(pruned.packs.len() as u64, pruned.packs_before, "{pruned:?}");
    assert!(Listing::read(shelf.open().store()).unwrap().packs.is_empty());
}

#[test]
fn a_backup_that_gives_no_sign_of_life_is_taken_for_dead_and_does_not_count() {
    let (shelf, source) = Shelf::with_one_backup();
    let shelf = Arc::new(shelf);
    let held = Arc::clone(&shelf);
    let job = job_during("storing", Moment::Begin, move || {
        forget_named(&held, "one");
        let pruned = prune_shelf(&held, &quick()).unwrap();
        assert_eq!(pruned.fenced.iter().map(|session| session.job.as_str()).collect::<Vec<_>>(), ["backup"], "{pruned:?}");
        assert!(!pruned.packs.is_empty());
    });
    let error = shelf.backup_in("two", &source, &job).unwrap_err();
    assert!(matches!(error, OpsError::Repository(RepoError::Fenced(_))), "{error}");
    assert_eq!(shelf.damage(), Vec::<String>::new());
    let report = shelf.backup("two", &source).unwrap();
    assert!(report.new_bytes > 4000, "{report:?}");
    shelf.restore("two", &shelf.path("t")).unwrap();
    assert_restored(&source, &shelf.path("t").join("h"), &[]);
}

#[test]
fn what_a_killed_backup_uploaded_stays_while_it_may_live_and_goes_when_it_is_dead() {
    let (shelf, _) = Shelf::with_one_backup();
    let repository = shelf.open();
    let writer = Writer::begin(&repository, "backup", &WriterOptions { workers: 1, ..WriterOptions::default() }).unwrap();
    writer.store(esker_format::seal::ChunkKind::Bytes, noise(9, 3000)).unwrap();
    writer.flush().unwrap();
    // As after a kill: neither an end nor a manifest.
    drop(writer);
    let young = prune_shelf(&shelf, &quick()).unwrap();
    assert!((young.packs.len(), young.at_work_packs) == (0, 1) && young.fenced.is_empty(), "{young:?}");
    shelf.environment.clock.advance_ms(600_000);
    let old = prune_shelf(&shelf, &quick()).unwrap();
    assert_eq!((old.packs.len(), old.at_work_packs, old.fenced.len()), (1, 0, 1), "{old:?}");
    assert_eq!(shelf.damage(), Vec::<String>::new());
}

#[test]
fn a_prune_stops_before_it_deletes_if_a_backup_is_damaged_lost_or_not_whole() {
    for case in ["damaged", "lost", "lost though another saw it", "not whole"] {
        let (shelf, source) = Shelf::with_one_backup();
        shelf.environment.clock.advance_ms(1000);
        fs::write(source.join("more"), noise(4, 5000)).unwrap();
        shelf.backup("two", &source).unwrap();
        shelf.environment.clock.advance_ms(1000);
        fs::write(source.join("most"), noise(5, 5000)).unwrap();
        shelf.backup("three", &source).unwrap();
        forget_named(&shelf, "two");
        let repository = shelf.open();
        let one = repository.backups().unwrap().found[0].id;
        let manifest = object_path(ObjectKind::Manifest, &one);
        match case {
            "damaged" => {
                let path = object_store::path::Path::from(manifest.as_str());
                let bytes = vec![0u8; 100];
                futures::executor::block_on(object_store::ObjectStoreExt::put(&*shelf.store, &path, bytes.into())).unwrap();
            }
            "lost" | "lost though another saw it" => shelf.lose(&manifest),
            _ => {
                let packs = Listing::read(repository.store()).unwrap().packs;
                let of_one = repository.backups().unwrap().found[0].manifest.session;
                packs.keys().filter(|name| name.session == of_one).for_each(|name| shelf.lose(&name.path()));
            }
        }
        let before = shelf.objects();
        let another = shelf.other_client();
        // Who never saw it knows of it by the list of what another backup's writer saw.
        let error = prune_shelf(if case == "lost though another saw it" { &another } else { &shelf }, &quick()).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, OpsError::Repository(RepoError::PruneStopped(_))), "{case}: {text}");
        assert!(text.contains("deleted nothing"), "{case}: {text}");
        let packs = |objects: &std::collections::BTreeMap<String, Vec<u8>>| {
            objects.keys().filter(|path| !path.starts_with("sessions/")).cloned().collect::<Vec<_>>()
        };
        assert_eq!(packs(&shelf.objects()), packs(&before), "{case}");
        // Damage is passed by forgetting the backup by name.
        if case != "damaged" {
            forget_named(&shelf, &one.to_string());
            forget_named(&shelf, "three");
            prune_shelf(&shelf, &quick()).unwrap();
            assert!(Listing::read(repository.store()).unwrap().packs.is_empty(), "{case}");
        }
    }
}

#[test]
fn a_prune_that_dies_at_any_request_loses_nothing_and_the_next_one_finishes_it() {
    let (shelf, source) = Shelf::with_one_backup();
    shelf.environment.clock.advance_ms(1000);
    fs::write(source.join("file"), noise(6, 5000)).unwrap();
    shelf.backup("two", &source).unwrap();
    forget_named(&shelf, "one");
    let start = shelf.objects();
    let mut nth = 1;
    loop {
        let store = FaultyStore::new(Shelf::store_of(&start));
        let plan = store.plan();
        let mut faulty = Shelf::over(Arc::new(store), None, Arc::clone(&shelf.environment));
        let repository = faulty.open();
        plan.restart_count();
        plan.fail_all_from(nth);
        let outcome = prune(&repository, &quick(), &job());
        plan.heal();
        // What it had in memory is gone, as after a kill.
        drop(repository);
        faulty = Shelf::over(Arc::clone(&faulty.store), None, Arc::clone(&shelf.environment));
        assert_eq!(faulty.damage(), Vec::<String>::new(), "after {nth} requests");
        faulty.restore("two", &faulty.path("t")).unwrap();
        assert_restored(&source, &faulty.path("t").join("h"), &[]);
        faulty.environment.clock.advance_ms(600_000);
        prune_shelf(&faulty, &quick()).unwrap_or_else(|error| panic!("after {nth} requests: {error}"));
        let listing = Listing::read(faulty.open().store()).unwrap();
        assert_eq!((listing.packs.len(), listing.segments.len(), listing.doomed.len()), (2, 1, 0), "after {nth} requests");
        assert_eq!(faulty.damage(), Vec::<String>::new(), "after {nth} requests and another prune");
        if outcome.is_ok() {
            assert!(nth > 20, "only {nth} requests");
            return;
        }
        nth += 1;
    }
}

#[test]
fn what_a_dead_prune_wanted_to_delete_and_a_backup_needs_after_all_is_written_again() {
    let (shelf, source) = Shelf::with_one_backup();
    let packs: Vec<_> = Listing::read(shelf.open().store()).unwrap().packs.into_keys().collect();
    doom(&shelf.open(), &packs);
    let pruned = prune_shelf(&shelf, &quick()).unwrap();
    let listing = Listing::read(shelf.open().store()).unwrap();
    assert!(listing.doomed.is_empty() && !packs.iter().any(|pack| listing.packs.contains_key(pack)));
    let client = shelf.other_client();
    client.restore("one", &client.path("t")).unwrap();
    assert_restored(&source, &client.path("t").join("h"), &[]);
    assert_eq!(client.damage(), Vec::<String>::new());
    assert!(pruned.packs.len() == 2 && pruned.rewritten_chunks > 10, "{pruned:?}");
}

#[test]
fn prunes_at_once_leave_a_whole_repository() {
    let esker = Esker::plain(&["--pack-size", "65536"]);
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    for day in 0..4u64 {
        for file in 0..10 {
            fs::write(source.join(format!("{file}")), noise(100 * (day + 1) + file, 60_000)).unwrap();
        }
        esker.run(&["backup", "--host", &host("h", &source), "--label", &format!("day{day}")]).exits(4);
    }
    esker.run(&["forget", "day0", "day2"]).exits(0);
    let prunes: Vec<_> = (0..3).map(|_| esker.start(&["prune", "--fence-after", "20s"])).collect();
    prunes.into_iter().for_each(|child| drop(esker.wait(child)));
    esker.run(&["prune", "--fence-after", "2s"]);
    let checked = esker.json(&["fsck", "--level", "files"], 0);
    assert_eq!(checked["findings"].as_array().unwrap().len(), 0, "{checked}");
    restores(&esker, "day3", &source);
    assert_eq!(fs::read_dir(esker.repo().join("doomed")).unwrap().count(), 0);
}

#[test]
fn half_written_packs_of_killed_backups_are_swept_from_a_folder() {
    let esker = Esker::plain(&[]);
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), noise(1, 5000)).unwrap();
    esker.run(&["backup", "--host", &host("h", &source)]).exits(4);
    let session = fs::read_dir(esker.repo().join("packs/data")).unwrap().next().unwrap().unwrap().path();
    let running = esker.repo().join("packs/data/00112233445566778899aabbccddeeff");
    fs::create_dir(&running).unwrap();
    for folder in [&session, &running] {
        fs::write(folder.join(format!("{}#1", "ab".repeat(32))), noise(2, 1000)).unwrap();
    }
    let planned = esker.json(&["prune", "--dry-run"], 0);
    assert_eq!(number(&planned, "swept_files"), 1);
    let pruned = esker.json(&["prune"], 0);
    assert_eq!((number(&pruned, "swept_files"), number(&pruned, "swept_bytes")), (1, 1000));
    assert_eq!((fs::read_dir(&session).unwrap().count(), fs::read_dir(&running).unwrap().count()), (1, 1));
    esker.run(&["fsck", "--level", "files"]).exits(0);
}

#[test]
fn packs_that_are_needed_in_part_are_rewritten_as_far_as_asked_and_nothing_else_changes() {
    let esker = Esker::encrypted();
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    let backup = |label: &str| esker.json(&["backup", "--host", &host("h", &source), "--label", label, "--reread-share", "0"], 4);
    for file in 0..6 {
        fs::write(source.join(format!("{file}")), noise(file, 400_000)).unwrap();
    }
    backup("old");
    for file in 0..3 {
        fs::write(source.join(format!("{file}")), noise(100 + file, 400_000)).unwrap();
    }
    backup("new");
    esker.run(&["forget", "old"]).exits(0);
    let size = || number(&esker.json(&["stats"], 0), "data_pack_bytes");
    let before = size();
    let left = esker.json(&["prune", "--max-repack", "0"], 0);
    assert!(size() == before && number(&left, "unneeded_kept_bytes") > 1_100_000, "{left}");
    esker.json(&["prune", "--repack-percent", "80"], 0);
    assert_eq!(size(), before, "half of the pack is needed");
    let planned = esker.json(&["prune", "--dry-run"], 0);
    assert_eq!(planned["packs"][0]["why"], "needed in part", "{planned}");
    let pruned = esker.json(&["prune"], 0);
    assert!(number(&pruned, "written_bytes") > 1_200_000 && number(&pruned, "rewritten_chunks") >= 3, "{pruned}");
    assert!((1_100_000..1_300_000).contains(&(before - size())), "{} of {before}", size());
    for level in ["existence", "structure", "data", "files"] {
        assert_eq!(esker.json(&["fsck", "--level", level], 0)["findings"].as_array().unwrap().len(), 0, "{level}");
    }
    restores(&esker, "new", &source);
    assert_eq!(number(&esker.json(&["prune"], 0), "deleted_bytes"), 0, "what was rewritten is not rewritten again");
    // The next backup takes everything over unread: that a pack of the backup before it is gone is known to be meant.
    let next = backup("next");
    assert_eq!((number(&next, "reused_files"), number(&next, "read_bytes")), (6, 0), "{next}");
    assert_eq!(next["warnings"].as_array().unwrap().len(), 1, "{next}");
    restores(&esker, "next", &source);
}

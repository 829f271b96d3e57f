//! Chunks that stand at several places, as two backups at once leave them.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use esker_format::layout::{ObjectKind, PackKind, PackName, SessionRecord, object_path, session_path};
use esker_ops::dump::dump;
use esker_ops::prune::{PruneRequest, prune};
use esker_repo::listing::Listing;
use esker_testkit::faulty_store::{FaultyStore, Operation};

use crate::kit::{Shelf, TestEnvironment, assert_restored, doom, job, noise};
use crate::prune::forget_named;
use crate::together::fence;

const START_MS: u64 = 1_800_000_000_000;

/// A shelf with the backups `one` and `two` of a folder, neither of whose writers saw what the other stored.
fn twins() -> (Shelf, PathBuf) {
    twins_named(0)
}

/// The same under other names.
fn twins_named(seed: u64) -> (Shelf, PathBuf) {
    let mut shelf = Shelf::new(None, START_MS);
    let source = shelf.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), noise(1, 5000)).unwrap();
    let before = shelf.objects();
    let mut after = before.clone();
    for (seed, label) in [(11 + 2 * seed, "one"), (12 + 2 * seed, "two")] {
        let writer = Shelf::over(Shelf::store_of(&before), None, TestEnvironment::at(START_MS + seed, seed));
        writer.backup(label, &source).unwrap();
        after.extend(writer.objects());
    }
    shelf.store = Shelf::store_of(&after);
    (shelf, source)
}

fn data_packs(shelf: &Shelf) -> Vec<PackName> {
    Listing::read(shelf.open().store()).unwrap().packs.into_keys().filter(|name| name.kind == PackKind::Data).collect()
}

fn damage(shelf: &Shelf, pack: &PackName) {
    let mut bytes = shelf.objects().remove(&pack.path()).unwrap();
    bytes[1000] ^= 1;
    shelf.open().store().put(&pack.path(), bytes).unwrap();
}

#[track_caller]
fn both_come_back(shelf: &Shelf, source: &Path) {
    let client = shelf.other_client();
    for label in ["one", "two"] {
        client.restore(label, &client.path(label)).unwrap();
        assert_restored(source, &client.path(label).join("h"), &[]);
    }
}

#[test]
fn whichever_of_two_copies_is_damaged_the_other_one_is_read() {
    let (mut shelf, source) = twins();
    let (whole, packs) = (shelf.objects(), data_packs(&shelf));
    assert_eq!(packs.len(), 2);
    for pack in &packs {
        shelf.store = Shelf::store_of(&whole);
        damage(&shelf, pack);
        both_come_back(&shelf, &source);
    }
}

/// Which of two data packs a prune would keep.
fn one_that_stays(shelf: &Shelf) -> PackName {
    let planned = prune(&shelf.open(), &PruneRequest { dry_run: true, ..PruneRequest::default() }, &job()).unwrap();
    let goes = |pack: &PackName| planned.packs.iter().any(|line| line.pack == pack.path());
    let stays: Vec<PackName> = data_packs(shelf).into_iter().filter(|pack| !goes(pack)).collect();
    assert_eq!(stays.len(), 1, "{planned:?}");
    stays[0]
}

#[test]
fn a_prune_gives_up_one_of_two_copies_but_not_for_one_that_is_damaged() {
    for is_damaged in [false, true] {
        let (shelf, source) = twins();
        if is_damaged {
            damage(&shelf, &one_that_stays(&shelf));
        }
        prune(&shelf.open(), &PruneRequest::default(), &job()).unwrap();
        assert_eq!(data_packs(&shelf).len(), if is_damaged { 2 } else { 1 });
        both_come_back(&shelf, &source);
    }
}

#[test]
fn a_pack_that_went_for_its_twin_is_not_missed_wherever_its_prune_died() {
    let (shelf, source) = twins();
    let start = shelf.objects();
    let mut nth = 1;
    loop {
        let store = FaultyStore::new(Shelf::store_of(&start));
        let plan = store.plan();
        let faulty = Shelf::over(Arc::new(store.clone()), None, Arc::clone(&shelf.environment));
        let repository = faulty.open();
        plan.restart_count();
        plan.fail_all_from(nth);
        let outcome = prune(&repository, &PruneRequest::default(), &job());
        plan.heal();
        assert_eq!(faulty.other_client().damage(), Vec::<String>::new(), "after {nth} requests");
        // Its backup says that it wrote it. The next prune finishes, and what is gone then is known to be meant.
        let next = Shelf::over(Arc::clone(store.inner()), None, TestEnvironment::at(START_MS + 100_000, 100 + nth));
        prune(&next.open(), &PruneRequest::default(), &job()).unwrap();
        assert_eq!(data_packs(&next).len(), 1);
        let report = next.backup("next", &source).unwrap();
        let missed = report.warnings.iter().any(|warning| warning.contains("missing"));
        assert!(!missed, "after {nth} requests: {:?}", report.warnings);
        if outcome.is_ok() {
            return;
        }
        nth += 1;
    }
}

#[test]
fn two_prunes_that_want_to_delete_a_copy_each_leave_one() {
    let (shelf, source) = twins();
    let shelf = Arc::new(shelf);
    let stays = one_that_stays(&shelf);
    let held = Arc::clone(&shelf);
    let store = FaultyStore::new(Arc::clone(&shelf.store));
    // The other prune has looked for the second time by then, and goes on to delete.
    store.plan().before_first(Operation::Put, "doomed", move || {
        doom(&held.open(), &[stays]);
    });
    let pruner = Shelf::over(Arc::new(store), None, Arc::clone(&shelf.environment));
    prune(&pruner.open(), &PruneRequest::default(), &job()).unwrap();
    assert_eq!(Listing::read(shelf.open().store()).unwrap().doomed.len(), 1, "the other list stands while its pack does");
    shelf.lose(&stays.path());
    both_come_back(&shelf, &source);
    assert_eq!(shelf.damage(), Vec::<String>::new());
}

#[test]
fn a_pack_that_nobody_indexed_is_indexed_before_what_it_stands_for_goes() {
    // Which of two copies stays their names say.
    let kept_unindexed = (0..20).any(|seed| {
        let (shelf, source) = twins_named(seed);
        let repository = shelf.other_client().open();
        let killed = repository.backups().unwrap().found.into_iter().find(|backup| backup.manifest.label == "two").unwrap();
        killed.manifest.segments.iter().for_each(|id| shelf.lose(&object_path(ObjectKind::IndexSegment, id)));
        shelf.lose(&object_path(ObjectKind::Manifest, &killed.id));
        let session = killed.manifest.session;
        shelf.lose(&session_path(&session, SessionRecord::End));
        fence(&repository, session);
        let stays = one_that_stays(&shelf);
        prune(&shelf.other_client().open(), &PruneRequest::default(), &job()).unwrap();
        let client = shelf.other_client();
        client.restore("one", &client.path("t")).unwrap();
        assert_restored(&source, &client.path("t").join("h"), &[]);
        assert_eq!((client.damage(), data_packs(&client)), (Vec::<String>::new(), vec![stays]));
        stays.session == session
    });
    assert!(kept_unindexed, "one of two names comes first");
}

/// Takes what is written, and does something once at the first of it.
struct Meanwhile<F: FnOnce()> {
    written: Vec<u8>,
    act: Option<F>,
}

impl<F: FnOnce()> Write for Meanwhile<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(bytes);
        if let Some(act) = self.act.take() {
            act();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn who_reads_without_a_session_finds_what_a_prune_moves_meanwhile() {
    let shelf = Shelf::new(None, START_MS);
    let source = shelf.path("source");
    fs::create_dir(&source).unwrap();
    let old = noise(1, 400_000);
    fs::write(source.join("file"), &old).unwrap();
    shelf.backup("old", &source).unwrap();
    // Every other block of it stays, so half of each of its packs is needed.
    let new: Vec<u8> = old.chunks(4000).step_by(2).flatten().copied().collect();
    fs::write(source.join("file"), &new).unwrap();
    shelf.environment.clock.advance_ms(1000);
    shelf.backup("new", &source).unwrap();
    forget_named(&shelf, "old");

    let pruner = shelf.other_client();
    let before = data_packs(&shelf);
    let act = || {
        let request = PruneRequest { max_repack: 1 << 30, repack_percent: 10, ..PruneRequest::default() };
        let pruned = prune(&pruner.open(), &request, &job()).unwrap();
        assert!(pruned.rewritten_chunks > 100, "{pruned:?}");
    };
    let mut out = Meanwhile { written: Vec::new(), act: Some(act) };
    dump(&shelf.open(), "new", None, b"file", &mut out, &job()).unwrap();
    assert!(out.act.is_none() && out.written == new);
    assert!(before.iter().filter(|pack| data_packs(&shelf).contains(pack)).count() <= 1, "what was read has moved");
}

//! Runs of which a prune has kept only the entries that backups need.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use esker_format::layout::{PackKind, PackName};
use esker_format::manifest::Manifest;
use esker_format::run::Run;
use esker_format::sparse_run::decode_any;
use esker_ops::copy::{CopyRequest, copy};
use esker_ops::dump::dump;
use esker_ops::forget::{ForgetRequest, forget};
use esker_ops::keys::{KeyDiffRequest, diff_keys};
use esker_ops::prune::{PruneReport, PruneRequest, prune};
use esker_repo::listing::Listing;
use esker_repo::manifests::{Standing, walk_uses};
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_testkit::faulty_store::{FaultyStore, Operation};
use esker_testkit::tree::{copy_tree, tree_bytes};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::{Esker, Host, Moment, Shelf, assert_restored, comes_back, doom, host, job, job_during, number};
use crate::together::fence;

const ENTRIES: u64 = 4000;
const OTHER: &str = "moraine of Other stones #8";

/// Checkpoints of an engine a quarter of which changes from day to day.
fn checkpoints(folder: &Path, days: usize) -> Vec<PathBuf> {
    let mut engine = Host::engine(&folder.join("live"), ENTRIES);
    let mut folders = Vec::new();
    for day in 0..days {
        if day > 0 {
            engine.write_unflushed(ENTRIES / 4);
            engine.next_day();
            engine.db().compact_range(None::<&[u8]>, None::<&[u8]>);
        }
        folders.push(folder.join(format!("checkpoint{day}")));
        engine.checkpoint(&folders[day]);
    }
    folders
}

fn label(day: usize) -> String {
    format!("day{day}")
}

#[track_caller]
fn back_up(esker: &Esker, folders: &[PathBuf], day: usize) -> Value {
    esker.json(&["backup", "--host", &host("h", &folders[day]), "--label", &label(day), "--reread-share", "0"], 0)
}

/// Every level of fsck is content, and these days come back.
#[track_caller]
fn are_whole(esker: &Esker, folders: &[PathBuf], days: &[usize]) {
    for level in ["existence", "structure", "data", "files", "engine"] {
        let report = esker.json(&["fsck", "--level", level], 0);
        assert_eq!(report["findings"], json!([]), "{level}");
    }
    days.iter().for_each(|day| comes_back(esker, &label(*day), &folders[*day]));
}

#[track_caller]
fn thin_out(esker: &Esker, keep: &str) -> Value {
    esker.run(&["forget", "--keep-last", keep]).exits(0);
    esker.json(&["prune", "--repack-percent", "10"], 0)
}

/// A repository of six days that was thinned out to the last two.
fn thinned(esker: &Esker) -> (Vec<PathBuf>, Value) {
    let folders = checkpoints(esker.folder(), 8);
    (0..6).for_each(|day| drop(back_up(esker, &folders, day)));
    let pruned = thin_out(esker, "2");
    assert!(number(&pruned, "sparse_runs") > 0, "{pruned}");
    (folders, pruned)
}

/// The data packs that a prune wrote.
fn packs_with_forms(esker: &Esker) -> Vec<PathBuf> {
    let sessions = fs::read_dir(esker.repo().join("packs/data")).unwrap().map(|session| session.unwrap().path());
    let packs = sessions.flat_map(|session| fs::read_dir(session).unwrap().map(|pack| pack.unwrap().path()));
    packs.filter(|pack| fs::read(pack).unwrap()[6] == 3).collect()
}

#[test]
fn a_prune_keeps_the_entries_that_backups_need_and_the_next_backup_builds_on_them() {
    let esker = Esker::encrypted();
    let (folders, pruned) = thinned(&esker);
    let lines = pruned["packs"].as_array().unwrap();
    assert!(lines.iter().any(|line| line["why"] == "needed in part" && number(line, "sparse_runs") > 0), "{pruned}");
    are_whole(&esker, &folders, &[4, 5]);

    // Little is left that nobody needs, and a new repository with the same backups is not much smaller.
    let fresh = Esker::without_repository(Some(Esker::PASSPHRASE));
    fresh.run(&["init"]).exits(0);
    (4..6).for_each(|day| drop(back_up(&fresh, &folders, day)));
    let (left, least) = (tree_bytes(&esker.repo()), tree_bytes(&fresh.repo()));
    assert!(left * 10 < least * 12, "{left} where a new repository takes {least}");
    let again = esker.json(&["prune", "--repack-percent", "10"], 0);
    assert_eq!((again["packs"].clone(), number(&again, "sparse_runs")), (json!([]), 0));

    // Of keys the same is said as before, from the forms.
    let keys = |esker: &Esker| esker.run(&["diff", "--keys", &label(4), &label(5)]).exits(0).text();
    let shown = |text: String| {
        text.lines().filter(|line| !line.contains("duration") && !line.contains("read")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(shown(keys(&esker)), shown(keys(&fresh)));

    // Three quarters of the next day are copied from the forms.
    let stored = number(&back_up(&esker, &folders, 6), "stored_bytes");
    assert!(stored * 2 < least, "{stored} of {least}");
    are_whole(&esker, &folders, &[4, 5, 6]);

    // Forms are thinned out as runs are.
    back_up(&esker, &folders, 7);
    let pruned = thin_out(&esker, "1");
    assert!(number(&pruned, "sparse_runs") > 0, "{pruned}");
    are_whole(&esker, &folders, &[7]);
    let shown = esker.run(&["ls", &label(7)]).exits(0).text();
    let table = shown.split_whitespace().find(|word| word.ends_with(".sst")).unwrap_or_else(|| panic!("{shown}")).to_owned();
    let name = table.rsplit('/').next().unwrap();
    let dumped = esker.run(&["dump", &label(7), name]).exits(0);
    assert!(dumped.stdout == fs::read(folders[7].join(name)).unwrap());
}

#[test]
fn a_dry_run_and_an_explanation_say_what_becomes_sparse_and_nothing_does_without_repacking() {
    let esker = Esker::plain(&[]);
    let folders = checkpoints(esker.folder(), 6);
    (0..6).for_each(|day| drop(back_up(&esker, &folders, day)));
    esker.run(&["forget", "--keep-last", "2"]).exits(0);
    let planned = esker.json(&["prune", "--dry-run", "--repack-percent", "10"], 0);
    assert!(number(&planned, "sparse_runs") > 0, "{planned}");
    assert!(esker.run(&["prune", "-n", "--repack-percent", "10"]).exits(0).text().contains("sparse"));
    let line = planned["packs"].as_array().unwrap().iter().find(|line| number(line, "sparse_runs") > 0).unwrap().clone();
    let explained = esker.json(&["prune", "--explain", line["pack"].as_str().unwrap()], 0);
    assert!(number(&explained, "needed_bytes") < number(&explained, "bytes") * 9 / 10, "{explained}");

    let nothing = esker.json(&["prune", "--max-repack", "0"], 0);
    assert_eq!(number(&nothing, "sparse_runs"), 0);
    assert!(packs_with_forms(&esker).is_empty());
    let pruned = esker.json(&["prune", "--repack-percent", "10"], 0);
    assert!(number(&pruned, "sparse_runs") > 0, "{pruned}");
    // What was foretold came about.
    let (foretold, written) = (number(&planned, "written_bytes"), number(&pruned, "written_bytes"));
    assert!(written < foretold * 13 / 10 && written * 13 / 10 > foretold, "{written} where {foretold} were foretold");
    are_whole(&esker, &folders, &[4, 5]);
    for field in ["needed_bytes", "unneeded_bytes"] {
        assert!(number(&esker.json(&["stats"], 0), field) > 0);
    }
    assert!(number(&esker.json(&["stats"], 0), "unneeded_bytes") < 64 << 10);
    esker.run(&["diff", &label(4), &label(5)]).exits(0);
}

#[test]
fn a_damaged_form_is_named_with_what_it_touches_and_a_repository_that_has_the_run_mends_it() {
    let esker = Esker::encrypted();
    let folders = checkpoints(esker.folder(), 6);
    (0..6).for_each(|day| drop(back_up(&esker, &folders, day)));
    let before = esker.path("before");
    copy_tree(&esker.repo(), &before);
    assert!(number(&thin_out(&esker, "2"), "sparse_runs") > 0);
    let packs = packs_with_forms(&esker);
    for pack in &packs {
        let mut bytes = fs::read(pack).unwrap();
        bytes[60] ^= 4;
        fs::write(pack, bytes).unwrap();
    }
    let path = packs[0].strip_prefix(esker.repo()).unwrap().display().to_string();
    let report = esker.json(&["fsck", "--level", "data"], 3);
    let finding = report["findings"].as_array().unwrap().iter().find(|finding| finding["object"] == json!(path)).cloned();
    assert!(finding.is_some_and(|finding| finding["severity"] == "damage"), "{report}");
    let target = esker.path("t");
    esker.run(&["restore", &label(5), "--target", target.to_str().unwrap()]).exits(3);

    let mut repair = esker.command(&["fsck", "--repair", "--from", before.to_str().unwrap(), "--json"]);
    esker.run_command(repair.env("ESKER_FROM_PASSPHRASE", Esker::PASSPHRASE)).exits(0);
    esker.run(&["fsck", "--level", "files"]).exits(0);
    [4, 5].iter().for_each(|day| comes_back(&esker, &label(*day), &folders[*day]));
}

#[test]
fn copies_are_whole_whichever_of_the_two_was_thinned_out() {
    let from = Esker::encrypted();
    let to = Esker::without_repository(Some(OTHER));
    to.run(&["init"]).exits(0);
    let copy = |args: &[&str]| {
        let mut command = to.command(&[&["copy", "--json", "--from", from.repo().to_str().unwrap()], args].concat());
        to.run_command(command.env("ESKER_FROM_PASSPHRASE", Esker::PASSPHRASE)).exits(0).json()
    };
    let folders = checkpoints(from.folder(), 8);
    (0..6).for_each(|day| drop(back_up(&from, &folders, day)));
    copy(&[]);
    // The one that is written holds forms: of a new backup only what is new is read.
    assert!(number(&thin_out(&to, "2"), "sparse_runs") > 0);
    back_up(&from, &folders, 6);
    let stored = number(&copy(&[&label(6)]), "stored_bytes");
    assert!(stored * 2 < tree_bytes(&to.repo()), "{stored}");
    are_whole(&to, &folders, &[4, 5, 6]);
    // Both do.
    assert!(number(&thin_out(&from, "1"), "sparse_runs") > 0);
    back_up(&from, &folders, 7);
    copy(&[&label(7)]);
    are_whole(&to, &folders, &[4, 5, 6, 7]);
    // The one that is read does.
    for passphrase in [Some(OTHER), Some(Esker::PASSPHRASE), None] {
        let third = Esker::without_repository(passphrase);
        let plain: &[&str] = if passphrase.is_some() { &[] } else { &["--no-encryption"] };
        third.run(&[&["init"], plain].concat()).exits(0);
        let plain: &[&str] = if passphrase.is_some() { &[] } else { &["--decrypt"] };
        let mut command = third.command(&[&["copy", "--from", from.repo().to_str().unwrap()], plain].concat());
        third.run_command(command.env("ESKER_FROM_PASSPHRASE", Esker::PASSPHRASE)).exits(0);
        are_whole(&third, &folders, &[6, 7]);
    }
}

/// A client of a repository with two backups, day 3 and 4, whose runs a prune makes sparse just before the client reads the
/// first of them: it takes the client for dead, if it has a session.
fn about_to_be_thinned() -> (Shelf, Vec<PathBuf>, TempDir) {
    let shelf = Shelf::new(None, 1_800_000_000_000);
    let hosts = TempDir::new().unwrap();
    let folders = checkpoints(hosts.path(), 5);
    for (day, folder) in folders.iter().enumerate() {
        shelf.backup(&label(day), folder).unwrap();
        shelf.environment.clock.advance_ms(1000);
    }
    let names = (0..3).map(label).collect();
    forget(&shelf.open(), &ForgetRequest { names, force: true, ..ForgetRequest::default() }).unwrap();
    let store = FaultyStore::new(Arc::clone(&shelf.store));
    let client = Shelf::over(Arc::new(store.clone()), None, Arc::clone(&shelf.environment));
    store.plan().before_first(Operation::Get, "packs/data/", move || {
        let fence_after = Duration::from_secs(1);
        let request = PruneRequest { fence_after, max_repack: 1 << 30, repack_percent: 1, ..PruneRequest::default() };
        let pruned = prune(&shelf.open(), &request, &job()).unwrap();
        assert!(pruned.sparse_runs > 0, "{pruned:?}");
    });
    (client, folders, hosts)
}

#[test]
fn a_copy_that_a_prune_took_for_dead_carries_what_forms_hold_of_runs_that_it_saw_whole() {
    let (client, folders, _hosts) = about_to_be_thinned();
    let elsewhere = client.elsewhere();
    let report = copy(&client.open(), &elsewhere.open(), &CopyRequest::default(), &job()).unwrap();
    assert_eq!((report.copied, report.damaged), (2, 0), "{report:?}");
    assert_eq!(elsewhere.damage(), Vec::<String>::new());
    for day in [3, 4] {
        elsewhere.restore(&label(day), &elsewhere.path(&label(day))).unwrap();
        assert_restored(&folders[day], &elsewhere.path(&label(day)).join("h"), &[]);
    }
}

#[test]
fn a_restore_of_a_backup_that_is_forgotten_and_pruned_meanwhile_says_so() {
    let shelf = Shelf::new(None, 1_800_000_000_000);
    let hosts = TempDir::new().unwrap();
    let folders = checkpoints(hosts.path(), 1);
    shelf.backup("one", &folders[0]).unwrap();
    let store = FaultyStore::new(Arc::clone(&shelf.store));
    let client = Shelf::over(Arc::new(store.clone()), None, Arc::clone(&shelf.environment));
    store.plan().before_first(Operation::Get, "packs/data/", move || {
        forget(&shelf.open(), &ForgetRequest { names: vec!["one".into()], force: true, ..ForgetRequest::default() }).unwrap();
        let pruned = prune(&shelf.open(), &PruneRequest { fence_after: Duration::from_secs(1), ..PruneRequest::default() }, &job());
        assert!(!pruned.unwrap().packs.is_empty());
    });
    let error = client.restore("one", &client.path("restored")).unwrap_err();
    assert!(!error.is_damage() && error.to_string().contains("one was forgotten meanwhile"), "{error}");
}

#[test]
fn who_reads_runs_while_a_prune_makes_them_sparse_reads_the_same() {
    let (client, folders, _hosts) = about_to_be_thinned();
    client.restore(&label(4), &client.path("restored")).unwrap();
    assert_restored(&folders[4], &client.path("restored/h"), &[]);

    let (client, folders, _hosts) = about_to_be_thinned();
    let tables = fs::read_dir(&folders[4]).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for name in tables.filter(|name| name.ends_with(".sst")) {
        let mut dumped = Vec::new();
        dump(&client.open(), &label(4), None, name.as_bytes(), &mut dumped, &job()).unwrap();
        assert!(dumped == fs::read(folders[4].join(&name)).unwrap(), "{name}");
    }

    let differences = |client: &Shelf| {
        let request = KeyDiffRequest { from: label(3), to: label(4), ..KeyDiffRequest::default() };
        let report = diff_keys(&client.open(), &request, &job(), &mut |_| Ok(())).unwrap();
        assert_eq!(report.not_compared, Vec::<String>::new());
        report.counts
    };
    let (client, ..) = about_to_be_thinned();
    let meanwhile = differences(&client);
    assert!(meanwhile.changed > 0, "{meanwhile:?}");
    assert_eq!(meanwhile, differences(&client.other_client()));
}

/// A repository of five days of which the newest is left, and a backup `older` of the third that was at work while a prune
/// made forms: what it copied beyond them stands in further forms.
struct Further {
    shelf: Arc<Shelf>,
    folders: Vec<PathBuf>,
    pruned: PruneReport,
    /// Who looked at the store when the prune had written its list, and the client that it belongs to.
    early: ChunkReader,
    _client: Shelf,
}

impl Further {
    fn make() -> Self {
        let shelf = Arc::new(Shelf::new(None, 1_800_000_000_000));
        let folders = checkpoints(&shelf.path("hosts"), 5);
        for (day, folder) in folders.iter().enumerate() {
            shelf.backup(&label(day), folder).unwrap();
            shelf.environment.clock.advance_ms(1000);
        }
        let waiting = Arc::new(Mutex::new(None));
        let (held, handle) = (Arc::clone(&shelf), Arc::clone(&waiting));
        // The backup of an older state has seen whole runs by then, and copies what no backup needs any more.
        let job = job_during("storing", Moment::Begin, move || {
            let names = (0..4).map(label).collect();
            forget(&held.open(), &ForgetRequest { names, force: true, ..ForgetRequest::default() }).unwrap();
            let (client, store) = (held.other_client(), held.open());
            let opened = client.open();
            let prune = std::thread::spawn(move || {
                let _kept = client;
                let fence_after = Duration::from_secs(1_000_000);
                let request = PruneRequest { fence_after, max_repack: 1 << 30, repack_percent: 1, ..PruneRequest::default() };
                prune(&opened, &request, &self::job()).unwrap()
            });
            while Listing::read(store.store()).unwrap().doomed.is_empty() {
                assert!(!prune.is_finished(), "it did not wait");
                std::thread::sleep(Duration::from_millis(1));
            }
            let client = held.other_client();
            *handle.lock().unwrap() = Some((prune, ChunkReader::open(&client.open()).unwrap(), client));
        });
        shelf.backup_in("older", &folders[2], &job).unwrap();
        let (prune, early, client) = waiting.lock().unwrap().take().unwrap();
        Self { pruned: prune.join().unwrap(), shelf, folders, early, _client: client }
    }

    fn older(&self) -> Manifest {
        let found = self.shelf.open().backups().unwrap().found;
        found.into_iter().find(|backup| backup.manifest.label == "older").unwrap().manifest
    }
}

#[test]
fn what_a_backup_copied_while_a_prune_waited_for_it_becomes_a_further_form() {
    let Further { shelf, folders, pruned, .. } = Further::make();
    let first: u64 = pruned.packs.iter().map(|pack| u64::from(pack.sparse_runs)).sum();
    assert!(first > 0 && pruned.sparse_runs > first, "{pruned:?}");
    assert_eq!(shelf.damage(), Vec::<String>::new());
    for (name, folder) in [(label(4), &folders[4]), ("older".to_owned(), &folders[2])] {
        shelf.restore(&name, &shelf.path(&name)).unwrap();
        assert_restored(folder, &shelf.path(&name).join("h"), &[]);
    }
}

#[test]
fn who_looked_before_a_run_became_forms_is_given_the_entries_of_all_of_them() {
    let further = Further::make();
    let now = ChunkReader::open(&further.shelf.open()).unwrap();
    let mut of_forms = Vec::new();
    walk_uses(&now, &further.older(), |run, entries| {
        let forms = now.index().locate_with_forms(&run)?.1;
        of_forms.extend(entries.filter(|_| forms.len() > 1).map(|entries| (run, entries.clone())));
        Ok(())
    })
    .unwrap();
    let (run, needed) = of_forms.first().expect("some run stands as two forms");
    let index = further.early.index();
    let (whole, forms) = index.locate_with_forms(run).unwrap();
    assert_eq!((whole.len(), forms.len()), (1, 1), "it stood whole beside the first form");
    let bytes = further.early.read(&mut ReadContext::new().unwrap(), run).unwrap();
    let held = decode_any(Run::default(), run, &bytes).unwrap().held();
    assert!(needed.without(&held).is_empty(), "{} of {} entries", needed.count() - needed.without(&held).count(), needed.count());
}

#[test]
fn a_backup_copies_entries_only_of_forms_that_no_prune_is_about_to_delete() {
    let further = Further::make();
    let Further { shelf, folders, .. } = &further;
    let repository = shelf.open();
    let (before, session) = (further.early.index().packs().unwrap(), further.older().session);
    let is_further = |pack: &PackName| pack.session != session && !before.iter().any(|known| known.name == *pack);
    let goes: Vec<PackName> = Listing::read(repository.store()).unwrap().packs.into_keys().filter(is_further).collect();
    assert!(!goes.is_empty() && goes.iter().all(|pack| pack.kind == PackKind::Data), "{goes:?}");
    doom(&repository, &goes);
    // Its tables are known, but not all of their entries exist any more.
    let again = shelf.backup("again", &folders[2]).unwrap();
    fence(&repository, session);
    let found = repository.backups().unwrap().found;
    let undecided: Vec<&str> =
        found.iter().filter(|backup| backup.standing == Standing::Undecided).map(|backup| backup.manifest.label.as_str()).collect();
    assert_eq!(undecided, ["older"], "a fenced backup counts by the entries that stay");
    goes.iter().for_each(|pack| shelf.lose(&pack.path()));
    for (name, folder) in [(label(4), &folders[4]), ("again".to_owned(), &folders[2])] {
        let client = shelf.other_client();
        client.restore(&name, &client.path(&name)).unwrap();
        assert_restored(folder, &client.path(&name).join("h"), &[]);
    }
    assert!(again.new_bytes > 0, "{again:?}");
}

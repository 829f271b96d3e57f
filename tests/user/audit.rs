//! The log of what was done: what it tells, and that nobody takes a page out of it or puts one in unseen.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use esker_format::ObjectId;
use esker_format::audit::{AuditRecord, Deed, Event, KeyFact};
use esker_format::key::Secret;
use esker_format::layout::{ObjectKind, object_path};
use esker_format::sealed_object::{open_object, seal_object};
use esker_format::signing::SigningKey;
use esker_ops::audit::{AuditReport, AuditRequest, audit};
use esker_ops::forget::{ForgetRequest, forget};
use esker_ops::fsck::Severity;
use esker_repo::Repository;
use esker_testkit::faulty_store::{Effect, FaultyStore, Operation};
use esker_testkit::tree::copy_tree;
use serde_json::Value;

use crate::kit::{Esker, Shelf, hex_name, host, job, names, noise, number, request};

/// Something that is done to a repository; whether it was.
type Act = fn(&Shelf, &Path) -> bool;

fn source_of(esker: &Esker) -> PathBuf {
    let source = esker.path("source");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("file"), noise(1, 3000)).unwrap();
    source
}

/// An encrypted repository with backups of one file.
fn with_backups(labels: &[&str]) -> (Esker, PathBuf) {
    let esker = Esker::encrypted();
    let source = source_of(&esker);
    labels.iter().for_each(|label| backup(&esker, &source, label));
    (esker, source)
}

#[track_caller]
fn backup(esker: &Esker, source: &Path, label: &str) {
    esker.run(&["backup", "--host", &host("h", source), "--label", label]).exits(4);
}

/// What each finding of this severity says, with its object.
fn told(report: &Value, severity: &str) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap().iter().filter(|finding| finding["severity"] == severity);
    findings.map(|finding| format!("{} {}", finding["object"].as_str().unwrap(), finding["what"].as_str().unwrap())).collect()
}

#[track_caller]
fn damaged(esker: &Esker, args: &[&str], words: &str) -> Vec<String> {
    let found = told(&esker.json(&[&["audit"], args].concat(), 3), "damage");
    assert!(found.iter().any(|text| text.contains(words)), "{words}: {found:#?}");
    found
}

/// Paths of audit records in the order of the log.
fn log(esker: &Esker) -> Vec<PathBuf> {
    names(&esker.json(&["audit"], 0)["entries"], "id").iter().map(|id| esker.repo().join("audit").join(id)).collect()
}

fn forget_what_was_seen(esker: &Esker) {
    fs::remove_dir_all(esker.cache()).unwrap();
}

#[test]
fn what_is_done_is_told_in_order_by_whom_and_signed() {
    let (esker, source) = with_backups(&["one", "two"]);
    esker.run(&["forget", "one", "--hold"]).exits(0);
    esker.run(&["forget", "one", "--unhold"]).exits(0);
    esker.run(&["fsck"]).exits(0);
    fs::write(source.join("file"), noise(2, 3000)).unwrap();
    backup(&esker, &source, "three");
    esker.run(&["forget", "one", "two"]).exits(0);
    esker.run(&["prune"]).exits(0);
    let key = esker.json(&["key", "add", "--recovery"], 0)["id"].as_str().unwrap().to_owned();
    esker.run(&["key", "remove", &key]).exits(0);
    // What only reads leaves no record.
    for verb in [&["list"][..], &["stats"], &["fsck", "--no-remember"], &["prune", "-n"], &["audit"]] {
        esker.run(verb).exits(0);
    }
    let report = esker.json(&["audit"], 0);
    let events = "init backup backup note note verification backup forget prune prune;key added;key added;key removed";
    let expected: Vec<&str> =
        events.split(';').enumerate().flat_map(|(at, part)| if at == 0 { part.split(' ').collect() } else { vec![part] }).collect();
    assert_eq!(names(&report["entries"], "event"), expected);
    assert!(names(&report["entries"], "proof").iter().all(|proof| proof == "signed"), "{report}");
    assert_eq!(report["findings"], Value::Array(Vec::new()), "{report}");
    assert_eq!((number(&report, "records"), number(&report, "signed"), report["heads"].as_array().unwrap().len()), (13, 13, 1));
    let forgot = &report["entries"][7];
    assert_eq!((names(&forgot["objects"], "label"), &forgot["intended"]), (vec!["one".to_owned(), "two".to_owned()], &true.into()));
    assert!(forgot["session"].is_string() && forgot["key"].is_string() && !forgot["user"].as_str().unwrap().is_empty());
    let [intended, done] = [&report["entries"][8], &report["entries"][9]];
    assert_eq!((&intended["intended"], &done["intended"]), (&true.into(), &false.into()));
    assert!(number(done, "count") > 0 && number(done, "bytes") > 0 && done["bytes"] == intended["bytes"], "{done}");
    let text = esker.run(&["audit", "--last", "3"]).exits(0).text();
    assert!(text.contains("and 10 earlier") && text.contains("key removed") && text.contains("13 signed"), "{text}");
}

#[test]
fn a_record_that_was_deleted_or_changed_is_found() {
    let (esker, _) = with_backups(&["one", "two"]);
    let record = log(&esker)[1].clone();
    let bytes = fs::read(&record).unwrap();
    fs::remove_file(&record).unwrap();
    forget_what_was_seen(&esker);
    damaged(&esker, &[], "is missing: record");
    damaged(&esker, &["--log-only"], "is missing: record");
    let mut flipped = bytes.clone();
    flipped[60] ^= 1;
    fs::write(&record, &flipped).unwrap();
    damaged(&esker, &[], "do not hash to its name");
    assert!(esker.run(&["fsck", "--no-remember"]).exits(3).text().contains("audit/"));
    fs::write(record.with_file_name(hex_name(&flipped)), &flipped).unwrap();
    damaged(&esker, &[], "authentication tag");
    fs::remove_file(record.with_file_name(hex_name(&flipped))).unwrap();
    fs::write(&record, &bytes).unwrap();
    // A client that saw the forgery by its name misses it; one that never did is content.
    damaged(&esker, &[], "this client saw it");
    forget_what_was_seen(&esker);
    esker.run(&["audit"]).exits(0);
}

#[test]
fn a_log_that_was_cut_short_is_found_by_a_noted_head_and_by_a_client_that_saw_it() {
    let (esker, _) = with_backups(&["one"]);
    let key = esker.json(&["key", "add", "--recovery"], 0)["id"].as_str().unwrap().to_owned();
    let noted = esker.path("heads");
    let noted = noted.to_str().unwrap();
    esker.run(&["audit", "--save-head", noted]).exits(0);
    esker.run(&["forget", "one", "--hold"]).exits(0);
    let head = esker.json(&["audit", "--head", noted], 0)["heads"][0].as_str().unwrap().to_owned();
    let all = log(&esker);
    // The key is removed and with it every record that knows of it, by somebody with all rights.
    fs::remove_file(esker.repo().join("keys").join(key)).unwrap();
    fs::remove_dir_all(esker.repo().join("notes")).unwrap();
    all.iter().skip(2).for_each(|record| fs::remove_file(record).unwrap());
    damaged(&esker, &[], "this client saw it");
    esker.run(&["audit", "--save-head", noted]).exits(3).says("is not written");
    forget_what_was_seen(&esker);
    esker.run(&["audit"]).exits(0);
    damaged(&esker, &["--head", noted], "the log was cut short");
    damaged(&esker, &["--head", &head, "--log-only"], "the log was cut short");
    esker.run(&["audit", "--head", "no-such-file"]).exits(1);
}

#[test]
fn what_no_record_accounts_for_is_found() {
    let (esker, _) = with_backups(&["one", "two"]);
    let records = log(&esker);
    let manifests = esker.repo().join("manifests");
    let ids = esker.json(&["list"], 0);
    let (one, two) = (ids["backups"][0]["id"].as_str().unwrap(), ids["backups"][1]["id"].as_str().unwrap());
    let bytes = fs::read(manifests.join(one)).unwrap();
    fs::remove_file(manifests.join(one)).unwrap();
    damaged(&esker, &[], "backup one is gone, and no record tells who forgot it");
    // Forgetting by id tells it.
    esker.run(&["forget", one]).exits(0);
    esker.run(&["audit"]).exits(0);
    fs::write(manifests.join(one), bytes).unwrap();
    let report = esker.json(&["audit"], 0);
    assert!(told(&report, "notice")[0].contains("is still there although a record says that it is forgotten"), "{report}");
    esker.run(&["forget", one]).exits(0);
    // A backup whose record is gone was made by nobody.
    forget_what_was_seen(&esker);
    let later = log(&esker);
    later.iter().filter(|record| !records.contains(record)).for_each(|record| fs::remove_file(record).unwrap());
    fs::remove_file(&records[2]).unwrap();
    forget_what_was_seen(&esker);
    let found = damaged(&esker, &[], "no record tells who made it");
    assert!(found.iter().any(|text| text.starts_with(&format!("manifests/{two} "))), "{found:?}");
}

#[test]
fn a_key_object_that_nobody_added_is_found_and_one_that_is_gone() {
    let (esker, _) = with_backups(&[]);
    let key = esker.json(&["key", "add", "--recovery"], 0)["id"].as_str().unwrap().to_owned();
    let path = esker.repo().join("keys").join(&key);
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    damaged(&esker, &[], "no record tells who removed it");
    // Known and meant: it is told further, and is no damage.
    esker.run(&["audit", "--acknowledge", &key]).exits(0);
    let report = esker.json(&["audit"], 0);
    assert!(told(&report, "notice")[0].contains("(acknowledged)"), "{report}");
    esker.run(&["audit", "--acknowledge", &"0".repeat(64)]).exits(2).says("no finding");
    esker.run(&["audit", "--acknowledge", "abc"]).exits(2).says("is not an id");
    let other = Esker::encrypted();
    fs::write(other.repo().join("keys").join(&key), bytes).unwrap();
    damaged(&other, &[], "no record tells who added this key");
}

#[test]
fn the_log_alone_is_audited_from_a_copy_of_a_few_folders() {
    let (esker, _) = with_backups(&["one"]);
    let copy = Esker::without_repository(Some(Esker::PASSPHRASE));
    for folder in ["keys", "audit"] {
        copy_tree(&esker.repo().join(folder), &copy.repo().join(folder));
    }
    fs::copy(esker.repo().join("config"), copy.repo().join("config")).unwrap();
    copy.run(&["audit", "--log-only"]).exits(0);
    damaged(&copy, &[], "backup one is gone");
}

#[test]
fn a_repository_without_encryption_keeps_a_log_that_nobody_signs() {
    let esker = Esker::plain(&[]);
    backup(&esker, &source_of(&esker), "one");
    let report = esker.json(&["audit"], 0);
    assert_eq!((number(&report, "records"), number(&report, "unsigned")), (2, 2));
    assert!(told(&report, "notice")[0].contains("no record is signed"), "{report}");
    fs::remove_file(&log(&esker)[0]).unwrap();
    damaged(&esker, &["--log-only"], "is missing: record");
}

#[test]
fn a_key_older_than_the_log_writes_records_that_are_not_proven_until_it_gets_one_that_signs() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../format-spec/golden");
    let passphrase = fs::read_to_string(format!("{golden}/secrets/passphrase.txt")).unwrap();
    let mut esker = Esker::without_repository(Some(passphrase.trim_end()));
    copy_tree(Path::new(&format!("{golden}/encrypted")), &esker.repo());
    let report = esker.json(&["audit"], 0);
    let first = told(&report, "notice").first().cloned().unwrap_or_default();
    assert!(number(&report, "records") == 0 && first.contains("is empty"), "{report}");
    let source = source_of(&esker);
    backup(&esker, &source, "one");
    let report = esker.json(&["audit"], 0);
    assert_eq!(names(&report["entries"], "event"), ["begin", "backup"]);
    let notices = told(&report, "notice").join("\n");
    assert!(notices.contains("the log begins here") && notices.contains("2 records that it wrote are not proven"), "{notices}");
    esker.keep_secret("one that Signs");
    let mut change = esker.command(&["key", "passphrase"]);
    change.env("ESKER_NEW_PASSPHRASE", "one that Signs");
    esker.run_command(&mut change).exits(0);
    esker.passphrase = Some("one that Signs".into());
    backup(&esker, &source, "two");
    let report = esker.json(&["audit"], 0);
    assert_eq!((number(&report, "signed"), number(&report, "unsigned")), (1, 5), "{report}");
    // The log is begun anew by somebody who wants the first to be forgotten.
    fs::remove_dir_all(esker.repo().join("audit")).unwrap();
    forget_what_was_seen(&esker);
    backup(&esker, &source, "three");
    damaged(&esker, &[], "the first one was deleted");
}

#[test]
fn a_record_by_somebody_who_has_the_master_key_and_no_key_that_signs_is_forged() {
    let shelf = encrypted_shelf();
    let source = one_file(&shelf);
    shelf.backup("one", &source).unwrap();
    let repository = shelf.open();
    let mine = SigningKey([9; 32].into());
    let own = repository.own_key().unwrap();
    let stolen = KeyFact { id: own.id, public: Some(mine.public().unwrap()) };
    let head = *heads(&report_of(&repository, &[])).first().unwrap();
    let deeds = [
        (vec![head], Deed::done(Event::Forget)),
        (vec![head], Deed { keys: vec![stolen], ..Deed::done(Event::KeyAdd) }),
        (vec![], Deed { keys: vec![stolen], ..Deed::done(Event::Begin) }),
        (vec![], Deed::done(Event::Backup)),
    ];
    for (heads, deed) in deeds {
        for key in [None, Some(&mine)] {
            let path = put(&repository, record(&repository, &heads, deed.clone()), key);
            let report = report_of(&repository, &[]);
            let found = damage(&report);
            assert!(
                report.is_damaged() && found.iter().any(|text| text.starts_with(&path) && text.contains("FORGED")),
                "{deed:?} {found:#?}"
            );
            shelf.lose(&path);
            fs::remove_dir_all(shelf.path("cache")).unwrap();
        }
    }
    // A record of another repository under the same master key.
    let other = AuditRecord { repository: esker_format::RepositoryId([1; 16]), ..record(&repository, &[head], Deed::done(Event::Prune)) };
    let path = put(&repository, other, Some(&mine));
    assert!(damage(&report_of(&repository, &[])).iter().any(|text| text.starts_with(&path) && text.contains("another repository")));
    shelf.lose(&path);
    fs::remove_dir_all(shelf.path("cache")).unwrap();
    // A log of his own in place of the true one.
    shelf.objects().keys().filter(|path| path.starts_with("audit/")).for_each(|path| shelf.lose(path));
    let mut init = record(&repository, &[], Deed { keys: vec![stolen], ..Deed::done(Event::Init) });
    init.key = Some(own.id);
    put(&repository, init, Some(&mine));
    let found = damage(&report_of(&repository, &[]));
    assert!(found.iter().any(|text| text.contains("somebody wrote a log of his own")), "{found:#?}");
}

#[test]
fn a_key_that_is_used_after_its_removal_is_found_and_can_be_excused() {
    let shelf = encrypted_shelf();
    let at_work = shelf.open();
    let second = Secret::Passphrase(b"second".to_vec().into());
    let first = shelf.secret.clone().unwrap();
    let first_key = at_work.own_key().unwrap().id;
    at_work.add_key(&first, &second, esker_format::key::Argon2Cost::CHEAP, "").unwrap();
    let mut other = shelf.other_client();
    other.secret = Some(second);
    let session = esker_repo::session::Session::begin(&other.open(), "key remove").unwrap();
    other.open().remove_key(&first_key, session.id()).unwrap();
    session.end(None).unwrap();
    assert!(!report_of(&other.open(), &[]).is_damaged());
    let late = at_work.record(None, Deed::done(Event::Prune)).unwrap();
    let found = damage(&report_of(&other.open(), &[]));
    assert!(found.iter().any(|text| text.contains(&late.to_string()) && text.contains("after its removal")), "{found:#?}");
    let request = AuditRequest { acknowledge: vec![late], ..AuditRequest::default() };
    assert!(!audit(&other.open(), &request, &job()).unwrap().is_damaged());
    assert!(!report_of(&other.open(), &[]).is_damaged());
}

#[test]
fn two_who_write_at_once_leave_two_heads_and_whoever_comes_next_follows_both() {
    let shelf = encrypted_shelf();
    let source = one_file(&shelf);
    shelf.backup("one", &source).unwrap();
    let pinned = heads(&report_of(&shelf.open(), &[]));
    // The other sees the store as it was before the first of the two wrote.
    let other = Shelf::over(Shelf::store_of(&shelf.objects()), shelf.secret.clone(), Arc::clone(&shelf.environment));
    shelf.backup("two", &source).unwrap();
    other.backup("three", &source).unwrap();
    let both: std::collections::BTreeMap<_, _> = shelf.objects().into_iter().chain(other.objects()).collect();
    let joined = Shelf::over(Shelf::store_of(&both), shelf.secret.clone(), Arc::clone(&shelf.environment));
    let report = report_of(&joined.open(), &pinned);
    assert_eq!((report.heads.len(), report.is_damaged(), report.findings.len()), (2, false, 0), "{:?}", report.findings);
    // A head that was noted by one of the two does not reach the other's.
    let of_first = heads(&report_of(&shelf.open(), &[]));
    let report = report_of(&joined.open(), &of_first);
    assert!(report.findings.iter().any(|finding| finding.what.contains("or backdated")), "{:?}", report.findings);
    joined.backup("four", &source).unwrap();
    let report = report_of(&joined.open(), &pinned);
    assert_eq!((report.heads.len(), report.is_damaged()), (1, false), "{:?}", report.findings);
    let head = ObjectId::from_hex(&report.heads[0]).unwrap();
    assert_eq!(joined.open().read_object::<AuditRecord>(ObjectKind::Audit, &head).unwrap().heads.len(), 2);
}

#[test]
fn what_another_process_of_this_machine_writes_while_a_log_is_audited_is_not_missing() {
    let mut shelf = encrypted_shelf();
    let source = one_file(&shelf);
    shelf.backup("one", &source).unwrap();
    // It shares the memory of what this client saw.
    let other = shelf.open();
    let store = FaultyStore::new(Arc::clone(&shelf.store));
    store.plan().before_first(Operation::Get, "audit/", move || {
        esker_ops::backup::backup(&other, &request("two", &source), &job()).unwrap();
    });
    shelf.store = Arc::new(store);
    let report = report_of(&shelf.open(), &[]);
    assert!(!report.is_damaged(), "{:?}", report.findings);
    assert_eq!(esker_ops::catalog::list(&shelf.open()).unwrap().backups.len(), 2);
}

#[test]
fn a_job_that_dies_between_a_deed_and_its_record_is_a_notice_and_no_damage() {
    let made = encrypted_shelf();
    let source = one_file(&made);
    made.backup("first", &source).unwrap();
    let objects = made.objects();
    let on = |store: Arc<dyn object_store::ObjectStore>| Shelf::over(store, made.secret.clone(), Arc::clone(&made.environment));
    let deeds: [(&str, Act); 3] = [
        ("backup", |shelf, source| shelf.backup("second", source).is_ok()),
        ("forget", |shelf, _| {
            let request = ForgetRequest { names: vec!["first".into()], force: true, ..ForgetRequest::default() };
            shelf.try_open().is_ok_and(|repository| forget(&repository, &request).is_ok())
        }),
        ("key", |shelf, _| {
            let second = Secret::Passphrase(b"second".to_vec().into());
            let first = shelf.secret.clone().unwrap();
            let add = |repository: Arc<Repository>| repository.add_key(&first, &second, esker_format::key::Argon2Cost::CHEAP, "");
            shelf.try_open().is_ok_and(|repository| add(repository).is_ok())
        }),
    ];
    for (name, deed) in deeds {
        let mut dead = 1;
        loop {
            let store = FaultyStore::new(Shelf::store_of(&objects));
            let shelf = on(Arc::new(store.clone()));
            store.plan().fail_all_from(dead);
            let done = deed(&shelf, &source);
            store.plan().heal();
            let report = report_of(&on(Arc::clone(store.inner())).open(), &[]);
            assert!(!report.is_damaged(), "{name} that dies at request {dead}: {:#?}", report.findings);
            if done {
                break;
            }
            dead += 1;
        }
        assert!(dead > 5, "{name} died at {dead} requests");
    }
}

#[test]
fn a_record_costs_two_requests_and_a_client_that_is_new_reads_a_few_records_more() {
    let shelf = encrypted_shelf();
    for _ in 0..40 {
        shelf.open().record(None, Deed::done(Event::Prune)).unwrap();
    }
    let cost = |shelf: &Shelf| {
        let store = FaultyStore::new(Arc::clone(&shelf.store));
        let seen_here = Shelf::over(Arc::new(store.clone()), shelf.secret.clone(), Arc::clone(&shelf.environment));
        copy_tree(&shelf.path("cache"), &seen_here.path("cache"));
        let repository = seen_here.open();
        store.plan().restart_count();
        repository.record(None, Deed::done(Event::Prune)).unwrap();
        store.plan().journal().into_iter().map(|(operation, _)| operation).collect::<Vec<_>>()
    };
    assert_eq!(cost(&shelf), [Operation::List, Operation::Put]);
    let store = FaultyStore::new(Arc::clone(&shelf.store));
    let new = Shelf::over(Arc::new(store.clone()), shelf.secret.clone(), Arc::clone(&shelf.environment)).open();
    store.plan().restart_count();
    new.record(None, Deed::done(Event::Prune)).unwrap();
    assert!(store.plan().operations() <= 18, "{:?}", store.plan().journal());
    assert_eq!(report_of(&shelf.open(), &[]).heads.len(), 1);
}

#[test]
fn a_log_that_cannot_be_written_fails_the_job_and_says_so() {
    let shelf = encrypted_shelf();
    let source = one_file(&shelf);
    let store = FaultyStore::new(Arc::clone(&shelf.store));
    let broken = Shelf::over(Arc::new(store.clone()), shelf.secret.clone(), Arc::clone(&shelf.environment));
    shelf.backup("one", &source).unwrap();
    let repository = broken.open();
    store.plan().restart_count();
    store.plan().fail_nth_of(Operation::Put, 1, Effect::NotDone);
    let error = repository.record(None, Deed::done(Event::Prune)).unwrap_err();
    assert!(error.to_string().contains("audit/"), "{error}");
}

fn encrypted_shelf() -> Shelf {
    Shelf::new(Some(Secret::Passphrase(b"first".to_vec().into())), 1_800_000_000_000)
}

fn one_file(shelf: &Shelf) -> PathBuf {
    let source = shelf.path("source");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("file"), noise(1, 3000)).unwrap();
    source
}

fn report_of(repository: &Arc<Repository>, pins: &[ObjectId]) -> AuditReport {
    audit(repository, &AuditRequest { heads: pins.to_vec(), ..AuditRequest::default() }, &job()).unwrap()
}

fn heads(report: &AuditReport) -> Vec<ObjectId> {
    report.heads.iter().map(|id| ObjectId::from_hex(id).unwrap()).collect()
}

fn damage(report: &AuditReport) -> Vec<String> {
    let damage = report.findings.iter().filter(|finding| finding.severity == Severity::Damage);
    damage.map(|finding| format!("{} {}", finding.object, finding.what)).collect()
}

/// A record as somebody would make one up.
fn record(repository: &Repository, heads: &[ObjectId], deed: Deed) -> AuditRecord {
    AuditRecord {
        repository: repository.config().repository,
        heads: heads.to_vec(),
        at_ms: 1,
        user: "root".into(),
        host: "db-1".into(),
        written_by: "esker 0.1.0".into(),
        session: None,
        key: repository.own_key().map(|key| key.id),
        deed,
        signature: None,
    }
}

/// Stores it behind the repository's back; gives its path.
fn put(repository: &Repository, mut record: AuditRecord, key: Option<&SigningKey>) -> String {
    key.into_iter().for_each(|key| record.sign(key).unwrap());
    let bytes = seal_object(repository.sealing(), ObjectKind::Audit, "", [7; 32], &record).unwrap();
    assert_eq!(open_object::<AuditRecord>(repository.sealing(), ObjectKind::Audit, "", &bytes).unwrap(), record);
    let path = object_path(ObjectKind::Audit, &ObjectId::of(&bytes));
    repository.store().put(&path, bytes).unwrap();
    path
}

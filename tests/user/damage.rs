//! Damage at rest: fsck finds all of it, and no restore ever gives wrong bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use esker_format::doomed::DoomedList;
use esker_format::key::{Argon2Cost, Secret};
use esker_format::layout::{ObjectKind, fence_path};
use esker_format::session::Fence;
use esker_format::{ObjectId, SessionId};
use esker_ops::OpsError;
use esker_ops::forget::{ForgetRequest, forget, hold};
use esker_ops::fsck::{FsckRequest, fsck};
use esker_repo::RepoError;
use esker_repo::session::Session;
use esker_testkit::tree::diff_trees;

use crate::kit::{Esker, Shelf, TestEnvironment, host, noise};

type Objects = BTreeMap<String, Vec<u8>>;

/// A repository to be damaged, and what must come out of it.
struct Sample {
    objects: Objects,
    /// Secrets, each with the key object that it opens; none if not encrypted.
    secrets: Vec<(Secret, String)>,
    /// Labels with the folders that they are of.
    backups: Vec<(&'static str, PathBuf)>,
    /// The sessions that wrote them.
    sessions: Vec<SessionId>,
    _shelf: Shelf,
}

fn passphrase(text: &str) -> Secret {
    Secret::Passphrase(text.as_bytes().to_vec().into())
}

impl Sample {
    /// One backup of one small file.
    fn smallest(encrypted: bool) -> Self {
        let shelf = Shelf::new(encrypted.then(|| passphrase("first")), 1_800_000_000_000);
        let source = shelf.path("one");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("file"), noise(1, 300)).unwrap();
        let secrets = Self::secrets(&shelf);
        shelf.backup("one", &source).unwrap();
        Self { objects: shelf.objects(), secrets, backups: vec![("one", source)], sessions: Vec::new(), _shelf: shelf }
    }

    /// Two backups that share chunks, and an object of every kind.
    fn with_every_kind(encrypted: bool) -> Self {
        let shelf = Shelf::new(encrypted.then(|| passphrase("first")), 1_800_000_000_000);
        let secrets = Self::secrets(&shelf);
        let mut backups = Vec::new();
        for (number, label) in ["zero", "one", "two"].into_iter().enumerate() {
            let source = shelf.path(label);
            fs::create_dir_all(source.join("folder")).unwrap();
            fs::write(source.join("same"), noise(1, 2000)).unwrap();
            fs::write(source.join("folder/other"), noise(number as u64, 900)).unwrap();
            std::os::unix::fs::symlink("same", source.join("link")).unwrap();
            shelf.backup(label, &source).unwrap();
            backups.push((label, source));
        }
        let repository = shelf.open();
        hold(&repository, "one", true).unwrap();
        forget(&repository, &ForgetRequest { names: vec!["zero".into()], ..ForgetRequest::default() }).unwrap();
        let level = esker_format::verification::Level::Files;
        let request = FsckRequest { backup: None, level, sample_percent: 100, time_limit: None, scratch: None, remember: true };
        assert!(!fsck(&repository, &request, &esker_ops::Job::default()).unwrap().is_damaged());
        let dead = Session::begin(&repository, "backup").unwrap().id();
        let by = Session::begin(&repository, "prune").unwrap();
        let path = fence_path(&dead);
        repository.write_placed(ObjectKind::Fence, &path, &Fence { by: by.id(), at_ms: 1 }).unwrap();
        let doomed = DoomedList { session: by.id(), at_ms: 1, packs: vec![ObjectId([7; 32])] };
        repository.write_object(ObjectKind::DoomedList, &doomed).unwrap();
        by.end(None).unwrap();
        backups.remove(0);
        let sessions = repository.backups().unwrap().found.iter().map(|backup| backup.manifest.session).collect();
        Self { objects: shelf.objects(), secrets, backups, sessions, _shelf: shelf }
    }

    fn secrets(shelf: &Shelf) -> Vec<(Secret, String)> {
        let Some(first) = shelf.secret.clone() else { return Vec::new() };
        let repository = shelf.open();
        let second = passphrase("second");
        repository.add_key(&first, &second, Argon2Cost::CHEAP, "").unwrap();
        let with_path = |secret: Secret| (secret.clone(), format!("keys/{}", repository.key_of(&secret).unwrap()));
        vec![with_path(first), with_path(second)]
    }

    /// A client that sees these objects an hour later, with a secret whose own key object was left alone.
    fn client(&self, objects: &Objects) -> Shelf {
        let intact = |(_, path): &&(Secret, String)| objects.get(path) == self.objects.get(path);
        let secret = self.secrets.iter().find(intact).map(|(secret, _)| secret.clone());
        Shelf::over(Shelf::store_of(objects), secret, TestEnvironment::at(1_800_003_600_000, 9))
    }

    /// What is wrong with how the damage was met; nothing if fsck reported it and every restore was right or failed.
    fn complaint(&self, objects: &Objects) -> Option<String> {
        let client = self.client(objects);
        match client.fsck() {
            Ok(report) if report.is_damaged() => {}
            Ok(report) => return Some(format!("fsck found nothing: {:?}", report.findings)),
            Err(error) if error.is_damage() => {}
            Err(error) => return Some(format!("fsck ended with {error}")),
        }
        self.wrong_restore(&client)
    }

    fn wrong_restore(&self, client: &Shelf) -> Option<String> {
        for (label, source) in &self.backups {
            let target = client.path(label);
            if client.restore(label, &target).is_ok() {
                let differences = diff_trees(source, &target.join("h"), &[]);
                if !differences.is_empty() {
                    return Some(format!("{label} was restored wrongly: {differences:?}"));
                }
            }
            drop(fs::remove_dir_all(&target));
        }
        None
    }
}

/// Runs all cases in two threads and fails with what went wrong in the first few.
fn meet_all<C: Sync>(cases: &[C], meet: impl Fn(&C) -> Option<String> + Sync) {
    let next = AtomicUsize::new(0);
    let complaints = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if let Some(complaint) = meet(case) {
                        complaints.lock().unwrap().push(complaint);
                    }
                }
            });
        }
    });
    let complaints = complaints.into_inner().unwrap();
    assert!(complaints.is_empty(), "{} of {} cases:\n{}", complaints.len(), cases.len(), complaints[..complaints.len().min(25)].join("\n"));
    println!("{} cases", cases.len());
}

fn every_byte(encrypted: bool) {
    let sample = Sample::smallest(encrypted);
    assert_eq!(sample.complaint(&sample.objects).unwrap(), "fsck found nothing: []");
    let bytes = |(path, bytes): (&String, &Vec<u8>)| (0..bytes.len()).map(|at| (path.clone(), at)).collect::<Vec<_>>();
    let cases: Vec<(String, usize)> = sample.objects.iter().flat_map(bytes).collect();
    meet_all(&cases, |(path, at)| {
        let mut objects = sample.objects.clone();
        objects.get_mut(path).unwrap()[*at] ^= 1 << (at % 8);
        sample.complaint(&objects).map(|complaint| format!("byte {at} of {path}: {complaint}"))
    });
}

#[test]
fn every_byte_of_a_small_encrypted_repository_flipped_once_is_found() {
    every_byte(true);
}

#[test]
fn every_byte_of_a_small_open_repository_flipped_once_is_found() {
    every_byte(false);
}

/// A way to damage, and the objects as it leaves them.
struct Case {
    name: String,
    objects: Objects,
}

fn cases(sample: &Sample) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: String, change: &dyn Fn(&mut Objects)| {
        let mut objects = sample.objects.clone();
        change(&mut objects);
        cases.push(Case { name, objects });
    };
    for (path, bytes) in &sample.objects {
        if loss_can_be_told(sample, path) {
            add(format!("{path} deleted"), &|objects| drop(objects.remove(path)));
        }
        for len in [0, 1, 8, bytes.len() / 2, bytes.len() - 1] {
            add(format!("{path} cut to {len}"), &|objects| objects.get_mut(path).unwrap().truncate(len));
        }
        add(format!("{path} longer"), &|objects| objects.get_mut(path).unwrap().push(0));
        add(format!("{path} zeroed"), &|objects| objects.get_mut(path).unwrap().fill(0));
        for at in [0, 7, 13, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1] {
            add(format!("byte {at} of {path} flipped"), &|objects| objects.get_mut(path).unwrap()[at] ^= 0x10);
        }
        for other in sample.objects.keys().filter(|other| *other > path && kind_of(other) == kind_of(path)) {
            // With both keys swapped nobody could open the repository and look.
            if sample.objects[other] != *bytes && kind_of(path) != "keys" {
                add(format!("{path} and {other} swapped"), &|objects| {
                    let taken = objects.insert(path.clone(), sample.objects[other].clone()).unwrap();
                    objects.insert(other.clone(), taken);
                });
            }
        }
        if let Some(copy) = another_name(path) {
            add(format!("{path} copied to {copy}"), &|objects| drop(objects.insert(copy.clone(), bytes.clone())));
            add(format!("{path} moved to {copy}"), &|objects| {
                objects.remove(path);
                objects.insert(copy.clone(), bytes.clone());
            });
        }
    }
    cases
}

/// Whether something else in the store says that the object must be there. What a finished backup leaves, all of it, is
/// missed; a note, a fence, or the end of a session without a backup is not.
fn loss_can_be_told(sample: &Sample, path: &str) -> bool {
    match kind_of(path).as_str() {
        "notes" | "verified" | "doomed" | "fences" => false,
        // That a record of the log is missing, audit says.
        "audit" => false,
        "sessions/end" => sample.sessions.iter().any(|session| path.contains(&session.to_string())),
        // A session that left nothing but its beginning.
        "sessions/open" => sample.objects.contains_key(&path.replace("/open", "/end")),
        _ => true,
    }
}

/// What an object is, by its path.
fn kind_of(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["packs", kind, ..] => format!("packs/{kind}"),
        ["sessions", _, record] => format!("sessions/{record}"),
        [folder, _] => (*folder).to_owned(),
        _ => "config".to_owned(),
    }
}

/// The same path with another hash or session in it.
fn another_name(path: &str) -> Option<String> {
    let at = if path.starts_with("sessions/") { "sessions/".len() } else { path.rfind('/')? + 1 };
    let mut name = path.as_bytes().to_vec();
    name[at] = if name[at] == b'0' { b'1' } else { b'0' };
    Some(String::from_utf8(name).unwrap())
}

fn every_damage(encrypted: bool) {
    let sample = Sample::with_every_kind(encrypted);
    let clean = sample.complaint(&sample.objects).unwrap();
    assert!(clean.starts_with("fsck found nothing"), "{clean}");
    let cases = cases(&sample);
    meet_all(&cases, |case| sample.complaint(&case.objects).map(|complaint| format!("{}: {complaint}", case.name)));
}

#[test]
fn fsck_finds_every_damage_to_every_object_of_an_encrypted_repository() {
    every_damage(true);
}

#[test]
fn fsck_finds_every_damage_to_every_object_of_an_open_repository() {
    every_damage(false);
}

#[test]
fn a_client_whose_cache_is_warm_is_not_fooled_either() {
    let sample = Sample::with_every_kind(true);
    let secret = sample.secrets[0].0.clone();
    let cases: Vec<Case> = cases(&sample).into_iter().filter(|case| !case.name.contains("keys/")).collect();
    meet_all(&cases, |case| {
        let mut client = Shelf::over(Shelf::store_of(&sample.objects), Some(secret.clone()), TestEnvironment::at(1, 3));
        client.damage();
        client.store = Shelf::store_of(&case.objects);
        match client.fsck() {
            Ok(report) if !report.is_damaged() => Some(format!("{}: fsck found nothing", case.name)),
            Err(error) if !error.is_damage() => Some(format!("{}: fsck ended with {error}", case.name)),
            _ => sample.wrong_restore(&client).map(|complaint| format!("{}: {complaint}", case.name)),
        }
    });
}

#[test]
fn a_damaged_key_object_is_named_to_who_can_no_longer_open_the_repository() {
    let sample = Sample::smallest(true);
    let [(secret, path), (_, other)] = sample.secrets.as_slice() else { panic!("two keys") };
    let mut flipped = sample.objects.clone();
    flipped.get_mut(path).unwrap()[40] ^= 1;
    let mut swapped = sample.objects.clone();
    swapped.insert(path.clone(), sample.objects[other].clone());
    swapped.insert(other.clone(), sample.objects[path].clone());
    for objects in [flipped, swapped] {
        let client = Shelf::over(Shelf::store_of(&objects), Some(secret.clone()), TestEnvironment::at(1, 3));
        let Err(OpsError::Repository(error @ RepoError::WrongPassphrase { .. })) = client.try_open() else { panic!("opened") };
        assert!(error.to_string().contains(path), "{error}");
    }
}

#[test]
fn a_finding_names_what_it_touches_and_the_command_that_helps() {
    let esker = Esker::plain(&["--chunk-min", "64", "--chunk-avg", "256", "--chunk-max", "1024", "--pack-size", "65536"]);
    let source = esker.path("source");
    fs::create_dir_all(source.join("folder")).unwrap();
    fs::write(source.join("folder/touched"), noise(1, 5000)).unwrap();
    esker.run(&["backup", "--host", &host("h", &source), "--label", "one"]).exits(4);
    fs::write(source.join("whole"), noise(2, 5000)).unwrap();
    fs::remove_file(source.join("folder/touched")).unwrap();
    esker.run(&["backup", "--host", &host("h", &source), "--label", "two"]).exits(4);
    let pack = data_pack_of(&esker, "one");
    let bytes = fs::read(&pack).unwrap();
    let mut rotten = bytes.clone();
    rotten[2000] ^= 1;
    fs::write(&pack, rotten).unwrap();
    for level in ["existence", "structure"] {
        esker.run(&["fsck", "--level", level]).exits(0);
    }
    for level in ["data", "files", "engine"] {
        let report = esker.json(&["fsck", "--level", level], 3);
        let touching = report["findings"].as_array().unwrap().iter().find(|finding| finding["files"][0] == "one h/folder/touched");
        let finding = touching.unwrap_or_else(|| panic!("{report}"));
        let object = format!("packs/data/{}", pack.strip_prefix(esker.repo().join("packs/data")).unwrap().display());
        assert_eq!((&finding["object"], &finding["backups"][0]), (&object.into(), &"one".into()));
        assert!(finding["help"].as_str().unwrap().contains("esker fsck --repair, with --host NAME=FOLDER"));
        assert_eq!(report["damaged_backups"], serde_json::json!(["one"]));
    }
    assert!(esker.run(&["list"]).exits(0).text().contains("damaged"));
    let target = esker.path("t");
    esker.run(&["restore", "one", "--target", target.to_str().unwrap()]).exits(3).says("folder/touched");
    assert!(esker.run(&["dump", "one", "folder/touched"]).exits(3).stdout.len() < 5000);
    esker.run(&["restore", "two", "--target", esker.path("u").to_str().unwrap()]).exits(0);
    esker.run(&["fsck", "two", "--level", "files"]).exits(0);
    // The pack comes back from a copy of the store: the same restore goes on, and the next check says so.
    fs::write(&pack, bytes).unwrap();
    esker.run(&["restore", "one", "--target", target.to_str().unwrap()]).exits(0);
    assert_eq!(fs::read(target.join("h/folder/touched")).unwrap(), noise(1, 5000));
    esker.run(&["fsck", "--level", "engine"]).exits(0);
    assert!(!esker.run(&["list"]).exits(0).text().contains("damaged"));
}

/// The data pack that a backup wrote.
fn data_pack_of(esker: &Esker, backup: &str) -> PathBuf {
    let session = esker.json(&["show", backup], 0)["session"].as_str().unwrap().to_owned();
    let folder = esker.repo().join("packs/data").join(session);
    fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn damage_to_the_past_heals_when_the_host_still_has_the_file() {
    type Harm = fn(&Esker);
    let lost: Harm = |esker| fs::remove_file(data_pack_of(esker, "one")).unwrap();
    // Neither it nor what names it tells what it holds.
    let unreadable: Harm = |esker| {
        let pack = data_pack_of(esker, "one");
        let len = fs::metadata(&pack).unwrap().len() as usize;
        let mut bytes = fs::read(&pack).unwrap();
        bytes[len - 4] ^= 1;
        fs::write(&pack, bytes).unwrap();
        fs::read_dir(esker.repo().join("index")).unwrap().for_each(|segment| rot(&segment.unwrap().path()));
    };
    for (harm, more) in [(lost, &["--reread"][..]), (lost, &[]), (unreadable, &[])] {
        let esker = Esker::encrypted();
        let source = esker.path("source");
        fs::create_dir_all(&source).unwrap();
        fs::write(source.join("file"), noise(1, 5000)).unwrap();
        let backup = |label: &str, more: &[&str]| {
            let host = host("h", &source);
            esker.json(&[&["backup", "--host", &host, "--label", label, "--reread-share", "0"], more].concat(), 4)
        };
        backup("one", &[]);
        harm(&esker);
        // Its chunks do not exist for the next writer, read or not.
        backup("two", more);
        let target = esker.path("t");
        for label in ["one", "two"] {
            let target = target.join(label);
            esker.run(&["restore", label, "--target", target.to_str().unwrap()]).exits(0);
            crate::kit::assert_restored(&source, &target.join("h"), &[]);
        }
    }
}

#[test]
fn a_backup_that_vanished_from_the_store_is_missed_by_who_saw_it() {
    let esker = Esker::encrypted();
    let source = esker.path("source");
    fs::create_dir_all(&source).unwrap();
    esker.run(&["backup", "--host", &host("h", &source), "--label", "one"]).exits(4);
    esker.run(&["backup", "--host", &host("h", &source), "--label", "two"]).exits(4);
    esker.run(&["list"]).exits(0);
    let manifest = |label: &str| esker.repo().join("manifests").join(esker.json(&["show", label], 0)["id"].as_str().unwrap());
    let two = manifest("two");
    let bytes = fs::read(&two).unwrap();
    fs::remove_file(&two).unwrap();
    esker.run(&["list"]).exits(3).says("nobody forgot it");
    assert!(esker.run(&["fsck"]).exits(3).text().contains("is missing, and nobody forgot it"));
    fs::write(&two, bytes).unwrap();
    esker.run(&["list"]).exits(0);
    let one = manifest("one");
    rot(&one);
    assert!(esker.run(&["list"]).exits(3).text().contains("two"), "the others are still listed");
    esker.run(&["restore", "one", "--target", esker.path("t").to_str().unwrap()]).exits(3).says("manifests/");
    esker.run(&["restore", "two", "--target", esker.path("u").to_str().unwrap()]).exits(0);
    // Damage is passed by forgetting the backup by its id.
    let id = one.file_name().unwrap().to_str().unwrap().to_owned();
    esker.run(&["forget", &id]).exits(0);
    esker.run(&["list"]).exits(0);
    esker.run(&["fsck", "--level", "files"]).exits(0);
}

fn rot(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let half = bytes.len() / 2;
    bytes[half] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_is_no_object_of_the_repository_is_a_notice_and_no_damage() {
    let esker = Esker::encrypted();
    fs::create_dir_all(esker.repo().join("packs/data/elsewhere")).unwrap();
    for name in ["thumbs.db", "packs/data/elsewhere/x", "manifests/readme"] {
        fs::create_dir_all(esker.repo().join(name).parent().unwrap()).unwrap();
        fs::write(esker.repo().join(name), "x").unwrap();
    }
    let text = esker.run(&["fsck", "--level", "files"]).exits(0).text();
    assert_eq!(text.matches("not an object of this repository").count(), 3, "{text}");
    esker.run(&["list"]).exits(0);
}

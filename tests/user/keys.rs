//! Passphrases, recovery keys, and repositories that are not what they claim to be.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use esker_format::key::{Argon2Cost, Secret};
use esker_repo::session::Session;
use esker_testkit::faulty_store::FaultyStore;

use crate::kit::{Esker, Run, Shelf, hex_name, host, id_of, names, noise};

/// An encrypted repository with one backup, and the folder that it is of.
fn with_backup() -> (Esker, PathBuf) {
    let esker = Esker::encrypted();
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), noise(1, 3000)).unwrap();
    esker.run(&["backup", "--host", &host("h", &source), "--label", "one"]).exits(4);
    (esker, source)
}

/// Runs with another passphrase than the user's own; `None` gives none.
fn run_as(esker: &Esker, passphrase: Option<&str>, args: &[&str]) -> Run {
    let mut command = esker.command(args);
    match passphrase {
        Some(passphrase) => command.env("ESKER_PASSPHRASE", passphrase),
        None => command.env_remove("ESKER_PASSPHRASE"),
    };
    esker.run_command(&mut command)
}

fn add(esker: &mut Esker, passphrase: &str) -> String {
    esker.keep_secret(passphrase);
    let mut command = esker.command(&["key", "add", "--json"]);
    command.env("ESKER_NEW_PASSPHRASE", passphrase);
    id_of(&esker.run_command(&mut command).exits(0).json())
}

#[test]
fn a_wrong_passphrase_is_one_line_and_exit_1() {
    let (mut esker, _) = with_backup();
    esker.keep_secret("not the Passphrase at all");
    for wrong in ["not the Passphrase at all", "ridge of Layered gravel #7 ", "RIDGE"] {
        let run = run_as(&esker, Some(wrong), &["list"]).exits(1);
        assert_eq!((run.stderr.as_str(), run.text().as_str()), ("esker: wrong passphrase or recovery key\n", ""));
    }
    assert_eq!(run_as(&esker, Some("x"), &["list", "--json"]).exits(1).json()["exit"], 1);
}

#[test]
fn without_a_passphrase_and_without_a_terminal_the_ways_to_give_one_are_told() {
    let (esker, source) = with_backup();
    for verb in [&["list"][..], &["backup", "--host", &host("h", &source)], &["key", "add"], &["fsck"]] {
        run_as(&esker, None, verb).exits(2).says("--passphrase-file FILE or ESKER_PASSPHRASE");
    }
    run_as(&esker, Some(""), &["list"]).exits(2).says("the passphrase is empty");
    run_as(&esker, Some(&"x".repeat(100_000)), &["list"]).exits(2).says("longer than");
    let fresh = Esker::without_repository(None);
    fresh.run(&["init"]).exits(2).says("no passphrase");
    let both = Esker::without_repository(Some("both of them"));
    both.run(&["init", "--no-encryption"]).exits(2).says("together with --no-encryption");
}

#[test]
fn a_passphrase_file_ends_where_its_line_does_and_is_better_kept_private() {
    let (esker, _) = with_backup();
    let file = esker.path("passphrase");
    let with_file = |text: &str, mode: u32| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        run_as(&esker, None, &["list", "--passphrase-file", file.to_str().unwrap()])
    };
    let passphrase = Esker::PASSPHRASE;
    assert!(with_file(passphrase, 0o600).exits(0).stderr.is_empty());
    with_file(&format!("{passphrase}\n"), 0o600).exits(0);
    with_file(&format!("{passphrase}\r\n"), 0o644).exits(0).says("can be read by others");
    with_file(&format!("{passphrase}\n\n"), 0o600).exits(1);
    with_file("", 0o600).exits(2);
    fs::remove_file(&file).unwrap();
    run_as(&esker, None, &["list", "--passphrase-file", file.to_str().unwrap()]).exits(1).says("cannot read");
}

#[test]
fn several_people_open_one_repository_each_with_a_key_of_their_own() {
    let (mut esker, source) = with_backup();
    let second = add(&mut esker, "second Person's words");
    add(&mut esker, "third Person's words");
    for passphrase in [Esker::PASSPHRASE, "second Person's words", "third Person's words"] {
        run_as(&esker, Some(passphrase), &["show", "one"]).exits(0);
        let target = esker.path(&passphrase[..6]);
        run_as(&esker, Some(passphrase), &["restore", "one", "--target", target.to_str().unwrap()]).exits(0);
        crate::kit::assert_restored(&source, &target.join("h"), &[]);
    }
    assert_eq!(names(&esker.json(&["key", "list"], 0), "kind"), ["passphrase"; 3]);
    let removed = esker.run(&["key", "remove", &second[..12]]).exits(0);
    removed.says("this does not revoke the key");
    run_as(&esker, Some("second Person's words"), &["list"]).exits(1).says("wrong passphrase");
    run_as(&esker, Some("third Person's words"), &["list"]).exits(0);
    esker.run(&["key", "remove", &second[..12]]).exits(2).says("0 keys are called");
    esker.run(&["key", "remove", &second[..7]]).exits(2);
    esker.run(&["fsck", "--level", "files"]).exits(0);
}

#[test]
fn the_last_key_cannot_be_removed() {
    let (mut esker, _) = with_backup();
    let only = names(&esker.json(&["key", "list"], 0), "id").remove(0);
    esker.run(&["key", "remove", &only]).exits(1).says("is the only key");
    let other = add(&mut esker, "another One");
    esker.run(&["key", "remove", &other]).exits(0);
    esker.run(&["key", "remove", &only]).exits(1).says("is the only key");
    esker.run(&["list"]).exits(0);
}

#[test]
fn a_removal_of_a_key_that_dies_at_any_request_leaves_no_damage() {
    let secret = |text: &str| Secret::Passphrase(text.as_bytes().to_vec().into());
    let shelf = Shelf::new(Some(secret("first")), 1_800_000_000_000);
    let second = shelf.open().add_key(&secret("first"), &secret("second"), Argon2Cost::CHEAP, "").unwrap();
    let source = shelf.path("source");
    fs::create_dir(&source).unwrap();
    // It names the keys that stand.
    shelf.backup("one", &source).unwrap();
    let objects = shelf.objects();
    for nth in 1.. {
        let store = FaultyStore::new(Shelf::store_of(&objects));
        let repository = Shelf::over(Arc::new(store.clone()), shelf.secret.clone(), Arc::clone(&shelf.environment)).open();
        let session = Session::begin(&repository, "key remove").unwrap();
        store.plan().restart_count();
        store.plan().fail_all_from(nth);
        let removed = repository.remove_key(&second, session.id());
        store.plan().heal();
        let next = Shelf::over(Arc::clone(store.inner()), shelf.secret.clone(), Arc::clone(&shelf.environment));
        assert_eq!(next.damage(), Vec::<String>::new(), "after {nth} requests");
        if removed.is_ok() {
            assert!(nth > 5 && next.open().keys().unwrap().len() == 1);
            return;
        }
    }
}

#[test]
fn a_recovery_key_on_paper_opens_the_repository_however_it_is_typed() {
    let (esker, _) = with_backup();
    let printed = esker.run(&["key", "add", "--recovery"]).exits(0).text();
    let key = printed.lines().next().unwrap().to_owned();
    assert!(key.starts_with("ESKER-") && printed.contains("keep it on paper"), "{printed}");
    let ways = [key.clone(), key.to_lowercase(), key.replace('-', " "), key.replace('-', "").to_lowercase(), format!("  {key} ")];
    for typed in ways {
        run_as(&esker, Some(&typed), &["show", "one"]).exits(0);
    }
    let mut misread = key.clone().into_bytes();
    let last = misread.last_mut().unwrap();
    *last = if *last == b'0' { b'1' } else { b'0' };
    run_as(&esker, Some(std::str::from_utf8(&misread).unwrap()), &["list"]).exits(1);
    assert_eq!(esker.json(&["key", "list"], 0).as_array().unwrap().len(), 2);
    // It is a key like any other: with it the passphrase can be replaced when it is forgotten.
    let mut command = esker.command(&["key", "add"]);
    command.env("ESKER_PASSPHRASE", &key).env("ESKER_NEW_PASSPHRASE", "the new One");
    esker.run_command(&mut command).exits(0);
    run_as(&esker, Some("the new One"), &["list"]).exits(0);
    let mut command = esker.command(&["key", "add"]);
    command.env("ESKER_NEW_PASSPHRASE", &key);
    esker.run_command(&mut command).exits(2).says("that is a recovery key");
}

#[test]
fn a_changed_passphrase_opens_and_the_old_one_does_not() {
    let (mut esker, _) = with_backup();
    esker.keep_secret("a better Passphrase");
    let mut command = esker.command(&["key", "passphrase"]);
    command.env("ESKER_NEW_PASSPHRASE", "a better Passphrase");
    esker.run_command(&mut command).exits(0).says("this does not revoke the key");
    esker.run(&["list"]).exits(1).says("wrong passphrase");
    esker.passphrase = Some("a better Passphrase".to_owned());
    assert_eq!(esker.labels(), ["one"]);
    assert_eq!(esker.json(&["key", "list"], 0).as_array().unwrap().len(), 1);
    esker.run(&["fsck", "--level", "files"]).exits(0);
}

#[test]
fn a_config_swapped_for_an_unencrypted_one_is_refused() {
    let (esker, source) = with_backup();
    let open = Esker::plain(&[]);
    for name in ["config", "config.copy"] {
        fs::copy(open.repo().join(name), esker.repo().join(name)).unwrap();
    }
    let backup = ["backup", "--host", &host("h", &source)];
    let before = esker_testkit::tree::inventory(&esker.repo());
    // Somebody who gives a passphrase expects it to be needed; somebody who was here before remembers that it was.
    esker.run(&backup).exits(1).says("refused").says("says that it is not encrypted, but a passphrase was given");
    run_as(&esker, None, &backup).exits(1).says("refused").says("this client knows it as encrypted");
    assert!(esker_testkit::tree::inventory(&esker.repo()) == before, "nothing was written");
}

#[test]
fn a_config_swapped_for_another_encrypted_one_is_refused() {
    let (esker, _) = with_backup();
    let other = Esker::encrypted();
    for name in ["config", "config.copy"] {
        fs::copy(other.repo().join(name), esker.repo().join(name)).unwrap();
    }
    esker.run(&["list"]).exits(1).says("is not the one its keys were made for");
}

#[test]
fn one_swapped_config_beside_its_honest_copy_is_found_by_fsck() {
    let (esker, _) = with_backup();
    let other = Esker::encrypted();
    fs::copy(other.repo().join("config"), esker.repo().join("config.copy")).unwrap();
    esker.run(&["list"]).exits(0);
    assert!(esker.run(&["fsck"]).exits(3).text().contains("config and its copy differ"));
    fs::copy(esker.repo().join("config"), esker.repo().join("config.copy")).unwrap();
    esker.run(&["fsck"]).exits(0);
    // The copy serves when the first is lost, with a warning each time.
    fs::write(esker.repo().join("config"), "rubbish").unwrap();
    esker.run(&["list"]).exits(4).says("its copy config.copy was used");
    assert!(esker.run(&["fsck"]).exits(3).text().contains("esker fsck --repair writes it again from the other"));
    esker.run(&["fsck", "--repair"]).exits(4);
    esker.run(&["fsck"]).exits(0);
}

/// Changes bytes of an object that ends with the hash of what stands before, and makes that hash right again.
fn forge(bytes: &[u8], at: usize, with: &[u8]) -> Vec<u8> {
    let mut body = bytes[..bytes.len() - 32].to_vec();
    body[at..at + with.len()].copy_from_slice(with);
    let hash = blake3::hash(&body);
    [&body[..], hash.as_bytes()].concat()
}

fn only_file(folder: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    files.remove(0)
}

#[test]
fn a_key_object_that_asks_for_64_gib_is_refused_at_once() {
    let (esker, _) = with_backup();
    let honest = only_file(&esker.repo().join("keys"));
    let bytes = fs::read(&honest).unwrap();
    // Header of 8, kind of 1, then argon2's memory in KiB, its passes and its lanes.
    let greedy = [
        forge(&bytes, 9, &(64u32 << 20).to_le_bytes()),
        forge(&bytes, 13, &u32::MAX.to_le_bytes()),
        forge(&bytes, 17, &u32::MAX.to_le_bytes()),
    ];
    for object in &greedy {
        fs::write(esker.repo().join("keys").join(hex_name(object)), object).unwrap();
    }
    let start = Instant::now();
    // Which key is tried first is chance; the greedy ones are passed over, and fsck names each.
    assert!(matches!(esker.run(&["list"]).code, Some(0 | 4)));
    let text = esker.run(&["fsck"]).exits(3).text();
    assert_eq!(text.matches("over its limit").count(), greedy.len(), "{text}");
    fs::remove_file(honest).unwrap();
    let run = esker.run(&["list"]).exits(1).says("wrong passphrase or recovery key").says("argon2 memory in KiB");
    assert_eq!(run.stderr.lines().count(), 1);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn what_a_newer_esker_wrote_is_named_and_the_rest_is_read() {
    let (esker, source) = with_backup();
    let newer = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[6..8].copy_from_slice(&7u16.to_le_bytes());
        bytes
    };
    let manifest = only_file(&esker.repo().join("manifests"));
    let bytes = newer(&manifest);
    let forged = esker.repo().join("manifests").join(hex_name(&bytes));
    fs::write(&forged, bytes).unwrap();
    for (verb, code) in [(&["list"][..], 3), (&["backup", "--host", &host("h", &source)], 4), (&["fsck"], 3)] {
        let run = esker.run(verb).exits(code);
        let said = format!("{}{}", run.text(), run.stderr);
        assert!(said.contains("manifests/") && said.contains("newer"), "{verb:?}: {said}");
    }
    // What it can read is read all the same.
    esker.run(&["restore", "one", "--target", esker.path("t").to_str().unwrap()]).exits(0);
    fs::remove_file(forged).unwrap();
    esker.run(&["list"]).exits(0);
    let config = esker.repo().join("config");
    let bytes = forge(&fs::read(&config).unwrap(), 6, &7u16.to_le_bytes());
    fs::write(&config, &bytes).unwrap();
    esker.run(&["list"]).exits(4).says("config").says("newer");
    fs::write(esker.repo().join("config.copy"), &bytes).unwrap();
    esker.run(&["list"]).exits(1).says("config").says("newer");
}

#[test]
fn init_makes_nothing_where_something_is() {
    let (esker, _) = with_backup();
    let before = esker_testkit::tree::inventory(&esker.repo());
    esker.run(&["init"]).exits(1).says("already holds a repository");
    assert!(esker_testkit::tree::inventory(&esker.repo()) == before);
    // A first `init` that was killed before its config was written is no repository, and its place is not empty.
    fs::remove_file(esker.repo().join("config")).unwrap();
    fs::remove_file(esker.repo().join("config.copy")).unwrap();
    esker.run(&["init"]).exits(1).says("already holds");
    esker.run(&["list"]).exits(3).says("config is missing");
}

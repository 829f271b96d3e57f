//! Backups copied into a second repository, with other keys and with the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use esker_testkit::cluster::host_name;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::kit::{Esker, Host, Run, assert_restored, host, id_of, names, noise, number};

const OTHER: &str = "moraine of Other stones #8";

/// A second repository that belongs to somebody else.
fn second(passphrase: Option<&str>, init: &[&str]) -> Esker {
    let esker = Esker::without_repository(passphrase);
    let plain: &[&str] = if passphrase.is_some() { &[] } else { &["--no-encryption"] };
    esker.run(&[&["init"], plain, init].concat()).exits(0);
    esker
}

/// `copy --from` the first, where ESKER_REPO is the second.
fn command(from: &Esker, to: &Esker, args: &[&str]) -> Command {
    let repo = from.repo();
    let mut command = to.command(&[&["copy", "--from", repo.to_str().unwrap()], args].concat());
    if let Some(passphrase) = &from.passphrase {
        command.env("ESKER_FROM_PASSPHRASE", passphrase);
    }
    command
}

fn run(from: &Esker, to: &Esker, args: &[&str]) -> Run {
    to.run_command(&mut command(from, to, args))
}

#[track_caller]
fn copy(from: &Esker, to: &Esker, args: &[&str], code: i32) -> Value {
    run(from, to, &[args, &["--json"]].concat()).exits(code).json()
}

#[track_caller]
fn back_up(esker: &Esker, day: &Path, label: &str) -> Value {
    let hosts = Host::arguments(day);
    let mut args = vec!["backup", "--label", label, "--reread-share", "0", "--tag", "nightly"];
    args.extend(hosts.iter().map(String::as_str));
    esker.json(&args, 0)
}

#[track_caller]
fn comes_back(esker: &Esker, label: &str, day: &Path) {
    let target = tempfile::tempdir_in(esker.folder()).unwrap();
    let target = target.path().join("t");
    esker.run(&["restore", label, "--target", target.to_str().unwrap()]).exits(0);
    (0..3).map(host_name).for_each(|host| assert_restored(&day.join(&host), &target.join(&host), &[]));
}

/// What stays the same of a backup wherever it is copied to.
fn lasting(esker: &Esker, label: &str) -> Value {
    let mut shown = esker.json(&["show", label], 0);
    let fields = shown.as_object_mut().unwrap();
    ["id", "age_s", "session", "stored_bytes", "verified_level", "verified_ms", "origin", "requests"]
        .iter()
        .for_each(|field| drop(fields.remove(*field)));
    shown
}

fn pack_bytes(esker: &Esker, kind: &str) -> u64 {
    fn below(path: &Path) -> u64 {
        let entries = fs::read_dir(path).map_or_else(|_| Vec::new(), |entries| entries.flatten().collect());
        let size = |path: PathBuf| if path.is_dir() { below(&path) } else { fs::metadata(path).map_or(0, |found| found.len()) };
        entries.into_iter().map(|entry| size(entry.path())).sum()
    }
    below(&esker.repo().join("packs").join(kind))
}

/// Reads a repository with the reader that shares no code with Esker, if there is one here.
fn the_independent_reader_restores(esker: &Esker, label: &str, day: &Path) {
    let Ok(python) = std::env::var("ESKER_READER_PYTHON") else { return };
    let target = esker.path("by the reader");
    let reader = concat!(env!("CARGO_MANIFEST_DIR"), "/../../format-spec/reader/esker_reader.py");
    let mut command = Command::new(python);
    command.arg(reader).arg("restore").arg(esker.repo()).arg(label).arg(&target);
    if let Some(passphrase) = &esker.passphrase {
        let file = esker.path("passphrase");
        fs::write(&file, passphrase).unwrap();
        command.arg("--passphrase-file").arg(file);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (0..3).map(host_name).for_each(|host| assert_restored(&day.join(&host), &target.join(&host), &[]));
}

#[test]
fn copies_come_back_byte_for_byte_whatever_the_keys() {
    let first = Esker::encrypted();
    let days = Host::cluster(first.folder(), 2, 30_000);
    let made: Vec<u64> = (0..2).map(|day| number(&back_up(&first, &days[day], &format!("day{day}")), "new_bytes")).collect();
    let plain = second(None, &[]);
    let encrypted = second(Some(OTHER), &[]);
    for (from, to, more) in [(&first, &plain, &["--decrypt"][..]), (&plain, &encrypted, &[])] {
        let report = copy(from, to, more, 0);
        assert_eq!((number(&report, "copied"), number(&report, "known"), number(&report, "damaged")), (2, 0, 0), "{report}");
        assert!(!report["same_keys"].as_bool().unwrap() && report["protected"].as_bool().unwrap(), "{report}");
        assert_eq!(to.labels(), ["day0", "day1"]);
        // What both backups hold was read once.
        let read: Vec<u64> = report["backups"].as_array().unwrap().iter().map(|line| number(line, "read_bytes")).collect();
        assert!(read[0] <= made[0] + made[0] / 10 && read[1] <= made[1] + made[1] / 10, "{made:?} {report}");
        for (label, day) in [("day0", &days[0]), ("day1", &days[1])] {
            assert_eq!(lasting(to, label), lasting(from, label));
            comes_back(to, label, day);
        }
        to.run(&["fsck", "--level", "engine"]).exits(0);
        let again = copy(from, to, more, 0);
        assert_eq!((number(&again, "copied"), number(&again, "known"), number(&again, "read_bytes")), (0, 2, 0), "{again}");
        assert!(run(from, to, more).exits(0).text().contains("copied 0 backups"));
    }
    the_independent_reader_restores(&encrypted, "day1", &days[1]);
    // A copy of a copy is the backup that was made first, and that is at home already.
    let origin = encrypted.json(&["show", "day1"], 0)["origin"].clone();
    assert_eq!(origin["id"], first.json(&["show", "day1"], 0)["id"]);
    let home = copy(&encrypted, &first, &[], 0);
    assert_eq!((number(&home, "copied"), number(&home, "known")), (0, 2), "{home}");
}

#[test]
fn the_next_copy_reads_only_what_is_new() {
    let first = Esker::encrypted();
    let days = Host::cluster(first.folder(), 2, 60_000);
    back_up(&first, &days[0], "day0");
    let to = second(Some(OTHER), &[]);
    let all = copy(&first, &to, &[], 0);
    let made = back_up(&first, &days[1], "day1");
    let would = copy(&first, &to, &["-n"], 0);
    assert_eq!((number(&would, "copied"), number(&would, "known"), number(&would, "stored_bytes")), (1, 1, 0), "{would}");
    assert_eq!(to.labels(), ["day0"]);
    let next = copy(&first, &to, &[], 0);
    assert_eq!((number(&next, "copied"), number(&next, "known")), (1, 1), "{next}");
    assert!(number(&next, "read_bytes") <= number(&made, "new_bytes") * 11 / 10, "{made} {next}");
    assert!(number(&next, "stored_bytes") <= number(&made, "stored_bytes") * 11 / 10, "{made} {next}");
    assert!(number(&next, "read_bytes") * 3 < number(&all, "read_bytes"), "{all} {next}");
    comes_back(&to, "day1", &days[1]);
    to.run(&["fsck", "--level", "files"]).exits(0);
}

#[test]
fn a_repository_with_the_same_keys_takes_chunks_as_they_are() {
    let first = Esker::encrypted();
    let days = Host::cluster(first.folder(), 2, 30_000);
    back_up(&first, &days[0], "day0");
    let to = Esker::without_repository(Some(OTHER));
    let repo = first.repo();
    let mut init = to.command(&["init", "--same-keys-as", repo.to_str().unwrap()]);
    to.run_command(init.env("ESKER_FROM_PASSPHRASE", Esker::PASSPHRASE)).exits(0);
    let report = copy(&first, &to, &[], 0);
    assert!(report["same_keys"].as_bool().unwrap(), "{report}");
    comes_back(&to, "day0", &days[0]);
    // The next day goes into both: what one holds of it, the other does not read again.
    back_up(&first, &days[1], "day1");
    let into_second = back_up(&to, &days[1], "day1 too");
    assert!(number(&into_second, "reused_bytes") > 0, "it builds on what was copied: {into_second}");
    let next = copy(&first, &to, &[], 0);
    assert!(number(&next, "read_bytes") * 20 < number(&report, "read_bytes"), "{report} {next}");
    ["day0", "day1", "day1 too"].iter().zip([0, 1, 1]).for_each(|(label, day)| comes_back(&to, label, &days[day]));
    to.run(&["fsck", "--level", "files"]).exits(0);
    // Its own passphrase opens it, and not the other's.
    let mut list = to.command(&["list"]);
    to.run_command(list.env("ESKER_PASSPHRASE", Esker::PASSPHRASE)).exits(1).says("wrong passphrase");
}

/// A repository of small packs with one backup `noise` of noise.
fn noisy(len: usize) -> (Esker, PathBuf) {
    let esker = Esker::plain(&["--chunk-min", "4096", "--chunk-avg", "8192", "--chunk-max", "16384", "--pack-size", "262144"]);
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("noise"), noise(1, len)).unwrap();
    esker.run(&["backup", "--host", &host("h", &source), "--label", "noise"]).exits(4);
    (esker, source)
}

fn kill_once(child: &mut Child, so: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !so() {
        if child.try_wait().unwrap().is_some() || start.elapsed() > Duration::from_secs(60) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    kill_process(Pid::from_child(child), Signal::KILL).unwrap();
    true
}

#[test]
fn a_copy_that_is_killed_again_and_again_goes_on_from_what_it_had_stored() {
    let (first, source) = noisy(40 << 20);
    let to = second(Some(OTHER), &["--pack-size", "262144"]);
    let (mut killed, mut last) = (0, None);
    for round in 1..=4 {
        let mut child = command(&first, &to, &["--json"]).spawn().unwrap();
        if kill_once(&mut child, || pack_bytes(&to, "data") > round * (8 << 20)) {
            killed += 1;
            child.wait().unwrap();
            assert!(to.labels().is_empty());
        } else {
            last = Some(to.wait(child));
            break;
        }
    }
    assert!(killed >= 3, "it was killed {killed} times");
    let report = last.unwrap_or_else(|| run(&first, &to, &["--json"])).exits(0).json();
    let line = &report["backups"][0];
    assert!(number(line, "left_over_chunks") > 0 && number(line, "known_chunks") * 8192 > 20 << 20, "{report}");
    // Nothing is stored twice but what was on its way.
    assert!(pack_bytes(&to, "data") < (40 << 20) + (6 << 20), "{}", pack_bytes(&to, "data"));
    let target = to.path("t");
    to.run(&["restore", "noise", "--target", target.to_str().unwrap()]).exits(0);
    assert_restored(&source, &target.join("h"), &[]);
    to.run(&["fsck", "--level", "files"]).exits(0);
}

#[test]
fn what_is_damaged_is_named_and_the_other_backups_are_copied() {
    let (first, source) = noisy(3 << 20);
    let fresh = first.path("fresh");
    fs::create_dir(&fresh).unwrap();
    let before = session_folders(&first);
    fs::write(fresh.join("other"), noise(2, 2 << 20)).unwrap();
    first.run(&["backup", "--host", &host("h", &fresh), "--label", "other"]).exits(4);
    let of_other = session_folders(&first).into_iter().find(|folder| !before.contains(folder)).unwrap();
    let pack = fs::read_dir(&of_other).unwrap().next().unwrap().unwrap().path();
    let aside = first.path("aside");
    fs::rename(&pack, &aside).unwrap();
    let to = second(Some(OTHER), &[]);
    let run_text = run(&first, &to, &[]).exits(3).text();
    assert!(run_text.contains("DAMAGE other: h/other") && run_text.contains("esker fsck"), "{run_text}");
    assert_eq!(to.labels(), ["noise"]);
    let report = copy(&first, &to, &[], 3);
    assert_eq!((number(&report, "known"), number(&report, "damaged"), number(&report, "copied")), (1, 1, 0), "{report}");
    assert_eq!(copy(&first, &to, &["noise"], 0)["known"], 1);
    // A flipped bit is no better than a lost pack.
    let mut bytes = fs::read(&aside).unwrap();
    bytes[1000] ^= 1;
    fs::write(&pack, &bytes).unwrap();
    assert!(run(&first, &to, &[]).exits(3).text().contains("h/other"));
    fs::rename(&aside, &pack).unwrap();
    let mended = copy(&first, &to, &[], 0);
    assert!(number(&mended, "copied") == 1 && number(&mended["backups"][1], "known_chunks") > 100, "{mended}");
    for (label, folder) in [("noise", &source), ("other", &fresh)] {
        let target = to.path(label);
        to.run(&["restore", label, "--target", target.to_str().unwrap()]).exits(0);
        assert_restored(folder, &target.join("h"), &[]);
    }
    // A manifest that cannot be read: nobody knows which backup it was.
    let id = first.json(&["list"], 0)["backups"][1]["id"].as_str().unwrap().to_owned();
    fs::write(first.repo().join("manifests").join(&id), b"rubbish").unwrap();
    let report = copy(&first, &to, &[], 3);
    assert!(names(&report["backups"], "label") == ["noise"] && report["findings"][0].as_str().unwrap().contains(&id), "{report}");
}

fn session_folders(esker: &Esker) -> Vec<PathBuf> {
    let entries = fs::read_dir(esker.repo().join("packs/data")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn holds_and_tags_go_along_until_somebody_decides_about_the_copy() {
    let (first, _) = noisy(100_000);
    first.run(&["forget", "noise", "--hold"]).exits(0);
    first.run(&["forget", "noise", "--add-tag", "audit"]).exits(0);
    let to = second(Some(OTHER), &[]);
    copy(&first, &to, &[], 0);
    let line = |esker: &Esker| esker.json(&["list"], 0)["backups"][0].clone();
    assert_eq!((&line(&to)["held"], &line(&to)["tags"]), (&line(&first)["held"], &line(&first)["tags"]));
    assert!(line(&to)["held"].as_bool().unwrap());
    to.run(&["forget", "noise", "--unhold"]).exits(0);
    copy(&first, &to, &[], 0);
    assert!(!line(&to)["held"].as_bool().unwrap(), "the second repository's own decision stands");
    // What is held only later is carried over by the next copy.
    let third = second(None, &[]);
    copy(&to, &third, &["--decrypt"], 0);
    let (later, _) = noisy(50_000);
    let fourth = second(Some(OTHER), &[]);
    copy(&later, &fourth, &[], 0);
    later.run(&["forget", "noise", "--hold"]).exits(0);
    let report = copy(&later, &fourth, &[], 0);
    assert!(report["backups"][0]["notes"].as_bool().unwrap() && line(&fourth)["held"].as_bool().unwrap(), "{report}");
}

#[test]
fn a_copy_that_makes_no_sense_is_refused() {
    let (first, _) = noisy(50_000);
    let repo = first.repo();
    let repo = repo.to_str().unwrap();
    first.run(&["copy", "--from", repo]).exits(2).says("cannot be copied to itself");
    first.run(&["copy"]).exits(2).says("which way?");
    let to = second(Some(OTHER), &[]);
    let to_repo = to.repo();
    let to_repo = to_repo.to_str().unwrap();
    to.run(&["copy", "--from", repo, "--to", to_repo, "--repo", "elsewhere"]).exits(2).says("give two of the three");
    to.run(&["copy", "--from", "/no/such/place"]).exits(1).says("not an Esker repository");
    copy(&first, &to, &["no such backup"], 2);
    copy(&first, &to, &[], 0);
    // From the encrypted one back into the open, only if that is said.
    let open = second(None, &[]);
    run(&to, &open, &[]).exits(2).says("--decrypt");
    assert!(open.labels().is_empty());
    // ESKER_REPO may be the side that is read, too; --to has the usual passphrase.
    let mut from_here = first.command(&["copy", "--to", to_repo, "--json"]);
    let report = first.run_command(from_here.env("ESKER_PASSPHRASE", OTHER)).exits(0).json();
    assert_eq!(number(&report, "known"), 1, "{report}");
}

#[test]
fn two_backups_of_one_label_are_kept_apart_by_their_ids() {
    let (first, _) = noisy(50_000);
    let (other, _) = noisy(60_000);
    let to = second(Some(OTHER), &[]);
    copy(&first, &to, &[], 0);
    run(&other, &to, &[]).exits(4).says("another backup is called noise");
    assert_eq!(to.labels(), ["noise", "noise"]);
    to.run(&["show", "noise"]).exits(2).says("name one by its id");
    let id = id_of(&to.json(&["list"], 0)["backups"][1]);
    assert_eq!(to.json(&["show", &id[..8]], 0)["origin"]["id"], other.json(&["show", "noise"], 0)["id"]);
}

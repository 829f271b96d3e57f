//! Mending what broke: from what is left, from hosts, from a second repository, and what nobody has any more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use esker_testkit::cluster::host_name;
use esker_testkit::tree::{copy_tree, diff_trees, inventory};
use serde_json::{Value, json};

use crate::kit::{Esker, Host, assert_restored, comes_back, host, names, noise, number, small_engine};

/// Objects of a repository by path.
type Objects = BTreeMap<PathBuf, Vec<u8>>;

fn objects(repo: &Path) -> Objects {
    let files = inventory(repo).into_keys().filter(|path| repo.join(path).is_file());
    files.map(|path| (path.clone(), fs::read(repo.join(path)).unwrap())).collect()
}

/// Nothing that was there has gone or changed, but for these.
#[track_caller]
fn assert_nothing_lost(before: &Objects, repo: &Path, but: &[&Path]) {
    let after = objects(repo);
    for (path, bytes) in before.iter().filter(|(path, _)| !but.contains(&path.as_path())) {
        assert!(after.get(path) == Some(bytes), "{} went or changed", path.display());
    }
}

/// A cluster of two days, backed up as `day0` and `day1`.
struct Story {
    esker: Esker,
    days: Vec<PathBuf>,
    /// The repository as it was.
    whole: PathBuf,
}

impl Story {
    fn new(esker: Esker) -> Self {
        let days = Host::cluster(esker.folder(), 2, 3000);
        for (number, day) in days.iter().enumerate() {
            let label = format!("day{number}");
            let mut args = vec!["backup".to_owned(), "--label".to_owned(), label, "--reread-share".to_owned(), "0".to_owned()];
            args.extend(Host::arguments(day));
            esker.run(&args).exits(0);
        }
        let whole = esker.path("whole");
        copy_tree(&esker.repo(), &whole);
        Self { esker, days, whole }
    }

    /// Puts the repository back as it was.
    fn reset(&self) {
        fs::remove_dir_all(self.esker.repo()).unwrap();
        copy_tree(&self.whole, &self.esker.repo());
    }

    /// The packs of a kind that a backup wrote, relative to the repository.
    fn packs(&self, kind: &str, label: &str) -> Vec<PathBuf> {
        let shown = Command::new(env!("CARGO_BIN_EXE_esker"))
            .args(["--json", "show", label])
            .env("ESKER_REPO", &self.whole)
            .env("ESKER_CACHE_DIR", self.esker.cache())
            .env("ESKER_PASSPHRASE", Esker::PASSPHRASE)
            .output()
            .unwrap();
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        let folder = PathBuf::from("packs").join(kind).join(shown["session"].as_str().unwrap());
        fs::read_dir(self.whole.join(&folder)).unwrap().map(|entry| folder.join(entry.unwrap().file_name())).collect()
    }

    fn remove(&self, paths: &[PathBuf]) {
        paths.iter().for_each(|path| fs::remove_file(self.esker.repo().join(path)).unwrap());
    }

    fn repair(&self, more: &[String], code: i32) -> Value {
        let args: Vec<String> = ["fsck", "--repair", "--json"].into_iter().map(str::to_owned).chain(more.iter().cloned()).collect();
        self.esker.run(&args).exits(code).json()
    }

    /// Both backups pass every level and come back byte for byte.
    #[track_caller]
    fn is_whole(&self) {
        ["existence", "structure", "files"].iter().for_each(|level| drop(self.esker.run(&["fsck", "--level", level]).exits(0)));
        for (number, day) in self.days.iter().enumerate() {
            let target = tempfile::tempdir_in(self.esker.folder()).unwrap();
            let target = target.path().join("t");
            self.esker.run(&["restore", &format!("day{number}"), "--target", target.to_str().unwrap()]).exits(0);
            (0..3).map(host_name).for_each(|name| assert_restored(&day.join(&name), &target.join(&name), &[]));
        }
        assert!(!self.esker.run(&["list"]).exits(0).text().contains("damaged"));
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 4;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes.truncate(bytes.len() - 7);
    fs::write(path, bytes).unwrap();
}

fn segments(story: &Story) -> Vec<PathBuf> {
    fs::read_dir(story.whole.join("index")).unwrap().map(|entry| PathBuf::from("index").join(entry.unwrap().file_name())).collect()
}

#[test]
fn segments_lost_or_damaged_are_made_again_from_the_packs() {
    let story = Story::new(Esker::encrypted());
    let repo = story.esker.repo();
    for (number, segment) in segments(&story).iter().enumerate() {
        story.reset();
        match number % 2 {
            0 => fs::remove_file(repo.join(segment)).unwrap(),
            _ => flip(&repo.join(segment), 100),
        }
        let before = objects(&repo);
        assert!(story.esker.run(&["fsck"]).exits(3).text().contains("esker fsck --repair indexes the packs again"));
        let report = story.repair(&[], 0);
        assert!(number_of(&report, "indexed_packs") > 0, "{report}");
        assert_nothing_lost(&before, &repo, &[segment]);
        assert_eq!(report["findings"], json!([]));
        story.is_whole();
    }
    story.reset();
    fs::remove_dir_all(repo.join("index")).unwrap();
    story.repair(&[], 0);
    story.is_whole();
}

fn number_of(report: &Value, field: &str) -> u64 {
    number(&report["repair"], field)
}

#[test]
fn every_kind_of_pack_lost_or_damaged_comes_back_from_the_hosts() {
    let story = Story::new(Esker::encrypted());
    let repo = story.esker.repo();
    for (kind, label, day) in [("data", "day0", 0), ("data", "day1", 1), ("meta", "day0", 0), ("meta", "day1", 1)] {
        let packs = story.packs(kind, label);
        for damage in ["removed", "one frame", "one frame at the end", "cut", "own table"] {
            story.reset();
            for pack in packs.iter().map(|pack| repo.join(pack)) {
                let len = fs::metadata(&pack).unwrap().len() as usize;
                match damage {
                    "removed" => fs::remove_file(&pack).unwrap(),
                    "one frame" => flip(&pack, 60),
                    "one frame at the end" => flip(&pack, len / 2),
                    "cut" => cut(&pack),
                    _ => flip(&pack, len - 60),
                }
            }
            let before = objects(&repo);
            let report = story.repair(&Host::arguments(&story.days[day]), 0);
            assert_nothing_lost(&before, &repo, &[]);
            assert_eq!(report["repair"]["lost"], json!([]), "{kind} of {label} {damage}: {report}");
            assert!(number_of(&report, "mended_chunks") + number_of(&report, "copied_chunks") > 0, "{kind} of {label} {damage}: {report}");
            story.is_whole();
            let told = names(&report["findings"], "what");
            assert!(told.iter().all(|what| what.contains("other packs") || what.contains("whole in another")), "{told:?}");
        }
    }
}

#[test]
fn what_is_left_of_damaged_packs_is_saved_without_any_source() {
    let story = Story::new(Esker::encrypted());
    let repo = story.esker.repo();
    for kind in ["data", "meta"] {
        story.reset();
        let packs = story.packs(kind, "day0");
        packs.iter().for_each(|pack| cut(&repo.join(pack)));
        let report = story.repair(&[], 0);
        assert!(number_of(&report, "from_packs") > 0, "{report}");
        // The pack that was cut may go now.
        story.remove(&packs);
        story.is_whole();
    }
}

#[test]
fn a_later_checkpoint_gives_back_the_runs_that_its_tables_still_use() {
    let story = Story::new(Esker::encrypted());
    story.remove(&story.packs("data", "day1"));
    // The other day's hosts have none of the new logs, but tables of the day before that is lost, too.
    let before = story.repair(&[], 3);
    story.reset();
    story.remove(&story.packs("data", "day0"));
    let after = story.repair(&Host::arguments(&story.days[1]), 3);
    assert!(number_of(&after, "from_files") > 0, "{after}");
    let labels = names(&after["repair"]["lost"], "label");
    assert!(labels.contains(&"day0".to_owned()), "no host has the logs of day0 any more: {labels:?}");
    assert_eq!(names(&before["repair"]["lost"], "label"), ["day1"]);
}

#[test]
fn a_copy_of_the_repository_gives_back_every_object_as_it_was() {
    let story = Story::new(Esker::encrypted());
    let repo = story.esker.repo();
    story.esker.run(&["list"]).exits(0);
    let before = objects(&repo);
    fs::remove_dir_all(repo.join("packs")).unwrap();
    fs::remove_dir_all(repo.join("index")).unwrap();
    let manifests: Vec<PathBuf> = before.keys().filter(|path| path.starts_with("manifests")).cloned().collect();
    fs::remove_file(repo.join(&manifests[0])).unwrap();
    flip(&repo.join(&manifests[1]), 200);
    fs::remove_file(repo.join("config.copy")).unwrap();
    let from = ["--from".to_owned(), story.whole.display().to_string()];
    let repair = |code: i32| {
        let mut command = story.esker.command(&[&["fsck", "--repair", "--json"][..], &[&from[0], &from[1]]].concat());
        story.esker.run_command(command.env("ESKER_FROM_PASSPHRASE", Esker::PASSPHRASE)).exits(code).json()
    };
    let copied = objects(&story.whole);
    repair(0);
    let lost: Vec<&PathBuf> =
        before.iter().filter(|(path, bytes)| fs::read(repo.join(path)).ok().as_ref() != Some(bytes)).map(|(path, _)| path).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert_eq!(objects(&story.whole), copied, "nothing is written to the second repository");
    story.is_whole();
    // One pack, from a copy: the very object comes back, and nothing else is needed.
    story.reset();
    let packs = story.packs("data", "day1");
    flip(&repo.join(&packs[0]), 300);
    let report = repair(0);
    assert_eq!(report["repair"]["objects"], json!([packs[0].display().to_string()]));
    assert!(fs::read(repo.join(&packs[0])).unwrap() == before[&packs[0]]);
    assert_eq!(report["findings"], json!([]));
    story.is_whole();
}

#[test]
fn a_second_repository_with_other_keys_gives_back_what_its_files_hold() {
    let story = Story::new(Esker::encrypted());
    let other = story.esker.path("other");
    let passphrase_file = story.esker.path("passphrase");
    fs::write(&passphrase_file, "of the other one\n").unwrap();
    let run_other = |args: &[String]| {
        let mut command = story.esker.command(args);
        story.esker.run_command(command.env("ESKER_REPO", &other).env("ESKER_PASSPHRASE", "of the other one")).exits(0);
    };
    run_other(&["init".to_owned()]);
    for (number, day) in story.days.iter().enumerate() {
        // Other labels, and only the second of them the same: files are found by what they hold.
        let label = ["another".to_owned(), "day1".to_owned()][number].clone();
        let args = ["backup".to_owned(), "--label".to_owned(), label].into_iter().chain(Host::arguments(day));
        run_other(&args.collect::<Vec<_>>());
    }
    let from = ["--from", other.to_str().unwrap(), "--from-passphrase-file", passphrase_file.to_str().unwrap()];
    for label in ["day0", "day1"] {
        story.remove(&story.packs("data", label));
    }
    let report = story.repair(&from.map(str::to_owned), 0);
    assert!(number_of(&report, "from_files") > 0, "{report}");
    story.is_whole();
    // Of the same backup also tables and recipes are named anew.
    story.reset();
    story.remove(&story.packs("meta", "day1"));
    story.remove(&story.packs("data", "day1"));
    let report = story.repair(&from.map(str::to_owned), 0);
    assert!(number_of(&report, "from_repository") > 0, "{report}");
    story.is_whole();
    let refused = ["--from", other.to_str().unwrap()].map(str::to_owned);
    story.esker.run(&[&["fsck".to_owned(), "--repair".to_owned()][..], &refused].concat()).exits(1).says("passphrase");
}

#[test]
fn what_nobody_has_any_more_is_named_remembered_and_the_rest_comes_back() {
    let story = Story::new(Esker::encrypted());
    let esker = &story.esker;
    story.remove(&story.packs("data", "day1"));
    let report = story.repair(&[], 3);
    let lost = &report["repair"]["lost"][0];
    assert_eq!((&lost["label"], number(lost, "unnamed")), (&"day1".into(), 0));
    assert!(!lost["partitions"].as_array().unwrap().is_empty());
    let text = esker.run(&["fsck", "--repair"]).exits(3).text();
    assert!(text.contains("STILL LOST  backup day1") && text.contains("--partial --target FOLDER"), "{text}");
    let line = &esker.json(&["list"], 0)["backups"][1];
    assert_eq!((&line["label"], &line["status"]), (&"day1".into(), &"damaged".into()));
    assert_eq!((number(line, "lost_files"), number(line, "lost_bytes")), (number(lost, "files"), number(lost, "bytes")));
    assert!(esker.run(&["list"]).exits(0).text().contains("files lost ("));

    let target = esker.path("t");
    esker.run(&["restore", "latest", "--partial", "--target", target.to_str().unwrap()]).exits(2).says("by its label or id");
    esker.run(&["restore", "day1", "--target", target.to_str().unwrap()]).exits(3);
    // What the failed restore left is gone on with.
    let restored = esker.json(&["restore", "day1", "--partial", "--target", target.to_str().unwrap()], 4);
    let mut missing = BTreeSet::new();
    for file in restored["missing"].as_array().unwrap() {
        missing.insert(format!("{}/{}", file["host"].as_str().unwrap(), file["path"].as_str().unwrap()));
    }
    let lost_files = missing.iter().filter(|name| !name.ends_with("/CURRENT")).count() as u64;
    assert_eq!(lost_files, number(lost, "files"));
    let list = fs::read_to_string(target.join(".esker-missing")).unwrap();
    for (path, node) in inventory(&story.days[1]) {
        let name = path.display().to_string();
        let is_there = target.join(&path).symlink_metadata().is_ok();
        assert_eq!(is_there, !missing.contains(&name), "{name}");
        assert_eq!(list.lines().any(|line| line.starts_with(&format!("{name}\t"))), missing.contains(&name), "{name}");
        if is_there && story.days[1].join(&path).is_file() {
            assert!(fs::read(target.join(&path)).unwrap() == fs::read(story.days[1].join(&path)).unwrap(), "{name} {node:?}");
        }
    }
    let currents: Vec<&String> = missing.iter().filter(|name| name.ends_with("/CURRENT")).collect();
    assert!(!currents.is_empty() && !target.join(".esker-restore").exists());
    // An engine that lacks nothing opens, and only such a one.
    for host in (0..3).map(host_name) {
        for space in ["1", "2"] {
            let folder = format!("{host}/data0/nebula/{space}/checkpoints/day1/data");
            let lacks = missing.iter().any(|name| name.starts_with(&format!("{folder}/")));
            assert_eq!(target.join(&folder).join("CURRENT").exists(), !lacks, "{folder}");
        }
    }
    let whole = esker.path("whole target");
    esker.run(&["restore", "day0", "--partial", "--target", whole.to_str().unwrap()]).exits(0);
    assert!(diff_trees(&story.days[0], &whole, &[]).is_empty());
}

#[test]
fn a_backup_whose_tables_are_lost_comes_back_as_far_as_anybody_knows() {
    let story = Story::new(Esker::encrypted());
    story.remove(&story.packs("meta", "day1"));
    let report = story.repair(&[], 3);
    let lost = report["repair"]["lost"].as_array().unwrap().iter().find(|loss| loss["label"] == "day1").unwrap().clone();
    let files = number(&story.esker.json(&["list"], 0)["backups"][1], "files");
    assert_eq!(number(&lost, "files") + number(&lost, "unnamed"), files, "{lost}");
    assert_eq!(number(&story.esker.json(&["list"], 0)["backups"][1], "lost_files"), files);
    let target = story.esker.path("t");
    let restored = story.esker.json(&["restore", "day1", "--partial", "--target", target.to_str().unwrap()], 4);
    assert_eq!(number(&restored, "files") + number(&restored, "missing_unnamed"), files);
    assert!(!restored["missing_parts"].as_array().unwrap().is_empty());
}

#[test]
fn a_repair_that_was_killed_goes_on_when_it_is_run_again() {
    let story = Story::new(Esker::encrypted());
    let repo = story.esker.repo();
    let lost = [story.packs("data", "day0"), story.packs("meta", "day0"), segments(&story)].concat();
    for wait_ms in [10, 40, 80, 160, 320, 640, 1000] {
        story.reset();
        story.remove(&lost);
        let before = objects(&repo);
        let args = [&["fsck".to_owned(), "--repair".to_owned()][..], &Host::arguments(&story.days[0])].concat();
        let mut child = story.esker.start(&args);
        std::thread::sleep(Duration::from_millis(wait_ms));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_nothing_lost(&before, &repo, &[]);
        let between = objects(&repo);
        let report = story.repair(&Host::arguments(&story.days[0]), 0);
        assert_nothing_lost(&between, &repo, &[]);
        assert_eq!(report["repair"]["lost"], json!([]));
        story.is_whole();
    }
}

#[test]
fn where_nothing_is_damaged_a_repair_writes_no_more_than_a_check() {
    let story = Story::new(Esker::encrypted());
    let repo = story.esker.repo();
    let before = objects(&repo);
    let report = story.repair(&Host::arguments(&story.days[1]), 0);
    assert_eq!((number_of(&report, "stored_bytes"), &report["repair"]["lost"]), (0, &json!([])));
    let new: Vec<PathBuf> = objects(&repo).into_keys().filter(|path| !before.contains_key(path)).collect();
    let of_a_check = |path: &PathBuf| ["sessions", "verified", "audit"].iter().any(|folder| path.starts_with(folder));
    assert!(new.iter().all(of_a_check), "{new:?}");
    assert_nothing_lost(&before, &repo, &[]);
    for wrong in [&["fsck", "--host", "a=/"][..], &["fsck", "--repair", "day0"], &["fsck", "--repair", "--no-remember"]] {
        story.esker.run(wrong).exits(2);
    }
    story.esker.run(&["fsck", "--repair", "--from", repo.to_str().unwrap()]).exits(2);
}

#[test]
fn files_of_bytes_and_their_recipes_come_back_holes_and_all() {
    let esker = Esker::plain(&["--chunk-min", "64", "--chunk-avg", "256", "--chunk-max", "1024", "--pack-size", "65536"]);
    let source = esker.path("source");
    fs::create_dir_all(source.join("folder")).unwrap();
    for seed in 0..4 {
        fs::write(source.join(format!("folder/file{seed}")), noise(seed, 60_000)).unwrap();
    }
    let sparse = fs::File::create(source.join("sparse")).unwrap();
    sparse.set_len(10 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, &noise(9, 5000), 5 << 20).unwrap();
    small_engine(&source.join("engine"), 3000);
    let host = host("h", &source);
    esker.run(&["backup", "--host", &host, "--label", "one", "--no-reencode"]).exits(0);
    let whole = esker.path("whole");
    copy_tree(&esker.repo(), &whole);
    for kinds in [&["packs/data"][..], &["packs/meta"], &["packs/data", "packs/meta"]] {
        kinds.iter().for_each(|kind| fs::remove_dir_all(esker.repo().join(kind)).unwrap());
        let report = esker.json(&["fsck", "--repair", "--host", &host, "--level", "files"], 0);
        assert_eq!(report["repair"]["lost"], json!([]));
        let target = tempfile::tempdir_in(esker.folder()).unwrap();
        let target = target.path().join("t");
        esker.run(&["restore", "one", "--target", target.to_str().unwrap()]).exits(0);
        assert_restored(&source, &target.join("h"), &[]);
        fs::remove_dir_all(esker.repo()).unwrap();
        copy_tree(&whole, &esker.repo());
    }
}

#[test]
fn a_damaged_segment_is_made_again_though_the_backup_that_wrote_it_is_forgotten() {
    let esker = Esker::plain(&[]);
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), noise(1, 100_000)).unwrap();
    let back_up = |label: &str| esker.run(&["backup", "--host", &host("h", &source), "--label", label]).exits(4);
    back_up("one");
    let segment = fs::read_dir(esker.repo().join("index")).unwrap().next().unwrap().unwrap().path();
    back_up("two");
    esker.run(&["forget", "one"]).exits(0);
    fs::write(&segment, "torn").unwrap();
    let found = esker.json(&["fsck", "--level", "structure"], 3);
    let needed = |what: &String| what.contains("although a backup needs it: a segment is lost");
    let what = names(&found["findings"], "what");
    assert_eq!((what.iter().filter(|what| needed(what)).count(), what.len()), (2, 3), "{found}");
    esker.run(&["fsck", "--repair"]).exits(0);
    assert!(!segment.exists());
    assert_eq!(esker.json(&["fsck", "--level", "files"], 0)["findings"], json!([]));
    comes_back(&esker, "two", &source);
}

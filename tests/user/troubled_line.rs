//! Trouble between Esker and its store: every verb either gets through, or ends loudly with the object's name and can be run
//! again.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use esker_testkit::server::http::Request;
use esker_testkit::server::troubled::Trouble;
use esker_testkit::tree::assert_same_tree;
use serde_json::Value;

use crate::kit::{Esker, SMALL_PACKS, Service, backup_of, noise, noisy_days, number};

/// Every verb once; each must get through. Gives how many requests failed.
fn all_verbs(esker: &Esker) -> u64 {
    let [first, second] = noisy_days(esker);
    let mut failed = 0;
    let mut count = |report: &Value| failed += number(&report["requests"], "failed");
    count(&esker.json(&SMALL_PACKS, 0));
    // No engine is in the folders: that is a warning.
    count(&esker.run(&backup_of("first", &first)).exits(4).json());
    count(&esker.run(&backup_of("second", &second)).exits(4).json());
    for args in [&["list"][..], &["show", "first"], &["stats"], &["diff", "first", "second"], &["fsck", "--level", "files"]] {
        count(&esker.json(args, 0));
    }
    esker.run(&["ls", "first"]).exits(0);
    assert_eq!(esker.run(&["dump", "first", "file0", "--host", "h"]).exits(0).stdout, fs::read(first.join("file0")).unwrap());
    fs::remove_dir_all(esker.cache()).unwrap();
    let target = esker.path("restored");
    count(&esker.json(&["restore", "second", "--target", target.to_str().unwrap()], 0));
    assert_same_tree(&second, &target.join("h"), &[]);
    count(&esker.json(&["forget", "first"], 0));
    esker.run(&["key", "list"]).exits(0);
    failed
}

#[test]
fn every_verb_gets_through_a_line_that_drops_every_tenth_request() {
    let service = Service::new();
    let esker = service.user("tenth");
    service.line.choose(|number, _| (number % 10 == 0).then_some(Trouble::Refuse));
    assert!(all_verbs(&esker) > 5);
}

#[test]
fn every_verb_gets_through_all_kinds_of_trouble() {
    let service = Service::new();
    let esker = service.user("kinds");
    let troubles = [
        Trouble::LoseAnswer,
        Trouble::BreakOff(100),
        Trouble::Answer(503, "SlowDown"),
        Trouble::Answer(500, "InternalError"),
        Trouble::Answer(429, "TooManyRequests"),
        Trouble::BreakOff(20_000),
        Trouble::Refuse,
    ];
    service.line.choose(move |number, _| (number % 6 == 5).then(|| troubles[(number / 6) as usize % troubles.len()].clone()));
    assert!(all_verbs(&esker) > 5);
}

#[test]
fn a_write_whose_answer_was_lost_is_made_again_and_harms_nothing() {
    let service = Service::new();
    let esker = service.user("lost");
    esker.run(&SMALL_PACKS).exits(0);
    let [first, _] = noisy_days(&esker);
    let mut seen = std::collections::HashSet::new();
    service.line.choose(move |_, request: &Request| {
        (request.method == "PUT" && seen.insert(request.target.clone())).then_some(Trouble::LoseAnswer)
    });
    let report = esker.run(&backup_of("all-twice", &first)).exits(4).json();
    assert!(number(&report["requests"], "failed") * 2 >= number(&report["requests"], "put"), "{report}");
    service.line.heal();
    assert_eq!(esker.json(&["fsck", "--level", "files"], 0)["findings"], Value::Array(Vec::new()));
}

#[test]
fn a_store_that_stays_away_ends_every_verb_with_the_objects_name_and_it_can_be_run_again() {
    let service = Service::new();
    let mut esker = service.user("gone");
    esker.run(&SMALL_PACKS).exits(0);
    let [first, second] = noisy_days(&esker);
    esker.run(&backup_of("first", &first)).exits(4);
    esker.options = vec!["retry_seconds=0".into()];
    let target = esker.path("restored").display().to_string();
    let verbs: [(Vec<String>, i32); 6] = [
        (["list"].map(str::to_owned).to_vec(), 0),
        (backup_of("second", &second), 4),
        (["stats"].map(str::to_owned).to_vec(), 0),
        (["fsck", "--level", "data"].map(str::to_owned).to_vec(), 0),
        (["restore", "first", "--target", &target].map(str::to_owned).to_vec(), 0),
        (["forget", "first"].map(str::to_owned).to_vec(), 0),
    ];
    for (verb, done) in verbs {
        service.line.choose(|_, _| None);
        for healthy in [0, 1, 3, 6, 10] {
            service.line.choose(move |number, _| (number > healthy).then_some(Trouble::Refuse));
            let run = esker.run(&verb);
            if run.code == Some(done) {
                break;
            }
            let run = run.exits(1);
            let named = [
                "config",
                "keys",
                "doomed",
                "manifests",
                "packs",
                "index",
                "sessions",
                "forgotten",
                "notes",
                "verified",
                "s3://",
                "fences",
            ];
            assert!(named.iter().any(|name| run.stderr.contains(name)), "{verb:?}: {}", run.stderr);
        }
        service.line.choose(|_, _| None);
        esker.run(&verb).exits(done);
    }
    service.line.heal();
    assert_same_tree(&first, &esker.path("restored/h"), &[]);
    assert_eq!(esker.labels(), ["second"]);
}

#[test]
fn a_refusal_in_the_middle_is_final_and_names_the_credentials() {
    let service = Service::new();
    let esker = service.user("refused");
    esker.run(&SMALL_PACKS).exits(0);
    let [first, _] = noisy_days(&esker);
    let is_pack = |request: &Request| request.method == "PUT" && request.target.contains("/packs/");
    service.line.choose(move |_, request| is_pack(request).then_some(Trouble::Answer(403, "AccessDenied")));
    let began = Instant::now();
    esker.run(&backup_of("no", &first)).exits(1).says("cannot write packs/").says("403 AccessDenied").says("access key GK31c2f2…");
    assert!(began.elapsed() < Duration::from_secs(20));
    service.line.heal();
    esker.run(&backup_of("yes", &first)).exits(4);
}

#[test]
fn a_pack_that_is_not_found_is_damage_and_none_once_it_is_back() {
    let service = Service::new();
    let esker = service.user("lost-pack");
    esker.run(&SMALL_PACKS).exits(0);
    let [first, _] = noisy_days(&esker);
    esker.run(&backup_of("first", &first)).exits(4);
    let is_data = |request: &Request| request.method == "GET" && request.target.contains("/packs/data/");
    service.line.choose(move |_, request| is_data(request).then_some(Trouble::Answer(404, "NoSuchKey")));
    let target = esker.path("restored").display().to_string();
    esker.run(&["restore", "first", "--target", &target]).exits(3).says("is missing");
    esker.run(&["fsck", "--level", "files"]).exits(3);
    service.line.heal();
    esker.run(&["restore", "first", "--target", &target]).exits(0);
    esker.run(&["fsck", "--level", "files"]).exits(0);
}

#[test]
fn a_line_that_stands_still_is_given_up_and_a_slow_one_is_not() {
    let service = Service::new();
    let mut esker = service.user("still");
    esker.run(&["init"]).exits(0);
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), noise(1, 3 << 20)).unwrap();
    esker.options.push("stall_seconds=2".into());
    // One pack of 3 MiB at 400 KiB/s takes four times as long as a line may stand still.
    service.line.throttle(400 << 10);
    let report = esker.run(&backup_of("slow", &source)).exits(4).json();
    assert_eq!(number(&report["requests"], "failed"), 0, "{report}");
    service.line.heal();
    let mut stalled = 0;
    service.line.choose(move |_, request| {
        let stall = stalled < 2 && request.method == "GET" && request.target.contains("/packs/data/");
        stalled += u32::from(stall);
        stall.then_some(Trouble::Stall(70_000))
    });
    let target = esker.path("restored").display().to_string();
    esker.json(&["restore", "slow", "--target", &target], 0);
    assert_same_tree(&source, &esker.path("restored/h"), &[]);
}

#[test]
fn a_backup_killed_with_packs_on_their_way_is_run_again() {
    let service = Service::new();
    let esker = service.user("killed");
    esker.run(&SMALL_PACKS).exits(0);
    let [first, _] = noisy_days(&esker);
    service.line.delay(Duration::from_millis(100));
    // Four packs are on their way at once: with the sixth the first was acknowledged.
    let packs = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&packs);
    service.line.choose(move |_, request| {
        seen.fetch_add(u32::from(request.method == "PUT" && request.target.contains("/packs/")), Ordering::SeqCst);
        None
    });
    let mut child = esker.start(&backup_of("again", &first));
    while packs.load(Ordering::SeqCst) < 6 {
        std::thread::sleep(Duration::from_millis(5));
        assert!(child.try_wait().unwrap().is_none(), "it was faster than its killer");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    service.line.heal();
    assert_eq!(esker.labels(), Vec::<String>::new());
    let report = esker.run(&backup_of("again", &first)).exits(4).json();
    assert!(number(&report, "left_over_bytes") > 0, "{report}");
    esker.run(&["fsck", "--level", "files"]).exits(0);
}

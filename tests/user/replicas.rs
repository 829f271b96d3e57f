//! Replicas: three hosts with the same entries in other tables.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use esker_ops::backup::{BackupRequest, backup};
use esker_testkit::faulty_store::FaultyStore;
use esker_testkit::seeded::SplitMix64;
use esker_testkit::tree::tree_bytes;
use esker_testkit::workload::{Engine, Replica, Workload};
use rustix::process::{Pid, Signal, kill_process};

use crate::kit::{Esker, Shelf, TestEnvironment, assert_restored, host, job, number, request};

/// Engines of three replicas, with checkpoints of `days` days: `<folder>/day<N>/host<N>/data`.
fn replicas(folder: &Path, entries: u64, days: u32) -> Vec<PathBuf> {
    let workload = Workload { entries, partitions: 4, ..Workload::default() };
    let live = |number: u32| folder.join(format!("live/{number}/data"));
    let replica = |number| Replica { number, ..Replica::default() };
    let mut engines: Vec<Engine> = (0..3).map(|number| Engine::create_replica(&live(number), &workload, &replica(number))).collect();
    let mut folders = Vec::new();
    for day in 0..days {
        let root = folder.join(format!("day{day}"));
        for (number, engine) in engines.iter_mut().enumerate() {
            if day > 0 {
                engine.next_day();
            }
            let place = root.join(format!("host{number}/data"));
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            engine.checkpoint(&place);
        }
        folders.push(root);
    }
    folders
}

fn hosts(day: &Path, count: usize) -> Vec<String> {
    (0..count).flat_map(|number| ["--host".to_owned(), host(&format!("host{number}"), &day.join(format!("host{number}")))]).collect()
}

#[track_caller]
fn back_up(esker: &Esker, label: &str, hosts: &[String]) -> u64 {
    let mut args = vec!["backup", "--label", label, "--reread-share", "0"];
    args.extend(hosts.iter().map(String::as_str));
    number(&esker.json(&args, 0), "stored_bytes")
}

#[test]
fn what_three_hosts_hold_is_stored_once() {
    let (one, three) = (Esker::plain(&[]), Esker::plain(&[]));
    let days = replicas(three.folder(), 120_000, 3);
    let (mut of_one, mut of_three) = (Vec::new(), Vec::new());
    for (number, day) in days.iter().enumerate() {
        let label = format!("day{number}");
        of_one.push(back_up(&one, &label, &hosts(day, 1)));
        of_three.push(back_up(&three, &label, &hosts(day, 3)));
    }
    let more = of_three[0] - of_one[0];
    assert!(more * 100 < of_one[0] * 3, "day 0: host 0 takes {}, the others {more}", of_one[0]);
    let (one_days, three_days): (u64, u64) = (of_one[1..].iter().sum(), of_three[1..].iter().sum());
    assert!(three_days - one_days < one_days / 2, "incrementals: host 0 takes {one_days}, all {three_days}");
    for (number, day) in days.iter().enumerate() {
        let target = three.path(&format!("t{number}"));
        three.run(&["restore", &format!("day{number}"), "--target", target.to_str().unwrap()]).exits(0);
        (0..3).for_each(|host| assert_restored(&day.join(format!("host{host}")), &target.join(format!("host{host}")), &[]));
    }
    three.run(&["fsck", "--level", "engine"]).exits(0);
}

#[test]
fn a_host_that_comes_later_is_merged_with_the_others() {
    let esker = Esker::plain(&[]);
    let days = replicas(esker.folder(), 60_000, 1);
    let first = back_up(&esker, "two hosts", &hosts(&days[0], 2));
    let second = back_up(&esker, "three hosts", &hosts(&days[0], 3));
    assert!(second * 100 < first * 4, "two hosts take {first}, the third {second}");
    let target = esker.path("t");
    esker.run(&["restore", "three hosts", "--target", target.to_str().unwrap()]).exits(0);
    assert_restored(&days[0].join("host2"), &target.join("host2"), &[]);
}

#[test]
fn a_restore_fetches_each_run_about_once() {
    let plain = Shelf::new(None, 1_800_000_000_000);
    let days = replicas(&plain.path("replicas"), 60_000, 2);
    let request = |label: &str, day: &Path| BackupRequest {
        hosts: (0..3).map(|number| (format!("host{number}"), day.join(format!("host{number}")))).collect(),
        ..request(label, day)
    };
    let mut stored = 0;
    for (label, day) in [("day0", &days[0]), ("day1", &days[1])] {
        backup(&plain.open(), &request(label, day), &job()).unwrap();
        stored = plain.objects().iter().filter(|(path, _)| path.starts_with("packs/data")).map(|(_, bytes)| bytes.len() as u64).sum();
        let store = FaultyStore::new(Arc::clone(&plain.store));
        let plan = store.plan();
        let client = Shelf::over(Arc::new(store), None, TestEnvironment::at(1_900_000_000_000, 8));
        drop(client.open());
        plan.restart_count();
        client.restore(label, &client.path("t")).unwrap();
        (0..3).for_each(|host| assert_restored(&day.join(format!("host{host}")), &client.path("t").join(format!("host{host}")), &[]));
        let fetched = plan.bytes_fetched("packs/data");
        assert!(fetched * 10 <= stored * 11, "{label}: {fetched} bytes were fetched, {stored} are stored");
    }
    assert!(tree_bytes(&days[1]) > 2 * stored, "there is something that would be fetched again");
}

#[test]
fn a_restore_of_sorted_runs_that_is_killed_again_and_again_goes_on() {
    let esker = Esker::encrypted();
    let days = replicas(esker.folder(), 200_000, 2);
    back_up(&esker, "day0", &hosts(&days[0], 3));
    back_up(&esker, "day1", &hosts(&days[1], 3));
    let target = esker.path("t");
    let restore = ["restore", "day1", "--target", target.to_str().unwrap(), "--json", "--threads", "1"];
    let mut random = SplitMix64::new(5);
    let (mut killed, mut last) = (0, None);
    for round in 1..=8 {
        let mut child = esker.start(&restore);
        let enough = (round * 4) << 20;
        while written(&target) < enough && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(1 + random.below(5)));
        }
        if child.try_wait().unwrap().is_none() {
            kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
        }
        let run = esker.wait(child);
        match run.code {
            None => killed += 1,
            Some(_) => {
                last = Some(run);
                break;
            }
        }
    }
    assert!(killed > 1, "it was killed {killed} times");
    let report = last.unwrap_or_else(|| esker.run(&restore)).exits(0).json();
    assert!(number(&report, "kept_bytes") > 0, "{report}");
    (0..3).for_each(|host| assert_restored(&days[1].join(format!("host{host}")), &target.join(format!("host{host}")), &[]));
}

/// Bytes on disk below a folder.
fn written(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let bytes = |path: PathBuf| if path.is_dir() { written(&path) } else { fs::metadata(path).map_or(0, |meta| meta.blocks() * 512) };
    entries.flatten().map(|entry| bytes(entry.path())).sum()
}

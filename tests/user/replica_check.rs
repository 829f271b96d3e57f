//! `fsck --replicas`: what stands at the same Raft commit id must be the same, whatever the tables look like.

use std::path::{Path, PathBuf};

use esker_testkit::workload::{CommitPosition, Engine, Replica, Workload, commit_key};
use rocksdb::{BottommostLevelCompaction, CompactOptions, Direction, IteratorMode};
use serde_json::{Value, json};

use crate::kit::{Esker, Host, checkpoint_of, hex, host, noise, number};

const SPACE: &str = "data0/nebula/7/data";

/// Three replicas with the same writes in other tables.
struct Replicas {
    folder: PathBuf,
    engines: Vec<Engine>,
}

impl Replicas {
    fn create(folder: &Path, entries: u64) -> Self {
        let workload = Workload { entries, partitions: 4, ..Workload::default() };
        let replica = |number| Replica { number, ..Replica::default() };
        let live = |number: u32| folder.join(format!("live/{number}"));
        let engines = (0..3).map(|number| Engine::create_replica(&live(number), &workload, &replica(number))).collect();
        Self { folder: folder.to_owned(), engines }
    }

    fn back_up(&self, esker: &Esker, label: &str, more: &[&str]) {
        let mut args = vec!["backup".to_owned(), "--label".to_owned(), label.to_owned()];
        args.extend(more.iter().map(|text| (*text).to_owned()));
        for (number, engine) in self.engines.iter().enumerate() {
            let root = self.folder.join(format!("{label}/host{number}"));
            checkpoint_of(engine.db(), &root.join(SPACE));
            args.extend(["--host".to_owned(), host(&format!("host{number}"), &root)]);
        }
        esker.run(&args).exits(0);
    }

    /// The first key of a partition's edges or the like.
    fn key_of(&self, partition: u32) -> Vec<u8> {
        let [low, middle, high, _] = partition.to_le_bytes();
        for kind in [1, 2, 7] {
            let mut entries = self.engines[0].db().iterator(IteratorMode::From(&[kind, low, middle, high], Direction::Forward));
            if let Some((key, _)) = entries.next().map(Result::unwrap)
                && key.starts_with(&[kind, low, middle, high])
            {
                return key.to_vec();
            }
        }
        panic!("partition {partition} is empty");
    }
}

fn of_partition(report: &Value, partition: u64) -> &Value {
    report["partitions"].as_array().unwrap().iter().find(|found| number(found, "partition") == partition).unwrap()
}

#[test]
fn replicas_with_other_tables_and_the_same_entries_are_equal() {
    let esker = Esker::encrypted();
    let mut replicas = Replicas::create(esker.folder(), 40_000);
    replicas.engines.iter_mut().for_each(Engine::next_day);
    // Every replica deletes the same; one of them forgets it at once.
    for key in (1..=4).map(|partition| replicas.key_of(partition)) {
        replicas.engines.iter().for_each(|engine| engine.db().delete(&key).unwrap());
    }
    let mut all = CompactOptions::default();
    all.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
    replicas.engines[2].db().compact_range_opt(None::<&[u8]>, None::<&[u8]>, &all);
    // What a replica keeps for itself.
    replicas.engines[1].db().put([4, 1, 0, 0, 3, 0, 0, 0], "peers").unwrap();
    replicas.back_up(&esker, "runs", &[]);
    replicas.back_up(&esker, "bytes", &["--no-reencode"]);
    for label in ["runs", "bytes"] {
        let report = esker.json(&["fsck", "--replicas", label], 0);
        assert_eq!((number(&report, "equal"), number(&report, "diverged"), number(&report, "apart")), (4, 0, 0), "{report}");
        assert_eq!((&report["not_compared"], number(&report, "undecided")), (&json!([]), 0));
        assert!(number(&report, "entries_read") > 40_000, "{report}");
    }
    let text = esker.run(&["fsck", "--replicas"]).exits(0).text();
    assert!(text.contains("4 equal, 0 diverged") && text.contains("bytes ("), "the newest backup: {text}");
}

#[test]
fn a_replica_that_diverged_is_damage_and_its_keys_are_named() {
    let esker = Esker::plain(&[]);
    let replicas = Replicas::create(esker.folder(), 40_000);
    let keys: Vec<Vec<u8>> = (1..=3).map(|partition| replicas.key_of(partition)).collect();
    let extra = [&keys[2][..], b"extra"].concat();
    replicas.engines[1].db().put(&keys[0], noise(1, 30)).unwrap();
    replicas.engines[1].db().delete(&keys[1]).unwrap();
    replicas.engines[2].db().put(&extra, b"v").unwrap();
    replicas.back_up(&esker, "one", &[]);
    let report = esker.json(&["fsck", "--replicas", "one"], 3);
    assert_eq!((number(&report, "equal"), number(&report, "diverged")), (1, 3), "{report}");
    let of = |partition: u64| of_partition(&report, partition)["divergences"].as_array().unwrap();
    for (partition, second, counts, key) in
        [(1, "host1", [0, 0, 1], &keys[0]), (2, "host1", [1, 0, 0], &keys[1]), (3, "host2", [0, 1, 0], &extra)]
    {
        let [found] = &of(partition)[..] else { panic!("one divergence of partition {partition}: {report}") };
        assert_eq!((found["first"].as_str(), found["second"].as_str()), (Some("host0"), Some(second)));
        assert_eq!(["only_first", "only_second", "different"].map(|field| number(found, field)), counts, "{found}");
        assert_eq!(found["keys"], json!([hex(key)]));
    }
    assert_eq!(of_partition(&report, 4)["state"], "equal");
    let text = esker.run(&["fsck", "--replicas", "one"]).exits(3).text();
    assert!(text.contains("DAMAGE 7/1: host0 and host1 differ at commit id") && text.contains(&hex(&keys[0])), "{text}");
    assert!(text.contains("DIVERGED"), "{text}");
    // Byte by byte the backup is whole: this is the cluster's damage and not the repository's.
    esker.run(&["fsck", "--level", "files"]).exits(0);
}

#[test]
fn another_term_at_the_same_commit_id_is_a_divergence() {
    let esker = Esker::plain(&[]);
    let replicas = Replicas::create(esker.folder(), 5000);
    let position = replicas.engines[2].commit_positions().into_iter().find(|position| position.partition == 2).unwrap();
    let other = CommitPosition { term: position.term + 1, ..position };
    replicas.engines[2].db().put(commit_key(2).as_bytes(), other.to_value()).unwrap();
    replicas.back_up(&esker, "one", &[]);
    let report = esker.json(&["fsck", "--replicas"], 3);
    assert_eq!((number(&report, "equal"), number(&report, "diverged")), (3, 1), "{report}");
    let found = &of_partition(&report, 2)["divergences"][0];
    assert_eq!((&found["other_term"], number(found, "different")), (&json!(true), 0), "{found}");
}

#[test]
fn replicas_at_different_commit_ids_are_no_damage() {
    let esker = Esker::plain(&[]);
    let days = Host::cluster(esker.folder(), 2, 3000);
    esker.json(&[&["backup", "--label", "two"], &Host::arguments(&days[1]).iter().map(String::as_str).collect::<Vec<_>>()[..]].concat(), 0);
    let report = esker.json(&["fsck", "--replicas", "two"], 0);
    assert!(number(&report, "apart") > 0 && number(&report, "diverged") == 0, "{report}");
    let apart = report["partitions"].as_array().unwrap().iter().find(|partition| partition["state"] == "apart").unwrap();
    let commits: Vec<u64> = apart["replicas"].as_array().unwrap().iter().map(|replica| number(replica, "commit_id")).collect();
    assert!(commits[0] == commits[1] && commits[2] != commits[0], "{apart}");
    let text = esker.run(&["fsck", "--replicas", "two"]).exits(0).text();
    assert!(text.contains("its replicas stand at different commit ids: host0 "), "{text}");
    assert!(number(&report, "entries_read") > 0, "the two at one commit id are compared all the same: {report}");
}

#[test]
fn engines_without_partitions_are_named() {
    let esker = Esker::plain(&[]);
    let folder = esker.path("host");
    crate::kit::small_engine(&folder, 100);
    esker.json(&["backup", "--host", &host("h", &folder)], 0);
    esker.run(&["fsck", "--replicas"]).exits(4).says("its keys do not tell partitions");
    esker.run(&["fsck", "--replicas", "--level", "files"]).exits(2);
}

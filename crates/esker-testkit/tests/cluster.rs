//! A sample cluster is laid out as storaged lays it out, and its replicas agree but for a lag.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests report by panicking.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use esker_testkit::cluster::raft_wal::{LogPosition, read_positions};
use esker_testkit::cluster::{Cluster, ClusterSpec, checkpoint_dir};
use esker_testkit::tree::inventory;
use esker_testkit::workload::{Workload, commit_positions_in};

fn spec(hosts: u32) -> ClusterSpec {
    ClusterSpec { hosts, workload: Workload { entries: 3_000, ..Workload::default() }, ..ClusterSpec::default() }
}

fn wal_logs(wal_dir: &Path) -> Vec<LogPosition> {
    let mut files: Vec<_> = fs::read_dir(wal_dir).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut logs = Vec::new();
    for file in files {
        let of_file = read_positions(&file);
        let stem = file.file_stem().unwrap().to_str().unwrap();
        assert_eq!(stem, format!("{:019}", of_file[0].log_id));
        logs.extend(of_file);
    }
    logs
}

#[test]
fn a_checkpoint_tree_holds_data_and_wal_of_every_replica() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::create(&folder.path().join("live"), &spec(3));
    cluster.next_day();
    let root = cluster.checkpoint_into(&folder.path().join("out"), "day01");
    assert_eq!(root, folder.path().join("out/day01"));
    for member in cluster.members() {
        let dir = checkpoint_dir(&root, member.host, member.space, "day01");
        let positions = commit_positions_in(&dir.join("data"));
        assert_eq!(positions.len(), 16);
        for position in positions {
            let logs = wal_logs(&dir.join("wal").join(position.partition.to_string()));
            assert!(logs.is_sorted_by(|a, b| a.log_id + 1 == b.log_id));
            assert!(logs[0].log_id <= position.log_id);
            assert!(logs.last().unwrap().log_id >= position.log_id);
        }
    }
    let tree = inventory(&root);
    let tops: Vec<_> = tree.keys().filter(|name| name.components().count() == 1).collect();
    assert_eq!(tops.len(), 3);
    assert!(!tree.keys().any(|name| name.ends_with("LOCK")));
}

#[test]
fn replicas_agree_but_for_the_lag_of_the_last_host() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::create(folder.path(), &spec(3));
    cluster.next_day();
    for space in 1..=2 {
        let of_host = |host: u32| {
            let member = cluster.members().iter().find(|m| (m.host, m.space) == (host, space));
            member.unwrap().engine.commit_positions()
        };
        assert_eq!(of_host(0), of_host(1));
        assert_eq!(of_host(0), cluster.committed(space));
        let lags: Vec<u64> = of_host(0).iter().zip(of_host(2)).map(|(ahead, behind)| ahead.log_id - behind.log_id).collect();
        assert_eq!(lags.iter().sum::<u64>(), 32, "{lags:?}");
    }
}

#[test]
fn spaces_differ_and_a_checkpoint_in_the_live_tree_stands_beside_data() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::create(folder.path(), &spec(3));
    cluster.checkpoint("first");
    let live = folder.path().join("host1/data0/nebula/2");
    assert!(live.join("data/CURRENT").exists());
    assert!(live.join("checkpoints/first/data/CURRENT").exists());
    assert!(live.join("checkpoints/first/wal/16").is_dir());
    let digests: BTreeSet<[u8; 32]> = (cluster.members().iter()).map(|member| member.engine.content_digest().blake3).collect();
    assert_eq!(digests.len(), 2);
}

#[test]
fn five_hosts_hold_the_partitions_their_placement_says() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::create(folder.path(), &spec(5));
    for member in cluster.members() {
        let held: BTreeSet<u32> = (member.engine.commit_positions().iter()).map(|position| position.partition).collect();
        let placed = cluster.placement(member.space).partitions_on(member.host);
        assert_eq!(held, placed);
    }
}

#[test]
fn no_sst_of_a_replica_equals_one_of_another_on_any_day() {
    let folder = tempfile::tempdir().unwrap();
    // Enough for several SSTs each: a single one would hold the same blocks on every host.
    let workload = Workload { entries: 150_000, ..Workload::default() };
    let mut cluster = Cluster::create(&folder.path().join("live"), &ClusterSpec { hosts: 3, spaces: 1, replication: 3, workload });
    for day in 0..3 {
        if day > 0 {
            cluster.next_day();
        }
        let root = folder.path().join(format!("day{day}"));
        cluster.checkpoint_as(&root, "nightly");
        let mut ssts = Vec::new();
        for host in 0..3 {
            let data = checkpoint_dir(&root, host, 1, "nightly").join("data");
            let names = inventory(&data).into_keys().filter(|name| name.extension().is_some_and(|found| found == "sst"));
            // Without the properties at the end, which name the session that wrote the file.
            let starts = names.map(|name| fs::read(data.join(name)).unwrap()).map(|bytes| bytes[..bytes.len() - 4_096].to_vec());
            ssts.extend(starts);
        }
        let distinct: BTreeSet<_> = ssts.iter().collect();
        assert_eq!(distinct.len(), ssts.len(), "day {day}");
    }
}

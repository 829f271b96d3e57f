//! Engines of equal workloads hold equal entries, and their checkpoints can be read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests report by panicking.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use esker_testkit::tree::{NodeKind, copy_tree, diff_trees, inventory};
use esker_testkit::workload::{Compression, Engine, Kind, Replica, Workload, commit_positions_in, content_digest, for_each_entry};

const KINDS: [Kind; 6] = [Kind::Uniform, Kind::Zipf, Kind::Recent, Kind::Compacted, Kind::Appended, Kind::Blobs];

fn small(kind: Kind) -> Workload {
    Workload { kind, entries: 8_000, ..Workload::default() }
}

fn file_bytes(dir: &Path, extension: &str) -> u64 {
    inventory(dir)
        .iter()
        .filter(|(name, _)| name.extension().is_some_and(|found| found == extension))
        .map(|(_, node)| node.size_bytes)
        .sum()
}

#[test]
fn equal_workloads_hold_equal_entries_whatever_the_replica() {
    let folder = tempfile::tempdir().unwrap();
    for kind in KINDS {
        let dir = folder.path().join(format!("{kind:?}"));
        let mut first = Engine::create(&dir.join("first"), &small(kind));
        let replica = Replica { number: 2, ..Replica::default() };
        let mut second = Engine::create_replica(&dir.join("second"), &small(kind), &replica);
        let day_0 = first.content_digest();
        assert_eq!(day_0, second.content_digest(), "{kind:?}");
        first.next_day();
        second.next_day();
        assert_eq!(first.content_digest(), second.content_digest(), "{kind:?}");
        assert_ne!(first.content_digest(), day_0, "{kind:?}");
        assert_eq!(first.commit_positions(), second.commit_positions());
    }
}

#[test]
fn another_seed_holds_other_entries() {
    let folder = tempfile::tempdir().unwrap();
    let other = Workload { seed: 2, ..small(Kind::Uniform) };
    let a = Engine::create(&folder.path().join("a"), &small(Kind::Uniform));
    let b = Engine::create(&folder.path().join("b"), &other);
    assert_ne!(a.content_digest(), b.content_digest());
}

#[test]
fn a_checkpoint_opens_and_reading_it_leaves_it_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = Engine::create(&folder.path().join("live"), &small(Kind::Uniform));
    engine.next_day();
    let (day01, copy) = (folder.path().join("day01"), folder.path().join("copy"));
    engine.checkpoint(&day01);
    copy_tree(&day01, &copy);
    // 8,000 entries, 40 inserted, 16 commit positions.
    assert_eq!(content_digest(&day01).entries, 8_056);
    assert_eq!(content_digest(&day01), engine.content_digest());
    assert_eq!(commit_positions_in(&day01), engine.commit_positions());
    assert_eq!(diff_trees(&day01, &copy, &[]), Vec::<String>::new());
    assert_eq!(file_bytes(&day01, "log"), 0);
}

#[test]
fn commit_positions_advance_with_the_writes_of_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = Engine::create(&folder.path().join("live"), &small(Kind::Uniform));
    let log_ids = |engine: &Engine| -> u64 {
        let positions = engine.commit_positions();
        let partitions: Vec<u32> = positions.iter().map(|at| at.partition).collect();
        assert_eq!(partitions, (1..=16).collect::<Vec<_>>());
        positions.iter().map(|at| at.log_id).sum()
    };
    assert_eq!(log_ids(&engine), 8_000);
    engine.next_day();
    assert_eq!(log_ids(&engine), 8_200);
}

#[test]
fn unflushed_writes_stand_in_the_wal_of_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = Engine::create(&folder.path().join("live"), &small(Kind::Uniform));
    let before = engine.commit_positions();
    engine.write_unflushed(1_000);
    let dest = folder.path().join("with-wal");
    engine.checkpoint_with_wal(&dest);
    assert!(file_bytes(&dest, "log") > 100_000);
    assert_ne!(engine.commit_positions(), before);
    assert_eq!(commit_positions_in(&dest), engine.commit_positions());

    for (name, _) in inventory(&dest) {
        if name.extension().is_some_and(|found| found == "log") {
            fs::write(dest.join(name), b"").unwrap();
        }
    }
    assert_eq!(commit_positions_in(&dest), before);
}

#[test]
fn a_replica_of_some_partitions_holds_only_their_entries() {
    let folder = tempfile::tempdir().unwrap();
    let held = BTreeSet::from([3, 7]);
    let replica = Replica { partitions: Some(held.clone()), ..Replica::default() };
    let mut engine = Engine::create_replica(&folder.path().join("live"), &small(Kind::Uniform), &replica);
    engine.next_day();
    let dest = folder.path().join("day01");
    engine.checkpoint(&dest);
    let mut found = BTreeSet::new();
    for_each_entry(&dest, |key, _| {
        found.insert(u32::from_le_bytes(*key.first_chunk().unwrap()) >> 8);
    });
    assert_eq!(found, held);
}

#[test]
fn blobs_stand_in_blob_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = Engine::create(&folder.path().join("live"), &small(Kind::Blobs));
    engine.next_day();
    let dest = folder.path().join("day01");
    engine.checkpoint(&dest);
    assert!(file_bytes(&dest, "blob") > 500_000);
    assert_eq!(content_digest(&dest), engine.content_digest());
}

#[test]
fn every_compression_and_format_version_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let compressions = [Compression::None, Compression::Lz4, Compression::Zstd, Compression::Snappy];
    let mut digests = Vec::new();
    for (number, format_version) in (2..=7).enumerate() {
        let workload = Workload { entries: 2_000, compression: compressions[number % 4], format_version, ..Workload::default() };
        let engine = Engine::create(&folder.path().join(number.to_string()), &workload);
        let dest = folder.path().join(format!("checkpoint-{number}"));
        engine.checkpoint(&dest);
        digests.push(content_digest(&dest));
        assert_eq!(format_version_of(&dest), format_version);
    }
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]));
}

/// From the footer of the first SST: format_version is the u32 before the magic number.
fn format_version_of(checkpoint: &Path) -> u32 {
    let files = inventory(checkpoint);
    let (name, _) =
        files.iter().find(|(name, node)| node.kind == NodeKind::File && name.extension().is_some_and(|found| found == "sst")).unwrap();
    let bytes = fs::read(checkpoint.join(name)).unwrap();
    let footer = &bytes[bytes.len() - 12..];
    u32::from_le_bytes(*footer.first_chunk().unwrap())
}

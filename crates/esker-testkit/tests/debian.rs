//! The installed RocksDB gets the same writes and options as the bundled one. Skipped where it is not installed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests report by panicking.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use esker_testkit::workload::{Compression, DebianEngine, DebianRocksDb, Engine, Kind, Workload, content_digest};

/// What both must have been told, as RocksDB's OPTIONS file has it.
const OPTIONS: [&str; 14] = [
    "compression=",
    "write_buffer_size=",
    "max_write_buffer_number=",
    "target_file_size_base=",
    "max_bytes_for_level_base=",
    "level_compaction_dynamic_level_bytes=",
    "max_background_jobs=",
    "max_subcompactions=",
    "block_size=",
    "block_restart_interval=",
    "index_type=",
    "partition_filters=",
    "filter_policy=",
    "format_version=",
];

fn options_of(checkpoint: &Path) -> BTreeSet<String> {
    let mut files = fs::read_dir(checkpoint).unwrap().map(|file| file.unwrap().path());
    let path = files.find(|path| path.file_name().unwrap().to_string_lossy().starts_with("OPTIONS-")).unwrap();
    let text = fs::read_to_string(path).unwrap();
    (text.lines().map(str::trim)).filter(|line| OPTIONS.iter().any(|name| line.starts_with(name))).map(str::to_owned).collect()
}

#[test]
fn two_rocksdb_versions_hold_the_same_entries_under_the_same_options() {
    let folder = tempfile::tempdir().unwrap();
    let dir = |name: &str| folder.path().join(name);
    let Some(rocksdb) = DebianRocksDb::find(&dir("program")) else {
        eprintln!("skipped: librocksdb-dev is not installed");
        return;
    };
    for (kind, compression) in [(Kind::Uniform, Compression::Lz4), (Kind::Compacted, Compression::Zstd)] {
        let workload = Workload { kind, compression, entries: 20_000, ..Workload::default() };
        let name = |producer: &str, day: u32| dir(&format!("{kind:?}-{producer}-{day}"));
        let mut bundled = Engine::create(&name("bundled", 9), &workload);
        let mut debian = DebianEngine::create(&rocksdb, &name("debian", 9), &workload);
        for day in 0..2 {
            if day > 0 {
                bundled.next_day();
                debian.next_day();
            }
            bundled.checkpoint(&name("bundled", day));
            debian.checkpoint(&name("debian", day));
            assert_eq!(content_digest(&name("bundled", day)), content_digest(&name("debian", day)), "{kind:?} day {day}");
        }
        assert_eq!(options_of(&name("bundled", 1)), options_of(&name("debian", 1)));
        assert!(options_of(&name("debian", 1)).len() >= OPTIONS.len());
    }
}

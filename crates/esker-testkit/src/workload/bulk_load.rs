//! Day 0: all entries in key order into a few SSTs, which the engine ingests and then compacts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rocksdb::{BottommostLevelCompaction, CompactOptions, DB, IngestExternalFileOptions, Options, SstFileWriter};

use super::{EntryRules, Key};

const INGESTED_FILE_BYTES: u64 = 64 << 20;

/// Loads entries `0..entries` of the given partitions. The engine must be empty; `scratch` must lie
/// on its file system and is removed at the end.
pub fn bulk_load(db: &DB, options: &Options, rules: &EntryRules, entries: u64, partitions: &BTreeSet<u32>, scratch: &Path) {
    let mut sorted: Vec<(Key, u64)> = (0..entries)
        .map(|entry| (rules.key(entry), entry))
        .filter(|((partition, _), _)| partitions.contains(partition))
        .map(|((_, key), entry)| (key, entry))
        .collect();
    sorted.sort_unstable();
    std::fs::create_dir_all(scratch).expect("scratch folder");
    let files = write_sorted(options, rules, &sorted, scratch);
    drop(sorted);
    if !files.is_empty() {
        let mut ingest = IngestExternalFileOptions::default();
        ingest.set_move_files(true);
        db.ingest_external_file_opts(&ingest, files).expect("ingest");
    }
    std::fs::remove_dir_all(scratch).expect("scratch folder");
}

/// Rewrites every SST into the bottommost level with the engine's own file sizes.
pub fn compact_fully(db: &DB) {
    let mut options = CompactOptions::default();
    options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
    db.compact_range_opt(None::<&[u8]>, None::<&[u8]>, &options);
}

fn write_sorted(options: &Options, rules: &EntryRules, sorted: &[(Key, u64)], folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut value = Vec::new();
    let mut rest = sorted.iter().peekable();
    while rest.peek().is_some() {
        let path = folder.join(format!("{:06}.sst", files.len()));
        let mut writer = SstFileWriter::create(options);
        writer.open(&path).expect("open SST");
        let mut bytes = 0;
        while bytes < INGESTED_FILE_BYTES
            && let Some((key, entry)) = rest.next()
        {
            rules.value_into(*entry, 0, &mut value);
            writer.put(key.as_bytes(), &value).expect("ascending keys");
            bytes += (key.as_bytes().len() + value.len()) as u64;
        }
        writer.finish().expect("finish SST");
        files.push(path);
    }
    files
}

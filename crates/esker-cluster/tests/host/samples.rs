//! Engines and folders that the tests use.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use esker_cluster::{Engine, Entry, Root, Survey, survey, walk};
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{BlockBasedOptions, DB, Options, SliceTransform};

/// NebulaGraph's options as far as they matter: prefix filters without whole keys.
pub fn nebula_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_prefix_extractor(SliceTransform::create_fixed_prefix(12));
    let mut tables = BlockBasedOptions::default();
    tables.set_bloom_filter(10.0, false);
    tables.set_whole_key_filtering(false);
    options.set_block_based_table_factory(&tables);
    options
}

/// The key of a system record.
pub fn system_key(partition: u32, kind: u32) -> Vec<u8> {
    [(partition << 8 | 4).to_le_bytes(), kind.to_le_bytes()].concat()
}

/// Writes a commit record as NebulaGraph does.
pub fn commit(db: &DB, partition: u32, commit_id: i64, term: i64) {
    let value = [commit_id.to_le_bytes(), term.to_le_bytes()].concat();
    db.put(system_key(partition, 1), value).unwrap();
    db.put(system_key(partition, 2), b"").unwrap();
}

/// Writes `count` vertices of a partition.
pub fn vertices(db: &DB, partition: u32, count: u64) {
    for vertex in 0..count {
        let prefix = (partition << 8 | 7).to_le_bytes();
        let key = [&prefix[..], &vertex.to_le_bytes()].concat();
        db.put(key, [7; 60]).unwrap();
    }
}

/// A checkpoint with what was written in tables.
pub fn flushed_checkpoint(db: &DB, folder: &Path) {
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    Checkpoint::new(db).unwrap().create_checkpoint(folder).unwrap();
}

/// A checkpoint with what was written in the write-ahead log.
pub fn unflushed_checkpoint(db: &DB, folder: &Path) {
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    Checkpoint::new(db).unwrap().create_checkpoint_with_log_size(folder, u64::MAX).unwrap();
}

/// A small NebulaGraph engine's checkpoint in `folder`: two partitions, commit ids 11 and 22, one table.
pub fn small_checkpoint(folder: &Path) {
    let live = tempfile::tempdir().unwrap();
    let db = DB::open(&nebula_options(), live.path()).unwrap();
    vertices(&db, 1, 50);
    vertices(&db, 2, 50);
    commit(&db, 1, 11, 1);
    commit(&db, 2, 22, 2);
    flushed_checkpoint(&db, folder);
}

/// Walks and surveys a folder.
pub fn surveyed(folder: &Path) -> (Root, Survey) {
    let root = Root::open(folder).unwrap();
    let survey = survey(&root, walk(&root).unwrap()).unwrap();
    (root, survey)
}

/// The only engine of a folder.
pub fn only_engine(folder: &Path) -> (Root, Engine) {
    let (root, mut survey) = surveyed(folder);
    assert_eq!(survey.engines.len(), 1);
    (root, survey.engines.remove(0))
}

/// The entry of a name directly in `root`.
pub fn entry_of(root: &Root, path: &[u8]) -> Entry {
    walk(root).unwrap().into_iter().find(|entry| entry.path == path).unwrap()
}

/// Everything of a folder that must not change: names, sizes, mtimes and ctimes.
pub fn fingerprint(folder: &Path) -> BTreeMap<PathBuf, (u64, i64, i64, i64, i64)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for item in folder.read_dir().unwrap() {
            let path = item.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            found.insert(path.clone(), (meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()));
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

//! The RocksDB that Esker is built with, as what takes writes.

use std::path::{Path, PathBuf};

use rocksdb::{
    BottommostLevelCompaction, CompactOptions, DB, IngestExternalFileOptions, Options, SstFileWriter, WaitForCompactOptions, WriteBatch,
};

use super::options::engine_options;
use super::sink::{INGESTED_FILE_BYTES, Sink, SortedEntries};
use super::{Replica, Workload};

/// An open engine of the bundled RocksDB.
pub struct Bundled {
    /// The database.
    pub db: DB,
    options: Options,
    batch: WriteBatch,
    /// For SSTs to ingest; on the engine's file system, so that they can be moved.
    scratch: PathBuf,
}

impl Bundled {
    /// Makes an empty engine in the new folder `dir`.
    pub fn create(dir: &Path, workload: &Workload, replica: &Replica) -> Self {
        let options = engine_options(workload, replica.number);
        let db = DB::open(&options, dir).expect("new engine");
        Self { db, options, batch: WriteBatch::default(), scratch: dir.with_extension("ingest") }
    }

    fn write_sorted(&self, mut entries: SortedEntries<'_>) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut value = Vec::new();
        while !entries.is_done() {
            let path = self.scratch.join(format!("{:06}.sst", files.len()));
            let mut writer = SstFileWriter::create(&self.options);
            writer.open(&path).expect("open SST");
            let mut bytes = 0;
            while bytes < INGESTED_FILE_BYTES
                && let Some(key) = entries.next_into(&mut value)
            {
                writer.put(key.as_bytes(), &value).expect("ascending keys");
                bytes += (key.as_bytes().len() + value.len()) as u64;
            }
            writer.finish().expect("finish SST");
            files.push(path);
        }
        files
    }
}

impl Sink for Bundled {
    fn load(&mut self, entries: SortedEntries<'_>) {
        std::fs::create_dir_all(&self.scratch).expect("scratch folder");
        let files = self.write_sorted(entries);
        if !files.is_empty() {
            let mut ingest = IngestExternalFileOptions::default();
            ingest.set_move_files(true);
            self.db.ingest_external_file_opts(&ingest, files).expect("ingest");
        }
        std::fs::remove_dir_all(&self.scratch).expect("scratch folder");
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.batch.put(key, value);
    }

    fn write_batch(&mut self) {
        self.db.write(std::mem::take(&mut self.batch)).expect("write");
    }

    fn flush(&mut self) {
        self.db.flush().expect("flush");
    }

    fn compact_fully(&mut self) {
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        self.db.compact_range_opt(None::<&[u8]>, None::<&[u8]>, &options);
    }

    fn settle(&mut self) {
        (self.db.wait_for_compact(&WaitForCompactOptions::default())).expect("compactions");
    }
}

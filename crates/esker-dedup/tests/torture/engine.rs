//! An engine whose families have options drawn at random, written to generation by generation.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use esker_testkit::seeded::SplitMix64;
use rocksdb::{
    BoundColumnFamily, ColumnFamilyDescriptor, DBWithThreadMode, MultiThreaded, Options, SstFileWriter, WriteBatch, WriteOptions,
};
use tempfile::TempDir;

use crate::drawn::{Drawn, Keys, TIMESTAMP_BYTES, Timestamps, one_in, one_of};

type Database = DBWithThreadMode<MultiThreaded>;

/// How keys and values look.
struct Shape {
    keys: u64,
    key_tail: u64,
    value_len: u64,
    /// Values repeat words, or are noise.
    is_wordy: bool,
    writes: u64,
}

/// A family and how it is written to.
struct Family {
    name: String,
    drawn: Drawn,
    shape: Shape,
}

/// The engine.
pub struct Engine {
    folder: TempDir,
    database: Database,
    families: Vec<Family>,
    clock: Cell<u64>,
    ingested: Cell<u64>,
}

/// A table of the engine.
pub struct Table {
    pub bytes: Vec<u8>,
    /// The options of its family.
    pub drawn: Drawn,
}

impl Engine {
    pub fn create(random: &mut SplitMix64, folder: TempDir) -> Self {
        let mut families = Vec::new();
        for number in 0..1 + random.below(3) {
            let name = if number == 0 { "default".to_owned() } else { format!("family {number}") };
            let shape = Shape {
                keys: one_of(random, &[1, 20, 300, 3000, 100_000]),
                key_tail: one_of(random, &[0, 1, 8, 40, 300]),
                value_len: one_of(random, &[1, 20, 100, 1000]),
                is_wordy: !one_in(random, 3),
                writes: one_of(random, &[1, 30, 500, 2000]),
            };
            families.push(Family { name, drawn: Drawn::draw(random), shape });
        }
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_allow_concurrent_memtable_write(false);
        let descriptors = families.iter().map(|family| ColumnFamilyDescriptor::new(&family.name, family.drawn.options()));
        let database = Database::open_cf_descriptors(&options, folder.path().join("engine"), descriptors.collect::<Vec<_>>());
        let database =
            database.unwrap_or_else(|error| panic!("{error}: {:?}", families.iter().map(|family| &family.drawn).collect::<Vec<_>>()));
        Self { folder, database, families, clock: Cell::new(1), ingested: Cell::new(0) }
    }

    /// A generation of writes: flushes, ingested files and compactions; now and then a compaction and nothing else.
    pub fn advance(&self, random: &mut SplitMix64) {
        for number in 0..self.families.len() {
            let flushes = if one_in(random, 3) { 0 } else { 1 + random.below(3) };
            for _ in 0..flushes {
                let snapshots = self.write(number, random);
                if one_in(random, 6) {
                    self.ingest(number, random);
                }
                let family = self.handle(number);
                self.database.flush_cf(&family).unwrap();
                drop(snapshots);
            }
            if flushes == 0 || one_in(random, 4) {
                self.database.compact_range_cf(&self.handle(number), None::<&[u8]>, None::<&[u8]>);
            }
        }
    }

    /// The live tables by file name.
    pub fn tables(&self) -> BTreeMap<String, Table> {
        let mut tables = BTreeMap::new();
        for file in self.database.live_files().unwrap() {
            let name = file.name.trim_start_matches('/').to_owned();
            let family = self.families.iter().find(|family| family.name == file.column_family_name).unwrap();
            let bytes = std::fs::read(self.path(&name)).unwrap();
            tables.insert(name, Table { bytes, drawn: family.drawn.clone() });
        }
        tables
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("engine").join(name)
    }

    fn handle(&self, number: usize) -> Arc<BoundColumnFamily<'_>> {
        self.database.cf_handle(&self.families[number].name).unwrap()
    }

    /// Gives snapshots that keep old versions until the flush.
    fn write(&self, number: usize, random: &mut SplitMix64) -> Vec<rocksdb::SnapshotWithThreadMode<'_, Database>> {
        let mut snapshots = Vec::new();
        let Family { drawn, shape, .. } = &self.families[number];
        let family = self.database.cf_handle(&self.families[number].name).unwrap();
        let mut quick = WriteOptions::default();
        quick.disable_wal(true);
        let only_ranges = one_in(random, 12) && drawn.timestamps == Timestamps::None && drawn.keys == Keys::Ascending;
        for _ in 0..if only_ranges { 0 } else { 1 + random.below(shape.writes) } {
            let key = shape.key(random.below(shape.keys));
            let value = shape.value(random);
            self.clock.set(self.clock.get() + 1);
            if drawn.timestamps != Timestamps::None {
                let timestamp = self.clock.get().to_le_bytes();
                assert_eq!(timestamp.len(), TIMESTAMP_BYTES);
                match random.below(10) {
                    0 => self.database.delete_cf_with_ts_opt(&family, &key, timestamp, &quick).unwrap(),
                    _ => self.database.put_cf_with_ts_opt(&family, &key, timestamp, &value, &quick).unwrap(),
                }
                continue;
            }
            let mut batch = WriteBatch::default();
            match random.below(40) {
                0 | 1 => batch.delete_cf(&family, &key),
                2 | 3 => batch.merge_cf(&family, &key, &value),
                4 => batch.single_delete_cf(&family, [&key[..], b"once"].concat()),
                5 => batch.put_cf(&family, [&key[..], b"once"].concat(), &value),
                6 if one_in(random, 8) && drawn.keys != Keys::ByLength => {
                    let other = shape.key(random.below(shape.keys));
                    let (first, last) = (key.clone().min(other.clone()), key.clone().max(other));
                    let (first, last) = if drawn.keys == Keys::Descending { (last, first) } else { (first, last) };
                    batch.delete_range_cf(&family, first, last);
                }
                _ => batch.put_cf(&family, &key, &value),
            }
            self.database.write_opt(batch, &quick).unwrap();
            if one_in(random, 60) {
                snapshots.push(self.database.snapshot());
            }
        }
        if only_ranges {
            let mut batch = WriteBatch::default();
            batch.delete_range_cf(&family, "0", "5");
            self.database.write_opt(batch, &quick).unwrap();
        }
        snapshots
    }

    /// A file written outside and taken in: it keeps sequence number 0 and gets a global one.
    fn ingest(&self, number: usize, random: &mut SplitMix64) {
        let Family { drawn, shape, .. } = &self.families[number];
        if drawn.timestamps != Timestamps::None || drawn.has_blobs {
            return;
        }
        self.ingested.set(self.ingested.get() + 1);
        let path = self.folder.path().join(format!("outside {}.sst", self.ingested.get()));
        let options = drawn.options();
        let mut keys: Vec<Vec<u8>> = (0..1 + random.below(500)).map(|_| shape.key(random.below(shape.keys))).collect();
        match drawn.keys {
            Keys::Ascending => keys.sort(),
            Keys::Descending => keys.sort_by(|left, right| right.cmp(left)),
            Keys::ByLength => keys.sort_by(|left, right| (left.len(), left).cmp(&(right.len(), right))),
        }
        keys.dedup();
        let mut writer = SstFileWriter::create(&options);
        writer.open(&path).unwrap();
        for key in &keys {
            match random.below(9) {
                0 => writer.delete(key).unwrap(),
                1 => writer.merge(key, shape.value(random)).unwrap(),
                _ => writer.put(key, shape.value(random)).unwrap(),
            }
        }
        writer.finish().unwrap();
        self.database.ingest_external_file_cf(&self.handle(number), vec![&path]).unwrap();
    }
}

impl Shape {
    fn key(&self, number: u64) -> Vec<u8> {
        let mut key = format!("{:06}", number.wrapping_mul(7919) % 1_000_000).into_bytes();
        let mut tail = vec![b'k'; (SplitMix64::new(number).below(self.key_tail + 1)) as usize];
        if number.is_multiple_of(3) {
            SplitMix64::new(number).fill(&mut tail);
        }
        key.extend(tail);
        if number.is_multiple_of(97) {
            key.resize(2000, b'-');
        }
        key
    }

    fn value(&self, random: &mut SplitMix64) -> Vec<u8> {
        let len = match random.below(2000) {
            0..=3 => 30_000,
            4 => 200_000,
            5..=200 => 0,
            _ => random.below(self.value_len + 1),
        };
        let mut value = vec![0; len as usize];
        if self.is_wordy {
            let words = ["vertex ", "follows ", "since 2026 ", "name ", "weight "];
            let text = (0..=len / 5).map(|_| one_of(random, &words)).collect::<String>();
            value.copy_from_slice(&text.as_bytes()[..len as usize]);
        } else {
            random.fill(&mut value);
        }
        value
    }
}

//! `diff --keys`: what changed between two backups, key by key, and never by a restore.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use esker_ops::keys::{KeyDiff, KeyDiffRequest, diff_keys};
use esker_testkit::faulty_store::FaultyStore;
use esker_testkit::seeded::SplitMix64;
use esker_testkit::tree::tree_bytes;
use esker_testkit::workload::{Engine, Kind, Workload, for_each_entry};
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedOptions, CompactOptions, DB, DBCompressionType, InfoLogger, IngestExternalFileOptions, IteratorMode, LogLevel, Options,
    SstFileWriter, WriteBatch,
};
use serde_json::Value;

use crate::kit::{Esker, Host, Shelf, TestEnvironment, checkpoint_of, hex, host, job, names, noise, number};

const FAMILIES: [&str; 2] = ["default", "other"];

/// Everything that an engine's families hold: family and key, value.
type Content = BTreeMap<(&'static str, Vec<u8>), Vec<u8>>;

/// A key that differs: how, its family, the key, the sizes of its values.
type Line = (String, String, String, Option<u64>, Option<u64>);

fn quiet(options: &mut Options) {
    options.set_info_logger(InfoLogger::new_stderr_logger(LogLevel::Fatal, None::<&str>));
}

fn content_of(folder: &Path) -> Content {
    let mut options = Options::default();
    quiet(&mut options);
    let db = DB::open_cf_for_read_only(&options, folder, FAMILIES, false).unwrap();
    let mut content = Content::new();
    for family in FAMILIES {
        for entry in db.iterator_cf(db.cf_handle(family).unwrap(), IteratorMode::Start) {
            let (key, value) = entry.unwrap();
            content.insert((family, key.to_vec()), value.to_vec());
        }
    }
    content
}

/// What RocksDB itself says of two checkpoints.
fn expected(first: &Content, second: &Content) -> BTreeSet<Line> {
    let keys: BTreeSet<_> = first.keys().chain(second.keys()).collect();
    let line = |key: &(&'static str, Vec<u8>)| {
        let (from, to) = (first.get(key), second.get(key));
        let change = match (from, to) {
            (Some(from), Some(to)) if from == to => return None,
            (Some(_), Some(_)) => "changed",
            (None, _) => "added",
            (_, None) => "deleted",
        };
        let len = |value: Option<&Vec<u8>>| value.map(|value| value.len() as u64);
        Some((change.to_owned(), key.0.to_owned(), hex(&key.1), len(from), len(to)))
    };
    keys.into_iter().filter_map(line).collect()
}

/// What Esker lists, and its report.
#[track_caller]
fn listed(esker: &Esker, from: &str, to: &str, more: &[&str], code: i32) -> (BTreeSet<Line>, Value) {
    let args = [&["diff", "--keys", from, to, "--list", "--json"], more].concat();
    let mut lines = esker.run(&args).exits(code).json_lines();
    let report = lines.pop().unwrap();
    let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
    let all = lines.len();
    let lines: BTreeSet<Line> = lines
        .iter()
        .map(|line| {
            let sizes = (line["value_bytes_from"].as_u64(), line["value_bytes_to"].as_u64());
            (text(line, "change"), text(line, "column_family"), text(line, "key"), sizes.0, sizes.1)
        })
        .collect();
    assert_eq!(lines.len(), all, "no key is listed twice");
    (lines, report)
}

#[track_caller]
fn same(found: &BTreeSet<Line>, wanted: &BTreeSet<Line>, what: &str) {
    let some = |lines: BTreeSet<&Line>| lines.into_iter().take(5).cloned().collect::<Vec<_>>();
    let (more, fewer) = (found.difference(wanted).collect(), wanted.difference(found).collect());
    assert!(
        found == wanted,
        "{what}: {} found, {} wanted; too many {:?}, missing {:?}",
        found.len(),
        wanted.len(),
        some(more),
        some(fewer)
    );
}

#[track_caller]
fn back_up(esker: &Esker, label: &str, folder: &Path, more: &[&str]) {
    let host = host("h", folder);
    esker.json(&[&["backup", "--host", &host, "--label", label], more].concat(), 0);
}

/// An engine with many small tables on several levels, and everything that hides an entry.
struct Restless {
    folder: PathBuf,
    db: DB,
    random: SplitMix64,
    files: u32,
    /// Keys that are put once and deleted singly.
    singles: u64,
}

impl Restless {
    fn create(folder: &Path, seed: u64, compression: DBCompressionType) -> Self {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_compression_type(compression);
        options.set_write_buffer_size(64 << 10);
        options.set_target_file_size_base(32 << 10);
        options.set_max_bytes_for_level_base(128 << 10);
        options.set_level_zero_file_num_compaction_trigger(3);
        let mut table = BlockBasedOptions::default();
        table.set_block_size(1024);
        options.set_block_based_table_factory(&table);
        let db = DB::open_cf(&options, folder.join("live"), FAMILIES).unwrap();
        Self { folder: folder.to_owned(), db, random: SplitMix64::new(seed), files: 0, singles: 0 }
    }

    fn key(&mut self) -> Vec<u8> {
        format!("key {:05}", self.random.below(4000)).into_bytes()
    }

    fn write(&mut self, operations: u64) {
        for _ in 0..operations {
            let family = FAMILIES[self.random.below(2) as usize];
            let (key, other) = (self.key(), self.key());
            let len = self.random.below(60) as usize;
            let value = noise(self.random.next_u64(), len);
            let draw = self.random.below(1000);
            let family = self.db.cf_handle(family).unwrap();
            let mut batch = WriteBatch::default();
            match draw {
                0..700 => batch.put_cf(family, key, value),
                700..900 => batch.delete_cf(family, key),
                900..920 => {
                    let end = format!("{}z", String::from_utf8(key.clone()).unwrap());
                    batch.delete_range_cf(family, key, end.into_bytes());
                }
                920..924 => {
                    let (from, to) = if key < other { (key, other) } else { (other, key) };
                    batch.delete_range_cf(family, from, to);
                }
                924..960 => {
                    batch.put_cf(family, format!("once {:05}", self.singles), value);
                    self.singles += 1;
                }
                960..995 if self.singles > 0 => batch.single_delete_cf(family, format!("once {:05}", self.random.below(self.singles))),
                _ => {}
            }
            self.db.write(batch).unwrap();
        }
        match self.random.below(4) {
            0 => FAMILIES.iter().for_each(|name| self.db.flush_cf(self.db.cf_handle(name).unwrap()).unwrap()),
            1 => {
                let (from, to) = (self.key(), self.key());
                let family = self.db.cf_handle(FAMILIES[self.random.below(2) as usize]).unwrap();
                self.db.compact_range_cf_opt(family, Some(from), Some(to), &CompactOptions::default());
            }
            2 => self.ingest(),
            _ => {}
        }
    }

    fn ingest(&mut self) {
        let options = Options::default();
        let path = self.folder.join(format!("{}.sst", self.files));
        self.files += 1;
        let mut writer = SstFileWriter::create(&options);
        writer.open(&path).unwrap();
        let keys: BTreeSet<Vec<u8>> = (0..20).map(|_| self.key()).collect();
        for key in keys {
            writer.put(key, noise(self.random.next_u64(), 33)).unwrap();
        }
        writer.finish().unwrap();
        let family = self.db.cf_handle(FAMILIES[self.random.below(2) as usize]).unwrap();
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        self.db.ingest_external_file_cf_opts(family, &options, vec![path]).unwrap();
    }

    /// A checkpoint; with a write-ahead log now and then.
    fn checkpoint(&mut self, name: &str) -> PathBuf {
        let folder = self.folder.join(name);
        let flush_from = if self.random.below(2) == 0 { 0 } else { u64::MAX };
        Checkpoint::new(&self.db).unwrap().create_checkpoint_with_log_size(&folder, flush_from).unwrap();
        folder
    }
}

/// Days of a restless engine: each pair of backups differs exactly as RocksDB says.
fn restless(seed: u64, compression: DBCompressionType, backup: &[&str], days: usize) {
    let esker = Esker::plain(&[]);
    let mut engine = Restless::create(esker.folder(), seed, compression);
    let mut contents = Vec::new();
    let mut differences = 0;
    for day in 0..days {
        for _ in 0..6 {
            engine.write(400);
        }
        let folder = engine.checkpoint(&format!("day{day}"));
        contents.push(content_of(&folder));
        back_up(&esker, &format!("day{day}"), &folder, backup);
        for before in 0..day {
            let (lines, report) = listed(&esker, &format!("day{before}"), &format!("day{day}"), &[], 0);
            same(&lines, &expected(&contents[before], &contents[day]), &format!("seed {seed}, day {before} to {day}"));
            let counted = ["added", "changed", "deleted"].map(|field| number(&report, field)).iter().sum::<u64>();
            assert_eq!(counted, lines.len() as u64);
            differences += counted;
        }
    }
    assert!(differences > 1000, "{differences}");
}

#[test]
fn keys_of_sorted_runs_differ_as_rocksdb_says() {
    restless(1, DBCompressionType::Lz4, &[], 6);
    restless(2, DBCompressionType::None, &[], 6);
}

#[test]
fn keys_of_tables_that_are_bytes_differ_as_rocksdb_says() {
    restless(3, DBCompressionType::Zstd, &["--no-reencode"], 5);
    restless(4, DBCompressionType::Snappy, &["--no-reencode"], 5);
}

#[test]
fn a_backup_as_bytes_and_one_as_runs_are_compared() {
    let esker = Esker::plain(&[]);
    let mut engine = Restless::create(esker.folder(), 5, DBCompressionType::Lz4);
    (0..8).for_each(|_| engine.write(400));
    let first = engine.checkpoint("first");
    back_up(&esker, "first", &first, &["--no-reencode"]);
    (0..3).for_each(|_| engine.write(300));
    let second = engine.checkpoint("second");
    back_up(&esker, "second", &second, &[]);
    let (lines, _) = listed(&esker, "first", "second", &[], 0);
    same(&lines, &expected(&content_of(&first), &content_of(&second)), "bytes to runs");
    let (lines, _) = listed(&esker, "second", "first", &[], 0);
    same(&lines, &expected(&content_of(&second), &content_of(&first)), "runs to bytes");
}

#[test]
fn blocks_that_are_kept_as_they_are_stand_between_those_that_are_not() {
    let esker = Esker::plain(&[]);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_compression_type(DBCompressionType::Lz4);
    let db = DB::open_cf(&options, esker.path("live"), FAMILIES).unwrap();
    let write = |seed: u64, from: u64, to: u64| {
        (from..to).for_each(|entry| db.put(format!("key {entry:05}"), noise(seed + entry, 40)).unwrap());
    };
    // A block of more than 8 MiB is not taken apart.
    let large = noise(99, 9 << 20);
    write(0, 0, 2000);
    db.put("key 01000 large", &large).unwrap();
    db.put("key 01500 large", &large).unwrap();
    db.flush().unwrap();
    let folders = ["one", "two"].map(|name| esker.path(name));
    checkpoint_of(&db, &folders[0]);
    write(50_000, 900, 910);
    db.put("key 01500 large", [&large[..], b"!"].concat()).unwrap();
    db.delete("key 01999").unwrap();
    db.compact_range(None::<&[u8]>, None::<&[u8]>);
    checkpoint_of(&db, &folders[1]);
    for (label, folder) in ["one", "two"].iter().zip(&folders) {
        let report = esker.json(&["backup", "--host", &host("h", folder), "--label", label], 0);
        assert!(number(&report["sorted"], "kept_bytes") > 17 << 20 && number(&report["sorted"], "files") > 0, "{report}");
    }
    let (lines, _) = listed(&esker, "one", "two", &[], 0);
    same(&lines, &expected(&content_of(&folders[0]), &content_of(&folders[1])), "kept blocks");
    assert_eq!(lines.len(), 12);
}

/// Days of one engine of NebulaGraph's form: `<folder>/day<N>/data`.
fn nebula_days(folder: &Path, workload: &Workload, days: u32) -> Vec<PathBuf> {
    let mut engine = Engine::create(&folder.join("live/data0/nebula/7/data"), workload);
    let mut folders = Vec::new();
    for day in 0..days {
        if day > 0 {
            engine.next_day();
        }
        let root = folder.join(format!("day{day}"));
        let place = root.join("data0/nebula/7/data");
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        engine.checkpoint(&place);
        folders.push(root);
    }
    folders
}

fn entries_of(day: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut entries = BTreeMap::new();
    for_each_entry(&day.join("data0/nebula/7/data"), |key, value| drop(entries.insert(key.to_vec(), value.to_vec())));
    entries
}

#[test]
fn each_partition_is_counted_with_its_bytes() {
    let esker = Esker::encrypted();
    let days = nebula_days(esker.folder(), &Workload { entries: 20_000, partitions: 4, ..Workload::default() }, 2);
    days.iter().enumerate().for_each(|(day, folder)| back_up(&esker, &format!("day{day}"), folder, &[]));
    let (before, after) = (entries_of(&days[0]), entries_of(&days[1]));
    let report = esker.json(&["diff", "--keys", "day0", "day1"], 0);
    let partition = |key: &[u8]| u64::from(u32::from_le_bytes(*key.first_chunk().unwrap()) >> 8);
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["partition"].as_u64()).collect::<Vec<_>>(), (1..=4).map(Some).collect::<Vec<_>>());
    for row in rows {
        assert_eq!((row["host"].as_str(), row["space"].as_str()), (Some("h"), Some("7")));
        let of = |key: &&Vec<u8>| partition(key) == number(row, "partition");
        let bytes = |entries: &BTreeMap<Vec<u8>, Vec<u8>>, keys: &[&Vec<u8>]| {
            keys.iter().map(|key| (key.len() + entries[*key].len()) as u64).sum::<u64>()
        };
        let added: Vec<_> = after.keys().filter(of).filter(|key| !before.contains_key(*key)).collect();
        let changed: Vec<_> = after.keys().filter(of).filter(|key| before.get(*key).is_some_and(|old| *old != after[*key])).collect();
        let found = ["added", "added_bytes", "changed", "changed_bytes", "deleted"].map(|field| number(row, field));
        assert_eq!(found, [added.len() as u64, bytes(&after, &added), changed.len() as u64, bytes(&after, &changed), 0], "{row}");
    }
    let back = esker.json(&["diff", "--keys", "day1", "day0"], 0);
    assert_eq!((number(&back, "deleted"), number(&back, "added")), (number(&report, "added"), 0));
    let one = esker.json(&["diff", "--keys", "day0", "day1", "--partition", "3", "--host", "h", "--space", "7"], 0);
    assert_eq!(one["rows"].as_array().unwrap().as_slice(), &rows[2..3]);
    assert!(number(&one, "entries_read") < number(&report, "entries_read"), "{one} {report}");
    esker.run(&["diff", "--keys", "day0", "day1", "--host", "nobody"]).exits(2).says("nothing in day1 matches");
    let text = esker.run(&["diff", "--keys", "day0", "day1", "--limit", "2"]).exits(0).text();
    assert_eq!(text.lines().filter(|line| line.starts_with("added ") || line.starts_with("changed ")).count(), 2, "{text}");
    assert!(text.contains("PARTITION") && text.contains("h/7/"), "{text}");
    esker.run(&["diff", "day0", "day1", "--list"]).exits(2).says("--keys");
}

#[test]
fn values_in_blob_files_are_compared_wherever_they_stand() {
    let esker = Esker::plain(&[]);
    let workload = Workload { entries: 6000, partitions: 2, kind: Kind::Blobs, ..Workload::default() };
    let days = nebula_days(esker.folder(), &workload, 4);
    days.iter().enumerate().for_each(|(day, folder)| back_up(&esker, &format!("day{day}"), folder, &[]));
    let all = |day: &Path| entries_of(day).into_iter().map(|(key, value)| (("default", key), value)).collect::<Content>();
    let (mut large, mut files) = (0, BTreeSet::new());
    for day in &days {
        let names = fs::read_dir(day.join("data0/nebula/7/data")).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        files.extend(names.filter(|name| name.ends_with(".blob")));
    }
    assert!(files.len() > 1, "{files:?}");
    for before in 0..3 {
        let wanted = expected(&all(&days[before]), &all(&days[3]));
        let (lines, report) = listed(&esker, &format!("day{before}"), "day3", &[], 0);
        let names = |lines: &BTreeSet<Line>| lines.iter().map(|line| (line.0.clone(), line.2.clone())).collect::<BTreeSet<_>>();
        assert_eq!(names(&lines), names(&wanted), "day{before}: {report}");
        large += wanted.iter().filter(|line| line.0 == "changed" && line.4 > Some(4000)).count();
    }
    assert!(large > 0, "some changed value stands in a blob file");
}

/// Compares in memory; with the bytes of data packs that were fetched, and everything that the repository holds.
fn compare(shelf: &Shelf, from: &str, to: &str) -> (KeyDiff, u64) {
    let store = FaultyStore::new(Arc::clone(&shelf.store));
    let plan = store.plan();
    let client = Shelf::over(Arc::new(store), None, TestEnvironment::at(1_900_000_000_000, 8));
    let repository = client.open();
    plan.restart_count();
    let request = KeyDiffRequest { from: from.into(), to: to.into(), ..KeyDiffRequest::default() };
    let diff = diff_keys(&repository, &request, &job(), &mut |_| Ok(())).unwrap();
    (diff, plan.bytes_fetched("packs/data"))
}

#[test]
fn a_backup_in_which_nothing_changed_is_compared_without_reading_data() {
    let shelf = Shelf::new(None, 1_800_000_000_000);
    let folder = shelf.path("host");
    let engine = Host::engine(&shelf.path("live"), 30_000);
    checkpoint_of(engine.db(), &folder.join("data"));
    shelf.backup("one", &folder).unwrap();
    shelf.backup("two", &folder).unwrap();
    let objects = shelf.objects().len();
    let (diff, fetched) = compare(&shelf, "one", "two");
    assert!(diff.rows.is_empty() && diff.not_compared.is_empty() && diff.engines == 1, "{diff:?}");
    assert_eq!((diff.read_bytes < 100_000, diff.entries_read), (true, 0), "no more than MANIFESTs: {diff:?}");
    assert_eq!(diff.skipped_bytes, diff.table_bytes);
    assert!(diff.table_bytes > 3 << 20 && fetched < 100_000, "{fetched} of {diff:?}");
    assert_eq!(shelf.objects().len(), objects, "it writes nothing");
}

#[test]
fn a_full_compaction_that_changes_nothing_is_told_from_recipes() {
    let shelf = Shelf::new(None, 1_800_000_000_000);
    let engine = Host::engine(&shelf.path("live"), 60_000);
    let folders = ["one", "two"].map(|name| shelf.path(name));
    checkpoint_of(engine.db(), &folders[0].join("data"));
    shelf.backup("one", &folders[0]).unwrap();
    engine.db().compact_range(None::<&[u8]>, None::<&[u8]>);
    checkpoint_of(engine.db(), &folders[1].join("data"));
    shelf.backup("two", &folders[1]).unwrap();
    let (diff, _) = compare(&shelf, "one", "two");
    assert!(diff.rows.is_empty() && diff.not_compared.is_empty(), "{diff:?}");
    assert!(diff.skipped_bytes * 2 > diff.table_bytes, "{diff:?}");
}

#[test]
fn a_change_in_one_place_is_found_without_reading_the_others() {
    let shelf = Shelf::new(None, 1_800_000_000_000);
    let workload = Workload { entries: 150_000, partitions: 4, kind: Kind::Compacted, ..Workload::default() };
    let engine = Engine::create(&shelf.path("live"), &workload);
    let folders = ["one", "two"].map(|name| shelf.path(name));
    checkpoint_of(engine.db(), &folders[0].join("data"));
    shelf.backup("one", &folders[0]).unwrap();
    let (key, old) = engine.db().iterator(IteratorMode::From(&[2, 2, 0, 0], rocksdb::Direction::Forward)).next().unwrap().unwrap();
    engine.db().put(&key, [&old[..], b"!"].concat()).unwrap();
    checkpoint_of(engine.db(), &folders[1].join("data"));
    shelf.backup("two", &folders[1]).unwrap();
    let (diff, fetched) = compare(&shelf, "one", "two");
    let stored: usize = shelf.objects().iter().filter(|(path, _)| path.starts_with("packs/data")).map(|(_, bytes)| bytes.len()).sum();
    assert_eq!((diff.counts.changed, diff.counts.added, diff.counts.deleted), (1, 0, 0), "{diff:?}");
    assert!(diff.skipped_bytes * 10 > diff.table_bytes * 7, "{diff:?}");
    assert!(fetched * 3 < stored as u64, "{fetched} of {stored}");
}

#[test]
fn as_many_tables_are_open_as_have_keys_in_common_and_not_as_there_are() {
    let esker = Esker::plain(&[]);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_disable_auto_compactions(true);
    let db = DB::open(&options, esker.path("live")).unwrap();
    let folders = ["one", "two"].map(|name| esker.path(name));
    for (day, folder) in folders.iter().enumerate() {
        for table in 0..100u64 {
            let value = |entry: u64| noise(table * 100 + entry + 1_000_000 * day as u64, 50);
            (0..100).for_each(|entry| db.put(format!("{table:03} {entry:04}"), value(entry)).unwrap());
            db.flush().unwrap();
        }
        checkpoint_of(&db, folder);
    }
    back_up(&esker, "one", &folders[0], &[]);
    back_up(&esker, "two", &folders[1], &["--no-reencode"]);
    let report = esker.json(&["diff", "--keys", "one", "two"], 0);
    assert_eq!((number(&report, "changed"), number(&report, "tables")), (10_000, 300), "{report}");
    assert!(number(&report, "tables_open") <= 3, "{report}");
}

#[test]
fn nothing_is_written_to_the_disk() {
    let esker = Esker::plain(&[]);
    let days = nebula_days(esker.folder(), &Workload { entries: 60_000, partitions: 4, ..Workload::default() }, 2);
    days.iter().enumerate().for_each(|(day, folder)| back_up(&esker, &format!("day{day}"), folder, &[]));
    esker.run(&["list"]).exits(0);
    let (repository, cache) = (tree_bytes(&esker.repo()), tree_bytes(&esker.cache()));
    let mut command = esker.command(&["diff", "--keys", "day0", "day1"]);
    command.env("TMPDIR", "/nowhere");
    esker.run_command(&mut command).exits(0);
    assert_eq!(tree_bytes(&esker.repo()), repository);
    let grown = tree_bytes(&esker.cache()).saturating_sub(cache);
    assert!(grown < 100_000, "the cache grew by {grown}");
}

#[test]
fn merge_operands_are_compared_and_what_nobody_can_tell_is_said() {
    let esker = Esker::plain(&[]);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_disable_auto_compactions(true);
    options.set_merge_operator_associative("append", |_, old, operands| {
        Some(operands.iter().fold(old.unwrap_or_default().to_vec(), |all, operand| [&all, operand].concat()))
    });
    let db = DB::open(&options, esker.path("live")).unwrap();
    for entry in 0..500 {
        db.put(format!("key {entry:04}"), "base").unwrap();
    }
    db.flush().unwrap();
    (0..500).for_each(|entry| db.merge(format!("key {entry:04}"), "+1").unwrap());
    db.flush().unwrap();
    let folders = ["one", "two", "three"].map(|name| esker.path(name));
    checkpoint_of(&db, &folders[0]);
    db.merge("key 0100", "+2").unwrap();
    db.merge("key 0200", "+2").unwrap();
    db.put("key 0300", "new").unwrap();
    db.delete("key 0400").unwrap();
    db.merge("key 9999", "alone").unwrap();
    db.flush().unwrap();
    checkpoint_of(&db, &folders[1]);
    db.put("key 0200", "plain").unwrap();
    db.flush().unwrap();
    checkpoint_of(&db, &folders[2]);
    for (label, folder) in ["one", "two", "three"].iter().zip(&folders) {
        back_up(&esker, label, folder, &[]);
    }
    let (lines, report) = listed(&esker, "one", "two", &[], 4);
    let change = |key: &str| lines.iter().find(|line| line.2 == hex(key.as_bytes())).map(|line| line.0.clone());
    assert_eq!(change("key 0100").as_deref(), Some("undecided"));
    assert_eq!(change("key 0300").as_deref(), Some("undecided"), "a value may be what the operator would make");
    assert_eq!((change("key 0400").as_deref(), change("key 9999").as_deref()), (Some("deleted"), Some("added")));
    assert_eq!((lines.len(), number(&report, "undecided"), number(&report, "changed")), (5, 3, 0), "{report}");
    esker.run(&["diff", "--keys", "one", "two"]).exits(4).says("of 3 keys nobody can tell");
    let (lines, _) = listed(&esker, "two", "three", &[], 4);
    assert_eq!(lines.len(), 1, "the same operands are equal: {lines:?}");
}

/// RocksDB's own order of keys with times, newest first; `DB` knows comparators only by what they do.
fn with_times(options: &mut Options) {
    let cut = |key: &[u8], has: bool| key[..key.len() - if has { 8 } else { 0 }].to_vec();
    let times = |left: &[u8], right: &[u8]| left.iter().rev().cmp(right.iter().rev());
    let whole = move |left: &[u8], right: &[u8]| {
        let by_key = cut(left, true).cmp(&cut(right, true));
        by_key.then_with(|| times(&right[right.len() - 8..], &left[left.len() - 8..]))
    };
    let without = move |left: &[u8], l: bool, right: &[u8], r: bool| cut(left, l).cmp(&cut(right, r));
    options.set_comparator_with_ts("leveldb.BytewiseComparator.u64ts", 8, Box::new(whole), Box::new(times), Box::new(without));
}

#[test]
fn of_a_key_with_timestamps_the_newest_counts() {
    let esker = Esker::plain(&[]);
    let mut options = Options::default();
    options.create_if_missing(true);
    with_times(&mut options);
    let db = DB::open(&options, esker.path("live")).unwrap();
    let put = |key: u32, time: u64, value: &str| db.put_with_ts(key.to_be_bytes(), time.to_le_bytes(), value).unwrap();
    (0..1000).for_each(|key| put(key, 256, "v"));
    db.flush().unwrap();
    let folders = ["one", "two"].map(|name| esker.path(name));
    checkpoint_of(&db, &folders[0]);
    put(1, 255, "older than what is there");
    put(2, 300, "newer");
    put(2000, 1, "another");
    db.delete_with_ts(3u32.to_be_bytes(), 300u64.to_le_bytes()).unwrap();
    db.delete_with_ts(4u32.to_be_bytes(), 2u64.to_le_bytes()).unwrap();
    db.flush().unwrap();
    checkpoint_of(&db, &folders[1]);
    back_up(&esker, "one", &folders[0], &[]);
    back_up(&esker, "two", &folders[1], &["--no-reencode"]);
    let (lines, _) = listed(&esker, "one", "two", &[], 0);
    let found: Vec<(&str, &str)> = lines.iter().map(|line| (line.0.as_str(), line.2.as_str())).collect();
    assert_eq!(found, [("added", "000007d0"), ("changed", "00000002"), ("deleted", "00000003")]);
}

#[test]
fn keys_in_descending_order_are_compared_and_those_in_an_order_of_their_own_are_named() {
    let esker = Esker::plain(&[]);
    for (name, comparator, code) in [("back", "rocksdb.ReverseBytewiseComparator", 0), ("odd", "acme.Odd", 4)] {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_comparator(comparator, Box::new(|left, right| right.cmp(left)));
        let db = DB::open(&options, esker.path(&format!("live {name}"))).unwrap();
        (0..3000u64).for_each(|entry| db.put(format!("key {entry:05}"), noise(entry, 40)).unwrap());
        let folders = ["one", "two"].map(|day| esker.path(&format!("{name} {day}")));
        checkpoint_of(&db, &folders[0]);
        db.put("key 00500", "new").unwrap();
        db.delete("key 02500").unwrap();
        checkpoint_of(&db, &folders[1]);
        back_up(&esker, &format!("{name} one"), &folders[0], &[]);
        back_up(&esker, &format!("{name} two"), &folders[1], &[]);
        let (lines, report) = listed(&esker, &format!("{name} one"), &format!("{name} two"), &[], code);
        let changes: Vec<&str> = lines.iter().map(|line| line.0.as_str()).collect();
        if code == 0 {
            assert_eq!(changes, ["changed", "deleted"]);
        } else {
            assert!(changes.is_empty() && report["not_compared"].to_string().contains("acme.Odd"), "{report}");
            esker.run(&["diff", "--keys", "odd one", "odd two"]).exits(4).says("not compared: h: - ");
        }
    }
}

#[test]
fn a_lost_run_is_damage_and_is_named() {
    let esker = Esker::plain(&[]);
    let days = nebula_days(esker.folder(), &Workload { entries: 20_000, partitions: 4, ..Workload::default() }, 2);
    days.iter().enumerate().for_each(|(day, folder)| back_up(&esker, &format!("day{day}"), folder, &[]));
    let packs = esker.repo().join("packs/data");
    for session in fs::read_dir(packs).unwrap() {
        for pack in fs::read_dir(session.unwrap().path()).unwrap() {
            fs::remove_file(pack.unwrap().path()).unwrap();
        }
    }
    esker.run(&["diff", "--keys", "day0", "day1"]).exits(3).says("is lost");
}

#[test]
fn an_engine_that_only_one_backup_has_is_all_new() {
    let esker = Esker::plain(&[]);
    let days = Host::cluster(esker.folder(), 1, 2000);
    let host0 = host("host0", &days[0].join("host0"));
    esker.json(&["backup", "--label", "one", "--host", &host0], 0);
    esker.json(&[&["backup", "--label", "all"], &Host::arguments(&days[0]).iter().map(String::as_str).collect::<Vec<_>>()[..]].concat(), 0);
    let report = esker.json(&["diff", "--keys", "one", "all"], 0);
    let rows = report["rows"].as_array().unwrap();
    let hosts: BTreeSet<String> = names(&report["rows"], "host").into_iter().collect();
    assert_eq!(hosts, ["host1".to_owned(), "host2".to_owned()].into());
    assert_eq!(rows.len(), 2 * 2 * 4, "two hosts, two spaces, four partitions: {report}");
    assert_eq!((number(&report, "deleted"), number(&report, "changed")), (0, 0));
}

//! What a backup takes, what it leaves out, and what it refuses.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use esker_testkit::tree::{copy_tree, inventory};
use esker_testkit::workload::commit_positions_in;
use rocksdb::DB;
use serde_json::Value;

use crate::kit::{Esker, Host, Moment, Shelf, assert_restored, checkpoint_of, host, job_during, noise, number, small_engine};

/// An unencrypted repository and an empty folder for host `h`.
fn begin() -> (Esker, PathBuf) {
    let esker = Esker::plain(&[]);
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    (esker, source)
}

#[track_caller]
fn back_up(esker: &Esker, source: &Path, more: &[&str], code: i32) -> Value {
    let host = host("h", source);
    esker.json(&[&["backup", "--host", &host, "--reread-share", "0"], more].concat(), code)
}

/// Restores the latest backup and gives the host's folder.
#[track_caller]
fn restored(esker: &Esker, name: &str) -> PathBuf {
    let target = esker.path(name);
    esker.run(&["restore", "latest", "--target", target.to_str().unwrap()]).exits(0);
    target.join("h")
}

fn warnings(report: &Value) -> String {
    report["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_engine_that_did_not_change_is_not_read_again_under_another_checkpoints_name() {
    let (esker, source) = begin();
    let checkpoints = source.join("data0/nebula/1/checkpoints");
    let engine = Host::engine(&esker.path("live"), 5000);
    engine.checkpoint(&checkpoints.join("monday/data"));
    let first = back_up(&esker, &source, &[], 0);
    assert_eq!(number(&first, "reused_files"), 0);
    // The same folder under another name: nothing is read.
    fs::rename(checkpoints.join("monday"), checkpoints.join("tuesday")).unwrap();
    let renamed = back_up(&esker, &source, &[], 0);
    assert_eq!((number(&renamed, "read_bytes"), number(&renamed, "new_bytes")), (0, 0));
    // Another checkpoint of the same state: the tables are known by their ids, only small files of its own are new.
    let known: Vec<_> = inventory(&checkpoints).into_values().map(|node| node.inode).collect();
    engine.checkpoint(&checkpoints.join("wednesday/data"));
    fs::remove_dir_all(checkpoints.join("tuesday")).unwrap();
    let again = back_up(&esker, &source, &[], 0);
    let nodes = inventory(&checkpoints).into_values();
    let of_its_own: u64 = nodes.filter(|node| !known.contains(&node.inode)).map(|node| node.size_bytes).sum();
    assert_eq!(number(&again, "read_bytes"), of_its_own);
    assert!(of_its_own > 0 && of_its_own < 10_000, "{of_its_own}");
    assert_restored(&source, &restored(&esker, "t"), &[]);
    // The tables of another machine's copy have other inodes and times and the same ids.
    let copy = esker.path("copy");
    copy_tree(&source, &copy);
    let copied = back_up(&esker, &copy, &[], 0);
    assert!(number(&copied, "read_bytes") < 20_000 && number(&copied, "new_bytes") == 0, "{copied}");
}

#[test]
fn reread_reads_everything_and_finds_a_table_that_rotted_on_the_host() {
    let (esker, source) = begin();
    small_engine(&source.join("engine"), 3000);
    let first = back_up(&esker, &source, &[], 0);
    let reread = back_up(&esker, &source, &["--reread"], 0);
    assert_eq!((number(&reread, "read_bytes"), number(&reread, "reused_files")), (number(&first, "bytes"), 0));
    let every = esker.json(&["backup", "--host", &host("h", &source), "--reread-share", "1"], 0);
    assert_eq!(number(&every, "read_bytes"), number(&first, "bytes"));
    let table =
        inventory(&source).into_keys().map(|name| source.join(name)).find(|path| path.extension() == Some(OsStr::new("sst"))).unwrap();
    let mtime = fs::metadata(&table).unwrap().modified().unwrap();
    let file = File::options().read(true).write(true).open(&table).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 100).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 100).unwrap();
    file.set_modified(mtime).unwrap();
    assert_eq!(number(&back_up(&esker, &source, &[], 0), "read_bytes"), 0, "size, id and tail are what they were");
    let rotten = back_up(&esker, &source, &["--reread"], 4);
    assert!(warnings(&rotten).contains("other bytes") && warnings(&rotten).contains(table.to_str().unwrap()), "{rotten}");
    assert_restored(&source, &restored(&esker, "t"), &[]);
}

#[test]
fn a_thirtieth_of_the_known_files_is_read_all_the_same_each_time_another() {
    let (esker, source) = begin();
    (0..60).for_each(|number| fs::write(source.join(format!("{number:03}")), noise(number, 1000)).unwrap());
    back_up(&esker, &source, &[], 4);
    let read = |esker: &Esker| number(&esker.json(&["backup", "--host", &host("h", &source), "--reread-share", "5"], 4), "read_bytes");
    let turns: Vec<u64> = (0..5).map(|_| read(&esker)).collect();
    assert_eq!(turns.iter().sum::<u64>(), 60_000, "five turns of a fifth each read every file once: {turns:?}");
    assert!(turns.iter().all(|bytes| (1..60_000).contains(bytes)), "{turns:?}");
}

#[test]
fn what_belongs_to_the_running_process_is_left_out_and_counted() {
    let (esker, source) = begin();
    let engine = source.join("engine");
    small_engine(&engine, 100);
    let left_out = ["LOCK", "LOG", "LOG.old.1700000000000000", "000099.dbtmp", "000007.sst.trash"];
    for name in left_out {
        fs::write(engine.join(name), "12345").unwrap();
    }
    fs::create_dir(engine.join("archive")).unwrap();
    fs::write(engine.join("archive/000003.log"), "1234567").unwrap();
    // Outside an engine these are files like any other.
    fs::write(source.join("LOCK"), "kept").unwrap();
    let report = back_up(&esker, &source, &[], 0);
    let mut lines: Vec<(String, u64, u64)> = report["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["pattern"].as_str().unwrap().to_owned(), number(line, "files"), number(line, "bytes")))
        .collect();
    lines.sort();
    let expected = [("*.dbtmp", 1, 5), ("*.trash", 1, 5), ("LOCK", 1, 5), ("LOG*", 2, 10), ("archive/", 1, 7)];
    assert_eq!(lines, expected.map(|(pattern, files, bytes)| (pattern.to_owned(), files, bytes)));
    let restored = restored(&esker, "t");
    assert_eq!(fs::read(restored.join("LOCK")).unwrap(), b"kept");
    for name in left_out {
        assert!(!restored.join("engine").join(name).exists());
        fs::remove_file(engine.join(name)).unwrap();
    }
    fs::remove_dir_all(engine.join("archive")).unwrap();
    esker_testkit::tree::assert_same_tree(&engine, &restored.join("engine"), &[]);
}

#[test]
fn a_special_file_is_named_and_ends_the_backup() {
    let (esker, source) = begin();
    fs::create_dir(source.join("run")).unwrap();
    let fifo = source.join("run/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    let run = esker.run(&["backup", "--host", &host("h", &source)]).exits(1);
    assert!(run.stderr.contains(fifo.to_str().unwrap()) && run.stderr.contains("is a fifo"), "{}", run.stderr);
    assert_eq!(esker.labels(), Vec::<String>::new());
}

#[test]
fn a_live_engine_is_refused_and_its_lock_survives() {
    let (esker, source) = begin();
    let live = DB::open_default(source.join("engine")).unwrap();
    live.put("key", "value").unwrap();
    let run = esker.run(&["backup", "--host", &host("h", &source)]).exits(1);
    let sign = format!("its LOCK is held by process {}", std::process::id());
    run.says("is a live engine").says(&sign).says("checkpoint");
    assert_eq!(esker.labels(), Vec::<String>::new());
    assert!(DB::open_default(source.join("engine")).is_err(), "the lock is still held");
    checkpoint_of(&live, &source.join("checkpoint"));
    drop(live);
    back_up(&esker, &source, &[], 0);
}

/// Backs up a folder with an engine and a file of 9 MiB, during which something happens; gives the error.
fn backup_during(act: impl FnOnce(&Path) + Send + 'static) -> String {
    let shelf = Shelf::new(None, 1);
    let source = shelf.path("source");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("big"), noise(1, 9 << 20)).unwrap();
    small_engine(&source.join("engine"), 10);
    shelf.backup("before", &source.join("engine")).unwrap();
    let folder = source.clone();
    let job = job_during("reading", Moment::FirstBytes, move || act(&folder));
    let error = shelf.backup_in("during", &source, &job).unwrap_err().to_string();
    let labels: Vec<String> = shelf.open().backups().unwrap().found.into_iter().map(|backup| backup.manifest.label).collect();
    assert_eq!(labels, ["before"], "nothing was committed");
    assert_eq!(shelf.damage(), Vec::<String>::new());
    shelf.restore("before", &shelf.path("t")).unwrap();
    error
}

#[test]
fn a_source_that_moves_during_the_backup_ends_it() {
    use std::io::Write;
    let appended = backup_during(|source| {
        File::options().append(true).open(source.join("big")).unwrap().write_all(b"more").unwrap();
    });
    assert!(appended.contains("changed while it was read") && appended.contains("/big"), "{appended}");
    let cut = backup_during(|source| File::options().write(true).open(source.join("big")).unwrap().set_len(5000).unwrap());
    assert!(cut.contains("changed while it was read"), "{cut}");
    let vanished = backup_during(|source| fs::remove_file(source.join("big")).unwrap());
    assert!(vanished.contains("it was removed or replaced"), "{vanished}");
    let replaced = backup_during(|source| {
        fs::write(source.join("other"), noise(2, 9 << 20)).unwrap();
        fs::rename(source.join("other"), source.join("big")).unwrap();
    });
    assert!(replaced.contains("changed while it was read"), "{replaced}");
    let gone = backup_during(|source| fs::remove_dir_all(source).unwrap());
    assert!(gone.contains("/source/"), "{gone}");
    // Opened and closed again meanwhile: no lock is left to see, but the MANIFEST is another one.
    let opened = backup_during(|source| {
        let live = DB::open_default(source.join("engine")).unwrap();
        live.put("a", "b").unwrap();
        live.flush().unwrap();
    });
    assert!(opened.contains("is a live engine") || opened.contains("changed while it was read"), "{opened}");
}

#[test]
fn a_host_whose_folder_is_not_there_ends_the_backup() {
    let (esker, source) = begin();
    small_engine(&source.join("engine"), 10);
    let gone = esker.path("gone");
    let run = esker.run(&["backup", "--host", &host("h", &source), "--host", &host("g", &gone)]).exits(1);
    run.says(gone.to_str().unwrap());
    fs::write(&gone, "a file").unwrap();
    esker.run(&["backup", "--host", &host("g", &gone)]).exits(1).says("is not a folder");
    assert_eq!(esker.labels(), Vec::<String>::new());
}

#[test]
fn names_links_modes_and_times_of_any_kind_come_back() {
    let (esker, source) = begin();
    let odd: [&[u8]; 8] = [
        b"with space",
        b"new\nline",
        b"tab\tand \\ and \x1b[31m",
        b"\xff\xfe not utf-8",
        "dünn 山".as_bytes(),
        b"-rf",
        &[b'x'; 250],
        b"...",
    ];
    for (number, name) in odd.iter().enumerate() {
        let path = source.join(OsStr::from_bytes(name));
        fs::write(&path, noise(number as u64, number * 100)).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode([0o000, 0o600, 0o4755, 0o2644, 0o1777, 0o444, 0o111, 0o666][number])).unwrap();
        let seconds = [0, 1, 86_400, 2_000_000_000, 4_200_000_000, 7, 8, 9][number];
        let mtime = SystemTime::UNIX_EPOCH + Duration::new(seconds, 123_456_789 + number as u32);
        set_mtime(&path, mtime);
    }
    fs::write(source.join("before 1970"), "").unwrap();
    set_mtime(&source.join("before 1970"), SystemTime::UNIX_EPOCH - Duration::new(1_000_000, 1));
    fs::create_dir_all(source.join("empty/deep/er")).unwrap();
    fs::set_permissions(source.join("empty/deep"), PermissionsExt::from_mode(0o2511)).unwrap();
    for (name, target) in
        [("dangling", "no/where"), ("absolute", "/etc/passwd"), ("up", "../../.."), ("self", "self"), ("to folder", "empty")]
    {
        symlink(target, source.join(name)).unwrap();
    }
    symlink(OsStr::from_bytes(b"\xff\n"), source.join("odd target")).unwrap();
    fs::hard_link(source.join("with space"), source.join("second name")).unwrap();
    small_engine(&source.join("engine"), 5);
    back_up(&esker, &source, &[], 0);
    let restored = restored(&esker, "t");
    assert_restored(&source, &restored, &[]);
    assert_eq!(fs::symlink_metadata(restored.join("before 1970")).unwrap().mtime(), -1_000_001);
    let listed = esker.run(&["ls", "latest"]).exits(0).text();
    assert!(listed.contains("h/new\\nline") && listed.contains("\\x1b[31m") && listed.contains("\\xff\\xfe not utf-8"), "{listed}");
    assert_eq!(listed.lines().count(), inventory(&source).len() + 1, "a name cannot forge a line");
    assert_eq!(esker.run(&[OsStr::new("dump"), OsStr::new("latest"), OsStr::from_bytes(odd[3])]).exits(0).stdout, noise(3, 300));
}

fn set_mtime(path: &Path, mtime: SystemTime) {
    let file = File::open(path).or_else(|_| File::options().write(true).open(path)).unwrap();
    file.set_modified(mtime).unwrap();
}

#[test]
fn empty_engines_and_empty_files_are_worth_a_backup() {
    let (esker, source) = begin();
    drop(DB::open_default(esker.path("live")).unwrap());
    checkpoint_of(&DB::open_default(esker.path("live")).unwrap(), &source.join("data0/nebula/3/checkpoints/c/data"));
    fs::write(source.join("empty"), "").unwrap();
    let report = back_up(&esker, &source, &[], 0);
    assert_eq!((number(&report, "engines"), number(&report, "partitions")), (1, 0));
    assert_restored(&source, &restored(&esker, "t"), &[]);
    esker.run(&["fsck", "--level", "engine"]).exits(0);
}

#[test]
fn a_folder_without_any_engine_is_taken_with_a_warning() {
    let (esker, source) = begin();
    let report = back_up(&esker, &source, &[], 4);
    assert!(warnings(&report).contains("no engine (a folder with CURRENT and MANIFEST) was found below"), "{report}");
    assert_eq!(warnings(&report), warnings(&back_up(&esker, &source, &["--dry-run"], 4)), "a dry run warns as the run does");
    assert_restored(&source, &restored(&esker, "t"), &[]);
    assert_eq!(esker.json(&["show", "latest"], 0)["warnings"], 1);
}

#[test]
fn five_gib_of_hole_cost_neither_time_nor_space() {
    let (esker, source) = begin();
    let sparse = File::create(source.join("sparse")).unwrap();
    sparse.set_len(5 << 30).unwrap();
    for (offset, len) in [(0, 4096), (1 << 30, 100_000), ((5 << 30) - 10, 10)] {
        sparse.write_all_at(&noise(offset, len), offset).unwrap();
    }
    sparse.sync_all().unwrap();
    let blocks = sparse.metadata().unwrap().blocks();
    let start = Instant::now();
    let report = back_up(&esker, &source, &[], 4);
    assert!(number(&report, "read_bytes") < 1 << 20 && number(&report, "stored_bytes") < 1 << 20, "{report}");
    let restored = restored(&esker, "t").join("sparse");
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    let meta = fs::metadata(&restored).unwrap();
    assert_eq!(meta.len(), 5 << 30);
    assert!(meta.blocks() <= blocks + 64, "{} blocks of {blocks}", meta.blocks());
    let file = File::open(restored).unwrap();
    for (offset, len) in [(0, 4096), (1 << 30, 100_000), ((5 << 30) - 10, 10)] {
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, offset).unwrap();
        assert_eq!(bytes, noise(offset, len));
    }
    let mut hole = vec![1; 1 << 20];
    file.read_exact_at(&mut hole, 3 << 30).unwrap();
    assert!(hole.iter().all(|byte| *byte == 0));
}

#[test]
fn a_table_that_is_none_is_named_and_kept_as_it_is() {
    let (esker, source) = begin();
    let engine = source.join("engine");
    small_engine(&engine, 3000);
    let table =
        inventory(&engine).into_keys().map(|name| engine.join(name)).find(|path| path.extension() == Some(OsStr::new("sst"))).unwrap();
    let whole = fs::read(&table).unwrap();
    fs::write(engine.join("000900.sst"), noise(3, 5000)).unwrap();
    fs::write(engine.join("000901.sst"), &whole[..whole.len() / 2]).unwrap();
    fs::write(engine.join("000902.sst"), &whole[..whole.len() - 1]).unwrap();
    fs::write(engine.join("000903.sst"), "").unwrap();
    let report = back_up(&esker, &source, &[], 4);
    for name in ["000900.sst", "000901.sst", "000902.sst"] {
        assert!(warnings(&report).contains(&format!("{name} is no healthy table")), "{name}: {report}");
    }
    assert_restored(&source, &restored(&esker, "t"), &[]);
    esker.run(&["fsck", "--level", "files"]).exits(0);
    // Nothing is taken over by an id that a damaged table claims.
    fs::write(engine.join("000902.sst"), &whole[..whole.len() - 2]).unwrap();
    back_up(&esker, &source, &[], 4);
    assert_restored(&source, &restored(&esker, "u"), &[]);
}

#[test]
fn an_engine_whose_current_names_no_manifest_ends_the_backup() {
    let (esker, source) = begin();
    small_engine(&source.join("engine"), 10);
    fs::write(source.join("engine/CURRENT"), "MANIFEST-999999\n").unwrap();
    esker.run(&["backup", "--host", &host("h", &source)]).exits(1).says("MANIFEST-999999").says("which is not there");
    fs::write(source.join("engine/CURRENT"), "").unwrap();
    esker.run(&["backup", "--host", &host("h", &source)]).exits(1).says("engine/CURRENT");
    fs::remove_file(source.join("engine/CURRENT")).unwrap();
    let report = back_up(&esker, &source, &[], 4);
    assert!(warnings(&report).contains("no CURRENT"), "{report}");
    assert_restored(&source, &restored(&esker, "t"), &[]);
}

#[test]
fn an_absolute_path_in_options_is_warned_of() {
    let (esker, source) = begin();
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    options.set_wal_dir(esker.path("elsewhere"));
    let live = DB::open(&options, esker.path("live")).unwrap();
    checkpoint_of(&live, &source.join("engine"));
    let report = back_up(&esker, &source, &[], 4);
    let wal_dir = format!("wal_dir={}", esker.path("elsewhere").display());
    assert!(warnings(&report).contains(&wal_dir) && warnings(&report).starts_with("h: engine/OPTIONS-"), "{report}");
    assert_restored(&source, &restored(&esker, "t"), &[]);
}

#[test]
fn commit_ids_that_stand_only_in_the_write_ahead_log_are_found_by_replay() {
    let (esker, source) = begin();
    let folder = source.join("data0/nebula/1/checkpoints/c/data");
    let mut engine = Host::engine(&esker.path("live"), 3000);
    engine.write_unflushed(500);
    engine.checkpoint_with_wal(&folder);
    let expected = commit_positions_in(&folder);
    assert_eq!(expected, engine.commit_positions());
    back_up(&esker, &source, &[], 0);
    let shown = esker.json(&["show", "latest"], 0);
    let replicas = shown["tree"][0]["engines"][0]["replicas"].as_array().unwrap();
    let found: Vec<(u64, u64, u64)> =
        replicas.iter().map(|replica| (number(replica, "partition"), number(replica, "commit_id"), number(replica, "term"))).collect();
    assert_eq!(found, expected.iter().map(|position| (u64::from(position.partition), position.log_id, position.term)).collect::<Vec<_>>());
    esker.run(&["fsck", "--level", "engine"]).exits(0);
    assert_restored(&source, &restored(&esker, "t"), &[]);
}

#[test]
fn a_cluster_file_names_hosts_and_spaces_and_its_cut_is_checked() {
    let esker = Esker::plain(&[]);
    let day = Host::cluster(esker.folder(), 1, 1000).remove(0);
    let positions = commit_positions_in(&esker_testkit::cluster::checkpoint_dir(&day, 0, 1, "day0").join("data"));
    let commit = positions[0].log_id;
    let hosts: String = (0..3)
        .map(|number| format!("[[host]]\nname = \"s{number}\"\nfolder = \"{}\"\n", day.join(format!("host{number}")).display()))
        .collect();
    let file = esker.path("cluster.toml");
    let describe = |cut: &str| {
        let spaces = "[[space]]\nname = \"people\"\nid = 1\n[[space]]\nname = \"places\"\nid = 2\n";
        fs::write(&file, format!("cluster = \"social\"\nscheme = \"nebula\"\n{hosts}{spaces}{cut}")).unwrap();
        ["backup", "--cluster", file.to_str().unwrap()].map(str::to_owned)
    };
    let run = |cut: &str| esker.run(&describe(cut));
    let cut = |log_id: u64| format!("[[cut]]\nspace = \"people\"\npartition = 1\nlog_id = {log_id}\n");
    run(&cut(commit)).exits(0);
    let shown = esker.json(&["show", "latest"], 0);
    assert_eq!(shown["cluster"], "social");
    assert_eq!((&shown["tree"][0]["host"], &shown["tree"][0]["engines"][0]["space"]), (&"s0".into(), &"people".into()));
    assert_eq!(shown["tree"][0]["engines"][0]["replicas"][0]["cut"], commit);
    run(&cut(commit - 1)).exits(1).says("cut of partition 1").says("does not hold").says("behind which the cut");
    run(&cut(commit + 1_000_000)).exits(1).says("lies past");
    run("[[cut]]\nspace = \"people\"\nlog_id = 1\n[[cut]]\nspace = \"people\"\nlog_id = 2\n").exits(2).says("given twice").says("line ");
    run("colour = 1\n").exits(2).says("unknown field");
    assert_eq!(esker.labels().len(), 1);
    let none = describe("");
    let text = fs::read_to_string(&file).unwrap().replace("\"nebula\"", "\"none\"");
    fs::write(&file, text).unwrap();
    assert_eq!(number(&esker.json(&none.iter().map(String::as_str).collect::<Vec<_>>(), 0), "partitions"), 0);
    esker.run(&["backup", "--cluster", "/no/such/file.toml"]).exits(1).says("/no/such/file.toml");
}

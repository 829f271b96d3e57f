//! What programs read: JSON with fixed keys, exit codes, and a dry run that writes nothing.

use std::collections::BTreeSet;
use std::fs;

use esker_testkit::tree::{TreeNode, inventory};
use serde_json::Value;

use crate::kit::{Esker, Host, checkpoint_of, host, id_of, number, small_engine};

#[track_caller]
fn has_keys(value: &Value, keys: &str) {
    let found: BTreeSet<&str> = value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().map(String::as_str).collect();
    let expected: BTreeSet<&str> = keys.split_whitespace().collect();
    assert_eq!(found, expected);
}

/// The same for a result, which also tells how many requests it took.
#[track_caller]
fn result_has_keys(value: &Value, keys: &str) {
    has_keys(value, &format!("{keys} requests"));
    has_keys(&value["requests"], "put get head list delete other failed");
}

const LINE: &str = "id label cluster started_ms finished_ms age_s status hosts engines files bytes stored_bytes verified_level \
    verified_ms lost_files lost_bytes held tags warnings";
const DECISION: &str = "id label cluster started_ms reasons";
const USAGE: &str = "name id logical_bytes stored_bytes unique_bytes shared_bytes";

#[test]
fn every_verb_speaks_json_with_its_documented_keys() {
    let esker = Esker::without_repository(Some(Esker::PASSPHRASE));
    let days = Host::cluster(esker.folder(), 2, 1000);
    let hosts = [Host::arguments(&days[0]), Host::arguments(&days[1])];
    let backup = |day: usize, more: &[&str], code: i32| {
        let mut args = vec!["backup"];
        args.extend(hosts[day].iter().map(String::as_str));
        esker.json(&[&args, more].concat(), code)
    };
    result_has_keys(&esker.json(&["init"], 0), "repository location encrypted store");
    let report = "id label cluster dry_run started_ms finished_ms engines files bytes read_bytes reused_files reused_bytes \
        reused_by_stamp_files new_bytes stored_bytes left_over_bytes reuse_ratio sorted left_out spread partitions warnings";
    result_has_keys(&backup(0, &["--dry-run"], 0), report);
    fs::write(days[0].join("host0/data0/nebula/1/checkpoints/day0/data/LOCK"), "").unwrap();
    let first = backup(0, &["--label", "one", "--tag", "t"], 0);
    result_has_keys(&first, report);
    has_keys(&first["left_out"][0], "pattern files bytes");
    has_keys(&first["sorted"], "files bytes copied_bytes literal_bytes kept_bytes fallbacks");
    has_keys(&backup(1, &["--label", "two"], 0)["spread"][0], "partition replicas commit_min commit_max");
    let list = esker.json(&["list"], 0);
    result_has_keys(&list, "now_ms backups findings");
    has_keys(&list["backups"][0], LINE);
    assert_eq!(list["backups"][0]["tags"][0], "t");
    let show = esker.json(&["show", "two"], 0);
    let details = "written_by session origin encoders sorted read_bytes reused_bytes warning_texts tree spread";
    result_has_keys(&show, &format!("{LINE} {details}"));
    has_keys(&show["tree"][0], "host files bytes engines");
    let engine = "space data_path folder files bytes comparator merge_operator column_families format_version_max database_id replicas";
    has_keys(&show["tree"][0]["engines"][0], engine);
    has_keys(&show["tree"][0]["engines"][0]["replicas"][0], "partition commit_id term cut wal_last_id");
    has_keys(&show["spread"][0], "partition replicas commit_min commit_max");
    let ls = esker.run(&["ls", "one", "--json"]).exits(0).json_lines();
    ls.iter().for_each(|line| has_keys(line, "host path kind mode uid gid mtime_ms bytes blake3 target"));
    let target = esker.path("target");
    let restored =
        "id label dry_run hosts files others bytes kept_bytes duration_ms owners protected cold missing missing_unnamed missing_parts";
    result_has_keys(&esker.json(&["restore", "one", "--target", target.to_str().unwrap(), "--dry-run"], 0), restored);
    result_has_keys(&esker.json(&["restore", "one", "--target", target.to_str().unwrap()], 0), restored);
    let fsck = esker.json(&["fsck"], 0);
    let checked = "level complete backups damaged_backups packs packs_read files bytes engines protected store findings duration_ms";
    result_has_keys(&fsck, checked);
    let stats = esker.json(&["stats"], 0);
    result_has_keys(
        &stats,
        "backups logical_bytes data_pack_bytes meta_bytes packs chunks needed_bytes unneeded_bytes sorted per_backup per_host",
    );
    has_keys(&stats["per_backup"][0], USAGE);
    has_keys(&stats["per_host"][0], USAGE);
    let diff = esker.json(&["diff", "one", "two"], 0);
    result_has_keys(&diff, "from to engines files chunks_removed chunk_bytes_removed chunks_added chunk_bytes_added");
    has_keys(&diff["engines"][0], "host engine added removed changed equal bytes");
    has_keys(&diff["files"][0], "change host engine path bytes_from bytes_to");
    let mut keys = esker.run(&["diff", "--keys", "one", "two", "--list", "--json"]).exits(0).json_lines();
    let diff = keys.pop().unwrap();
    let counts = "added added_bytes changed changed_bytes deleted deleted_bytes undecided";
    let effort = "not_compared engines tables table_bytes skipped_bytes entries_read tables_open read_bytes";
    result_has_keys(&diff, &format!("from to rows {counts} {effort}"));
    has_keys(&diff["rows"][0], &format!("host space data_path column_family partition {counts}"));
    let line = "change host space column_family partition key timestamp value_bytes_from value_bytes_to";
    keys.iter().for_each(|key| has_keys(key, line));
    let replicas = esker.json(&["fsck", "--replicas"], 0);
    let states = "backup id partitions equal diverged apart single undecided";
    result_has_keys(&replicas, &format!("{states} not_compared table_bytes skipped_bytes entries_read tables_open read_bytes protected"));
    has_keys(&replicas["partitions"][0], "space partition state replicas divergences");
    has_keys(&replicas["partitions"][0]["replicas"][0], "host data_path commit_id term");
    let held = esker.json(&["forget", "one", "--hold"], 0);
    has_keys(&held[0], DECISION);
    let forgot = esker.json(&["forget", "two"], 0);
    result_has_keys(&forgot, "dry_run kept forgotten");
    has_keys(&forgot["forgotten"][0], DECISION);
    let pruned = "dry_run packs deleted_bytes written_bytes packs_before bytes_before needed_chunks needed_bytes unneeded_kept_bytes \
        at_work_packs at_work_bytes refused taken_back rewritten_chunks sparse_runs would_wait_for fenced waited_ms swept_files swept_bytes duration_ms";
    let planned = esker.json(&["prune", "--dry-run"], 0);
    result_has_keys(&planned, pruned);
    has_keys(&planned["packs"][0], "pack bytes needed_bytes sparse_runs why");
    let pack = planned["packs"][0]["pack"].as_str().unwrap();
    let explained = "pack bytes needed_bytes only_here_bytes needed_by session is_at_work doomed_lists verdict";
    result_has_keys(&esker.json(&["prune", "--explain", pack], 0), explained);
    result_has_keys(&esker.json(&["prune"], 0), pruned);
    let audit = esker.json(&["audit", "--log-only"], 0);
    result_has_keys(&audit, "repository log_only records signed unsigned heads entries findings duration_ms");
    has_keys(&audit["entries"][1], "id at_ms user host written_by session key event intended objects count bytes detail proof");
    has_keys(&audit["entries"][1]["objects"][0], "id label");
    let key = esker.json(&["key", "add", "--recovery"], 0);
    result_has_keys(&key, "id recovery_key");
    has_keys(&esker.json(&["key", "list"], 0)[0], "id kind damage");
    result_has_keys(&esker.json(&["key", "remove", key["id"].as_str().unwrap()], 0), "removed");
    has_keys(&esker.json(&["version"], 0), "version format");
    fs::remove_dir_all(esker.repo().join("packs/data")).unwrap();
    fs::remove_file(fs::read_dir(esker.repo().join("audit")).unwrap().next().unwrap().unwrap().path()).unwrap();
    has_keys(&esker.json(&["audit", "--log-only"], 3)["findings"][0], "severity object what help");
    let damaged = esker.json(&["fsck"], 3);
    has_keys(&damaged["findings"][0], "severity object what files files_touched partitions backups help");
    let repaired = esker.json(&["fsck", "--repair"], 3);
    result_has_keys(&repaired, &format!("{checked} repair"));
    let mended = "objects indexed_packs removed_segments config mended_chunks from_packs from_repository from_files from_backups \
        copied_chunks stored_bytes lost_chunks lost notes";
    has_keys(&repaired["repair"], mended);
    has_keys(&repaired["repair"]["lost"][0], "id label files bytes unnamed names partitions parts");
    let partial = esker.json(&["restore", "one", "--partial", "--target", esker.path("partial").to_str().unwrap()], 4);
    result_has_keys(&partial, restored);
    has_keys(&partial["missing"][0], "host path bytes why");
    has_keys(&esker.json(&["show", "three"], 2), "error exit");
}

#[test]
fn a_dry_run_writes_nothing_to_the_store_or_the_target() {
    let esker = Esker::encrypted();
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    small_engine(&source.join("engine"), 500);
    let hosts = host("h", &source);
    esker.run(&["backup", "--host", &hosts, "--label", "one"]).exits(0);
    fs::write(source.join("new"), "0123456789").unwrap();
    let store = || inventory(&esker.repo()).into_iter().map(|(name, node)| (name, what_counts(node))).collect::<Vec<_>>();
    let before = store();
    let report = esker.json(&["backup", "--host", &hosts, "--dry-run", "--label", "two", "--reread-share", "0"], 0);
    assert_eq!((number(&report, "read_bytes"), &report["id"], &report["dry_run"]), (10, &Value::Null, &true.into()));
    let told = number(&esker.json(&["backup", "--host", &hosts, "--dry-run", "--reread"], 0), "read_bytes");
    assert_eq!(told, number(&report, "bytes"));
    let target = esker.path("target");
    let report = esker.json(&["restore", "one", "--target", target.to_str().unwrap(), "-n"], 0);
    assert!(number(&report, "files") > 3 && !target.exists());
    let report = esker.json(&["forget", "one", "-n"], 0);
    assert_eq!(id_of(&report["forgotten"][0]), id_of(&esker.json(&["show", "one"], 0)));
    assert_eq!(before, store());
    let truth = esker.json(&["backup", "--host", &hosts, "--label", "two", "--reread-share", "0"], 0);
    assert_eq!(number(&truth, "read_bytes"), 10, "the dry run told the truth");
}

fn what_counts(node: TreeNode) -> (u64, i128, (u64, u64)) {
    (node.size_bytes, node.mtime_ns, node.inode)
}

#[test]
fn wrong_usage_is_exit_2_and_says_what_is_wrong() {
    let esker = Esker::plain(&[]);
    let folder = esker.folder().to_path_buf();
    let here = host("h", &folder);
    let wrong: [(&[&str], &str); 17] = [
        (&[], "Usage"),
        (&["bakcup"], "unrecognized subcommand"),
        (&["backup"], "no host is given"),
        (&["backup", "--host", "noequals"], "NAME=FOLDER"),
        (&["backup", "--host", "=x"], "NAME=FOLDER"),
        (&["backup", "--host", &here, "--host", &here], "given twice"),
        (&["backup", "--host", "..=/tmp"], "cannot be the name of a host"),
        (&["backup", "--host", "a/b=/tmp"], "cannot be the name of a host"),
        (&["backup", "--host", &here, "--zstd-level", "0"], "0 is not in 1..=19"),
        (&["restore", "latest"], "--target"),
        (&["fsck", "--sample", "0"], "--sample"),
        (&["fsck", "none"], "no backup is called"),
        (&["forget"], "say what to keep"),
        (&["forget", "a", "--keep-last", "1"], "not both"),
        (&["forget", "--keep-within", "5m"], "is not a duration"),
        (&["forget", "--hold"], "name the backups"),
        (&["list", "--repo", "sftp://host/x"], "sftp:// is not supported"),
    ];
    for (args, words) in wrong {
        esker.run(args).exits(2).says(words);
    }
    let mut nowhere = esker.command(&["list"]);
    nowhere.env_remove("ESKER_REPO");
    esker.run_command(&mut nowhere).exits(2).says("no repository: give --repo");
    assert!(esker.run(&["--version"]).exits(0).text().starts_with("esker "));
    assert!(esker.run(&["completions", "bash"]).exits(0).text().contains("esker"));
}

#[test]
fn a_place_that_holds_no_repository_is_exit_1() {
    let esker = Esker::without_repository(None);
    esker.run(&["list"]).exits(1).says("is not an Esker repository: there is no such folder");
    fs::create_dir(esker.repo()).unwrap();
    esker.run(&["list"]).exits(1).says("is not an Esker repository: it is empty");
    fs::write(esker.repo().join("holiday.jpg"), "x").unwrap();
    esker.run(&["list"]).exits(1).says("holiday.jpg");
    esker.run(&["init", "--no-encryption"]).exits(1).says("already holds holiday.jpg");
    fs::remove_file(esker.repo().join("holiday.jpg")).unwrap();
    esker.run(&["init", "--no-encryption"]).exits(0);
    esker.run(&["init", "--no-encryption"]).exits(1).says("already holds a repository");
    assert_eq!(esker.labels(), Vec::<String>::new());
}

#[test]
fn the_chunker_takes_no_bounds_it_could_not_keep() {
    let esker = Esker::without_repository(None);
    for bad in [["--chunk-min", "2"], ["--chunk-avg", "255"], ["--chunk-max", "33554432"], ["--chunk-min", "1048576"]] {
        let run = esker.run(&[&["init", "--no-encryption", "--chunk-avg", "65536"][..], &bad].concat());
        run.exits(2);
    }
    assert!(!esker.repo().exists() || inventory(&esker.repo()).is_empty());
    esker.run(&["init", "--no-encryption", "--chunk-min", "64", "--chunk-avg", "256", "--chunk-max", "1024"]).exits(0);
}

#[test]
fn a_quiet_run_prints_its_result_only() {
    let esker = Esker::encrypted();
    let source = esker.path("source");
    let live = rocksdb::DB::open_default(esker.path("live")).unwrap();
    checkpoint_of(&live, &source.join("engine"));
    let run = esker.run(&["-q", "backup", "--host", &host("h", &source)]).exits(0);
    assert!(run.stderr.is_empty(), "{}", run.stderr);
    assert!(run.text().starts_with("backup BACKUP_"));
}

//! Engines that a database has open, or that change during a backup.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use esker_cluster::{Error, Freeze};
use rocksdb::{DB, Options};

use crate::samples::{fingerprint, only_engine, small_checkpoint};

/// Another process that holds a lock until it is killed.
struct Holder(Child);

impl Holder {
    fn of(lock: &Path) -> Self {
        let program =
            "import fcntl,sys,time\nf=open(sys.argv[1],'r+')\nfcntl.lockf(f,fcntl.LOCK_EX)\nprint('held',flush=True)\ntime.sleep(60)";
        let command = Command::new("python3").args(["-c", program]).arg(lock).stdout(Stdio::piped()).spawn();
        let mut child = command.unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "held");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_lock_held_by_another_process_is_refused_and_a_left_behind_one_is_not() {
    let host = tempfile::tempdir().unwrap();
    small_checkpoint(&host.path().join("db"));
    let lock = host.path().join("db/LOCK");
    std::fs::write(&lock, b"").unwrap();
    let (root, engine) = only_engine(host.path());
    let freeze = Freeze::begin(&root, &engine).unwrap();
    let before = fingerprint(host.path());
    let holder = Holder::of(&lock);
    let error = Freeze::begin(&root, &engine).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::LiveEngine { .. }));
    for words in ["/db is a live engine", "LOCK is held by process", "CreateCheckpoint", "--checkpoint_dir", "CREATE SNAPSHOT"] {
        assert!(text.contains(words), "{text}");
    }
    assert!(text.contains(&holder.0.id().to_string()), "{text}");
    assert!(freeze.check().is_err(), "an engine opened during the backup");
    drop(holder);
    freeze.check().unwrap();
    assert_eq!(fingerprint(host.path()), before);
}

#[test]
fn an_engine_open_in_this_very_process_is_refused_and_keeps_its_lock() {
    let host = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.create_if_missing(true);
    let db = DB::open(&options, host.path().join("db")).unwrap();
    db.put(b"k", b"v").unwrap();
    let (root, engine) = only_engine(host.path());
    let error = Freeze::begin(&root, &engine).unwrap_err();
    assert!(error.to_string().contains("held by this very process"), "{error}");
    // The lock would be gone if the file had been opened and closed.
    let program = "import fcntl,sys\ntry:\n fcntl.lockf(open(sys.argv[1],'r+'),fcntl.LOCK_EX|fcntl.LOCK_NB)\n print('free')\nexcept OSError: print('held')";
    let output = Command::new("python3").args(["-c", program]).arg(host.path().join("db/LOCK")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "held");
}

#[test]
fn a_manifest_that_grows_between_walk_and_end_is_refused() {
    let host = tempfile::tempdir().unwrap();
    small_checkpoint(&host.path().join("db"));
    let (root, engine) = only_engine(host.path());
    let freeze = Freeze::begin(&root, &engine).unwrap();
    freeze.check().unwrap();
    let manifest = host.path().join("db").join(String::from_utf8(engine.manifest.clone()).unwrap());
    std::fs::OpenOptions::new().append(true).open(manifest).unwrap().write_all(b"x").unwrap();
    let error = freeze.check().unwrap_err();
    assert!(error.to_string().contains("changed during the backup, from"), "{error}");
    let error = Freeze::begin(&root, &engine).unwrap_err();
    assert!(matches!(error, Error::LiveEngine { .. }), "it grew since the walk");
}

#[test]
fn a_current_that_moves_on_is_refused() {
    let host = tempfile::tempdir().unwrap();
    small_checkpoint(&host.path().join("db"));
    let (root, engine) = only_engine(host.path());
    let freeze = Freeze::begin(&root, &engine).unwrap();
    std::fs::write(host.path().join("db/CURRENT"), "MANIFEST-777777\n").unwrap();
    let error = freeze.check().unwrap_err();
    assert!(error.to_string().contains("to MANIFEST-777777 during the backup"), "{error}");
}

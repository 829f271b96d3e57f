//! Engines of the RocksDB that is installed on this machine (Debian's is 7.8): the same writes and
//! options as for the bundled one, so that only who wrote the SSTs differs.
//!
//! A small C++ program, compiled when it is first asked for, applies what it is told through a pipe.

use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::options::engine_option_string;
use super::sink::{INGESTED_FILE_BYTES, Sink, SortedEntries};
use super::{Replica, Workload, Writer};

const SOURCE: &str = include_str!("../../debian/replay.cc");
const PIPE_BUFFER_BYTES: usize = 1 << 20;

/// The installed RocksDB, with the program that replays writes on it.
#[derive(Debug, Clone)]
pub struct DebianRocksDb {
    program: PathBuf,
    version: String,
}

impl DebianRocksDb {
    /// Compiles the program into `dir` unless it is there; nothing if `librocksdb-dev` or a C++
    /// compiler is not installed.
    #[must_use]
    pub fn find(dir: &Path) -> Option<Self> {
        let name = &blake3::hash(SOURCE.as_bytes()).to_hex()[..16];
        let program = dir.join(format!("replay-{name}"));
        if !program.exists() {
            if !is_installed() {
                return None;
            }
            fs::create_dir_all(dir).expect("folder for the program");
            compile(&program);
        }
        // An old program may have lost its library since.
        let output = Command::new(&program).arg("--version").output().ok().filter(|output| output.status.success())?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Some(Self { program, version })
    }

    /// Its version, such as `7.8.3`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

fn is_installed() -> bool {
    let mut check = Command::new("c++");
    check.args(["-std=c++17", "-x", "c++", "-fsyntax-only", "-include", "rocksdb/version.h", "/dev/null"]);
    check.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn compile(program: &Path) {
    // Under another name first: a program that is there is whole.
    let (source, unnamed) = (program.with_extension("cc"), program.with_extension("new"));
    fs::write(&source, SOURCE).expect("source file");
    let mut compiler = Command::new("c++");
    compiler.args(["-std=c++17", "-O2", "-o"]).arg(&unnamed).arg(&source).arg("-lrocksdb");
    assert!(compiler.status().expect("c++").success(), "{compiler:?}");
    fs::rename(unnamed, program).expect("program");
}

/// A live engine of the installed RocksDB; dropping it closes the database.
pub struct DebianEngine {
    writer: Writer<Pipe>,
}

impl DebianEngine {
    /// Makes an engine of all partitions in the new folder `dir` and loads day 0.
    #[must_use]
    pub fn create(rocksdb: &DebianRocksDb, dir: &Path, workload: &Workload) -> Self {
        let scratch = dir.with_extension("ingest");
        fs::create_dir_all(dir.parent().expect("a folder to hold the engine")).expect("parent folder");
        let replica = Replica::default();
        let mut pipe = Pipe::open(&rocksdb.program);
        let options = engine_option_string(workload, replica.number);
        pipe.send(b'O', &[options.as_bytes(), dir.as_os_str().as_encoded_bytes(), scratch.as_os_str().as_encoded_bytes()]);
        let writer = Writer::load(pipe, workload, &replica);
        Self { writer }
    }

    /// Applies the writes of the next day, flushes, and lets the compactions settle.
    pub fn next_day(&mut self) {
        self.writer.next_day();
    }

    /// Makes a checkpoint in the new folder `dest`, and returns when it is there.
    pub fn checkpoint(&mut self, dest: &Path) {
        fs::create_dir_all(dest.parent().expect("a folder to hold the checkpoint")).expect("parent folder");
        let pipe = self.writer.sink_mut();
        pipe.send(b'K', &[dest.as_os_str().as_encoded_bytes()]);
        pipe.to.as_mut().expect("an open pipe").flush().expect("the program reads");
        let mut line = String::new();
        pipe.from.read_line(&mut line).expect("the program answers");
        assert_eq!(line, "done\n", "checkpoint {}", dest.display());
    }
}

/// The running program.
struct Pipe {
    child: Child,
    /// Taken to close it.
    to: Option<BufWriter<ChildStdin>>,
    from: BufReader<ChildStdout>,
}

impl Pipe {
    fn open(program: &Path) -> Self {
        let mut child =
            Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program that replays writes");
        let to = BufWriter::with_capacity(PIPE_BUFFER_BYTES, child.stdin.take().expect("its input"));
        let from = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, to: Some(to), from }
    }

    fn send(&mut self, operation: u8, fields: &[&[u8]]) {
        let to = self.to.as_mut().expect("an open pipe");
        let mut write = |bytes: &[u8]| to.write_all(bytes).expect("the program reads");
        write(&[operation]);
        for field in fields {
            write(&(field.len() as u32).to_le_bytes());
            write(field);
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // Closed first: the program ends at the end of its input.
        self.to = None;
        let status = self.child.wait();
        let closed = status.as_ref().is_ok_and(|status| status.success());
        assert!(closed || std::thread::panicking(), "the program that replays writes: {status:?}");
    }
}

impl Sink for Pipe {
    fn load(&mut self, mut entries: SortedEntries<'_>) {
        let (mut value, mut file_bytes) = (Vec::new(), 0);
        while let Some(key) = entries.next_into(&mut value) {
            if file_bytes >= INGESTED_FILE_BYTES {
                self.send(b'L', &[&[], &[]]);
                file_bytes = 0;
            }
            self.send(b'L', &[key.as_bytes(), &value]);
            file_bytes += (key.as_bytes().len() + value.len()) as u64;
        }
        self.send(b'E', &[]);
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.send(b'P', &[key, value]);
    }

    fn write_batch(&mut self) {
        self.send(b'W', &[]);
    }

    fn flush(&mut self) {
        self.send(b'F', &[]);
    }

    fn compact_fully(&mut self) {
        self.send(b'C', &[]);
    }

    fn settle(&mut self) {
        self.send(b'Z', &[]);
    }
}

//! The binary with a repository, a cache and a passphrase of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Words that no output of the binary may hold.
const NEVER_SAID: [&str; 4] = ["panicked", "RUST_BACKTRACE", "stack backtrace", "internal error"];

/// A user of one repository. Everything of it goes with it.
pub struct Esker {
    folder: TempDir,
    pub passphrase: Option<String>,
    /// Where the repository is, if not in a folder.
    location: Option<String>,
    /// Variables that say how to reach it.
    pub variables: Vec<(String, String)>,
    /// Options of its store.
    pub options: Vec<String>,
    /// Secrets that no output may hold.
    secrets: Vec<String>,
}

impl Esker {
    pub const PASSPHRASE: &str = "ridge of Layered gravel #7";

    /// With an encrypted repository.
    pub fn encrypted() -> Self {
        let esker = Self::without_repository(Some(Self::PASSPHRASE));
        esker.run(&["init"]).exits(0);
        esker
    }

    /// With a repository that is not encrypted, made with these arguments to `init`.
    pub fn plain(init: &[&str]) -> Self {
        let esker = Self::without_repository(None);
        esker.run(&[&["init", "--no-encryption"], init].concat()).exits(0);
        esker
    }

    /// Before `init`.
    pub fn without_repository(passphrase: Option<&str>) -> Self {
        let folder = super::quick_folder();
        let passphrase = passphrase.map(str::to_owned);
        let secrets = passphrase.iter().cloned().collect();
        Self { folder, passphrase, location: None, variables: Vec::new(), options: Vec::new(), secrets }
    }

    /// With a repository in an object store, before `init`; what these variables hold under a secret's name is never said.
    pub fn in_store(location: &str, variables: Vec<(String, String)>) -> Self {
        let mut esker = Self::without_repository(Some(Self::PASSPHRASE));
        let is_secret = |name: &str| ["SECRET", "_TOKEN", "ACCOUNT_KEY"].iter().any(|word| name.contains(word));
        esker.secrets.extend(variables.iter().filter(|(name, _)| is_secret(name)).map(|(_, value)| value.clone()));
        Self { location: Some(location.to_owned()), variables, ..esker }
    }

    /// From now on the repository is in this folder.
    pub fn move_to(&mut self, folder: &Path) {
        self.location = Some(folder.display().to_string());
    }

    /// Names another secret that no output may hold.
    pub fn keep_secret(&mut self, secret: &str) {
        self.secrets.push(secret.to_owned());
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub fn repo(&self) -> PathBuf {
        self.path("repo")
    }

    /// The repository as it is named on a command line.
    pub fn location(&self) -> String {
        self.location.clone().unwrap_or_else(|| self.repo().display().to_string())
    }

    pub fn cache(&self) -> PathBuf {
        self.path("cache")
    }

    /// The command with the user's repository, cache and passphrase in its environment, and no terminal.
    pub fn command<A: AsRef<OsStr>>(&self, args: &[A]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_esker"));
        command
            .args(args)
            .args(self.options.iter().map(|option| format!("--store-option={option}")))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let given = std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("ESKER_"));
        for name in given.filter(|name| name != "ESKER_CI_RUN") {
            command.env_remove(name);
        }
        let foreign = |name: &str| ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|prefix| name.starts_with(prefix));
        for (name, _) in std::env::vars().filter(|(name, _)| foreign(name) || name.to_ascii_lowercase().ends_with("_proxy")) {
            command.env_remove(name);
        }
        // Nobody's profile is read, and no machine's metadata service is asked.
        command.env("HOME", self.folder()).env("AWS_EC2_METADATA_DISABLED", "true");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("ESKER_REPO", self.location()).env("ESKER_CACHE_DIR", self.cache()).env("ESKER_TEST_CHEAP_KEYS", "1");
        if let Some(passphrase) = &self.passphrase {
            command.env("ESKER_PASSPHRASE", passphrase);
        }
        command
    }

    pub fn run<A: AsRef<OsStr>>(&self, args: &[A]) -> Run {
        self.run_command(&mut self.command(args))
    }

    pub fn run_command(&self, command: &mut Command) -> Run {
        let output = command.output().expect("the binary starts");
        self.heard(format!("{:?}", command.get_args().collect::<Vec<_>>()), output)
    }

    pub fn start<A: AsRef<OsStr>>(&self, args: &[A]) -> Child {
        self.command(args).spawn().expect("the binary starts")
    }

    pub fn wait(&self, child: Child) -> Run {
        self.heard("a run in the background".to_owned(), child.wait_with_output().unwrap())
    }

    /// Runs with `--json` and gives what it printed.
    #[track_caller]
    pub fn json(&self, args: &[&str], code: i32) -> Value {
        self.run(&[args, &["--json"]].concat()).exits(code).json()
    }

    /// Labels of all backups, oldest first.
    #[track_caller]
    pub fn labels(&self) -> Vec<String> {
        names(&self.json(&["list"], 0)["backups"], "label")
    }

    fn heard(&self, what: String, output: Output) -> Run {
        let run = Run {
            what,
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
        };
        let stdout = String::from_utf8_lossy(&run.stdout).into_owned();
        for text in [&stdout, &run.stderr] {
            for word in NEVER_SAID.iter().copied().chain(self.secrets.iter().map(String::as_str)) {
                assert!(!text.contains(word), "{} says {word:?}:\n{text}", run.what);
            }
        }
        run
    }
}

/// What a run of the binary left behind.
#[derive(Debug)]
pub struct Run {
    what: String,
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Run {
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        let (what, out, err) = (&self.what, self.text(), &self.stderr);
        assert_eq!(self.code, Some(code), "{what}\n-- standard output:\n{out}\n-- standard error:\n{err}");
        self
    }

    /// Standard error holds these words.
    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        assert!(self.stderr.contains(words), "{} does not say {words:?} but\n{}", self.what, self.stderr);
        self
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{}: {error} in {:?}", self.what, self.text()))
    }

    /// One value a line.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A field of every item of a list.
#[track_caller]
pub fn names(list: &Value, field: &str) -> Vec<String> {
    list.as_array().expect("a list").iter().map(|item| item[field].as_str().expect("a text").to_owned()).collect()
}

#[track_caller]
pub fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("no number {field} in {value}"))
}

#[track_caller]
pub fn id_of(report: &Value) -> String {
    report["id"].as_str().expect("an id").to_owned()
}

/// The name of an object with these bytes.
pub fn hex_name(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

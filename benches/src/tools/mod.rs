//! The tools under test: how each verb is spelled.
//!
//! All run with their defaults but for zstd level 3 and encryption with a passphrase. Each keeps its repository, its cache
//! and whatever else it writes below one [`Place`].

mod borg;
mod bucket;
mod esker;
mod find;
mod restic;

use std::ffi::OsString;
use std::fmt::{self, Display};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use crate::fault::Fault;
use crate::folder;
use crate::measure::RUN_LOG;

pub use bucket::Bucket;
pub use esker::Esker;
pub use find::{Program, find_esker, find_programs};
use restic::Restic;

/// What all repositories are encrypted with.
const PASSPHRASE: &str = "correct horse battery staple";

/// A tool that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ToolName {
    /// This project.
    Esker,
    /// The same with `backup --fast`.
    EskerFast,
    /// rustic, restic's format in Rust.
    Rustic,
    /// restic.
    Restic,
    /// BorgBackup.
    Borg,
}

impl ToolName {
    /// All of them, Esker first.
    pub const ALL: [Self; 5] = [Self::Esker, Self::EskerFast, Self::Rustic, Self::Restic, Self::Borg];

    /// The name of its program.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Esker | Self::EskerFast => "esker",
            Self::Rustic => "rustic",
            Self::Restic => "restic",
            Self::Borg => "borg",
        }
    }

    /// Whether it is none of ours.
    pub const fn is_peer(self) -> bool {
        !matches!(self, Self::Esker | Self::EskerFast)
    }
}

impl Display for ToolName {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.pad(match self {
            Self::EskerFast => "esker-fast",
            _ => self.program(),
        })
    }
}

/// A host and the folder of it that is backed up. Only Esker cares for the name.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
}

/// A tool with a place to work in: builds the command lines, runs none.
pub trait Tool {
    /// Makes the repository.
    fn init(&self) -> Command;
    /// Backs up the hosts under the name `label`.
    fn backup(&self, hosts: &[Host], label: &str) -> Command;
    /// Restores the latest backup, which is called `label`, into the empty folder `target`.
    fn restore(&self, label: &str, target: &Path) -> Command;
    /// Forgets all but the newest `keep` backups and deletes what no backup needs then; none if that is not measured of the tool.
    fn thin(&self, _keep: usize) -> Vec<Command> {
        Vec::new()
    }
    /// Reads, decrypts and hashes everything in the repository.
    fn check_data(&self) -> Command;
    /// Rebuilds every file of every backup in memory, too, and hashes it; nothing if the tool has no such check.
    fn check_files(&self) -> Option<Command> {
        None
    }
}

/// Where a tool works: its program and its own empty folder.
#[derive(Debug, Clone)]
pub struct Place {
    program: PathBuf,
    dir: PathBuf,
    bucket: Option<Bucket>,
}

impl Place {
    /// An empty folder `dir` with a passphrase file, for `program`.
    pub fn prepare(program: &Path, dir: &Path) -> Result<Self, Fault> {
        folder::make_empty(dir)?;
        let place = Self { program: program.to_path_buf(), dir: dir.to_path_buf(), bucket: None };
        let passphrase_file = place.passphrase_file();
        (File::options().write(true).create_new(true).mode(0o600).open(&passphrase_file))
            .and_then(|mut file| file.write_all(PASSPHRASE.as_bytes()))
            .map_err(Fault::at(&passphrase_file))?;
        Ok(place)
    }

    /// The same with its repository in a bucket.
    #[must_use]
    pub fn in_bucket(self, bucket: Bucket) -> Self {
        Self { bucket: Some(bucket), ..self }
    }

    /// Forgets what the tool keeps on this machine, as if it never saw the repository.
    pub fn forget_cache(&self) -> Result<(), Fault> {
        folder::remove(&self.cache())
    }

    /// The folder of it all.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The repository, if it is in a folder.
    pub fn repo(&self) -> PathBuf {
        self.dir.join("repo")
    }

    /// Where restored files go.
    pub fn target(&self) -> PathBuf {
        self.dir.join("restored")
    }

    /// The repository's name on a command line; `scheme` is how the tool calls a bucket that its environment describes.
    fn repo_named(&self, scheme: Option<&str>) -> OsString {
        match &self.bucket {
            Some(bucket) => scheme.map_or_else(|| bucket.url(), str::to_owned).into(),
            None => self.repo().into(),
        }
    }

    /// A number that the last command printed as JSON; 0 if it did not.
    pub fn told(&self, field: &str) -> u64 {
        let log = std::fs::read_to_string(self.dir.join(RUN_LOG)).unwrap_or_default();
        let told = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        told.filter_map(|told| told.get(field)?.as_u64()).next_back().unwrap_or(0)
    }

    fn cache(&self) -> PathBuf {
        self.dir.join("cache")
    }

    fn passphrase_file(&self) -> PathBuf {
        self.dir.join("passphrase")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("XDG_CACHE_HOME", self.cache());
        if let Some(bucket) = &self.bucket {
            bucket.tell(&mut command);
        }
        command
    }
}

/// The tool `name` at `place`.
pub fn tool(name: ToolName, place: Place) -> Box<dyn Tool> {
    match name {
        ToolName::Esker => Box::new(Esker::new(place)),
        ToolName::EskerFast => Box::new(Esker::fast(place)),
        ToolName::Rustic => Box::new(Restic::of_rustic(place)),
        ToolName::Restic => Box::new(Restic::of_restic(place)),
        ToolName::Borg => Box::new(borg::Borg(place)),
    }
}

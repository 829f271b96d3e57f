//! Garage, and a line to it that can be troubled.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use esker_testkit::server::garage::{BUCKET, Garage};
use esker_testkit::server::troubled::TroubledLine;

use super::{Esker, Run, host, noise};

/// What makes a repository with small chunks, and packs of 128 KiB.
pub const SMALL_PACKS: [&str; 9] =
    ["init", "--pack-size", "131072", "--chunk-min", "16384", "--chunk-avg", "65536", "--chunk-max", "131072"];

/// The service: Garage, and a line to it.
pub struct Service {
    pub garage: Arc<Garage>,
    pub line: TroubledLine,
}

impl Service {
    /// A line of its own to the node that all share.
    pub fn new() -> Self {
        Self::of(Garage::shared())
    }

    pub fn of(garage: Arc<Garage>) -> Self {
        let line = TroubledLine::to(garage.port());
        Self { garage, line }
    }

    /// Someone whose requests go over the line.
    pub fn user(&self, prefix: &str) -> Esker {
        let mut variables = self.garage.variables();
        variables[0].1 = self.line.endpoint();
        let mut esker = Esker::in_store(&format!("s3://{BUCKET}/troubled/{prefix}"), variables);
        esker.options = vec!["retry_seconds=60".into()];
        esker
    }

    /// Runs a command, of which each request takes a while; once it has made so many, does something, and gives how it ended.
    #[track_caller]
    pub fn in_the_middle(&self, esker: &Esker, mut command: Command, requests: u64, act: impl FnOnce()) -> Run {
        self.line.delay(Duration::from_millis(30));
        self.line.choose(|_, _| None);
        let mut child = command.spawn().expect("the binary starts");
        while self.line.requests() < requests {
            std::thread::sleep(Duration::from_millis(2));
            assert!(child.try_wait().unwrap().is_none(), "{command:?} was over after {} requests", self.line.requests());
        }
        act();
        let run = esker.wait(child);
        self.line.heal();
        run
    }
}

/// A folder of noise that fills several small packs, and a later one that shares most of it.
pub fn noisy_days(esker: &Esker) -> [PathBuf; 2] {
    [0, 1].map(|day| {
        let folder = esker.path(&format!("day{day}"));
        fs::create_dir(&folder).unwrap();
        for file in 0..4 {
            let seed = if file == 3 { 10 + day } else { file };
            fs::write(folder.join(format!("file{file}")), noise(seed, 300_000)).unwrap();
        }
        folder
    })
}

/// The arguments that back up a folder.
pub fn backup_of(label: &str, folder: &Path) -> Vec<String> {
    ["backup", "--json", "--label", label, "--host", &host("h", folder)].map(str::to_owned).to_vec()
}

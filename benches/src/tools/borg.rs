//! borg's command lines.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Host, PASSPHRASE, Place, Tool};

/// BorgBackup 1.2 or newer.
pub struct Borg(pub Place);

impl Borg {
    fn verb(&self, verb: &str) -> Command {
        let mut command = self.0.command();
        // Cache, key and security files all go below the base folder.
        command.env("BORG_BASE_DIR", self.0.cache()).env("BORG_PASSPHRASE", PASSPHRASE).arg(verb);
        command
    }

    fn archive(&self, label: &str) -> PathBuf {
        let mut archive = self.0.repo().into_os_string();
        archive.push(format!("::{label}"));
        archive.into()
    }
}

impl Tool for Borg {
    fn init(&self) -> Command {
        let mut command = self.verb("init");
        command.args(["--encryption", "repokey"]).arg(self.0.repo());
        command
    }

    fn backup(&self, hosts: &[Host], label: &str) -> Command {
        let mut command = self.verb("create");
        command.args(["--compression", "zstd,3"]).arg(self.archive(label)).args(hosts.iter().map(|host| &host.dir));
        command
    }

    fn restore(&self, label: &str, target: &Path) -> Command {
        let mut command = self.verb("extract");
        command.arg(self.archive(label)).current_dir(target);
        command
    }

    fn check_data(&self) -> Command {
        let mut command = self.verb("check");
        command.arg("--verify-data").arg(self.0.repo());
        command
    }
}

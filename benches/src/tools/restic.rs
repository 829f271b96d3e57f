//! restic's command lines. Its zstd level 3 is called `auto`, which is the default; it has no other notion of levels.

use std::path::Path;
use std::process::Command;

use super::{Place, Tool};

/// restic.
pub struct Restic(pub Place);

impl Restic {
    fn verb(&self, verb: &str) -> Command {
        let mut command = self.0.command();
        command.arg("--repo").arg(self.0.repo()).arg("--password-file").arg(self.0.passphrase_file());
        command.arg("--cache-dir").arg(self.0.cache()).args(["--compression", "auto"]).arg(verb);
        command
    }
}

impl Tool for Restic {
    fn init(&self) -> Command {
        let mut command = self.verb("init");
        command.args(["--repository-version", "2"]);
        command
    }

    fn backup(&self, source: &Path, label: &str) -> Command {
        let mut command = self.verb("backup");
        command.args(["--tag", label]).arg(source);
        command
    }

    fn restore(&self, _label: &str, target: &Path) -> Command {
        let mut command = self.verb("restore");
        command.arg("latest").arg("--target").arg(target);
        command
    }

    fn verify(&self) -> Command {
        let mut command = self.verb("check");
        command.arg("--read-data");
        command
    }
}

//! rustic's command lines.

use std::path::Path;
use std::process::Command;

use super::{Place, Tool};

/// rustic.
pub struct Rustic(pub Place);

impl Rustic {
    fn verb(&self, verb: &str) -> Command {
        let mut command = self.0.command();
        command.arg("--repository").arg(self.0.repo()).arg("--password-file").arg(self.0.passphrase_file());
        command.arg("--cache-dir").arg(self.0.cache()).arg("--no-progress").arg(verb);
        command
    }
}

impl Tool for Rustic {
    fn init(&self) -> Command {
        let mut command = self.verb("init");
        command.args(["--set-compression", "3"]);
        command
    }

    fn backup(&self, source: &Path, label: &str) -> Command {
        let mut command = self.verb("backup");
        command.args(["--tag", label]).arg(source);
        command
    }

    fn restore(&self, _label: &str, target: &Path) -> Command {
        let mut command = self.verb("restore");
        command.arg("latest").arg(target);
        command
    }

    fn verify(&self) -> Command {
        let mut command = self.verb("check");
        command.arg("--read-data");
        command
    }
}

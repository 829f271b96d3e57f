//! The command lines of restic and of rustic, which speak one repository format and nearly one dialect.

use std::path::Path;
use std::process::Command;

use super::{Host, Place, Tool};

/// restic or rustic.
pub struct Restic {
    place: Place,
    dialect: &'static Dialect,
}

/// Where the two differ.
struct Dialect {
    repo_option: &'static str,
    /// A bucket, if the environment says which.
    bucket: Option<&'static str>,
    every_verb: &'static [&'static str],
    init: &'static [&'static str],
    target_option: Option<&'static str>,
}

/// Its zstd level 3 is called `auto`, which is the default; it has no other notion of levels.
const RESTIC: Dialect = Dialect {
    repo_option: "--repo",
    bucket: None,
    every_verb: &["--compression", "auto"],
    init: &["--repository-version", "2"],
    target_option: Some("--target"),
};
const RUSTIC: Dialect = Dialect {
    repo_option: "--repository",
    bucket: Some("opendal:s3"),
    every_verb: &["--no-progress"],
    init: &["--set-compression", "3"],
    target_option: None,
};

impl Restic {
    /// restic at `place`.
    pub const fn of_restic(place: Place) -> Self {
        Self { place, dialect: &RESTIC }
    }

    /// rustic at `place`.
    pub const fn of_rustic(place: Place) -> Self {
        Self { place, dialect: &RUSTIC }
    }

    fn verb(&self, verb: &str) -> Command {
        let mut command = self.place.command();
        command.arg(self.dialect.repo_option).arg(self.place.repo_named(self.dialect.bucket));
        command.arg("--password-file").arg(self.place.passphrase_file());
        command.arg("--cache-dir").arg(self.place.cache()).args(self.dialect.every_verb).arg(verb);
        command
    }
}

impl Tool for Restic {
    fn init(&self) -> Command {
        let mut command = self.verb("init");
        command.args(self.dialect.init);
        command
    }

    fn backup(&self, hosts: &[Host], label: &str) -> Command {
        let mut command = self.verb("backup");
        command.args(["--tag", label]).args(hosts.iter().map(|host| &host.dir));
        command
    }

    fn restore(&self, _label: &str, target: &Path) -> Command {
        let mut command = self.verb("restore");
        command.arg("latest").args(self.dialect.target_option).arg(target);
        command
    }

    fn check_data(&self) -> Command {
        let mut command = self.verb("check");
        command.arg("--read-data");
        command
    }
}

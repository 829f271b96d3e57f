//! Running `esker` as a user would.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::place::Place;
use crate::{Outcome, console};

/// The repository's folder, or its prefix in a bucket.
pub const REPO: &str = "repo";
const PASSPHRASE: &str = "a passphrase for the demo";
const CACHE: &str = "cache";

/// A shell whose working folder is the demo's.
pub struct Shell {
    esker: PathBuf,
    folder: PathBuf,
    variables: Vec<(String, String)>,
}

/// What a command said.
pub struct Said {
    /// Both streams, standard error first.
    pub text: String,
    /// How long it took.
    pub seconds: f64,
}

impl Shell {
    /// Commands run `esker` in `folder`; prints how they are told repository and passphrase.
    pub fn open(esker: &Path, folder: &Path, place: &Place) -> Self {
        console::command(&format!("cd {}", folder.display()));
        let mut variables = place.variables();
        for (name, value) in &variables {
            console::command(&format!("export {name}={value}"));
        }
        let repo = place.name_of(REPO);
        console::command(&format!("export ESKER_REPO={repo} ESKER_CACHE_DIR={CACHE} ESKER_PASSPHRASE='{PASSPHRASE}'"));
        let own = [("ESKER_REPO", repo.as_str()), ("ESKER_CACHE_DIR", CACHE), ("ESKER_PASSPHRASE", PASSPHRASE)];
        variables.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Self { esker: esker.to_path_buf(), folder: folder.to_path_buf(), variables }
    }

    /// Prints and runs a command that must end with `exit_code`.
    ///
    /// # Errors
    /// If it cannot be started or ends otherwise.
    pub fn run(&self, arguments: &str, exit_code: i32) -> Outcome<Said> {
        console::command(&format!("esker {arguments}"));
        let mut command = Command::new(&self.esker);
        command.args(arguments.split_whitespace()).current_dir(&self.folder).stdin(Stdio::null());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ESKER_")) {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let started = Instant::now();
        let output = command.output().map_err(|error| format!("cannot run {}: {error}", self.esker.display()))?;
        let seconds = started.elapsed().as_secs_f64();
        let text = [output.stderr, output.stdout].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        if output.status.code() == Some(exit_code) {
            Ok(Said { text, seconds })
        } else {
            Err(format!("esker {arguments} ended with {}, not with exit code {exit_code}:\n{text}", output.status))
        }
    }
}

impl Said {
    /// Prints all of it.
    pub fn print(&self) {
        self.text.lines().for_each(console::output);
    }

    /// Prints the lines that `wanted` chooses.
    pub fn print_lines(&self, wanted: impl FnMut(&&str) -> bool) {
        self.text.lines().filter(wanted).for_each(console::output);
    }

    /// Prints the lines that `wanted` chooses, and dots where it leaves some out.
    pub fn print_excerpt(&self, mut wanted: impl FnMut(&str) -> bool) {
        let mut gap = false;
        for line in self.text.lines() {
            let show = wanted(line);
            match (show, gap) {
                (true, _) => console::output(line),
                (false, false) => console::output("    [...]"),
                (false, true) => {}
            }
            gap = !show;
        }
    }

    /// The value of a line `name  value`.
    ///
    /// # Errors
    /// If there is no such line.
    pub fn fact(&self, name: &str) -> Outcome<&str> {
        let found = self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("  "));
        found.map(str::trim).ok_or_else(|| format!("no line {name:?} in:\n{}", self.text))
    }

    /// That a text stands in it.
    ///
    /// # Errors
    /// If it does not.
    pub fn must_say(&self, text: &str) -> Outcome<()> {
        if self.text.contains(text) { Ok(()) } else { Err(format!("{text:?} was expected in:\n{}", self.text)) }
    }
}

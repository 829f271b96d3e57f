//! A process that does not outlive the one that started it, however that one ends.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Ends the program when standard input closes, which the kernel does for a process that is gone.
const SCRIPT: &str = r#""$@" </dev/null >"$LEASH_LOG" 2>&1 & child=$!; echo "$child"; read -r _; kill -9 "$child"; wait "$child""#;

/// A running program; dropping it kills it.
pub(super) struct Leash {
    shell: Child,
    input: Option<ChildStdin>,
    process: String,
}

impl Leash {
    /// Starts a program whose words go to the file `log`.
    pub(super) fn start(program: &Path, arguments: &[String], variables: &[(&str, String)], log: &Path) -> Self {
        File::create(log).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh"]).arg(program).args(arguments).env("LEASH_LOG", log);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("sh starts");
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let input = shell.stdin.take();
        Self { shell, input, process: line.trim().to_owned() }
    }

    /// Kills it, as `kill -9` does, and waits until it is gone.
    pub(super) fn kill(&mut self) {
        if self.input.take().is_some() {
            let _ = self.shell.wait();
        }
    }

    /// Whether it still runs.
    pub(super) fn runs(&self) -> bool {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", self.process)).unwrap_or_default();
        state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.kill();
    }
}

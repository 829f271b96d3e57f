//! One run of a command line: wall-clock time and peak memory.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use memmap2::MmapMut;

use crate::fault::Fault;

/// GNU time. It asks the kernel for the peak resident set of its child (`wait4`), without being a
/// large process itself, whose own size the kernel would count as the child's before `exec`.
const GNU_TIME: &str = "/usr/bin/time";
/// Where in its scratch folder the output of a command stands.
pub const RUN_LOG: &str = "run.log";
const LOG_LINES_SHOWN: usize = 15;
/// More than any of the tools takes.
const TOUCHED_BYTES: usize = 1 << 30;
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// From start to end, by the wall clock.
    pub seconds: f64,
    /// The largest resident set of the process.
    pub peak_bytes: u64,
    /// In user and kernel mode: what a busy machine does not change.
    pub cpu_seconds: f64,
}

/// Runs `command` to its end, its output in the file `run.log` of `scratch`.
///
/// # Errors
/// If it cannot be started or exits with anything but 0.
pub fn measure(command: &Command, scratch: &Path) -> Result<Cost, Fault> {
    let (log_path, peak_path) = (scratch.join(RUN_LOG), scratch.join("run.peak"));
    let log = File::create(&log_path).map_err(Fault::at(&log_path))?;
    let log_too = log.try_clone().map_err(Fault::at(&log_path))?;
    let mut timed = under_gnu_time(command, &peak_path);
    timed.stdin(Stdio::null()).stdout(log).stderr(log_too);

    // What came before is not to be written back at this one's expense.
    rustix::fs::sync();
    touch_memory().map_err(Fault::at(Path::new("memory")))?;
    let start = Instant::now();
    let status = timed.status().map_err(Fault::at(Path::new(GNU_TIME)))?;
    let seconds = start.elapsed().as_secs_f64();
    // Done with named warnings is done.
    if !status.success() && status.code() != Some(4) {
        let log = fs::read(&log_path).map_err(Fault::at(&log_path))?;
        let (command, log_end) = (format!("{command:?}"), last_lines(&String::from_utf8_lossy(&log)));
        return Err(Fault::Failed { command, status: status.to_string(), log_end });
    }
    let peak = fs::read_to_string(&peak_path).map_err(Fault::at(&peak_path))?;
    // GNU time says first that the command exited with another code than 0.
    let mut numbers = peak.lines().last().unwrap_or_default().split(' ');
    let peak_kib: u64 = numbers.next().and_then(|number| number.parse().ok()).unwrap_or(0);
    let cpu_seconds = numbers.filter_map(|number| number.parse::<f64>().ok()).sum();
    Ok(Cost { seconds, peak_bytes: peak_kib << 10, cpu_seconds })
}

/// Touches memory and gives it back. A virtual machine may have returned free memory to its host, and waits for each page
/// that it takes again, fifty times longer than for one that it has: two thirds of a second for 300 MiB, or nothing, by what
/// ran before.
fn touch_memory() -> io::Result<()> {
    let mut memory = MmapMut::map_anon(TOUCHED_BYTES)?;
    #[cfg(target_os = "linux")]
    let _ = memory.advise(memmap2::Advice::HugePage);
    for page in memory.chunks_mut(HUGE_PAGE_BYTES) {
        page.fill(1);
    }
    Ok(())
}

fn under_gnu_time(command: &Command, peak_path: &Path) -> Command {
    let mut timed = Command::new(GNU_TIME);
    timed.args(["--format", "%M %U %S", "--output"]).arg(peak_path).arg("--");
    timed.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => timed.env(name, value),
            None => timed.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        timed.current_dir(dir);
    }
    timed
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_shows_the_end_of_its_output() {
        if !Path::new(GNU_TIME).exists() {
            return; // Only `scripts/setup bench` installs it.
        }
        let scratch = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "seq 100; exit 7"]);
        let fault = measure(&command, scratch.path()).unwrap_err().to_string();
        assert!(fault.contains("exit status: 7") && fault.ends_with("99\n100"), "{fault}");
    }

    #[test]
    fn a_command_runs_with_its_environment_and_folder() {
        if !Path::new(GNU_TIME).exists() {
            return;
        }
        let scratch = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo $WHERE > here"]).env("WHERE", "x").current_dir(scratch.path());
        let cost = measure(&command, scratch.path()).unwrap();
        assert_eq!(fs::read_to_string(scratch.path().join("here")).unwrap(), "x\n");
        assert!(cost.seconds > 0.0 && cost.peak_bytes > 100_000);
    }
}

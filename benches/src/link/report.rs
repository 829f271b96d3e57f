//! The table of a contest over a link, and the targets.

use std::thread;

use super::contest::{Contest, Errand, Score};
use crate::median::median;
use crate::targets::print_target;
use crate::tools::ToolName;

const MB: f64 = 1e6;
const MIB: f64 = (1 << 20) as f64;

impl Errand {
    const fn words(self) -> &'static str {
        match self {
            Self::FirstBackup => "first backup",
            Self::Restore => "restore",
            Self::Replicas => "three replicas",
        }
    }

    /// Times as fast as rustic, at least.
    const fn target(self) -> Option<f64> {
        match self {
            Self::FirstBackup => Some(1.1),
            Self::Restore => None,
            Self::Replicas => Some(2.0),
        }
    }
}

/// Medians of all runs, each quantity on its own.
struct Row {
    seconds: f64,
    cpu_seconds: f64,
    up_mb: f64,
    down_mb: f64,
    requests: f64,
    peak_mib: f64,
}

impl Score {
    fn row(&self, errand: Errand) -> Row {
        let readings = || self.runs.iter().filter_map(|run| run.get(errand as usize));
        Row {
            seconds: median(readings().map(|reading| reading.cost.seconds)),
            cpu_seconds: median(readings().map(|reading| reading.cost.cpu_seconds)),
            up_mb: median(readings().map(|reading| reading.carried.up_bytes as f64 / MB)),
            down_mb: median(readings().map(|reading| reading.carried.down_bytes as f64 / MB)),
            requests: median(readings().map(|reading| reading.carried.requests as f64)),
            peak_mib: median(readings().map(|reading| reading.cost.peak_bytes as f64 / MIB)),
        }
    }
}

/// Prints what was measured.
pub fn print_table(contest: &Contest, scores: &[Score], runs: u32, mbit: u64) {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let versions: Vec<&str> = scores.iter().map(|score| score.version.as_str()).collect();
    let day_mb = |series: &crate::series::Series| series.days.first().map_or(0.0, |day| day.bytes as f64 / MB);
    let runs = if runs == 1 { "one run".to_owned() } else { format!("medians of {runs} runs") };
    println!("\nA link of {mbit} Mbit/s each way to Garage on this machine. {cores} cores for all of it, {runs}.");
    println!("{}: each with zstd 3 and a passphrase.", versions.join(", "));
    println!("One engine of {:.0} MB; three replicas of {:.0} MB together.", day_mb(&contest.single), day_mb(&contest.replicas));
    println!("Input in the page cache; the restore without any cache of the tool.\n");
    println!(
        "{:<16}{:<10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "", "", "seconds", "CPU s", "MB up", "MB down", "requests", "peak MiB", "Mbit/s"
    );
    for errand in Errand::ALL {
        for score in scores {
            print_row(errand.words(), &score.name.to_string(), &score.row(errand));
        }
    }
    println!();
}

fn print_row(words: &str, tool: &str, row: &Row) {
    let Row { seconds, cpu_seconds, up_mb, down_mb, requests, peak_mib } = row;
    let mbit = up_mb.max(*down_mb) * 8.0 / seconds;
    println!(
        "{words:<16}{tool:<10}{seconds:>10.2}{cpu_seconds:>10.2}{up_mb:>10.1}{down_mb:>10.1}{requests:>10.0}{peak_mib:>10.0}{mbit:>10.0}"
    );
}

/// Prints how much faster Esker is than rustic, and a line for each target; whether all were reached.
pub fn print_targets(scores: &[Score]) -> bool {
    let of = |name| scores.iter().find(|score| score.name == name);
    let Some((esker, rustic)) = of(ToolName::Esker).zip(of(ToolName::Rustic)) else { return true };
    let mut reached = true;
    for errand in Errand::ALL {
        let speed = rustic.row(errand).seconds / esker.row(errand).seconds;
        match errand.target() {
            Some(at_least) => {
                let what = format!("{}: at least {at_least} times as fast as rustic", errand.words());
                reached &= print_target(&what, speed >= at_least, &format!("{speed:.2}"));
            }
            None => println!("        {}: {speed:.2} times as fast as rustic", errand.words()),
        }
    }
    reached
}

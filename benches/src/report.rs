//! The table of a contest, at most 100 columns wide.

use std::thread;

use crate::contest::{Score, Verb};
use crate::median::median;
use crate::series::Series;
use crate::tools::ToolName;
use crate::work::Reading;

const MB: f64 = 1e6;
const MIB: f64 = (1 << 20) as f64;

impl Verb {
    /// The words for it in the output.
    pub const fn words(self) -> &'static str {
        match self {
            Self::FirstBackup => "first backup",
            Self::Incrementals => "incrementals",
            Self::Restore => "restore",
            Self::RestoreToDisk => "restore to disk",
            Self::DataCheck => "check of data",
            Self::FilesCheck => "check of files",
        }
    }
}

impl Score {
    /// The medians of all runs for a verb, each quantity on its own.
    pub fn median(&self, verb: Verb) -> Reading {
        let readings = || self.runs.iter().map(|run| run[verb as usize]);
        let stored = readings().filter_map(|reading| reading.stored_bytes).map(|bytes| bytes as f64);
        Reading {
            seconds: median(readings().map(|reading| reading.seconds)),
            peak_bytes: median(readings().map(|reading| reading.peak_bytes as f64)) as u64,
            stored_bytes: readings().all(|reading| reading.stored_bytes.is_some()).then(|| median(stored) as u64),
        }
    }
}

/// The least of each quantity over the peers (not always the same peer), and which one is fastest; nothing without peers.
pub fn best_peer(scores: &[Score], verb: Verb) -> Option<(ToolName, Reading)> {
    let peers = || scores.iter().filter(|score| score.name.is_peer()).map(|score| (score.name, score.median(verb)));
    let (fastest, quickest) = peers().min_by(|(_, a), (_, b)| a.seconds.total_cmp(&b.seconds))?;
    let best = Reading {
        seconds: quickest.seconds,
        peak_bytes: peers().map(|(_, peer)| peer.peak_bytes).min()?,
        stored_bytes: peers().filter_map(|(_, peer)| peer.stored_bytes).min(),
    };
    Some((fastest, best))
}

/// Prints what was measured.
pub fn print_table(series: &Series, scores: &[Score], runs: u32) {
    print_heading(series, scores, runs);
    println!("{:<16}{:<20}{:>12}{:>10}{:>14}{:>12}", "", "", "seconds", "MB/s", "stored MB", "peak MiB");
    for verb in Verb::ALL {
        let input_mb = input_bytes(series, verb) as f64 / MB;
        let mut words = verb.words();
        for score in scores {
            print_row(words, &score.name.to_string(), &score.median(verb), input_mb);
            words = "";
        }
        let esker = scores.iter().find(|score| score.name == ToolName::Esker);
        if let Some((esker, (_, best))) = esker.zip(best_peer(scores, verb)) {
            print_ratios(&esker.median(verb), &best);
        }
        println!();
    }
}

fn print_heading(series: &Series, scores: &[Score], runs: u32) {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let versions: Vec<&str> = scores.iter().map(|score| score.version.as_str()).collect();
    let new_mb = input_bytes(series, Verb::Incrementals) as f64 / MB;
    println!("\nWorkload uniform, {} entries: day 0 holds {:.0} MB;", series.input.workload.entries, series.days[0].bytes as f64 / MB);
    let runs = if runs == 1 { "one run".to_owned() } else { format!("medians of {runs} runs") };
    println!("{} days follow with {new_mb:.0} MB in new files. {cores} cores, {runs}.", series.days.len() - 1);
    println!("{}:", versions.join(", "));
    println!("each with zstd 3 (but esker-fast), a passphrase and its own cache; input and repository in the page cache; a new");
    println!("process for every command. All sync their repository; of restored files only esker does that itself, so that for");
    println!("the others a sync follows that counts as theirs (to disk).");
    println!("MB/s is input: new files for the incrementals, all distinct files for the checks.\n");
}

fn print_row(verb: &str, tool: &str, reading: &Reading, input_mb: f64) {
    let stored = reading.stored_bytes.map_or_else(String::new, |bytes| format!("{:.1}", bytes as f64 / MB));
    let (seconds, peak_mib) = (reading.seconds, reading.peak_bytes as f64 / MIB);
    println!("{verb:<16}{tool:<20}{seconds:>12.2}{:>10.0}{stored:>14}{peak_mib:>12.0}", input_mb / seconds);
}

fn print_ratios(esker: &Reading, peer: &Reading) {
    let stored =
        (peer.stored_bytes.zip(esker.stored_bytes)).map_or_else(String::new, |(peer, esker)| format!("{:.2}", peer as f64 / esker as f64));
    let (seconds, peak) = (peer.seconds / esker.seconds, peer.peak_bytes as f64 / esker.peak_bytes as f64);
    println!("{:<16}{:<20}{seconds:>12.2}{:>10}{stored:>14}{peak:>12.2}", "", "best peer / esker", "");
}

/// The bytes of input that a verb is about.
fn input_bytes(series: &Series, verb: Verb) -> u64 {
    let days = &series.days;
    match verb {
        Verb::FirstBackup => days[0].bytes,
        Verb::Incrementals => days[1..].iter().map(|day| day.new_bytes).sum(),
        Verb::Restore | Verb::RestoreToDisk => days[days.len() - 1].bytes,
        Verb::DataCheck | Verb::FilesCheck => days.iter().map(|day| day.new_bytes).sum(),
    }
}

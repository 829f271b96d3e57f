//! Every verb on a repository of many chunks and many files, and on one a tenth as large: time, memory and requests must
//! grow no faster than the work.

mod make;
mod verbs;

use std::path::PathBuf;

use clap::Args;

use crate::Common;
use crate::fault::Fault;
use crate::folder;
use crate::targets::{PEAK_TARGET_MIB, print_target};
use crate::tools::find_esker;

use make::Size;
use verbs::{Measured, Table, Work};

/// How much faster than its work a verb may grow: runs on a machine that is not idle spread as much.
const GROWTH_SLACK: f64 = 1.3;
/// Peak memory against that of the smaller repository, at most,
const MEMORY_GROWTH: f64 = 1.5;
/// and bytes more for each object more that the store holds: whoever knows what is there has listed all of it.
const LISTED_BYTES: u64 = 1 << 10;
/// CPU seconds that are not measured: starting a process takes some, and the kernel's caches come and go.
const SECONDS_MIN: f64 = 0.5;

#[derive(Args)]
pub struct ScaleArguments {
    #[command(flatten)]
    common: Common,
    /// Chunks of files in the larger repository, and a few per cent more of tables and recipes.
    #[arg(long, default_value_t = 10_000_000)]
    chunks: u64,
    /// Rows of files in all its backups together.
    #[arg(long, default_value_t = 1_000_000)]
    files: u64,
    /// Backups, in both repositories.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(2..=10_000))]
    backups: u64,
    /// How many times smaller the other repository is.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..=1000))]
    times: u64,
    /// The program to measure, if it is not the one beside this.
    #[arg(long)]
    esker: Option<PathBuf>,
}

/// Measures both repositories and prints a table; whether all targets were reached.
pub fn measure_scale(arguments: &ScaleArguments) -> Result<bool, Fault> {
    let program = match &arguments.esker {
        Some(path) => path.clone(),
        None => find_esker()?.path,
    };
    let dir = arguments.common.dir.join("scale");
    let mut measured = Vec::new();
    for times in [arguments.times, 1] {
        let size = Size { chunks: arguments.chunks / times, files: arguments.files / times, backups: arguments.backups };
        let dir = dir.join(format!("{}-{}-{}", size.chunks, size.files, size.backups));
        measured.push(verbs::measure_all(&program, &dir, &size)?);
        if !arguments.common.keep {
            folder::remove(&dir)?;
        }
    }
    let [small, large] = measured.as_slice() else { return Ok(false) };
    print_table(arguments, small, large);
    Ok(print_targets(small, large, arguments.times as f64))
}

fn print_table(arguments: &ScaleArguments, small: &Table, large: &Table) {
    let of = |times: u64| format!("{} chunks, {} rows", arguments.chunks / times, arguments.files / times);
    println!("\n{} backups each. CPU seconds, peak MiB, requests; then how many times more.\n", arguments.backups);
    println!("{:<24}{:>30}{:>30}", "", of(arguments.times), of(1));
    for (small, large) in small.verbs.iter().zip(&large.verbs) {
        let cell = |of: &Measured| {
            let requests = of.requests.map_or_else(|| "-".to_owned(), |requests| requests.to_string());
            format!("{:>10.2}{:>8}{:>10}", of.cost.cpu_seconds, of.cost.peak_bytes >> 20, requests)
        };
        let times = |large: f64, small: f64| format!("{:.1}", large / small.max(0.01));
        println!(
            "{:<24}{:>30}{:>30}{:>10}{:>8}",
            small.name,
            cell(small),
            cell(large),
            times(large.cost.cpu_seconds, small.cost.cpu_seconds),
            times(large.cost.peak_bytes as f64, small.cost.peak_bytes as f64)
        );
    }
    println!();
}

fn print_targets(small: &Table, large: &Table, times: f64) -> bool {
    let mut reached = true;
    let listed_mib = (large.objects.saturating_sub(small.objects) * LISTED_BYTES) >> 20;
    for (small, large) in small.verbs.iter().zip(&large.verbs) {
        let name = large.name;
        let (work, asked) = match large.work {
            Work::Repository | Work::OneBackup => (times, times),
            Work::Listing => (times, 1.0),
            Work::Fixed => (1.0, 1.0),
        };
        let (seconds, before) = (large.cost.cpu_seconds, small.cost.cpu_seconds);
        if seconds > SECONDS_MIN {
            let at_most = before * work * GROWTH_SLACK + SECONDS_MIN;
            reached &= print_target(&format!("{name}: at most {at_most:.1} s"), seconds <= at_most, &format!("{seconds:.1} s"));
        }
        let (peak, before) = (large.cost.peak_bytes >> 20, small.cost.peak_bytes >> 20);
        let at_most = ((before as f64 * MEMORY_GROWTH) as u64 + listed_mib).min(PEAK_TARGET_MIB);
        reached &= print_target(&format!("{name}: at most {at_most} MiB"), peak <= at_most, &format!("{peak} MiB, after {before}"));
        if let (Some(requests), Some(before)) = (large.requests, small.requests) {
            let at_most = before as f64 * asked * GROWTH_SLACK;
            let what = format!("{name}: at most {at_most:.0} requests");
            reached &= print_target(&what, requests as f64 <= at_most, &requests.to_string());
        }
    }
    reached
}

//! Measures Esker: against rustic, restic and borg (`peers`), the bytes it stores for each reference workload (`sorted`),
//! its peak memory as a repository grows (`memory`), every verb on a synthetic repository (`scale`), and against rustic over
//! a link to an object store (`link`).
//!
//! Every measurement is one run of a command line in a cold process, with its input in the page cache. Exit codes: 0 all
//! targets reached, 1 something failed, 2 usage, 3 a target was missed.

mod contest;
mod fault;
mod folder;
mod generate;
mod link;
mod measure;
mod median;
mod memory;
mod report;
mod scale;
mod series;
mod sorted;
mod targets;
mod tools;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use esker_testkit::workload::Workload;
use fault::Fault;
use series::{Input, Series, Source};
use tools::ToolName;

#[derive(Parser)]
#[command(about = "Measure Esker against its peers, and its peak memory")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// First backup, incrementals, restore and checks of the `uniform` workload, for each tool.
    Peers(PeersArguments),
    /// Stored bytes of every reference workload, engines of both RocksDB versions, replicas.
    Sorted(sorted::SortedArguments),
    /// Peak memory of Esker's backup, restore and fsck for repositories of a growing number of chunks.
    Memory(MemoryArguments),
    /// Every verb on a synthetic repository of millions of chunks and on a smaller one.
    Scale(scale::ScaleArguments),
    /// Backups and a restore over a link of a certain bandwidth to Garage, beside rustic.
    Link(link::LinkArguments),
}

#[derive(Args)]
struct Common {
    /// The folder to work in. Generated input stays in its folder `inputs`, and later runs use it again.
    #[arg(long, default_value_os_t = default_dir())]
    dir: PathBuf,
    /// Keep repositories and restored files.
    #[arg(long)]
    keep: bool,
}

#[derive(Args)]
struct PeersArguments {
    #[command(flatten)]
    common: Common,
    /// Entries of the bulk load, about 105 bytes each.
    #[arg(long, default_value_t = 4_000_000)]
    entries: u64,
    /// Days of churn after day 0.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=99))]
    days: u32,
    /// The tools to measure, in this order.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = ToolName::ALL)]
    tools: Vec<ToolName>,
    /// Runs of everything, each with new repositories; the medians are reported.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
}

#[derive(Args)]
struct MemoryArguments {
    #[command(flatten)]
    common: Common,
    /// Chunks of each repository, of about 1 KiB; the first is what the others are compared with.
    #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000])]
    chunks: Vec<u64>,
}

/// `$HOME/.cache/esker/bench`, beside what the Makefile keeps there.
fn default_dir() -> PathBuf {
    std::env::home_dir().unwrap_or_default().join(".cache/esker/bench")
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().what {
        What::Peers(arguments) => compare_peers(&arguments),
        What::Sorted(arguments) => sorted::measure_sorted(&arguments),
        What::Scale(arguments) => scale::measure_scale(&arguments),
        What::Link(arguments) => link::measure_link(&arguments),
        What::Memory(arguments) => memory::measure_memory(&arguments.common.dir, &arguments.chunks, arguments.common.keep),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(fault) => {
            eprintln!("esker-bench: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the contest and prints its report; whether all targets were reached.
fn compare_peers(arguments: &PeersArguments) -> Result<bool, Fault> {
    let dir = &arguments.common.dir;
    let programs = tools::find_programs(&arguments.tools)?;
    let workload = Workload { entries: arguments.entries, ..Workload::default() };
    let input = Input { workload, source: Source::Bundled, hosts: 1, days: arguments.days };
    let series = Series::prepare(dir, &input)?;
    let scores = contest::hold(&programs, &series, &dir.join("peers"), arguments.runs, arguments.common.keep)?;
    report::print_table(&series, &scores, arguments.runs);
    Ok(targets::print_targets(&scores))
}

//! Esker beside rustic over a link of a certain bandwidth to Garage, all three on this machine: a first backup, its restore
//! by a client that has no cache, and a first backup of three replicas together.

mod contest;
mod report;

use clap::Args;
use esker_testkit::workload::Workload;

use crate::Common;
use crate::fault::Fault;
use crate::series::{Input, Series, Source};
use crate::tools::{ToolName, find_programs};

use contest::Contest;

/// The two that are compared, Esker first.
const TOOLS: [ToolName; 2] = [ToolName::Esker, ToolName::Rustic];
/// Hosts of the replicated cluster: each holds a replica of everything.
const HOSTS: u32 = 3;

#[derive(Args)]
pub struct LinkArguments {
    #[command(flatten)]
    common: Common,
    /// Megabits a second that the link carries each way.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    mbit: u64,
    /// Entries of the single engine, about 105 bytes each; each replica has a quarter of them.
    #[arg(long, default_value_t = 4_000_000, value_parser = clap::value_parser!(u64).range(8_000..))]
    entries: u64,
    /// Runs of everything, each with new stores; the medians are reported.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
}

/// Holds the contest and prints its report; whether all targets were reached.
pub fn measure_link(arguments: &LinkArguments) -> Result<bool, Fault> {
    let dir = &arguments.common.dir;
    let programs = find_programs(&TOOLS)?;
    let input = |entries, hosts| {
        let workload = Workload { entries, ..Workload::default() };
        Series::prepare(dir, &Input { workload, source: Source::Bundled, hosts, days: 0 })
    };
    let contest = Contest {
        dir: dir.join("link"),
        bytes_per_second: arguments.mbit * 1_000_000 / 8,
        single: input(arguments.entries, 1)?,
        replicas: input(arguments.entries / 4, HOSTS)?,
        keep: arguments.common.keep,
    };
    let scores = contest.hold(&programs, arguments.runs)?;
    report::print_table(&contest, &scores, arguments.runs, arguments.mbit);
    Ok(report::print_targets(&scores))
}

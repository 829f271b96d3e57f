//! What Esker stores of each reference workload, beside its peers and beside the new entries alone.

mod bounds;
mod case;
mod kept;
mod measured;
mod table;

use std::path::Path;

use clap::Args;
use esker_testkit::workload::DebianRocksDb;

use crate::Common;
use crate::fault::Fault;
use crate::series::{Series, Source};
use crate::tools::{Program, ToolName, find_esker, find_programs};
use case::{Case, Producer, WorkloadName};
use kept::Kept;
use measured::{Measured, Stored};

/// The options of `esker-bench sorted`.
#[derive(Args)]
pub struct SortedArguments {
    #[command(flatten)]
    common: Common,
    /// Entries of the bulk load, about 105 bytes each.
    #[arg(long, default_value_t = 1_000_000)]
    entries: u64,
    /// Days of churn after day 0.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=99))]
    days: u32,
    /// The same for the workload `long`.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=99))]
    long_days: u32,
    /// The workloads to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = WorkloadName::ALL)]
    workload: Vec<WorkloadName>,
    /// The RocksDB versions whose checkpoints are measured.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Producer::ALL)]
    producer: Vec<Producer>,
    /// The peers for all workloads; without this option rustic, and borg for `uniform` only, because it is slow.
    #[arg(long, value_enum, value_delimiter = ',')]
    peers: Option<Vec<ToolName>>,
    /// Measure the peers again where an earlier run has done so on the same input.
    #[arg(long)]
    again: bool,
    /// Print JSON instead of the table and the targets.
    #[arg(long)]
    json: bool,
}

/// Measures all cases and prints a table and the targets; whether all were reached.
pub fn measure_sorted(arguments: &SortedArguments) -> Result<bool, Fault> {
    let dir = &arguments.common.dir;
    let debian = find_debian(arguments, &dir.join("program"));
    let mut all = Vec::new();
    for case in case::chosen(arguments, debian.as_ref()) {
        all.push(measure_case(arguments, &case)?);
    }
    let bounds: Vec<_> = all.iter().map(bounds::check).collect();
    if arguments.json {
        table::print_json(&all, &bounds);
    } else {
        table::print(&all, &bounds);
    }
    Ok(bounds.iter().flatten().all(|bound| bound.is_kept()))
}

fn find_debian(arguments: &SortedArguments, program_dir: &Path) -> Option<DebianRocksDb> {
    if !arguments.producer.contains(&Producer::Debian) {
        return None;
    }
    let found = DebianRocksDb::find(program_dir);
    if found.is_none() {
        eprintln!("skipped: checkpoints by Debian's RocksDB, because librocksdb-dev is not installed (scripts/setup bench)");
    }
    found
}

fn measure_case(arguments: &SortedArguments, case: &Case) -> Result<Measured, Fault> {
    let Common { dir, keep } = &arguments.common;
    eprintln!("{}", case.input.key());
    let series = Series::prepare(dir, &case.input)?;
    let work_dir = dir.join("sorted").join(case.input.key());
    let esker = find_esker()?;
    let mut measured = Measured::new(case, &series);
    for hosts in case.host_counts() {
        measured.esker.push(measured::measure_esker(&esker, &series, &work_dir, (hosts, case.name == WorkloadName::Long), *keep)?);
    }
    for program in find_programs(&case.peers)? {
        let stored = stored_by_peer(arguments, &program, &series, &work_dir)?;
        measured.peers.push((program.name, stored));
    }
    Ok(measured)
}

fn stored_by_peer(arguments: &SortedArguments, program: &Program, series: &Series, work_dir: &Path) -> Result<Stored, Fault> {
    let kept = Kept::of(program, series);
    match kept.read() {
        Some(stored) if !arguments.again => Ok(stored),
        _ => {
            let stored = measured::measure_peer(program, series, work_dir, arguments.common.keep)?;
            kept.write(stored)?;
            Ok(stored)
        }
    }
}

/// What a series by this producer is made from, if the producer is at hand.
fn source_of(producer: Producer, debian: Option<&DebianRocksDb>) -> Option<Source> {
    match producer {
        Producer::Bundled => Some(Source::Bundled),
        Producer::Debian => debian.cloned().map(Source::Debian),
    }
}

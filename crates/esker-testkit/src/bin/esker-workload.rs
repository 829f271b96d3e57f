//! Writes the reference workloads to a folder: checkpoints of one engine, or of a sample cluster.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A tool for tests, as its crate.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use esker_testkit::cluster::{Cluster, ClusterSpec};
use esker_testkit::tree::{NodeKind, inventory};
use esker_testkit::workload::{Compression, Engine, Kind, Replica, Workload};

/// Write Esker's reference workloads to a folder.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// One engine: OUT/day00, OUT/day01, and so on are its checkpoints.
    Engine {
        #[command(flatten)]
        workload: WorkloadArguments,
        /// Which replica of the content: other SSTs, same entries.
        #[arg(long, default_value_t = 0)]
        replica: u32,
    },
    /// A cluster: OUT/dayNN/HOST/data0/nebula/SPACE/checkpoints/dayNN/{data,wal}.
    Cluster {
        #[command(flatten)]
        workload: WorkloadArguments,
        /// Hosts of the cluster.
        #[arg(long, default_value_t = 3)]
        hosts: u32,
        /// Spaces of the cluster; each gets --entries.
        #[arg(long, default_value_t = 2)]
        spaces: u32,
        /// Replicas of each partition.
        #[arg(long, default_value_t = 3)]
        replication: u32,
    },
}

#[derive(Args)]
struct WorkloadArguments {
    /// Which entries a day's churn touches.
    #[arg(long, value_enum, default_value = "uniform")]
    kind: Kind,
    /// Entries of the bulk load, about 105 bytes each.
    #[arg(long, default_value_t = 100_000)]
    entries: u64,
    /// Partitions of a space.
    #[arg(long, default_value_t = 16)]
    partitions: u32,
    /// Seed of all content.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Compression of data blocks.
    #[arg(long, value_enum, default_value = "lz4")]
    compression: Compression,
    /// RocksDB's block-based table format.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=7))]
    format_version: u32,
    /// Days of churn after day 0.
    #[arg(long, default_value_t = 1)]
    days: u32,
    /// The folder to write to; made if it is missing.
    #[arg(long)]
    out: PathBuf,
}

impl WorkloadArguments {
    fn workload(&self) -> Workload {
        Workload {
            kind: self.kind,
            entries: self.entries,
            partitions: self.partitions,
            seed: self.seed,
            compression: self.compression,
            format_version: self.format_version,
        }
    }

    /// Where the live engines stand while the days pass: on the file system of the checkpoints, so
    /// that those can be hard links.
    fn live_dir(&self) -> PathBuf {
        self.out.join("live")
    }
}

fn main() {
    match Arguments::parse().what {
        What::Engine { workload, replica } => write_engine(&workload, replica),
        What::Cluster { workload, hosts, spaces, replication } => {
            let replication = replication.min(hosts);
            let spec = ClusterSpec { hosts, spaces, replication, workload: workload.workload() };
            write_cluster(&workload, &spec);
        }
    }
}

fn write_engine(arguments: &WorkloadArguments, number: u32) {
    let mut report = Report::new();
    let replica = Replica { number, ..Replica::default() };
    let live = arguments.live_dir();
    let mut engine = Engine::create_replica(&live, &arguments.workload(), &replica);
    for day in 0..=arguments.days {
        if day > 0 {
            engine.next_day();
        }
        let dest = arguments.out.join(day_name(day));
        engine.checkpoint(&dest);
        report.day(&dest);
    }
    drop(engine);
    fs::remove_dir_all(live).expect("remove the live engine");
}

fn write_cluster(arguments: &WorkloadArguments, spec: &ClusterSpec) {
    let mut report = Report::new();
    let live = arguments.live_dir();
    let mut cluster = Cluster::create(&live, spec);
    for day in 0..=arguments.days {
        if day > 0 {
            cluster.next_day();
        }
        let dest = cluster.checkpoint_into(&arguments.out, &day_name(day));
        report.day(&dest);
    }
    drop(cluster);
    fs::remove_dir_all(live).expect("remove the live cluster");
}

fn day_name(day: u32) -> String {
    format!("day{day:02}")
}

/// Prints a line for each day: files and bytes, how many of the bytes stood in no earlier day's
/// files, and the seconds since the day before.
struct Report {
    last: Instant,
    seen: HashSet<(u64, u64)>,
}

impl Report {
    fn new() -> Self {
        Self { last: Instant::now(), seen: HashSet::new() }
    }

    fn day(&mut self, dest: &Path) {
        let seconds = self.last.elapsed().as_secs_f64();
        let (mut files, mut bytes, mut new_bytes) = (0, 0, 0);
        for node in inventory(dest).into_values() {
            if node.kind == NodeKind::File {
                files += 1;
                bytes += node.size_bytes;
                if self.seen.insert(node.inode) {
                    new_bytes += node.size_bytes;
                }
            }
        }
        println!(
            "{}  {files} files  {:.1} MB  {:.1} MB in new files  {seconds:.1} s",
            dest.display(),
            bytes as f64 / 1e6,
            new_bytes as f64 / 1e6,
        );
        self.last = Instant::now();
    }
}

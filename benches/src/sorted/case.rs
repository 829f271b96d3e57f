//! Which series are measured, and with which peers.

use clap::ValueEnum;
use esker_testkit::workload::{Compression, DebianRocksDb, Kind, Workload};

use super::{SortedArguments, source_of};
use crate::series::{Input, Source};
use crate::tools::ToolName;

/// The reference workloads by the names of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WorkloadName {
    /// Overwrites and inserts evenly over the key space; all compressions.
    Uniform,
    /// Overwrites by a Zipf law.
    Zipf,
    /// Overwrites mostly of what is young.
    Recent,
    /// As `uniform`, with a full compaction each day.
    Compacted,
    /// Inserts with rising keys only.
    Appended,
    /// Three hosts that hold the same entries in different SSTs.
    Replicas,
    /// Five hosts over which three replicas of each partition are spread unevenly.
    Uneven,
    /// `uniform` for many more days.
    Long,
}

impl WorkloadName {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Uniform, Self::Zipf, Self::Recent, Self::Compacted, Self::Appended, Self::Replicas, Self::Uneven, Self::Long];

    const fn kind(self) -> Kind {
        match self {
            Self::Zipf => Kind::Zipf,
            Self::Recent => Kind::Recent,
            Self::Compacted => Kind::Compacted,
            Self::Appended => Kind::Appended,
            Self::Uniform | Self::Replicas | Self::Uneven | Self::Long => Kind::Uniform,
        }
    }

    const fn hosts(self) -> u32 {
        match self {
            Self::Replicas => 3,
            Self::Uneven => 5,
            _ => 1,
        }
    }

    /// Every compression is a case of `uniform` alone; Snappy and zstd with Debian's RocksDB, whose encoders differ
    /// from the bundled ones.
    const fn compressions(self, source: &Source) -> &'static [Compression] {
        match (self, source) {
            (Self::Uniform, Source::Bundled) => &[Compression::Lz4, Compression::None],
            (Self::Uniform, Source::Debian(_)) => &[Compression::Lz4, Compression::None, Compression::Snappy, Compression::Zstd],
            _ => &[Compression::Lz4],
        }
    }

    /// Hosts, and the many days, are measured with the bundled RocksDB only.
    fn is_for(self, source: &Source) -> bool {
        matches!(source, Source::Bundled) || (self.hosts() == 1 && self != Self::Long)
    }
}

/// Who writes the checkpoints, by the names of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Producer {
    /// The RocksDB that Esker is built with.
    Bundled,
    /// The RocksDB that is installed on this machine: 7.8 on Debian 12.
    Debian,
}

impl Producer {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Bundled, Self::Debian];
}

/// A series to measure.
pub struct Case {
    /// Its workload.
    pub name: WorkloadName,
    /// What it is made from.
    pub input: Input,
    /// The peers that are measured on it.
    pub peers: Vec<ToolName>,
}

impl Case {
    /// With how many of the hosts Esker is measured, each in a repository of its own: what a host adds is a difference.
    pub fn host_counts(&self) -> Vec<usize> {
        match self.name {
            WorkloadName::Replicas => vec![1, 2, 3],
            _ => vec![usize::MAX],
        }
    }
}

/// The cases that the command line asks for.
pub fn chosen(arguments: &SortedArguments, debian: Option<&DebianRocksDb>) -> Vec<Case> {
    let sources: Vec<Source> = arguments.producer.iter().filter_map(|&producer| source_of(producer, debian)).collect();
    let mut cases = Vec::new();
    for &name in &arguments.workload {
        for source in sources.iter().filter(|source| name.is_for(source)) {
            for &compression in name.compressions(source) {
                let workload = Workload { kind: name.kind(), entries: arguments.entries, compression, ..Workload::default() };
                let days = if name == WorkloadName::Long { arguments.long_days } else { arguments.days };
                let input = Input { workload, source: source.clone(), hosts: name.hosts(), days };
                cases.push(Case { name, input, peers: peers_of(arguments, name) });
            }
        }
    }
    cases
}

fn peers_of(arguments: &SortedArguments, name: WorkloadName) -> Vec<ToolName> {
    match (&arguments.peers, name) {
        (Some(chosen), _) => chosen.iter().copied().filter(|tool| tool.is_peer()).collect(),
        (None, WorkloadName::Uniform) => vec![ToolName::Rustic, ToolName::Borg],
        (None, _) => vec![ToolName::Rustic],
    }
}

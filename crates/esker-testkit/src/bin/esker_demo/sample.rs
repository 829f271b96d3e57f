//! The cluster that is backed up, and what is known of it without asking `esker`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use esker_testkit::cluster::{Cluster, ClusterSpec, host_name};
use esker_testkit::tree::{NodeKind, diff_trees, inventory};
use esker_testkit::workload::Workload;

use crate::Outcome;

/// Hosts of the cluster.
pub const HOSTS: u32 = 3;
/// Spaces of the cluster.
pub const SPACES: u32 = 2;
/// Partitions of a space.
pub const PARTITIONS: u32 = 8;
/// The tables' format since RocksDB 9: blocks of equal entries differ from file to file, so that a freshly loaded sample
/// does not look as if byte chunks found replicas.
const FORMAT_VERSION: u32 = 6;

/// The live cluster and its checkpoints.
pub struct Sample {
    cluster: Cluster,
    folder: PathBuf,
    day: u32,
}

/// Replicas, least and greatest commit id of a partition.
pub type Spread = (u64, u64, u64);

impl Sample {
    /// Loads the cluster in a folder.
    pub fn load(folder: &Path, entries: u64) -> Self {
        let workload = Workload { entries, partitions: PARTITIONS, format_version: FORMAT_VERSION, ..Workload::default() };
        let spec = ClusterSpec { hosts: HOSTS, spaces: SPACES, replication: HOSTS, workload };
        Self { cluster: Cluster::create(&folder.join("live"), &spec), folder: folder.to_path_buf(), day: 0 }
    }

    /// Lets days pass: writes, flushes, compactions.
    pub fn churn(&mut self, days: u32) {
        (0..days).for_each(|_| self.cluster.next_day());
        self.day += days;
    }

    /// Makes a checkpoint on every host and gives its folder's name.
    pub fn checkpoint(&self) -> String {
        let name = format!("day{:02}", self.day);
        self.cluster.checkpoint_into(&self.folder, &name);
        name
    }

    /// Regular files of a folder and their bytes.
    pub fn size_of(&self, name: &str) -> (u64, u64) {
        let nodes = inventory(&self.folder.join(name)).into_values().filter(|node| node.kind == NodeKind::File);
        nodes.fold((0, 0), |(files, bytes), node| (files + 1, bytes + node.size_bytes))
    }

    /// How far the replicas of each partition `<space>/<partition>` are apart, asked of the live engines.
    pub fn spread(&self) -> BTreeMap<String, Spread> {
        let mut spread: BTreeMap<String, Spread> = BTreeMap::new();
        for member in self.cluster.members() {
            for position in member.engine.commit_positions() {
                let seen = spread.entry(format!("{}/{}", member.space, position.partition)).or_insert((0, u64::MAX, 0));
                *seen = (seen.0 + 1, seen.1.min(position.log_id), seen.2.max(position.log_id));
            }
        }
        spread
    }

    /// That two folders hold the same: names, bytes, modes, owners, times to the nanosecond.
    ///
    /// # Errors
    /// The first difference.
    pub fn must_be_same(&self, original: &str, restored: &str) -> Outcome<()> {
        let differences = diff_trees(&self.folder.join(original), &self.folder.join(restored), &[]);
        match differences.first() {
            None => Ok(()),
            Some(first) => Err(format!("{restored} differs from {original} in {} ways, first: {first}", differences.len())),
        }
    }
}

/// `--host host0=<folder>/host0` for every host.
pub fn host_arguments(folder: &str) -> String {
    let names: Vec<String> = (0..HOSTS).map(host_name).collect();
    names.iter().map(|name| format!("--host {name}={folder}/{name}")).collect::<Vec<_>>().join(" ")
}

//! A sample cluster in a folder: hosts, each with one engine per space it has replicas of, laid out
//! as storaged lays them out, checkpoints included.
//!
//! ```text
//! <root>/<host>/data0/nebula/<space>/data/                       live engine
//! <root>/<host>/data0/nebula/<space>/checkpoints/<name>/data/    checkpoint
//! <root>/<host>/data0/nebula/<space>/checkpoints/<name>/wal/<partition>/<first log id>.wal
//! ```

mod placement;
pub mod raft_wal;

use std::path::{Path, PathBuf};

pub use placement::Placement;

use crate::workload::{CommitPosition, Engine, Replica, Workload};

/// How many of a partition's last logs the late host lags behind, on average.
const LATE_LOGS_PER_PARTITION: usize = 2;

/// What a sample cluster consists of.
#[derive(Debug, Clone)]
pub struct ClusterSpec {
    /// Hosts, named `host0`, `host1`, and so on.
    pub hosts: u32,
    /// Spaces, with ids from 1.
    pub spaces: u32,
    /// Replicas of each partition, at most `hosts`. With more hosts than this, partitions are
    /// placed unevenly, host 0 having most.
    pub replication: u32,
    /// What each space holds; its seed is varied from space to space.
    pub workload: Workload,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self { hosts: 3, spaces: 2, replication: 3, workload: Workload::default() }
    }
}

/// One engine of the cluster and where it stands.
pub struct Member {
    /// The host's number, from 0.
    pub host: u32,
    /// The space's id, from 1.
    pub space: u32,
    /// The live engine; its folder is `<root>/<host>/data0/nebula/<space>/data`.
    pub engine: Engine,
}

/// A live sample cluster. Replicas get the same writes with other flush points; with more than one
/// host, the last one applies the end of each day's writes a day late.
pub struct Cluster {
    root: PathBuf,
    members: Vec<Member>,
    placements: Vec<Placement>,
}

impl Cluster {
    /// Makes the hosts in `root` and loads day 0 of every space.
    #[must_use]
    pub fn create(root: &Path, spec: &ClusterSpec) -> Self {
        assert!((1..=spec.hosts).contains(&spec.replication), "replicas of a partition need a host each");
        let mut members = Vec::new();
        let mut placements = Vec::new();
        for space in 1..=spec.spaces {
            let workload = Workload { seed: spec.workload.seed.wrapping_add(u64::from(space) << 32), ..spec.workload.clone() };
            let placement = Placement::of_space(spec, space);
            for host in 0..spec.hosts {
                let replica = Replica {
                    number: host,
                    partitions: Some(placement.partitions_on(host)),
                    late_writes: late_writes(spec, host, &placement),
                };
                // A host without a partition of the space has no engine for it.
                if replica.partitions.as_ref().is_some_and(|held| !held.is_empty()) {
                    let dir = space_dir(root, host, space).join("data");
                    let engine = Engine::create_replica(&dir, &workload, &replica);
                    members.push(Member { host, space, engine });
                }
            }
            placements.push(placement);
        }
        Self { root: root.to_path_buf(), members, placements }
    }

    /// Applies the writes of the next day on every host and lets the compactions settle.
    pub fn next_day(&mut self) {
        for member in &mut self.members {
            member.engine.next_day();
        }
    }

    /// Makes a checkpoint of every engine inside the live tree.
    pub fn checkpoint(&self, name: &str) {
        self.checkpoint_below(&self.root, name);
    }

    /// As [`Cluster::checkpoint_into`], but the tree's root is `root` whatever the name: days that
    /// share a name then share their paths, too, as nightly backups of one path find them.
    pub fn checkpoint_as(&self, root: &Path, name: &str) {
        self.checkpoint_below(root, name);
    }

    /// Makes a checkpoint of every engine in a tree of its own, `<out>/<name>/<host>/data0/…`, that
    /// holds nothing else: what one hands to a backup. `out` must lie on the cluster's file system.
    /// Returns `<out>/<name>`.
    pub fn checkpoint_into(&self, out: &Path, name: &str) -> PathBuf {
        let root = out.join(name);
        self.checkpoint_below(&root, name);
        root
    }

    /// The engines, by space and host.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The engine of a space on a host, for further writes.
    pub fn engine_mut(&mut self, host: u32, space: u32) -> Option<&mut Engine> {
        self.members.iter_mut().find(|member| (member.host, member.space) == (host, space)).map(|member| &mut member.engine)
    }

    /// Where the replicas of a space's partitions stand.
    #[must_use]
    pub fn placement(&self, space: u32) -> &Placement {
        &self.placements[space as usize - 1]
    }

    /// The highest commit position of each partition of a space: what no replica is ahead of.
    #[must_use]
    pub fn committed(&self, space: u32) -> Vec<CommitPosition> {
        let mut all: Vec<CommitPosition> =
            (self.members.iter()).filter(|member| member.space == space).flat_map(|member| member.engine.commit_positions()).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.dedup_by_key(|position| position.partition);
        all.reverse();
        all
    }

    /// The cluster's root folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn checkpoint_below(&self, root: &Path, name: &str) {
        for Member { host, space, engine } in &self.members {
            let dir = checkpoint_dir(root, *host, *space, name);
            engine.checkpoint(&dir.join("data"));
            for &partition in engine.partitions() {
                let wal_dir = dir.join("wal").join(partition.to_string());
                raft_wal::write_tail(&wal_dir, engine.churn(), partition);
            }
        }
    }
}

/// The name of a host's folder.
#[must_use]
pub fn host_name(host: u32) -> String {
    format!("host{host}")
}

/// `<root>/<host>/data0/nebula/<space>`.
#[must_use]
pub fn space_dir(root: &Path, host: u32, space: u32) -> PathBuf {
    root.join(host_name(host)).join("data0/nebula").join(space.to_string())
}

/// `<root>/<host>/data0/nebula/<space>/checkpoints/<name>`, which holds `data` and `wal`.
#[must_use]
pub fn checkpoint_dir(root: &Path, host: u32, space: u32, name: &str) -> PathBuf {
    space_dir(root, host, space).join("checkpoints").join(name)
}

fn late_writes(spec: &ClusterSpec, host: u32, placement: &Placement) -> usize {
    let is_late = spec.hosts > 1 && host == spec.hosts - 1;
    if is_late { LATE_LOGS_PER_PARTITION * placement.partitions_on(host).len() } else { 0 }
}

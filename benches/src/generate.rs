//! Makes the checkpoints of a series.

use std::path::Path;
use std::time::Instant;

use esker_testkit::cluster::{Cluster, ClusterSpec};
use esker_testkit::workload::{DebianEngine, Engine, NewEntries};

use crate::fault::Fault;
use crate::folder;
use crate::series::{Input, Source, name_of};

/// Replicas of each partition, where there are several hosts.
const REPLICATION: u32 = 3;
/// The name of every checkpoint of a cluster: its paths are the same every day.
const CHECKPOINT_NAME: &str = "nightly";

/// What is written to.
enum Live {
    Bundled(Engine),
    Debian(DebianEngine),
    Cluster(Cluster),
}

impl Live {
    fn load(dir: &Path, input: &Input) -> Self {
        if input.hosts > 1 {
            let spec = ClusterSpec { hosts: input.hosts, spaces: 1, replication: REPLICATION, workload: input.workload.clone() };
            return Self::Cluster(Cluster::create(dir, &spec));
        }
        match &input.source {
            Source::Bundled => Self::Bundled(Engine::create(&dir.join("engine"), &input.workload)),
            Source::Debian(rocksdb) => Self::Debian(DebianEngine::create(rocksdb, &dir.join("engine"), &input.workload)),
        }
    }

    fn next_day(&mut self) {
        match self {
            Self::Bundled(engine) => engine.next_day(),
            Self::Debian(engine) => engine.next_day(),
            Self::Cluster(cluster) => cluster.next_day(),
        }
    }

    fn checkpoint(&mut self, dest: &Path) {
        match self {
            Self::Bundled(engine) => engine.checkpoint(dest),
            Self::Debian(engine) => engine.checkpoint(dest),
            Self::Cluster(cluster) => cluster.checkpoint_as(dest, CHECKPOINT_NAME),
        }
    }
}

/// Makes a folder for each day in the empty folder `dir`. Returns the size under zstd 3 of the new
/// entries of all days after day 0, for a single engine.
pub fn generate(dir: &Path, input: &Input) -> Result<Option<u64>, Fault> {
    eprintln!("generating {}", dir.display());
    let (start, live_dir) = (Instant::now(), dir.join("live"));
    let mut live = Live::load(&live_dir, input);
    live.checkpoint(&dir.join(name_of(0)));
    for day in 1..=input.days {
        live.next_day();
        live.checkpoint(&dir.join(name_of(day)));
    }
    drop(live);
    // Before the first backup, not after: removing hard links changes a file's ctime, which some tools compare.
    folder::remove(&live_dir)?;
    let new_entries_bytes = (input.hosts == 1).then(|| {
        let mut new_entries = NewEntries::of(&input.workload);
        (0..input.days).map(|_| new_entries.next_day_zstd_bytes()).sum()
    });
    eprintln!("generated in {:.0} s", start.elapsed().as_secs_f64());
    Ok(new_entries_bytes)
}

//! The input: daily checkpoints of one engine, or of the hosts of a cluster, kept for later runs.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use esker_testkit::cluster::host_name;
use esker_testkit::tree::{NodeKind, inventory};
use esker_testkit::workload::{DebianRocksDb, Workload};

use crate::fault::Fault;
use crate::folder;
use crate::generate::generate;
use crate::tools::Host;

/// Marks a complete series, so that a later run can use it again; holds the sizes of the new entries.
const COMPLETE: &str = "complete";
/// Where a day stands while it is backed up.
const CURRENT: &str = "current";
/// The name of a single engine's host.
const ONE_HOST: &str = "h";

/// Whose RocksDB writes the checkpoints.
#[derive(Debug, Clone)]
pub enum Source {
    /// The one Esker is built with.
    Bundled,
    /// The one that is installed on this machine.
    Debian(DebianRocksDb),
}

/// What a series is made from.
#[derive(Debug, Clone)]
pub struct Input {
    /// The entries and their churn.
    pub workload: Workload,
    /// Who writes them.
    pub source: Source,
    /// 1 for a single engine; else the hosts over which three replicas of each partition are spread.
    pub hosts: u32,
    /// Days of churn after day 0.
    pub days: u32,
}

impl Input {
    /// A name for files, other for every other input.
    pub fn key(&self) -> String {
        let Workload { kind, entries, compression, .. } = &self.workload;
        let source = match &self.source {
            Source::Bundled => "bundled".to_owned(),
            Source::Debian(rocksdb) => format!("debian-{}", rocksdb.version()),
        };
        format!("{kind:?}-{compression:?}-{source}-{entries}-{}x{}", self.hosts, self.days).to_lowercase()
    }
}

/// The checkpoints, day 0 and the days after it.
pub struct Series {
    dir: PathBuf,
    /// What it was made from.
    pub input: Input,
    /// By day, what it holds.
    pub days: Vec<DaySize>,
    /// What the new entries of all days after day 0 take under zstd 3; nothing for a cluster.
    pub new_entries_bytes: Option<u64>,
}

/// How much a day's checkpoints hold.
#[derive(Debug, Clone, Copy)]
pub struct DaySize {
    /// The bytes of all files.
    pub bytes: u64,
    /// The bytes of files that stood in no earlier checkpoint.
    pub new_bytes: u64,
}

impl Series {
    /// Makes the series below `dir`, unless an earlier run has left the very same there.
    pub fn prepare(dir: &Path, input: &Input) -> Result<Self, Fault> {
        let dir = dir.join("inputs").join(input.key());
        let complete = dir.join(COMPLETE);
        if !complete.exists() || dir.join(CURRENT).exists() {
            folder::make_empty(&dir)?;
            let new_entries = generate(&dir, input)?;
            let text = new_entries.map(|bytes| bytes.to_string()).unwrap_or_default();
            fs::write(&complete, text).map_err(Fault::at(&complete))?;
        }
        let text = fs::read_to_string(&complete).map_err(Fault::at(&complete))?;
        let mut seen = HashSet::new();
        let days = (0..=input.days).map(|day| size_of(&dir.join(name_of(day)), &mut seen)).collect();
        Ok(Self { dir, input: input.clone(), days, new_entries_bytes: text.parse().ok() })
    }

    /// The folder it is in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Lets a day stand in the folder `current`, as nightly backups of one path find it: the peers
    /// then recognise unchanged files without reading them. And reads all of it once.
    pub fn present(&self, day: usize) -> Result<Presented, Fault> {
        let name = name_of(u32::try_from(day).unwrap_or(u32::MAX));
        let mut presented = Presented { from: self.dir.join(name), path: self.dir.join(CURRENT), hosts: Vec::new() };
        fs::rename(&presented.from, &presented.path).map_err(Fault::at(&presented.from))?;
        presented.hosts = match self.input.hosts {
            1 => vec![Host { name: ONE_HOST.to_owned(), dir: presented.path.clone() }],
            hosts => (0..hosts).map(host_name).map(|name| Host { dir: presented.path.join(&name), name }).collect(),
        };
        // With few partitions a host may hold none.
        presented.hosts.retain(|host| host.dir.exists());
        folder::warm(&presented.path)?;
        Ok(presented)
    }
}

/// A day that stands in the folder `current`; dropping this moves it back.
pub struct Presented {
    from: PathBuf,
    path: PathBuf,
    hosts: Vec<Host>,
}

impl Presented {
    /// The hosts and their folders, in or below the folder `current`.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }
}

impl Drop for Presented {
    fn drop(&mut self) {
        // If it fails, `current` stays and the next run generates anew.
        let _ = fs::rename(&self.path, &self.from);
    }
}

/// The folder of a day's checkpoints.
pub fn name_of(day: u32) -> String {
    format!("day{day:02}")
}

fn size_of(day: &Path, seen: &mut HashSet<(u64, u64)>) -> DaySize {
    let mut size = DaySize { bytes: 0, new_bytes: 0 };
    for node in inventory(day).into_values().filter(|node| node.kind == NodeKind::File) {
        size.bytes += node.size_bytes;
        if seen.insert(node.inode) {
            size.new_bytes += node.size_bytes;
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(hosts: u32) -> Input {
        Input { workload: Workload { entries: 2_000, ..Workload::default() }, source: Source::Bundled, hosts, days: 2 }
    }

    #[test]
    fn a_day_is_moved_to_current_and_back_and_a_second_run_reuses_it() {
        let folder = tempfile::tempdir().unwrap();
        let series = Series::prepare(folder.path(), &input(1)).unwrap();
        let engine_file = series.dir().join("day01/CURRENT");
        {
            let presented = series.present(1).unwrap();
            assert!(presented.hosts()[0].dir.join("CURRENT").exists() && !engine_file.exists());
        }
        assert!(engine_file.exists());
        assert_eq!(series.days[0].bytes, series.days[0].new_bytes);
        let marker_age = |series: &Series| fs::metadata(series.dir().join(COMPLETE)).unwrap().modified().unwrap();
        let again = Series::prepare(folder.path(), &input(1)).unwrap();
        assert_eq!(marker_age(&again), marker_age(&series));
        assert!(again.new_entries_bytes.unwrap() > 1_000);
    }

    #[test]
    fn each_host_of_a_cluster_stands_in_a_folder_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let series = Series::prepare(folder.path(), &input(3)).unwrap();
        let presented = series.present(2).unwrap();
        let names: Vec<&str> = presented.hosts().iter().map(|host| host.name.as_str()).collect();
        assert_eq!(names, ["host0", "host1", "host2"]);
        assert!(presented.hosts()[2].dir.join("data0/nebula/1/checkpoints/nightly/data/CURRENT").exists());
        assert_eq!(series.new_entries_bytes, None);
    }
}

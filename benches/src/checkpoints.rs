//! The input: daily checkpoints of one engine under the `uniform` workload.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use esker_testkit::tree::{NodeKind, inventory};
use esker_testkit::workload::{Engine, Kind, Workload};

use crate::fault::Fault;
use crate::folder;

/// Marks a complete set of checkpoints, so that a later run can use it again.
const COMPLETE: &str = "complete";

/// The checkpoints of an engine, day 0 and the days after it.
pub struct Checkpoints {
    dir: PathBuf,
    /// Entries of the bulk load.
    pub entries: u64,
    /// By day, what it holds.
    pub days: Vec<DaySize>,
}

/// How much a checkpoint holds.
#[derive(Debug, Clone, Copy)]
pub struct DaySize {
    /// The bytes of all its files.
    pub bytes: u64,
    /// The bytes of files that stood in no earlier checkpoint.
    pub new_bytes: u64,
}

impl Checkpoints {
    /// Makes the checkpoints below `dir`, unless an earlier run has left the very same there.
    pub fn prepare(dir: &Path, entries: u64, days: u32) -> Result<Self, Fault> {
        let dir = dir.join(format!("uniform-{entries}-{days}"));
        if !dir.join(COMPLETE).exists() || dir.join("current").exists() {
            generate(&dir, entries, days)?;
        }
        let mut seen = HashSet::new();
        let days = (0..=days).map(|day| size_of(&dir.join(name_of(day)), &mut seen)).collect();
        Ok(Self { dir, entries, days })
    }

    /// The folder they are in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Lets a day stand in the folder `current`, as nightly backups of one path find it: the peers
    /// then recognise unchanged files without reading them. And reads all of it once.
    pub fn present(&self, day: usize) -> Result<Presented, Fault> {
        let name = name_of(u32::try_from(day).unwrap_or(u32::MAX));
        let presented = Presented { from: self.dir.join(name), path: self.dir.join("current") };
        fs::rename(&presented.from, &presented.path).map_err(Fault::at(&presented.from))?;
        folder::warm(&presented.path)?;
        Ok(presented)
    }
}

/// A checkpoint that stands in the folder `current`; dropping this moves it back.
pub struct Presented {
    from: PathBuf,
    path: PathBuf,
}

impl Presented {
    /// The folder `current`.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Presented {
    fn drop(&mut self) {
        // If it fails, `current` stays and the next run generates anew.
        let _ = fs::rename(&self.path, &self.from);
    }
}

fn name_of(day: u32) -> String {
    format!("day{day:02}")
}

fn generate(dir: &Path, entries: u64, days: u32) -> Result<(), Fault> {
    folder::make_empty(dir)?;
    eprintln!("generating {entries} entries and {days} days in {}", dir.display());
    let (start, live) = (Instant::now(), dir.join("live"));
    let mut engine = Engine::create(&live, &Workload { kind: Kind::Uniform, entries, ..Workload::default() });
    engine.checkpoint(&dir.join(name_of(0)));
    for day in 1..=days {
        engine.next_day();
        engine.checkpoint(&dir.join(name_of(day)));
    }
    drop(engine);
    // Before the first backup, not after: removing hard links changes a file's ctime, which some tools compare.
    folder::remove(&live)?;
    let complete = dir.join(COMPLETE);
    fs::write(&complete, "").map_err(Fault::at(&complete))?;
    eprintln!("generated in {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
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

    #[test]
    fn a_day_is_moved_to_current_and_back_and_a_second_run_reuses_it() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::prepare(folder.path(), 2_000, 2).unwrap();
        let engine_file = checkpoints.dir().join("day01/CURRENT");
        {
            let presented = checkpoints.present(1).unwrap();
            assert!(presented.path().join("CURRENT").exists() && !engine_file.exists());
        }
        assert!(engine_file.exists());
        assert_eq!(checkpoints.days[0].bytes, checkpoints.days[0].new_bytes);
        let marker_age = fs::metadata(checkpoints.dir().join(COMPLETE)).unwrap().modified().unwrap();
        let again = Checkpoints::prepare(folder.path(), 2_000, 2).unwrap();
        assert_eq!(fs::metadata(again.dir().join(COMPLETE)).unwrap().modified().unwrap(), marker_age);
    }
}

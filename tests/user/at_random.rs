//! Many processes of one machine at once, on one repository and with one cache, doing whatever comes; some are killed.
//! Nothing that was committed is lost, and nobody is told of damage. `ESKER_TORTURE_MINUTES=n` goes on for so long.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use esker_testkit::seeded::SplitMix64;
use esker_testkit::server::garage::{BUCKET, Garage};
use esker_testkit::tree::diff_trees;
use esker_testkit::workload::{Engine, Kind, Workload};

use crate::kit::{Esker, comes_back, host};

const SECONDS: u64 = 15;
const AT_ONCE: u64 = 4;
/// One process in so many is killed.
const KILLED_ONE_IN: u64 = 7;
/// Backups that stand before one is forgotten.
const STANDING: usize = 4;
/// Backups that are restored when all is over.
const RESTORED: usize = 12;

/// What a process is asked to do.
enum Errand {
    Backup { label: String, day: usize },
    Restore { label: String, day: usize },
    Other(Vec<&'static str>),
    Forget { label: String },
}

/// What is known of the backups.
#[derive(Default)]
struct Known {
    begun: u64,
    /// Of each that was committed, its day.
    committed: BTreeMap<String, usize>,
    /// Those that somebody may have forgotten.
    forgotten: BTreeSet<String>,
    prunes: u64,
}

impl Known {
    fn standing(&self) -> Vec<(String, usize)> {
        let stands = |(label, _): &(&String, &usize)| !self.forgotten.contains(*label);
        self.committed.iter().filter(stands).map(|(label, day)| (label.clone(), *day)).collect()
    }

    fn draw(&mut self, random: &mut SplitMix64, days: usize) -> Errand {
        let standing = self.standing();
        let (label, day) = match standing.len() {
            0 => (String::new(), 0),
            some => standing[random.below(some as u64) as usize].clone(),
        };
        match random.below(16) {
            0..5 => {
                self.begun += 1;
                Errand::Backup { label: format!("backup{}", self.begun), day: random.below(days as u64) as usize }
            }
            5..8 if standing.len() > STANDING => {
                self.forgotten.insert(label.clone());
                Errand::Forget { label }
            }
            8..11 => Errand::Other(vec!["prune", "--fence-after", "3s", "--repack-percent", "10"]),
            11 => Errand::Other(vec!["fsck", "--level", ["structure", "data", "files"][random.below(3) as usize]]),
            12 => Errand::Other(vec!["audit"]),
            13 if !label.is_empty() => Errand::Restore { label, day },
            14 => Errand::Other(vec!["stats"]),
            _ => Errand::Other(vec!["list"]),
        }
    }
}

struct Crowd<'a> {
    esker: &'a Esker,
    days: &'a [PathBuf],
    known: Mutex<Known>,
}

impl Crowd<'_> {
    /// One process after the other.
    fn work(&self, seed: u64, until: Instant) {
        let mut random = SplitMix64::new(seed);
        let mut turn = 0;
        while Instant::now() < until {
            turn += 1;
            let errand = self.known.lock().unwrap().draw(&mut random, self.days.len());
            let dies = (random.below(KILLED_ONE_IN) == 0).then(|| Duration::from_millis(random.below(300)));
            self.run(&errand, &self.esker.path(&format!("target-{seed}-{turn}")), dies);
        }
    }

    fn run(&self, errand: &Errand, target: &Path, dies: Option<Duration>) {
        let args: Vec<String> = match errand {
            Errand::Backup { label, day } => ["backup", "--host", &host("h", &self.days[*day]), "--label", label].map(str::to_owned).into(),
            Errand::Restore { label, .. } => ["restore", label, "--target", target.to_str().unwrap()].map(str::to_owned).into(),
            Errand::Forget { label } => ["forget", label, "--force"].map(str::to_owned).into(),
            Errand::Other(args) => args.iter().map(|arg| (*arg).to_owned()).collect(),
        };
        let mut child = self.esker.start(&args);
        if let Some(after) = dies {
            std::thread::sleep(after);
            child.kill().unwrap();
        }
        let run = self.esker.wait(child);
        let mut known = self.known.lock().unwrap();
        let is_forgotten = |label: &String| known.forgotten.contains(label);
        match (errand, run.code) {
            (_, None) => assert!(dies.is_some(), "{args:?} died: {}", run.stderr),
            (Errand::Backup { label, day }, Some(0 | 4)) => drop(known.committed.insert(label.clone(), *day)),
            (Errand::Restore { label, day }, Some(0)) if !is_forgotten(label) => {
                assert_eq!(diff_trees(&self.days[*day], &target.join("h"), &[]), Vec::<String>::new(), "{label}");
            }
            // Forgotten before it was found, or while it was restored.
            (Errand::Restore { label, .. }, _) if is_forgotten(label) => {}
            (Errand::Other(args), Some(0 | 4)) => known.prunes += u64::from(args[0] == "prune"),
            (_, Some(0 | 4)) => {}
            // A machine as slow as that is taken for dead, and told so.
            (_, Some(1)) => assert!(run.stderr.contains("run it again"), "{args:?}: {}", run.stderr),
            (_, Some(code)) => panic!("{args:?} exits with {code}:\n{}{}", run.text(), run.stderr),
        }
        drop(fs::remove_dir_all(target));
    }
}

/// Lets the processes go to work, and looks at what they leave.
fn what_was_committed_comes_back(esker: &Esker) {
    let workload = Workload { kind: Kind::Compacted, entries: 4000, partitions: 2, ..Workload::default() };
    let mut engine = Engine::create(&esker.path("live"), &workload);
    let days: Vec<PathBuf> = (0..8).map(|day| esker.path(&format!("day{day}"))).collect();
    for day in &days {
        engine.checkpoint(day);
        engine.next_day();
    }
    let minutes = std::env::var("ESKER_TORTURE_MINUTES").ok().map(|minutes| minutes.parse::<u64>().expect("a number of minutes"));
    let until = Instant::now() + Duration::from_secs(minutes.map_or(SECONDS, |minutes| 60 * minutes));
    let crowd = Crowd { esker, days: &days, known: Mutex::default() };
    std::thread::scope(|scope| {
        for seed in 0..AT_ONCE {
            let crowd = &crowd;
            scope.spawn(move || crowd.work(seed, until));
        }
    });

    let known = crowd.known.into_inner().unwrap();
    let standing = known.standing();
    println!("{} backups, {} of them stand, {} prunes", known.committed.len(), standing.len(), known.prunes);
    assert!(standing.len() > STANDING && known.prunes > 0);
    // What was killed is told as a warning.
    assert!(matches!(esker.run(&["prune", "--fence-after", "1s"]).code, Some(0 | 4)));
    esker.run(&["fsck", "--level", "engine"]).exits(0);
    esker.run(&["audit"]).exits(0);
    let listed = esker.labels();
    assert!(standing.iter().all(|(label, _)| listed.contains(label)), "{standing:?} of {listed:?}");
    let every = standing.len().div_ceil(RESTORED);
    standing.iter().step_by(every).for_each(|(label, day)| comes_back(esker, label, &days[*day]));
}

#[test]
fn whatever_processes_do_at_once_what_was_committed_comes_back() {
    what_was_committed_comes_back(&Esker::encrypted());
}

#[test]
fn whatever_processes_do_at_once_in_an_object_store_what_was_committed_comes_back() {
    let garage = Garage::shared();
    let esker = Esker::in_store(&format!("s3://{BUCKET}/at-random"), garage.variables());
    esker.run(&["init"]).exits(0);
    what_was_committed_comes_back(&esker);
}

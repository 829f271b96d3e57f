//! What each tool has to do, and what it took.

use std::path::PathBuf;

use esker_testkit::server::garage::Garage;
use esker_testkit::server::link::{Carried, Link};

use crate::fault::Fault;
use crate::folder;
use crate::measure::{Cost, measure};
use crate::series::Series;
use crate::tools::{Bucket, Place, Program, Tool, ToolName, tool};
use crate::work::compare;

/// The kinds of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// A single engine into an empty repository.
    FirstBackup,
    /// The same into an empty folder, without anything cached.
    Restore,
    /// Three replicas together into an empty repository.
    Replicas,
}

impl Errand {
    /// All of them, in the order they are done.
    pub const ALL: [Self; 3] = [Self::FirstBackup, Self::Restore, Self::Replicas];
}

/// What an errand took.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// Time and memory.
    pub cost: Cost,
    /// What went over the link.
    pub carried: Carried,
}

/// The readings of one tool.
pub struct Score {
    /// The tool.
    pub name: ToolName,
    /// Its version.
    pub version: String,
    /// For every run, the readings in the order of [`Errand::ALL`].
    pub runs: Vec<[Reading; Errand::ALL.len()]>,
}

/// What is backed up, and how far away the store is.
pub struct Contest {
    /// Where tools work.
    pub dir: PathBuf,
    /// What the link carries each way.
    pub bytes_per_second: u64,
    /// One engine.
    pub single: Series,
    /// Three hosts with the same partitions.
    pub replicas: Series,
    /// Keep what was restored.
    pub keep: bool,
}

impl Contest {
    /// Lets every program do everything, `runs` times in turn.
    ///
    /// # Errors
    /// If a program fails or restores something else than was backed up.
    pub fn hold(&self, programs: &[Program], runs: u32) -> Result<Vec<Score>, Fault> {
        let new_score = |program: &Program| Score { name: program.name, version: program.version.clone(), runs: Vec::new() };
        let mut scores: Vec<Score> = programs.iter().map(new_score).collect();
        for run in 1..=runs {
            for (program, score) in programs.iter().zip(&mut scores) {
                eprintln!("run {run} of {runs}: {} ({})", program.name, program.version);
                score.runs.push(self.run(program)?);
            }
        }
        Ok(scores)
    }

    /// One tool's work, with a store of its own.
    fn run(&self, program: &Program) -> Result<[Reading; Errand::ALL.len()], Fault> {
        let garage = Garage::start();
        let link = Link::to(garage.port(), self.bytes_per_second);
        let worker = Worker::hire(program, &link, &self.dir, "single")?;
        let first = worker.back_up(&self.single)?;
        let restore = worker.restore(&self.single)?;
        worker.dismiss(self.keep)?;
        let worker = Worker::hire(program, &link, &self.dir, "replicas")?;
        let replicas = worker.back_up(&self.replicas)?;
        worker.dismiss(self.keep)?;
        Ok([first, restore, replicas])
    }
}

/// A tool with a new repository at the far end of a link.
struct Worker<'a> {
    name: ToolName,
    tool: Box<dyn Tool>,
    place: Place,
    link: &'a Link,
}

impl<'a> Worker<'a> {
    fn hire(program: &Program, link: &'a Link, dir: &std::path::Path, repository: &str) -> Result<Self, Fault> {
        let name = program.name;
        let bucket = Bucket::behind(link.port(), &format!("{name}-{repository}"));
        let place = Place::prepare(&program.path, &dir.join(name.to_string()))?.in_bucket(bucket);
        let tool = tool(name, place.clone());
        measure(&tool.init(), place.dir())?;
        Ok(Self { name, tool, place, link })
    }

    fn back_up(&self, series: &Series) -> Result<Reading, Fault> {
        let presented = series.present(0)?;
        self.observe(|| measure(&self.tool.backup(presented.hosts(), "first"), self.place.dir()))
    }

    fn restore(&self, series: &Series) -> Result<Reading, Fault> {
        let target = self.place.target();
        folder::make_empty(&target)?;
        self.place.forget_cache()?;
        let reading = self.observe(|| measure(&self.tool.restore("first", &target), self.place.dir()))?;
        let presented = series.present(0)?;
        compare(self.name, presented.hosts(), &target)?;
        Ok(reading)
    }

    fn observe(&self, work: impl FnOnce() -> Result<Cost, Fault>) -> Result<Reading, Fault> {
        let before = self.link.carried();
        let cost = work()?;
        let after = self.link.carried();
        let carried = Carried {
            up_bytes: after.up_bytes - before.up_bytes,
            down_bytes: after.down_bytes - before.down_bytes,
            requests: after.requests - before.requests,
        };
        Ok(Reading { cost, carried })
    }

    fn dismiss(self, keep: bool) -> Result<(), Fault> {
        if keep { Ok(()) } else { folder::remove(self.place.dir()) }
    }
}

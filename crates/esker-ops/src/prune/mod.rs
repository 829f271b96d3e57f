//! `prune`: deletes what no backup needs. The protocol is the repository's (`esker_repo::prune`); here are the request and
//! the report.

mod explain;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use esker_repo::prune::{FENCE_AFTER, Observer, PackPlan, Plan, PruneOptions, Pruned, Repack, SessionLine, Why, plan, prune as run};
use esker_repo::{RepoError, Repository};
use serde::Serialize;

use crate::error::Result;
use crate::job::Job;

pub use explain::{PackExplanation, PackUser, explain};

/// How to prune.
#[derive(Debug, Clone)]
pub struct PruneRequest {
    /// Only say what would go.
    pub dry_run: bool,
    /// Time without a sign of life after which a session is taken for dead.
    pub fence_after: Duration,
    /// Time to wait for sessions in all; as long as it takes if `None`.
    pub max_wait: Option<Duration>,
    /// Bytes that may be written again to free what is half dead, at most; 0 rewrites nothing.
    pub max_repack: u64,
    /// Packs are rewritten of which at least so many percent are not needed.
    pub repack_percent: u32,
}

impl Default for PruneRequest {
    fn default() -> Self {
        Self { dry_run: false, fence_after: FENCE_AFTER, max_wait: None, max_repack: 0, repack_percent: 100 }
    }
}

/// The outcome of one prune. Bytes are bytes, times milliseconds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PruneReport {
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Packs that went; in a dry run, those that would.
    pub packs: Vec<PackLine>,
    /// Their bytes, and those of index segments that were replaced.
    pub deleted_bytes: u64,
    /// Bytes written for that: needed chunks of half dead packs, index segments; in a dry run, the chunks alone.
    pub written_bytes: u64,
    /// Packs in the store before.
    pub packs_before: u64,
    /// Their bytes.
    pub bytes_before: u64,
    /// Chunks that backups need.
    pub needed_chunks: u64,
    /// Their bytes as stored.
    pub needed_bytes: u64,
    /// Bytes that no backup needs in packs that stay because others in them are needed.
    pub unneeded_kept_bytes: u64,
    /// Packs that no backup needs yet, of sessions that may be at work.
    pub at_work_packs: u64,
    /// Their bytes.
    pub at_work_bytes: u64,
    /// Objects that the store refused to delete, because they are locked for now: the next prune tries again.
    pub refused: Vec<Refused>,
    /// Packs that were to go, and that a backup made meanwhile needs.
    pub taken_back: u64,
    /// Chunks written again.
    pub rewritten_chunks: u64,
    /// Runs among those of which only the needed entries were written; in a dry run, those that would be.
    pub sparse_runs: u64,
    /// Sessions that a prune would wait for; only in a dry run.
    pub would_wait_for: Vec<SessionFacts>,
    /// Sessions that were taken for dead.
    pub fenced: Vec<SessionFacts>,
    /// Time spent waiting for sessions.
    pub waited_ms: u64,
    /// Half-written files of killed writers that were removed, in a repository that is a folder.
    pub swept_files: u64,
    /// Their bytes.
    pub swept_bytes: u64,
    /// How long it took.
    pub duration_ms: u64,
}

/// A pack that goes.
#[derive(Debug, Clone, Serialize)]
pub struct PackLine {
    /// Its path in the repository.
    pub pack: String,
    /// Its bytes.
    pub bytes: u64,
    /// Bytes of it that backups need, which are written again.
    pub needed_bytes: u64,
    /// Runs of it that are written again as sparse forms.
    pub sparse_runs: u32,
    /// `unneeded`: no backup needs anything of it; `needed in part`: the rest is written again; `left over`: an earlier
    /// prune did not finish.
    pub why: &'static str,
}

/// An object that stays although it should go.
#[derive(Debug, Clone, Serialize)]
pub struct Refused {
    /// Its path in the repository.
    pub object: String,
    /// The store's words, which say until when where it knows.
    pub why: String,
}

/// A session, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionFacts {
    /// Its id.
    pub session: String,
    /// What it does.
    pub job: String,
    /// Where it runs.
    pub host: String,
    /// Its process there.
    pub process: u32,
    /// When it began, by its own clock, milliseconds since 1970.
    pub started_ms: u64,
}

/// Deletes what no backup needs.
///
/// # Errors
/// `PruneStopped` if something must not be passed over: damage, a backup that is gone and that nobody forgot. `PruneGaveUp`
/// after `max_wait`. `Store`, `Cancelled`.
pub fn prune(repository: &Arc<Repository>, request: &PruneRequest, job: &Job) -> Result<PruneReport> {
    let started = std::time::Instant::now();
    let options = PruneOptions {
        fence_after: request.fence_after,
        max_wait: request.max_wait,
        repack: Repack { bytes_max: request.max_repack, dead_percent: request.repack_percent },
        workers: job.threads,
    };
    let told = Told { job, phase: Mutex::new(false) };
    let mut report = if request.dry_run {
        PruneReport::planned(plan(repository, &options, &told)?)
    } else {
        PruneReport::done(run(repository, &options, &told)?)
    };
    drop(told);
    report.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

impl PruneReport {
    fn planned(plan: Plan) -> Self {
        Self {
            dry_run: true,
            packs: plan.packs.iter().map(PackLine::of).collect(),
            deleted_bytes: plan.packs.iter().map(|pack| pack.bytes).sum(),
            written_bytes: plan.packs.iter().map(|pack| pack.needed_bytes).sum(),
            sparse_runs: plan.packs.iter().map(|pack| u64::from(pack.sparse_runs)).sum(),
            would_wait_for: plan.at_work.iter().map(SessionFacts::of).collect(),
            swept_files: plan.swept.files,
            swept_bytes: plan.swept.bytes,
            ..Self::of_plan(&plan)
        }
    }

    fn done(pruned: Pruned) -> Self {
        Self {
            packs: pruned.deleted.iter().map(PackLine::of).collect(),
            deleted_bytes: pruned.deleted_bytes,
            written_bytes: pruned.written_bytes,
            refused: pruned.refused.into_iter().map(|(object, why)| Refused { object, why }).collect(),
            taken_back: pruned.taken_back,
            rewritten_chunks: pruned.rewritten_chunks,
            sparse_runs: pruned.sparse_runs,
            fenced: pruned.fenced.iter().map(SessionFacts::of).collect(),
            waited_ms: pruned.waited_ms,
            swept_files: pruned.swept.files,
            swept_bytes: pruned.swept.bytes,
            ..Self::of_plan(&pruned.plan)
        }
    }

    fn of_plan(plan: &Plan) -> Self {
        Self {
            packs_before: plan.packs_before,
            bytes_before: plan.bytes_before,
            needed_chunks: plan.needed_chunks,
            needed_bytes: plan.needed_bytes,
            unneeded_kept_bytes: plan.unneeded_kept_bytes,
            at_work_packs: plan.at_work_packs,
            at_work_bytes: plan.at_work_bytes,
            ..Self::default()
        }
    }
}

impl PackLine {
    fn of(pack: &PackPlan) -> Self {
        let why = match pack.why {
            Why::Unneeded => "unneeded",
            Why::NeededInPart => "needed in part",
            Why::LeftOver => "left over",
        };
        Self { pack: pack.name.path(), bytes: pack.bytes, needed_bytes: pack.needed_bytes, sparse_runs: pack.sparse_runs, why }
    }
}

impl SessionFacts {
    fn of(line: &SessionLine) -> Self {
        let SessionLine { session, job, host, process, started_ms } = line.clone();
        Self { session, job, host, process, started_ms }
    }

    /// As people read it.
    pub fn text(&self) -> String {
        let id: String = self.session.chars().take(8).collect();
        match self.job.as_str() {
            "" => format!("{id} (its record cannot be read)"),
            job => format!("{id} ({job} on {}, process {})", self.host, self.process),
        }
    }
}

/// Tells a job how a prune goes.
struct Told<'a> {
    job: &'a Job,
    /// Whether a phase is going on.
    phase: Mutex<bool>,
}

impl Told<'_> {
    fn end(&self) {
        if std::mem::take(&mut *self.phase.lock().unwrap_or_else(PoisonError::into_inner)) {
            self.job.progress.finish();
        }
    }

    fn begin(&self, name: &str) {
        self.end();
        self.job.progress.phase(name, 0);
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

impl Observer for Told<'_> {
    fn check(&self) -> esker_repo::error::Result<()> {
        if self.job.cancel.is_cancelled() { Err(RepoError::Cancelled) } else { Ok(()) }
    }

    fn step(&self, name: &str) {
        self.begin(name);
    }

    fn waiting(&self, sessions: &[SessionLine]) {
        if let [first, others @ ..] = sessions {
            let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
            self.begin(&format!("waiting for {}{more}", SessionFacts::of(first).text()));
        }
    }
}

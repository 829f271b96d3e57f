//! `fsck --repair`: what is lost is looked for wherever it may still be, and stored again under the same id.
//!
//! Everything that can be lost is content-addressed: a chunk that comes out with the id that was lost is the chunk, wherever
//! it was found. So a repair only ever adds: packs of its own session, and segments for them. It works in rounds, because a
//! lost table or recipe hides what it names. Sources, in this order: what is left of packs; a second repository, whose
//! objects are taken whole if it is a copy of this one; files of live hosts and of the second repository; the whole backup
//! done again over its folders.

mod files;
mod hosts;
mod loss;
mod mending;
mod report;
mod salvage;
mod search;
mod second;
mod seen;
mod segments;
mod sink;
mod translate;
mod twin;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use esker_cluster::ClusterFile;
use esker_format::ObjectId;
use esker_format::audit::{Deed, Event};
use esker_repo::Repository;

use crate::error::{OpsError, Result};
use crate::fsck::{Check, FsckReport, FsckRequest};
use crate::job::{Job, Protection};

pub use report::{BackupLoss, RepairReport};

use mending::mend;

/// Where lost things are looked for, beside the repository itself.
#[derive(Default)]
pub struct RepairRequest {
    /// Hosts by name, each with its folder: the checkpoint that was backed up, a later one, or the live data.
    pub hosts: Vec<(String, PathBuf)>,
    /// What describes the cluster, if the backups were made with it.
    pub cluster: Option<ClusterFile>,
    /// A second repository; nothing is written there.
    pub from: Option<Arc<Repository>>,
}

/// Checks a repository, mends what can be mended, and checks again. Nothing is written if nothing is damaged.
///
/// # Errors
/// `Usage` if only one backup was asked for; `Store`, `Cache`; a host's folder that cannot be read. What was mended stays.
pub fn repair(repository: &Arc<Repository>, request: &FsckRequest, sources: &RepairRequest, job: &Job) -> Result<FsckReport> {
    if request.backup.is_some() {
        return Err(OpsError::usage("a repair is of the whole repository: backups share what is lost"));
    }
    let started = Instant::now();
    let protection = Protection::begin(repository, "fsck");
    let look = |whole: BTreeSet<ObjectId>| {
        let check = Check::run(repository, request, job, started, protection.is_on(), whole)?;
        check.refuse_if_overtaken(&protection, "repair").map(|()| check)
    };
    let mut check = look(BTreeSet::new())?;
    let mut found = check.found();
    let mut report = RepairReport::default();
    if !found.is_empty() {
        // Repair removes what nobody can read: that it was at work is known even if it dies.
        repository.record(None, Deed::intended(Event::Repair))?;
    }
    if let Some(from) = &sources.from {
        refuse_itself(repository, from)?;
        // What comes back may show what else is missing: a manifest names packs, packs make a lost segment a damage.
        while from.config().repository == repository.config().repository && twin::bring_back(repository, from, &found, job, &mut report)? {
            let whole = found.packs_whole;
            check = look(whole)?;
            found = check.found();
        }
    }
    mend(repository, sources, &found, job, &mut report)?;
    let check = match report.has_written() {
        true => look(found.packs_whole)?,
        false => check,
    };
    if report.has_written() {
        repository.record(None, report.deed())?;
    }
    let mut result = check.finish(started)?;
    result.repair = Some(report);
    Ok(result)
}

fn refuse_itself(repository: &Repository, from: &Repository) -> Result<()> {
    match from.store().location() == repository.store().location() {
        true => Err(OpsError::usage("--from is the repository itself: name another one")),
        false => Ok(()),
    }
}

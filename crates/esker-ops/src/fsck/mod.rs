//! `fsck`: proves that what is stored can be restored, level by level, and says what a damage touches.
//!
//! Existence, structure and data look at objects; files rebuilds every distinct file once and so reads every chunk that is
//! needed, data then reads only the frames that nobody needs; engine restores to a scratch folder and opens.

mod affected;
mod control;
mod engines;
mod finding;
mod packs;
mod sessions;
mod settled;
mod store;
mod swept;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use esker_format::audit::{Deed, Event};
use esker_format::layout::{ObjectKind, PackName, object_path};
use esker_format::verification::{BackupVerdict, Level, Loss, Verification};
use esker_format::{ChunkId, ObjectId};
use esker_repo::index::SharedIndex;
use esker_repo::listing::Listing;
use esker_repo::manifests::{Backup, Backups, Standing};
use esker_repo::reader::ChunkReader;
use esker_repo::session::WRITTEN_BY;
use esker_repo::store::probe::Abilities;
use esker_repo::view::{View, Viewer};
use esker_repo::{RepoError, Repository};
use serde::Serialize;

use crate::error::{OpsError, Result};
use crate::job::{Job, Protection};
use crate::repair::RepairReport;
use crate::select::find_among;

pub(crate) use affected::raft_log_partition;
pub use finding::{Finding, Severity};

/// What to check.
#[derive(Debug, Clone)]
pub struct FsckRequest {
    /// One backup by name; all of the repository if `None`.
    pub backup: Option<String>,
    /// How deep.
    pub level: Level,
    /// Read only so many percent: of the packs those verified longest ago, of the files others each time; 100 reads all.
    pub sample_percent: u32,
    /// Begin no further file and no further pack after so long; packs verified longest ago come first.
    pub time_limit: Option<Duration>,
    /// Where scratch restores of level engine go; a temporary folder if `None`.
    pub scratch: Option<PathBuf>,
    /// Remember the outcome in the repository; off for read-only credentials.
    pub remember: bool,
}

/// The outcome. Bytes are bytes, times milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct FsckReport {
    /// The level that was asked for.
    pub level: &'static str,
    /// Whether everything at that level was looked at; not so after `--sample` or `--max-minutes`.
    pub complete: bool,
    /// Backups looked at.
    pub backups: u64,
    /// Backups that damage touches, by label.
    pub damaged_backups: Vec<String>,
    /// Packs in the store.
    pub packs: u64,
    /// Packs of which every frame was read.
    pub packs_read: u64,
    /// Distinct files rebuilt.
    pub files: u64,
    /// Plain bytes that were read and checked.
    pub bytes: u64,
    /// Engines that were opened.
    pub engines: u64,
    /// Whether a session kept prune away meanwhile; not so without the right to write.
    pub protected: bool,
    /// What the store can do, tried anew; `None` for a folder, and without the right to write.
    pub store: Option<Abilities>,
    /// What is wrong or odd.
    pub findings: Vec<Finding>,
    /// What was mended, if that was asked for; all else is then what the last look found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair: Option<RepairReport>,
    /// How long it took.
    pub duration_ms: u64,
}

impl FsckReport {
    /// Whether anything is damaged.
    pub fn is_damaged(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Damage)
    }
}

/// Checks a repository, or one backup of it.
///
/// # Errors
/// `Usage` if the backup is not found; `Store` if the store cannot be reached. Damage is no error but a finding.
pub fn fsck(repository: &Arc<Repository>, request: &FsckRequest, job: &Job) -> Result<FsckReport> {
    let started = Instant::now();
    let protection = if request.remember { Protection::begin(repository, "fsck") } else { Protection::none() };
    let check = Check::run(repository, request, job, started, protection.is_on(), BTreeSet::new())?;
    check.refuse_if_overtaken(&protection, "check")?;
    check.finish(started)
}

/// What a check found that a repair begins with.
pub(crate) struct Found {
    /// Chunks of which a frame is damaged, or that no pack holds.
    pub(crate) bad_chunks: BTreeSet<ChunkId>,
    /// Packs that are there and damaged.
    pub(crate) damaged_packs: BTreeSet<PackName>,
    /// Packs of which every frame was read.
    pub(crate) packs_whole: BTreeSet<ObjectId>,
    /// Objects with damage, by path.
    pub(crate) objects: BTreeSet<String>,
}

impl Found {
    /// Whether there is nothing that a repair could mend.
    pub(crate) fn is_empty(&self) -> bool {
        self.bad_chunks.is_empty() && self.damaged_packs.is_empty() && self.objects.is_empty()
    }
}

/// One run.
pub(crate) struct Check<'a> {
    repository: &'a Arc<Repository>,
    request: &'a FsckRequest,
    job: &'a Job,
    listing: Listing,
    /// Packs that a prune is about to delete: if one goes meanwhile, nothing was lost.
    doomed: BTreeSet<ObjectId>,
    backups: Backups,
    /// The backups that were asked for.
    chosen: Vec<Backup>,
    reader: Arc<ChunkReader>,
    index: SharedIndex,
    forgotten: BTreeMap<ObjectId, String>,
    /// Segments that a later one stands for.
    replaced: BTreeSet<ObjectId>,
    findings: Vec<Finding>,
    /// Chunks found lost or wrong.
    bad_chunks: BTreeMap<ChunkId, String>,
    /// Frames that were read and found whole, a bit each, by pack.
    read: Mutex<BTreeMap<PackName, Vec<u64>>>,
    packs_whole: Vec<ObjectId>,
    /// Packs that an earlier look read whole a moment ago.
    read_before: BTreeSet<ObjectId>,
    /// Packs that are there and damaged.
    damaged_packs: BTreeSet<PackName>,
    /// Packs of which no frame could be read, because their own tables are damaged.
    unread_packs: BTreeSet<PackName>,
    /// All that `bad_chunks` held.
    suspects: BTreeSet<ChunkId>,
    /// Whether anything that a backup needs is lost.
    is_lossy: bool,
    /// Files that each backup has lost, and their bytes.
    losses: BTreeMap<ObjectId, (u64, u64)>,
    touched: BTreeMap<ObjectId, u64>,
    /// Packs that are named but not there: path (empty if it is named elsewhere), what, and the backup that wrote it.
    missing_packs: Vec<(String, String, Option<ObjectId>)>,
    tables_damaged: bool,
    complete: bool,
    files: u64,
    bytes: u64,
    engines: u64,
    protected: bool,
    abilities: Option<Abilities>,
}

impl<'a> Check<'a> {
    fn new(repository: &'a Arc<Repository>, request: &'a FsckRequest, job: &'a Job) -> Result<Self> {
        let view = repository.view(Viewer::Reader)?;
        let doomed = view.doomed();
        let View { listing, synced, .. } = view;
        let mut backups = repository.backups_of(&listing.manifests)?;
        let undecided: Vec<Backup> = match request.backup {
            // Who names it wants to know of it.
            Some(_) => Vec::new(),
            None => backups.found.extract_if(.., |backup| backup.standing == Standing::Undecided).collect(),
        };
        let chosen = match &request.backup {
            Some(name) => vec![find_among(&backups, name)?],
            None => backups.found.clone(),
        };
        let index = synced.index;
        let mut check = Self {
            repository,
            request,
            job,
            listing,
            doomed,
            backups,
            chosen,
            reader: Arc::new(ChunkReader::new(repository, Arc::clone(&index))),
            index,
            forgotten: BTreeMap::new(),
            replaced: BTreeSet::new(),
            findings: Vec::new(),
            bad_chunks: BTreeMap::new(),
            read: Mutex::default(),
            packs_whole: Vec::new(),
            read_before: BTreeSet::new(),
            damaged_packs: BTreeSet::new(),
            unread_packs: BTreeSet::new(),
            suspects: BTreeSet::new(),
            is_lossy: false,
            losses: BTreeMap::new(),
            touched: BTreeMap::new(),
            missing_packs: Vec::new(),
            tables_damaged: false,
            complete: true,
            files: 0,
            bytes: 0,
            engines: 0,
            protected: false,
            abilities: None,
        };
        for error in synced.damaged {
            check.damage_of(&error);
        }
        for backup in undecided {
            let label = &backup.manifest.label;
            let what = format!("backup {label} does not count: a prune took its writer for dead, and not all that it needs is kept");
            check.notice(object_path(ObjectKind::Manifest, &backup.id), what, "forget it by its id (esker forget ID)");
        }
        Ok(check)
    }

    /// Looks at everything that was asked for. Packs that were `read_before` are not read again.
    pub(crate) fn run(
        repository: &'a Arc<Repository>,
        request: &'a FsckRequest,
        job: &'a Job,
        started: Instant,
        protected: bool,
        read_before: BTreeSet<ObjectId>,
    ) -> Result<Self> {
        let mut check = Self::new(repository, request, job)?;
        (check.protected, check.read_before) = (protected, read_before);
        job.progress.phase("objects", 0);
        check.store()?;
        check.control_objects()?;
        check.sessions()?;
        check.manifests_named_elsewhere()?;
        check.packs_named_elsewhere()?;
        job.progress.finish();
        if request.level >= Level::Structure {
            job.progress.phase("structure", 0);
            check.frame_tables()?;
            check.tables()?;
            job.progress.finish();
        }
        if request.level >= Level::Files {
            check.files(started)?;
        }
        if request.level >= Level::Data {
            check.data(started)?;
        }
        if request.level >= Level::Engine {
            check.engines()?;
        }
        check.settle_missing_packs()?;
        check.trace_damage()?;
        check.settle_damaged_packs()?;
        Ok(check)
    }

    /// Believes no finding if a prune took this process for dead meanwhile: it may have deleted what was being looked at.
    pub(crate) fn refuse_if_overtaken(&self, protection: &Protection, verb: &'static str) -> Result<()> {
        match !self.findings.is_empty() && protection.is_lost()? {
            true => Err(OpsError::Overtaken(verb)),
            false => Ok(()),
        }
    }

    /// What a repair begins with.
    pub(crate) fn found(&self) -> Found {
        let packs_whole = self.packs_whole.iter().copied().collect();
        let damaged = self.findings.iter().filter(|finding| finding.severity == Severity::Damage);
        Found {
            bad_chunks: self.suspects.clone(),
            damaged_packs: self.damaged_packs.clone(),
            packs_whole,
            objects: damaged.map(|finding| finding.object.clone()).collect(),
        }
    }

    fn damage(&mut self, object: impl Into<String>, what: impl Into<String>, help: &str) {
        self.add(Finding::new(Severity::Damage, object.into(), what.into(), help));
    }

    fn notice(&mut self, object: impl Into<String>, what: impl Into<String>, help: &str) {
        self.add(Finding::new(Severity::Notice, object.into(), what.into(), help));
    }

    fn add(&mut self, finding: Finding) {
        if !self.findings.iter().any(|known| known.object == finding.object && known.what == finding.what) {
            self.findings.push(finding);
        }
    }

    /// A damaged object as the repository layer names it.
    fn damage_of(&mut self, error: &RepoError) {
        let object = match error {
            RepoError::Missing { path } | RepoError::WrongName { path } | RepoError::Object { path, .. } => path.clone(),
            RepoError::ChunkLost { chunk, .. } => format!("chunk {chunk}"),
            _ => self.repository.store().location().to_owned(),
        };
        let help = finding::help_for(&object);
        let text = error.to_string();
        let what = text.strip_prefix(&object).map_or(text.as_str(), |rest| rest.trim_start_matches([':', ' ']));
        self.damage(object, what, help);
    }

    /// Takes a damage as a finding; what is no damage ends the check, for it would say nothing about what is stored.
    fn tolerate(&mut self, error: RepoError) -> Result<()> {
        if error.is_damage() {
            self.damage_of(&error);
            return Ok(());
        }
        Err(error.into())
    }

    /// Remembers the outcome and tells it.
    pub(crate) fn finish(mut self, started: Instant) -> Result<FsckReport> {
        let verdicts: Vec<BackupVerdict> = self.chosen.iter().map(|backup| self.verdict(backup)).collect();
        if self.request.remember && !(verdicts.is_empty() && self.packs_whole.is_empty()) {
            let record = Verification {
                at_ms: self.repository.environment().now_ms(),
                written_by: WRITTEN_BY.to_owned(),
                backups: verdicts,
                packs: std::mem::take(&mut self.packs_whole),
                losses: self
                    .losses
                    .iter()
                    .map(|(manifest, (files, bytes))| Loss { manifest: *manifest, files: *files, bytes: *bytes })
                    .collect(),
            };
            self.packs_whole.clone_from(&record.packs);
            let deed = |id| self.deed(id, &record.backups);
            if let Err(error) = self.repository.write_recorded(None, ObjectKind::Verification, &record, deed) {
                self.notice("verified", format!("the outcome could not be remembered: {error}"), "");
            }
        }
        self.findings.sort_by_key(|finding| finding.severity);
        let damaged = self.chosen.iter().filter(|backup| self.touched.contains_key(&backup.id));
        Ok(FsckReport {
            level: self.request.level.name(),
            complete: self.complete,
            backups: self.chosen.len() as u64,
            damaged_backups: damaged.map(|backup| backup.manifest.label.clone()).collect(),
            packs: self.listing.packs.len() as u64,
            packs_read: self.packs_whole.len() as u64,
            files: self.files,
            bytes: self.bytes,
            engines: self.engines,
            protected: self.protected,
            store: self.abilities,
            findings: self.findings,
            repair: None,
            duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    fn verdict(&self, backup: &Backup) -> BackupVerdict {
        let findings = self.touched.get(&backup.id).copied().unwrap_or_default();
        BackupVerdict { manifest: backup.id, level: self.request.level, complete: self.complete, findings }
    }

    /// What the audit log says of this check.
    fn deed(&self, record: ObjectId, verdicts: &[BackupVerdict]) -> Deed {
        let damaged = self.findings.iter().filter(|finding| finding.severity == Severity::Damage).count() as u64;
        let whole = if self.complete { "complete" } else { "a part" };
        Deed {
            objects: vec![(record, self.request.level.name().to_owned())],
            count: damaged,
            bytes: self.bytes,
            detail: format!("level {}, {whole}, backups {}, damage {damaged}", self.request.level.name(), verdicts.len()),
            ..Deed::intended(Event::Verification)
        }
    }

    /// Whether the time that was given is used up.
    fn is_late(&self, started: Instant) -> bool {
        self.request.time_limit.is_some_and(|limit| started.elapsed() >= limit)
    }

    fn lock_read(&self) -> std::sync::MutexGuard<'_, BTreeMap<PackName, Vec<u64>>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a worker found of one chunk or file, without ending the check.
fn split_damage(error: OpsError) -> std::result::Result<OpsError, OpsError> {
    if error.is_damage() { Ok(error) } else { Err(error) }
}

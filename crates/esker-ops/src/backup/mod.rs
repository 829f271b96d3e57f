//! `backup`: hosts' folders become one manifest.
//!
//! Survey every host; find the base (the same engine in the newest earlier backup); take over the recipes of files that are
//! known unread; read, cut and store the others; prove that no engine moved meanwhile; write the tables; commit.

mod alarm;
mod base;
mod engine;
mod file;
pub(crate) mod replay;
mod report;
mod sorted;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use esker_cluster::path::shown;
use esker_cluster::{ClusterFile, Engine, Freeze, Identity, PartitionScheme, Root, Survey, survey, walk};
use esker_format::ObjectId;
use esker_format::layout::ObjectKind;
use esker_format::limits::NAME_MAX;
use esker_format::manifest::{HostRecord, Manifest, Totals};
use esker_format::table::{SeenManifest, TableRef};
use esker_repo::manifests::{Backups, Standing};
use esker_repo::session::WRITTEN_BY;
use esker_repo::tables::TableWriter;
use esker_repo::{Effort, RepoError, Repository, Writer, WriterOptions};

use crate::error::{OpsError, Result};
use crate::job::Job;
use crate::sorted_report::SortedReport;
use crate::time::default_label;

pub use report::{BackupReport, LeftOutLine, SpreadLine};

use base::BaseBackup;
pub(crate) use base::without_checkpoint;
use engine::ScannedEngine;
use file::{FileTaker, Taken};
use sorted::SortedCounts;

/// The cluster's name when no cluster file tells it.
pub const CLUSTER_DEFAULT: &str = "default";

/// What to back up, and how.
#[derive(Debug, Clone)]
pub struct BackupRequest {
    /// Hosts by name, each with its folder.
    pub hosts: Vec<(String, PathBuf)>,
    /// What describes the cluster, if anything does.
    pub cluster: Option<ClusterFile>,
    /// Space of the engines whose path tells none.
    pub space: Option<String>,
    /// The backup's name; from the clock if `None`.
    pub label: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Only say what would be read.
    pub dry_run: bool,
    /// Read every file, also those that are known.
    pub reread: bool,
    /// One in how many known files is read all the same, another one each time; 0 reads none.
    pub reread_share: u32,
    /// How much is compressed.
    pub effort: Effort,
    /// Take tables as bytes, so that a restore needs no encoder.
    pub no_reencode: bool,
}

/// One host, surveyed.
struct SurveyedHost {
    name: String,
    root: Root,
    survey: Survey,
}

/// Makes a backup.
///
/// # Errors
/// Anything that would make the backup less than what was asked for; nothing is committed then, and what was uploaded is
/// reused by the next run.
pub fn backup(repository: &Arc<Repository>, request: &BackupRequest, job: &Job) -> Result<BackupReport> {
    let started_ms = repository.environment().now_ms();
    let hosts = survey_hosts(request, job)?;
    let freezes = freeze(&hosts)?;
    let mut backups = repository.backups()?;
    let label = choose_label(request, &backups, started_ms)?;
    let mut run = Run::new(repository, request, job, label, started_ms);
    run.warn_of_surveys(&hosts);
    for (_, error) in &backups.damaged {
        run.report.warn(format!("{error}; nothing is built upon that backup"));
    }
    if request.dry_run {
        run.dry_run(&hosts, &backups)?;
        run.report.end_dry_run(repository.environment().now_ms());
        return Ok(run.report);
    }
    let options = WriterOptions {
        workers: job.threads,
        effort: request.effort,
        distrust: request.reread,
        sorted_runs: !request.no_reencode,
        sparse_runs: false,
    };
    let writer = Writer::begin(repository, "backup", &options)?;
    // Only what stood in the store after the session began may be built upon.
    backups.found.retain(|backup| writer.listing().manifests.contains(&backup.id));
    match run.fill(&writer, &hosts, &freezes, &backups) {
        Ok(manifest) => {
            let session = writer.session();
            let stored = writer.stored();
            let id = writer.commit(manifest).map_err(|error| match error {
                RepoError::Fenced(_) => OpsError::from(error),
                error => OpsError::Uncertain { session, error: Box::new(error) },
            })?;
            if let Err(error) = repository.remember_backup(id) {
                run.report.warn(format!("{error}; a later rollback of the store would not be noticed here"));
            }
            run.report.finish(id, stored.data + stored.meta, repository.environment().now_ms());
            Ok(run.report)
        }
        Err(error) => {
            // What was uploaded stays for the next run; that the session could not be ended changes nothing about that.
            let _ = writer.abandon();
            Err(error)
        }
    }
}

/// The state of one run.
struct Run<'a> {
    repository: &'a Arc<Repository>,
    request: &'a BackupRequest,
    job: &'a Job,
    report: BackupReport,
    totals: Totals,
    sorted: SortedCounts,
    /// Whether recipes of earlier backups may be taken over without a look at their chunks.
    reuse: bool,
}

impl<'a> Run<'a> {
    fn new(repository: &'a Arc<Repository>, request: &'a BackupRequest, job: &'a Job, label: String, started_ms: u64) -> Self {
        let cluster = request.cluster.as_ref().map_or_else(|| CLUSTER_DEFAULT.to_owned(), |file| file.cluster.clone());
        let report = BackupReport::begin(label, cluster, started_ms, request.dry_run);
        Self { repository, request, job, report, totals: Totals::default(), sorted: SortedCounts::default(), reuse: false }
    }

    fn fill(&mut self, writer: &Writer, hosts: &[SurveyedHost], freezes: &[Vec<Freeze<'_>>], backups: &Backups) -> Result<Manifest> {
        for damaged in writer.damaged() {
            self.report.warn(format!("{damaged}; its chunks are stored anew where they are needed: run esker fsck"));
        }
        self.reuse = writer.may_reuse_manifests() && self.no_pack_is_lost(writer, backups)?;
        let base = BaseBackup::newest(writer.reader(), backups, &self.report.cluster)?;
        // Backups that stand and forget runs that were: it grows also where a policy keeps the number of backups the same.
        let forgets = esker_repo::listing::ids(self.repository.store(), ObjectKind::Forgotten)?.len() as u64;
        self.report.generation = forgets + base.as_ref().map_or(0, |base| base.generation);
        self.job.progress.phase("reading", hosts.iter().map(SurveyedHost::bytes).sum());
        let mut scanned = Vec::new();
        for (host, freezes) in hosts.iter().zip(freezes) {
            for (engine, freeze) in host.survey.engines.iter().zip(freezes) {
                scanned.push(self.scan_engine(writer, host, engine, freeze, base.as_ref())?);
            }
        }
        let mut encoders = self.new_tables(writer, &mut scanned)?;
        if let Some(base) = &base {
            // Which of them the tables that were taken over need is not asked: that would mean reading every recipe.
            let taken_over = self.totals.reused_files > 0 && !self.request.no_reencode;
            encoders.extend(base.encoders.iter().filter(|_| taken_over));
        }
        let mut scanned = scanned.into_iter();
        let mut records = Vec::new();
        for host in hosts {
            let engines = scanned.by_ref().take(host.survey.engines.len()).collect();
            records.push(self.host(writer, host, engines, base.as_ref())?);
        }
        self.job.progress.finish();
        self.job.progress.phase("storing", 0);
        let seen = write_seen(writer)?;
        writer.flush()?;
        self.job.progress.finish();
        let stored = writer.stored();
        (self.totals.stored_data, self.totals.stored_meta) = (stored.data, stored.meta);
        self.report.totals(&self.totals);
        let before = newest_first(backups, &self.report.cluster).next();
        let alarms = before.map(|(_, before)| alarm::alarms(&before.label, &before.hosts, &records, &self.totals));
        alarms.into_iter().flatten().for_each(|alarm| self.report.warn(alarm));
        let sorted = self.sorted.totals();
        self.report.sorted = SortedReport::sum(std::iter::once(&sorted));
        let keys = esker_repo::listing::ids(self.repository.store(), ObjectKind::Key)?.into_keys().collect();
        Ok(Manifest {
            label: self.report.label.clone(),
            cluster: self.report.cluster.clone(),
            session: writer.session(),
            started_ms: self.report.started_ms,
            finished_ms: self.repository.environment().now_ms(),
            written_by: WRITTEN_BY.to_owned(),
            tags: self.request.tags.clone(),
            warnings: self.report.warnings.clone(),
            hosts: records,
            seen,
            keys,
            segments: Vec::new(),
            packs: Vec::new(),
            encoders: encoders.into_iter().collect(),
            sorted: (!self.request.no_reencode).then_some(sorted),
            origin: None,
            totals: self.totals,
        })
    }

    fn host(
        &mut self,
        writer: &Writer,
        host: &SurveyedHost,
        scanned: Vec<ScannedEngine<'_>>,
        base: Option<&BaseBackup>,
    ) -> Result<HostRecord> {
        let (mut files, mut bytes) = (0, 0);
        let mut engines = Vec::new();
        for engine in scanned {
            files += engine.file_count;
            bytes += engine.bytes;
            engines.push(self.finish_engine(writer, engine)?);
        }
        let before = (self.totals.files, self.totals.bytes);
        let known = base.map(|base| base.loose_files(writer.reader(), &host.name)).transpose()?.unwrap_or_default();
        let mut taker = FileTaker::new(self, writer, &host.root, &known);
        let mut tree = TableWriter::default();
        tree.push(writer, file::root_row(&host.root))?;
        for entry in &host.survey.loose {
            // Files outside of engines are taken as bytes, whatever they are called.
            if let Taken::Row(row) = taker.take(entry, &entry.path, esker_cluster::FileKind::Other)? {
                tree.push(writer, row)?;
            }
        }
        let tree = tree.finish(writer)?;
        files += self.totals.files - before.0;
        bytes += self.totals.bytes - before.1;
        Ok(HostRecord { name: host.name.clone(), tree, engines, files, bytes })
    }

    /// Whether every pack that a segment or a backup names is in the store; if not, recipes are reused only after a look
    /// at each of their chunks, so that what was lost is stored anew.
    fn no_pack_is_lost(&mut self, writer: &Writer, backups: &Backups) -> Result<bool> {
        let listed: BTreeSet<ObjectId> = writer.listing().packs.keys().map(|name| name.id).collect();
        let named = backups.found.iter().flat_map(|backup| &backup.manifest.packs);
        let mut gone: Vec<&ObjectId> = named.filter(|id| !listed.contains(id)).collect();
        if !gone.is_empty() {
            // What a prune deleted, nobody needs.
            let forgotten = self.repository.forgotten()?;
            gone.retain(|id| !forgotten.contains_key(id));
        }
        if !gone.is_empty() {
            self.report.warn("packs of earlier backups are missing; what this backup needs of them is stored anew: run esker fsck".into());
        }
        Ok(gone.is_empty() && writer.reader().index().absent() == 0)
    }

    /// The cluster file's scheme; without one, an engine at a path of NebulaGraph's form is NebulaGraph's.
    fn scheme_of(&self, engine: &Engine) -> PartitionScheme {
        match &self.request.cluster {
            Some(file) => file.scheme,
            None if Identity::of_folder(&engine.path).space.is_some() => PartitionScheme::Nebula,
            None => PartitionScheme::None,
        }
    }

    fn warn_of_surveys(&mut self, hosts: &[SurveyedHost]) {
        for host in hosts {
            for warning in &host.survey.warnings {
                self.report.warn(format!("{}: {warning}", host.name));
            }
            for (reason, count) in &host.survey.left_out {
                self.report.leave_out(reason.pattern(), *count);
                self.totals.left_out_files += count.files;
                self.totals.left_out_bytes += count.bytes;
            }
        }
        if hosts.iter().all(|host| host.survey.engines.is_empty()) {
            let names: Vec<String> = hosts.iter().map(|host| shown(host.root.path())).collect();
            self.report.warn(format!("no engine (a folder with CURRENT and MANIFEST) was found below {}", names.join(", ")));
        }
    }
}

impl SurveyedHost {
    fn bytes(&self) -> u64 {
        let engines = self.survey.engines.iter().flat_map(|engine| &engine.files).map(|file| file.entry.size);
        engines.chain(self.survey.loose.iter().map(|entry| entry.size)).sum()
    }
}

fn survey_hosts(request: &BackupRequest, job: &Job) -> Result<Vec<SurveyedHost>> {
    let mut hosts = Vec::new();
    let mut names = BTreeSet::new();
    job.progress.phase("listing", 0);
    for (name, folder) in &request.hosts {
        job.cancel.check()?;
        if name.is_empty() || name.len() > NAME_MAX || name.contains(['/', '\0']) || name == "." || name == ".." {
            return Err(OpsError::usage(format!("{name:?} cannot be the name of a host: a restore makes a folder of it")));
        }
        if !names.insert(name) {
            return Err(OpsError::usage(format!("host {name} is given twice")));
        }
        let root = Root::open(folder)?;
        let entries = walk(&root)?;
        let mut survey = survey(&root, entries)?;
        if let Some(file) = &request.cluster {
            file.identify(name, &mut survey);
        }
        if let Some(space) = &request.space {
            survey.name_space(space);
        }
        hosts.push(SurveyedHost { name: name.clone(), root, survey });
    }
    job.progress.finish();
    if hosts.is_empty() {
        return Err(OpsError::usage("no host is given: --host NAME=FOLDER, or --cluster FILE.toml with hosts"));
    }
    Ok(hosts)
}

fn freeze(hosts: &[SurveyedHost]) -> Result<Vec<Vec<Freeze<'_>>>> {
    let begin = |host: &'_ SurveyedHost| -> Result<()> {
        host.survey.engines.iter().try_for_each(|engine| Freeze::begin(&host.root, engine).map(drop))?;
        Ok(())
    };
    // Refuse every live engine before the first is read.
    hosts.iter().try_for_each(begin)?;
    hosts.iter().map(|host| host.survey.engines.iter().map(|engine| Ok(Freeze::begin(&host.root, engine)?)).collect()).collect()
}

/// The label asked for, if no backup has it; otherwise one from the clock that no backup has.
fn choose_label(request: &BackupRequest, backups: &Backups, now_ms: u64) -> Result<String> {
    let taken = |label: &str| backups.found.iter().any(|backup| backup.manifest.label == label);
    match &request.label {
        Some(label) if label.is_empty() || label.len() > NAME_MAX || label == crate::select::LATEST => {
            Err(OpsError::usage(format!("{label:?} cannot be a label")))
        }
        Some(label) if taken(label) => {
            Err(OpsError::usage(format!("a backup is called {label:?} already: choose another label, or forget that one")))
        }
        Some(label) => Ok(label.clone()),
        None => {
            let plain = default_label(now_ms);
            let mut numbered = (2u32..).map(|number| format!("{plain}_{number}"));
            if taken(&plain) { Ok(numbered.find(|label| !taken(label)).unwrap_or(plain)) } else { Ok(plain) }
        }
    }
}

/// Writes the list of the manifests that stood when the writer began.
///
/// # Errors
/// As `Writer::store`.
pub(crate) fn write_seen(writer: &Writer) -> Result<TableRef> {
    let mut table = TableWriter::default();
    for id in &writer.listing().manifests {
        table.push(writer, SeenManifest(*id))?;
    }
    Ok(table.finish(writer)?)
}

/// The newest valid backup of a cluster first.
fn newest_first<'a>(backups: &'a Backups, cluster: &'a str) -> impl Iterator<Item = (&'a ObjectId, &'a Manifest)> {
    let of_cluster = backups.found.iter().rev().filter(move |backup| backup.manifest.cluster == cluster);
    of_cluster.filter(|backup| backup.standing == Standing::Valid).map(|backup| (&backup.id, &backup.manifest))
}

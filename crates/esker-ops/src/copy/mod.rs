//! `copy`: backups of one repository, whole, into another.
//!
//! Each backup is a session and a manifest of its own, oldest first. A copy says of which backup it is one (its origin), so
//! the next run knows it. Where the two repositories have other keys all chunks are called otherwise, and tables and recipes
//! are rewritten; content never changes. Backups that are damaged are named and passed over.

mod choose;
mod memo;
mod mover;
mod pairs;
mod report;
mod rewrite;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use esker_format::ObjectId;
use esker_format::layout::ObjectKind;
use esker_format::manifest::Manifest;
use esker_repo::manifests::Backup;
use esker_repo::notes::NoteState;
use esker_repo::reader::ChunkReader;
use esker_repo::scratch::ScratchMap;
use esker_repo::{RepoError, Repository, RequestCounts, Writer, WriterOptions};

use crate::backup::write_seen;
use crate::error::{OpsError, Result};
use crate::job::{Job, Protection};

pub use report::{BackupLine, CopyReport, Outcome, Side};

use choose::{Choice, origin_of};
use memo::Memo;
use mover::Mover;
use pairs::Pairs;
use rewrite::Rewriter;

/// What to copy.
#[derive(Debug, Clone, Default)]
pub struct CopyRequest {
    /// Backups by label or id; all if empty.
    pub backups: Vec<String>,
    /// Only say what would be copied.
    pub dry_run: bool,
    /// Copy from an encrypted repository to one that is not.
    pub decrypt: bool,
}

/// Copies backups from one repository to another.
///
/// # Errors
/// `Usage` if a backup is not found, both are the same repository, or encrypted content would come to lie open; whatever
/// keeps the target from being written. Damage of the source is in the report.
pub fn copy(source: &Arc<Repository>, target: &Arc<Repository>, request: &CopyRequest, job: &Job) -> Result<CopyReport> {
    let began = Instant::now();
    refuse_what_is_not_meant(source, target, request)?;
    let protection = if request.dry_run { Protection::none() } else { Protection::begin(source, "copy") };
    let choice = Choice::new(source, target, request)?;
    let side = |repository: &Repository| Side {
        repository: repository.config().repository.to_string(),
        location: repository.store().location().to_owned(),
        requests: RequestCounts::default(),
    };
    let same_keys = source.sealing().names_chunks_like(target.sealing());
    let mut report = CopyReport {
        from: side(source),
        to: side(target),
        dry_run: request.dry_run,
        same_keys,
        protected: protection.is_on(),
        copied: 0,
        known: 0,
        damaged: 0,
        read_bytes: 0,
        stored_bytes: 0,
        backups: Vec::new(),
        findings: choice.findings.clone(),
        warnings: choice.warnings.clone(),
        duration_ms: 0,
    };
    Run::new(source, target, request, job, &choice, same_keys)?.all(&mut report)?;
    report.from.requests = source.store().request_counts().now();
    report.to.requests = target.store().request_counts().now();
    report.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

fn refuse_what_is_not_meant(source: &Repository, target: &Repository, request: &CopyRequest) -> Result<()> {
    let place = |repository: &Repository| {
        let location = repository.store().location();
        std::fs::canonicalize(location).map_or_else(|_| location.to_owned(), |path| path.to_string_lossy().into_owned())
    };
    if place(source) == place(target) {
        return Err(OpsError::usage(format!("{} cannot be copied to itself", source.store().location())));
    }
    if source.config().encrypted && !target.config().encrypted && !request.decrypt {
        return Err(OpsError::usage(format!(
            "{} is encrypted and {} is not: whoever reads that store would read the backups; give --decrypt if that is meant",
            source.store().location(),
            target.store().location()
        )));
    }
    Ok(())
}

/// The state of one run.
struct Run<'a> {
    source: &'a Arc<Repository>,
    target: &'a Arc<Repository>,
    request: &'a CopyRequest,
    job: &'a Job,
    choice: &'a Choice,
    same_keys: bool,
    reader: ChunkReader,
    memo: Memo,
    /// As `Mover::positions`.
    positions: ScratchMap,
    /// Whether the session before committed, so that its proofs may hold on.
    committed: bool,
    /// Copies that proofs rest upon. If one is forgotten, a prune may have taken what it proved.
    proven_by: Vec<ObjectId>,
    /// Backups from which names were learned.
    learned: BTreeSet<ObjectId>,
}

impl<'a> Run<'a> {
    fn new(
        source: &'a Arc<Repository>,
        target: &'a Arc<Repository>,
        request: &'a CopyRequest,
        job: &'a Job,
        choice: &'a Choice,
        same_keys: bool,
    ) -> Result<Self> {
        let reader = ChunkReader::open(source).map_err(OpsError::within(source))?;
        let memo = Memo::new(target, same_keys);
        Ok(Self {
            source,
            target,
            request,
            job,
            choice,
            same_keys,
            reader,
            memo,
            positions: target.scratch_map(),
            committed: false,
            proven_by: Vec::new(),
            learned: BTreeSet::new(),
        })
    }

    fn all(&mut self, report: &mut CopyReport) -> Result<()> {
        for backup in &self.choice.backups {
            self.job.cancel.check()?;
            let line = line_of(backup);
            let line = match self.choice.copies.get(&origin_of(self.source, backup)) {
                Some(copy) => {
                    let notes = !self.request.dry_run && self.carry_notes(backup, copy.id)?;
                    BackupLine { outcome: Outcome::Known, copy: Some(copy.id.to_string()), notes, ..line }
                }
                None if self.choice.left_out.contains(&backup.id) => BackupLine { outcome: Outcome::Undecided, ..line },
                None if self.request.dry_run => line,
                None => self.copy(backup, line, report)?,
            };
            report.add(line);
        }
        Ok(())
    }

    fn copy(&mut self, backup: &Backup, line: BackupLine, report: &mut CopyReport) -> Result<BackupLine> {
        let options =
            WriterOptions { workers: self.job.threads, sorted_runs: backup.manifest.sorted.is_some(), ..WriterOptions::default() };
        let writer = Writer::begin(self.target, "copy", &options).map_err(OpsError::within(self.target))?;
        let stand = self.proven_by.iter().all(|id| writer.listing().manifests.contains(id));
        let holds = self.committed && stand && writer.may_reuse_manifests() && writer.reader().index().absent() == 0;
        if !holds {
            self.proven_by.clear();
        }
        self.memo.begin_session(holds);
        self.committed = false;
        for damaged in writer.damaged() {
            report
                .warnings
                .push(format!("{}: {damaged}; its chunks are stored anew where they are needed", self.target.store().location()));
        }
        self.job.progress.phase(&format!("copying {}", backup.manifest.label), backup.manifest.totals.bytes);
        let outcome = self.fill(&writer, backup, line);
        self.job.progress.finish();
        match outcome {
            Ok((mut line, Some(manifest))) => {
                let id = self.commit(writer, manifest, report)?;
                line.copy = Some(id.to_string());
                line.notes = self.carry_notes(backup, id)?;
                Ok(line)
            }
            Ok((line, None)) => {
                writer.abandon().map_err(OpsError::within(self.target))?;
                Ok(line)
            }
            Err(error) => {
                // What was uploaded stays for the next run; that the session could not be ended changes nothing about that.
                let _ = writer.abandon();
                Err(error)
            }
        }
    }

    /// Carries all of a backup over; the manifest of its copy if it is whole.
    fn fill(&mut self, writer: &Writer, backup: &Backup, mut line: BackupLine) -> Result<(BackupLine, Option<Manifest>)> {
        let mover = Mover::new(&self.reader, self.target, writer, (&self.memo, &self.positions), self.job);
        if let Some((known, copy)) = self.choice.pair_for(self.source, backup).filter(|_| !self.same_keys)
            && self.learned.insert(known.id)
        {
            Pairs::new(&mover)?.learn(&known.manifest, &copy.manifest)?;
        }
        let mut rewriter = Rewriter::new(&mover)?;
        let hosts = rewriter.hosts(&backup.manifest)?;
        let findings = rewriter.findings;
        let seen = write_seen(writer).map_err(OpsError::within(self.target))?;
        writer.flush().map_err(OpsError::within(self.target))?;
        let (counts, stored) = (&mover.counts, writer.stored());
        line.read_bytes = counts.read_bytes.load(Ordering::SeqCst);
        (line.new_chunks, line.new_bytes) = (counts.copied.load(Ordering::SeqCst), counts.copied_bytes.load(Ordering::SeqCst));
        (line.known_chunks, line.left_over_chunks) = (counts.known.load(Ordering::SeqCst), counts.left_over.load(Ordering::SeqCst));
        line.stored_bytes = stored.data + stored.meta;
        line.findings_count = findings.count();
        if !findings.is_empty() {
            return Ok((BackupLine { outcome: Outcome::Damaged, findings: findings.kept, ..line }, None));
        }
        let keys = esker_repo::listing::ids(self.target.store(), ObjectKind::Key).map_err(OpsError::within(self.target))?;
        let mut manifest = Manifest {
            hosts,
            seen,
            keys: keys.into_keys().collect(),
            origin: Some(origin_of(self.source, backup)),
            session: writer.session(),
            ..backup.manifest.clone()
        };
        (manifest.totals.stored_data, manifest.totals.stored_meta) = (stored.data, stored.meta);
        Ok((line, Some(manifest)))
    }

    fn commit(&mut self, writer: Writer, manifest: Manifest, report: &mut CopyReport) -> Result<ObjectId> {
        let session = writer.session();
        let committed = writer.commit(manifest).map_err(|error| match error {
            RepoError::Fenced(_) => OpsError::from(error),
            error => OpsError::Uncertain { session, error: Box::new(error) },
        });
        let id = committed.map_err(OpsError::within(self.target))?;
        self.committed = true;
        self.proven_by.push(id);
        if let Err(error) = self.target.remember_backup(id) {
            report.warnings.push(format!("{error}; a later rollback of the store would not be noticed here"));
        }
        Ok(id)
    }

    /// Puts the backup's hold and tags on its copy, unless somebody decided about the copy already; whether it did.
    fn carry_notes(&self, backup: &Backup, copy: ObjectId) -> Result<bool> {
        let Some(note) = self.choice.notes.get(&backup.id) else { return Ok(false) };
        if self.choice.decided.contains(&copy) {
            return Ok(false);
        }
        let written = self.target.write_note(
            None,
            (copy, &backup.manifest.label),
            &NoteState::default(),
            note.held,
            note.tags(&backup.manifest).to_vec(),
        );
        written.map_err(OpsError::within(self.target)).map(|()| true)
    }
}

fn line_of(backup: &Backup) -> BackupLine {
    let manifest = &backup.manifest;
    BackupLine {
        id: backup.id.to_string(),
        label: manifest.label.clone(),
        cluster: manifest.cluster.clone(),
        outcome: Outcome::Copied,
        copy: None,
        files: manifest.totals.files,
        bytes: manifest.totals.bytes,
        read_bytes: 0,
        new_chunks: 0,
        new_bytes: 0,
        known_chunks: 0,
        left_over_chunks: 0,
        stored_bytes: 0,
        notes: false,
        findings: Vec::new(),
        findings_count: 0,
    }
}

//! `restore --partial`: of a damaged backup every file that is whole, and a list of what is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use esker_cluster::path::{as_path, escaped, join, shown, split};
use esker_cluster::{Target, TargetOptions};
use esker_format::ChunkId;
use esker_format::file_table::{FileContent, FileRole, FileRow};
use esker_repo::manifests::Backup;
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::{RepoError, Repository};
use serde::Serialize;

use super::{HostPlan, Mark, RestoreReport, RestoreRequest, of_file, write_hosts};
use crate::error::{OpsError, Result};
use crate::job::{Job, Protection};
use crate::rows::Place;
use crate::select::{LATEST, Selection, find_backup};
use crate::walk_left::{Visit, walk_left};

/// The list of what is missing, in the target.
const MISSING: &str = ".esker-missing";

/// A file that was left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct MissingFile {
    /// The host.
    pub host: String,
    /// Path below the host's folder, escaped to text.
    pub path: String,
    /// Its bytes.
    pub bytes: u64,
    /// Why.
    pub why: String,
}

/// Restores what is whole of a backup that is named; files that are not whole are left out and listed. `CURRENT` of an engine
/// that lacks a file is left out as well, so that it does not open.
///
/// # Errors
/// As `restore`, but for damage; `Usage` for `latest`: whoever gives up part of a backup says which.
pub fn restore_partial(repository: &Arc<Repository>, request: &RestoreRequest, job: &Job) -> Result<RestoreReport> {
    if request.backup == LATEST {
        return Err(OpsError::usage("a partial restore is of a backup by its label or id: esker list shows them"));
    }
    let started_ms = repository.environment().now_ms();
    let protection = Protection::begin(repository, "restore");
    let backup = find_backup(repository, &request.backup)?;
    let reader = ChunkReader::open(repository)?;
    job.progress.phase("planning", 0);
    let mut plan = PartialPlan::default();
    walk_left(&reader, &mut ReadContext::new()?, &backup.manifest, &request.selection, &mut plan)?;
    plan.add_folders_above(&reader, &backup, &request.selection)?;
    job.progress.finish();
    let unnamed = plan.unnamed(&backup, &request.selection);
    let PartialPlan { plans, losses, parts } = plan;
    if plans.is_empty() && parts.is_empty() && !(request.selection.is_all() && backup.manifest.hosts.is_empty()) {
        return Err(request.selection.nothing(&backup));
    }
    let options = TargetOptions::default();
    let mut report = RestoreReport {
        id: backup.id.to_string(),
        label: backup.manifest.label.clone(),
        hosts: plans.len() as u64,
        owners: options.owners,
        protected: protection.is_on(),
        missing_unnamed: unnamed,
        missing_parts: parts,
        ..RestoreReport::default()
    };
    report.count(&plans);
    let mark = Mark::set(&request.target, &backup, &request.selection)?;
    let options = TargetOptions { resume: mark.resumed, ..options };
    job.progress.phase("restoring", report.bytes);
    report.kept_bytes = write_hosts(&reader, &request.target, plans, options, Some(&losses), job)?;
    job.progress.finish();
    report.missing = losses.missing.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect();
    report.files = report.files.saturating_sub(report.missing.len() as u64);
    let missing_bytes = report.missing.iter().map(|file| file.bytes).fold(0, u64::saturating_add);
    report.bytes = report.bytes.saturating_sub(missing_bytes);
    if report.is_partial() {
        write_list(&request.target, &report)?;
    }
    mark.clear()?;
    report.duration_ms = repository.environment().now_ms().saturating_sub(started_ms);
    Ok(report)
}

impl RestoreReport {
    /// Whether anything is missing.
    pub fn is_partial(&self) -> bool {
        !self.missing.is_empty() || self.missing_unnamed > 0 || !self.missing_parts.is_empty()
    }
}

/// What was lost while a restore wrote.
#[derive(Default)]
pub(super) struct Losses {
    /// Files that are not whole, by the path they would have, and why.
    files: Mutex<BTreeMap<String, String>>,
    /// Engines of whose file table a part is lost, by host and folder.
    engines: BTreeSet<(String, Vec<u8>)>,
    missing: Mutex<BTreeSet<MissingFile>>,
}

/// Takes a damage as a file to be left out, if that is wanted; anything else, and any damage otherwise, ends the restore.
///
/// # Errors
/// The error, with the file.
pub(super) fn tolerate(losses: Option<&Losses>, name: &str, error: OpsError) -> Result<()> {
    match losses {
        Some(losses) if error.is_damage() || matches!(error, OpsError::Encoder(_)) => {
            let mut files = losses.files.lock().unwrap_or_else(PoisonError::into_inner);
            files.entry(name.to_owned()).or_insert_with(|| error.to_string());
            Ok(())
        }
        _ => Err(of_file(name, error)),
    }
}

impl Losses {
    /// Takes out of a host what is not whole of it, and each `CURRENT` of an engine that lacks a file.
    pub(super) fn leave_out(&self, host: &mut Target, files: &[(Vec<u8>, FileContent, String)]) -> Result<()> {
        let name = host.path().file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let lost = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lacking: BTreeMap<&[u8], u64> = BTreeMap::new();
        for (_, folder) in self.engines.iter().filter(|(host, _)| *host == name) {
            lacking.insert(folder, 0);
        }
        let mut missing: Vec<(&[u8], &FileContent, String)> = Vec::new();
        for (path, content, _) in files {
            if let Some(why) = lost.get(&shown(&host.path().join(as_path(path)))) {
                *lacking.entry(split(path).0).or_default() += 1;
                missing.push((path, content, why.clone()));
            }
        }
        for (path, content, _) in files.iter().filter(|(_, content, _)| content.role == FileRole::Current) {
            let is_lost = missing.iter().any(|(lost, ..)| *lost == path.as_slice());
            let Some(count) = lacking.get(split(path).0).filter(|_| !is_lost) else { continue };
            let files = if *count == 0 { "files".to_owned() } else { format!("{count} of its files") };
            missing.push((path, content, format!("left out so that the engine does not open: it lacks {files}")));
        }
        let mut all = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, content, why) in missing {
            host.leave_out(path)?;
            all.insert(MissingFile { host: name.clone(), path: escaped(path), bytes: content.size, why });
        }
        Ok(())
    }
}

/// What can be planned of a damaged backup.
#[derive(Default)]
struct PartialPlan {
    plans: Vec<HostPlan>,
    losses: Losses,
    parts: Vec<String>,
}

impl PartialPlan {
    fn host(&mut self, name: &str) -> Option<&mut HostPlan> {
        if self.plans.last().is_none_or(|plan| plan.name != name) {
            self.plans.push(HostPlan { name: name.to_owned(), root: None, nodes: Vec::new(), files: Vec::new() });
        }
        self.plans.last_mut()
    }

    /// Files of the chosen hosts whose rows are lost. Of a part of a host nobody knows how many they are.
    fn unnamed(&self, backup: &Backup, selection: &Selection) -> u64 {
        if self.parts.is_empty() || selection.is_narrower_than_hosts() {
            return 0;
        }
        let hosts = backup.manifest.hosts.iter().filter(|host| selection.takes_host(&host.name));
        let planned: usize = self.plans.iter().map(|plan| plan.files.len()).sum();
        hosts.map(|host| host.files).sum::<u64>().saturating_sub(planned as u64)
    }

    /// Folders above what was chosen get their mode, owner and time as far as their rows can be read.
    fn add_folders_above(&mut self, reader: &ChunkReader, backup: &Backup, selection: &Selection) -> Result<()> {
        self.plans.retain(|plan| !plan.nodes.is_empty() || (plan.root.is_some() && selection.is_all()));
        if selection.is_all() {
            return Ok(());
        }
        for host in &backup.manifest.hosts {
            let Some(plan) = self.plans.iter_mut().find(|plan| plan.name == host.name) else { continue };
            match plan.add_folders_above(reader, &host.tree) {
                Err(error) if !error.is_damage() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Visit for PartialPlan {
    fn table(&mut self, place: Place<'_>, _: &ChunkId, is_rows: bool, fault: Option<RepoError>) -> Result<bool> {
        let host = &place.host.name;
        match (fault, place.engine, is_rows) {
            (None, ..) | (_, Some(_), false) => {}
            (Some(error), None, false) => self.parts.push(format!("an engine of {host}, all of it: {error}")),
            (Some(error), None, true) => self.parts.push(format!("a part of the file table of {host}: {error}")),
            (Some(error), Some(engine), true) => {
                self.parts.push(format!("a part of the file table of engine {} of {host}: {error}", escaped(&engine.folder)));
                self.losses.engines.insert((host.clone(), engine.folder.clone()));
            }
        }
        Ok(true)
    }

    fn row(&mut self, place: Place<'_>, row: FileRow) -> Result<()> {
        let space = place.engine.and_then(|engine| engine.space.clone()).unwrap_or_default();
        if let Some(plan) = self.host(&place.host.name) {
            plan.add(row, space);
        }
        Ok(())
    }
}

/// Writes the list of what is missing, and brings it to disk.
fn write_list(target: &Path, report: &RestoreReport) -> Result<()> {
    let path = target.join(MISSING);
    let mut text = format!("# Not restored of backup {} ({}). What is here is whole.\n", escaped(report.label.as_bytes()), report.id);
    for part in &report.missing_parts {
        let _ = writeln!(text, "# lost: {}", escaped(part.as_bytes()));
    }
    if report.missing_unnamed > 0 {
        let _ = writeln!(text, "# {} files more are missing whose names are not known", report.missing_unnamed);
    }
    text.push_str("# host/path, bytes, why\n");
    for file in &report.missing {
        let name = join(file.host.as_bytes(), file.path.as_bytes());
        let _ = writeln!(text, "{}\t{}\t{}", String::from_utf8_lossy(&name), file.bytes, escaped(file.why.as_bytes()));
    }
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| OpsError::Local { action: "write", path: path.display().to_string(), source })
}

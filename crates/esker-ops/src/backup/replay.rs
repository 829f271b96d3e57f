//! A backup done once more over the folders it was made of, to make again the very chunks that it once stored.
//!
//! Everything a backup stores follows from the hosts' folders and from what stood in the repository when it began. With the
//! same of both the same chunks come about, under the same ids. Whatever else comes about is not stored.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use esker_cluster::ClusterFile;
use esker_format::ChunkId;
use esker_format::manifest::HostRecord;
use esker_repo::manifests::{Backup, Backups};
use esker_repo::{Effort, Repository, Writer};

use super::base::BaseBackup;
use super::{BackupRequest, Run, SurveyedHost, freeze, survey_hosts};
use crate::error::Result;
use crate::job::Job;

/// What a backup is repeated with.
pub(crate) struct Replay<'a> {
    pub(crate) repository: &'a Arc<Repository>,
    /// Every host's folder, by name.
    pub(crate) folders: &'a [(String, PathBuf)],
    pub(crate) cluster: Option<&'a ClusterFile>,
    pub(crate) job: &'a Job,
    /// All backups, oldest first.
    pub(crate) backups: &'a [Backup],
}

impl Replay<'_> {
    /// Why the folders at hand cannot be those that a backup was made of; `None` if they may be.
    ///
    /// # Errors
    /// `Cancelled`; a folder that cannot be read.
    pub(crate) fn misfit(&self, backup: &Backup) -> Result<Option<String>> {
        let request = self.request(backup);
        if request.hosts.len() != backup.manifest.hosts.len() || request.hosts.is_empty() {
            return Ok(Some("not all of its hosts are given".into()));
        }
        for (host, record) in survey_hosts(&request, self.job)?.iter().zip(&backup.manifest.hosts) {
            let (files, bytes) = (host.files(), host.bytes());
            if (files, bytes) != (record.files, record.bytes) {
                let (name, had_files, had_bytes) = (&host.name, record.files, record.bytes);
                return Ok(Some(format!("host {name} has {files} files with {bytes} bytes now, and had {had_files} with {had_bytes}")));
            }
        }
        Ok(None)
    }

    /// Repeats a backup. Of the chunks that come about, `writer` stores those that are lost; if all of the backup comes out
    /// as it was, also those of which nobody knew, because what names them was lost. Gives whether it came out so.
    ///
    /// # Errors
    /// `Store`, `Cache`, `Cancelled`; a folder that cannot be read, an engine that is at work.
    pub(crate) fn run(&self, backup: &Backup, writer: &Writer, lost: &HashSet<ChunkId>) -> Result<bool> {
        let request = self.request(backup);
        let hosts = survey_hosts(&request, self.job)?;
        writer.restrict(Some(lost.clone()));
        let records = self.take(backup, &request, &hosts, writer)?;
        if records != backup.manifest.hosts {
            return Ok(false);
        }
        let left = writer.restrict(None);
        left.iter().for_each(|chunk| writer.mistrust(chunk));
        self.take(backup, &request, &hosts, writer)?;
        Ok(true)
    }

    fn request(&self, backup: &Backup) -> BackupRequest {
        let manifest = &backup.manifest;
        let folder = |host: &HostRecord| self.folders.iter().find(|(name, _)| *name == host.name).cloned();
        BackupRequest {
            hosts: manifest.hosts.iter().filter_map(folder).collect(),
            cluster: self.cluster.cloned(),
            space: None,
            label: Some(manifest.label.clone()),
            tags: Vec::new(),
            dry_run: false,
            reread: false,
            reread_share: 0,
            effort: Effort::Configured,
            no_reencode: manifest.sorted.is_none(),
        }
    }

    /// What the backup built upon: the backups before it.
    fn before(&self, backup: &Backup) -> Backups {
        let earlier = |other: &&Backup| (other.manifest.started_ms, other.id) < (backup.manifest.started_ms, backup.id);
        Backups { found: self.backups.iter().filter(earlier).cloned().collect(), damaged: Vec::new() }
    }

    /// Takes all hosts as the backup did, and gives their records.
    fn take(&self, backup: &Backup, request: &BackupRequest, hosts: &[SurveyedHost], writer: &Writer) -> Result<Vec<HostRecord>> {
        let freezes = freeze(hosts)?;
        let before = self.before(backup);
        let mut run = Run::new(self.repository, request, self.job, backup.manifest.label.clone(), backup.manifest.started_ms);
        run.report.cluster.clone_from(&backup.manifest.cluster);
        // What was known then was taken over, whatever has become of it since.
        run.reuse = true;
        let base = BaseBackup::newest(writer.reader(), &before, &backup.manifest.cluster)?;
        let mut scanned = Vec::new();
        for (host, freezes) in hosts.iter().zip(&freezes) {
            for (engine, freeze) in host.survey.engines.iter().zip(freezes) {
                scanned.push(run.scan_engine(writer, host, engine, freeze, base.as_ref())?);
            }
        }
        run.new_tables(writer, &mut scanned)?;
        let mut scanned = scanned.into_iter();
        let mut records = Vec::new();
        for host in hosts {
            let engines = scanned.by_ref().take(host.survey.engines.len()).collect();
            records.push(run.host(writer, host, engines, base.as_ref())?);
        }
        Ok(records)
    }
}

impl SurveyedHost {
    /// Regular files that a backup takes.
    fn files(&self) -> u64 {
        let engines: usize = self.survey.engines.iter().map(|engine| engine.files.len()).sum();
        let loose = self.survey.loose.iter().filter(|entry| entry.kind == esker_cluster::Kind::File).count();
        (engines + loose) as u64
    }
}

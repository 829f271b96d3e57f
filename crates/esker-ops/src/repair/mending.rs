//! The rounds of a repair: what is lost, every source asked for it, and again, until a round mends nothing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use esker_cluster::path::escaped;
use esker_format::formats;
use esker_format::seal::ChunkKind;
use esker_format::{ChunkId, ObjectId};
use esker_repo::listing::Listing;
use esker_repo::manifests::Backup;
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::{Repository, Writer, WriterOptions};

use super::files::{Files, Mender};
use super::hosts::Hosts;
use super::loss::{Loss, Suspects};
use super::report::RepairReport;
use super::second::Second;
use super::sink::Sink;
use super::{RepairRequest, salvage, seen, segments};
use crate::backup::replay::Replay;
use crate::error::{OpsError, Result};
use crate::fsck::Found;
use crate::job::Job;

/// Mends what can be mended, and tells what is still lost.
///
/// # Errors
/// `Store`, `Cache`, `Cancelled`; a host's folder that cannot be read.
pub(super) fn mend(
    repository: &Arc<Repository>,
    sources: &RepairRequest,
    found: &Found,
    job: &Job,
    report: &mut RepairReport,
) -> Result<()> {
    segments::mend_config(repository, report)?;
    let backups = repository.backups()?.found;
    segments::mend_segments(repository, &backups, found, report)?;
    let hosts = Hosts::list(&sources.hosts, job)?;
    let second = sources.from.as_ref().map(|from| Second::open(from, job)).transpose()?;
    let mending = Mending { repository, sources, hosts, second, backups, found, job };
    let loss = mending.rounds(report)?;
    mending.copy_at_risk(&loss, report)?;
    report.lost_chunks = loss.chunks.len() as u64;
    report.lost = loss.backups;
    Ok(())
}

struct Mending<'a> {
    repository: &'a Arc<Repository>,
    sources: &'a RepairRequest,
    hosts: Hosts,
    second: Option<Second>,
    backups: Vec<Backup>,
    found: &'a Found,
    job: &'a Job,
}

/// What stands in the store now.
struct View {
    listing: Listing,
    reader: ChunkReader,
}

impl Mending<'_> {
    /// Mends until nothing is lost or a round mends nothing; gives what is lost then.
    fn rounds(&self, report: &mut RepairReport) -> Result<Loss> {
        loop {
            self.job.cancel.check()?;
            let view = self.view()?;
            self.job.progress.phase("looking for what is lost", 0);
            let loss = self.loss(&view)?;
            self.job.progress.finish();
            // What was not to be had a round ago may be by now.
            report.notes.retain(|note| note.starts_with("index/"));
            if loss.is_empty() {
                return Ok(loss);
            }
            let mut sink = self.sink(loss.chunks.clone());
            let outcome = self.round(&view, &loss, &mut sink, report);
            let chunks = sink.chunks;
            // What was found before a fault stays.
            report.stored_bytes += sink.finish()?;
            report.mended_chunks += chunks;
            outcome?;
            if chunks == 0 && !self.replay(&loss, report)? {
                return Ok(loss);
            }
        }
    }

    fn view(&self) -> Result<View> {
        let listing = Listing::read(self.repository.store())?;
        let index = self.repository.sync_index(&listing, &BTreeSet::new())?.index;
        Ok(View { listing, reader: ChunkReader::new(self.repository, index) })
    }

    fn loss(&self, view: &View) -> Result<Loss> {
        let packs = view.reader.index().packs()?;
        let damaged = packs.iter().filter(|pack| self.found.damaged_packs.contains(&pack.name)).map(|pack| pack.number).collect();
        let suspects = Suspects { chunks: &self.found.bad_chunks, packs: damaged };
        Loss::find(&view.reader, &self.backups, &suspects, self.job)
    }

    fn has_runs(&self) -> bool {
        self.backups.iter().any(|backup| backup.manifest.sorted.is_some())
    }

    fn sink(&self, wanted: BTreeMap<ChunkId, ChunkKind>) -> Sink<'_> {
        Sink::new(self.repository, self.job.threads, (self.has_runs(), false), wanted)
    }

    /// Asks every source once.
    fn round(&self, view: &View, loss: &Loss, sink: &mut Sink<'_>, report: &mut RepairReport) -> Result<()> {
        salvage::from_broken_packs(self.repository, &view.reader.index(), &view.listing, sink)?;
        seen::make_again(loss, &self.backups, &self.forgotten()?, sink)?;
        report.from_packs += sink.chunks;
        let before = sink.chunks;
        if let Some(second) = &self.second {
            second.by_id(sink)?;
            let lossy: Vec<&Backup> = self.lossy(loss).collect();
            second.translated(self.repository, &view.reader, &lossy, sink)?;
        }
        report.from_repository += sink.chunks - before;
        let before = sink.chunks;
        let mut sources: Vec<&dyn Files> = vec![&self.hosts];
        sources.extend(self.second.iter().map(|second| second as &dyn Files));
        if self.second.is_some() || !self.sources.hosts.is_empty() {
            let mender = Mender { repository: self.repository, reader: &view.reader, loss, sources: &sources, job: self.job };
            let notes = mender.mend(sink)?;
            notes.into_iter().for_each(|note| report.note(note));
        }
        report.from_files += sink.chunks - before;
        Ok(())
    }

    /// Backups that lost something, oldest first.
    fn lossy<'l>(&'l self, loss: &'l Loss) -> impl Iterator<Item = &'l Backup> {
        self.backups.iter().filter(|backup| loss.backups.iter().any(|lossy| lossy.id == backup.id.to_string()))
    }

    /// Names of what was forgotten, as far as the records can be read.
    fn forgotten(&self) -> Result<BTreeMap<ObjectId, String>> {
        match self.repository.forgotten() {
            Err(error) if error.is_damage() => Ok(BTreeMap::new()),
            forgotten => Ok(forgotten?),
        }
    }

    /// Does the oldest backup again that lost something and can be done again; whether that made anything.
    fn replay(&self, loss: &Loss, report: &mut RepairReport) -> Result<bool> {
        if self.sources.hosts.is_empty() {
            return Ok(false);
        }
        let replay = Replay {
            repository: self.repository,
            folders: &self.sources.hosts,
            cluster: self.sources.cluster.as_ref(),
            job: self.job,
            backups: &self.backups,
        };
        let lost: HashSet<ChunkId> = loss.chunks.keys().copied().collect();
        for backup in self.lossy(loss) {
            let label = escaped(backup.manifest.label.as_bytes());
            let made = match replay.misfit(backup)? {
                Some(why) => {
                    report.note(format!("backup {label} cannot be done again over these folders: {why}"));
                    continue;
                }
                None => self.replay_one(&replay, backup, &lost, report),
            };
            match made {
                Ok(true) => return Ok(true),
                Ok(false) => report.note(format!("backup {label} done again over these folders makes nothing of what is lost")),
                Err(error @ OpsError::Cluster(_)) => report.note(format!("backup {label} cannot be done again: {error}")),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn replay_one(&self, replay: &Replay<'_>, backup: &Backup, lost: &HashSet<ChunkId>, report: &mut RepairReport) -> Result<bool> {
        let sorted_runs = backup.manifest.sorted.is_some();
        let options = WriterOptions { workers: self.job.threads, sorted_runs, ..WriterOptions::default() };
        let writer = Writer::begin(self.repository, "repair", &options)?;
        let outcome = replay.run(backup, &writer, lost);
        let flushed = writer.flush();
        let (claimed, stored) = (writer.claimed(), writer.stored());
        writer.abandon()?;
        flushed?;
        if claimed > 0 {
            report.stored_bytes += stored.data + stored.meta;
            report.mended_chunks += claimed;
            report.from_backups += claimed;
        }
        outcome.map(|_| claimed > 0)
    }

    /// Copies what backups need out of damaged packs, as long as it can be read.
    fn copy_at_risk(&self, loss: &Loss, report: &mut RepairReport) -> Result<()> {
        if loss.at_risk.is_empty() {
            return Ok(());
        }
        let view = self.view()?;
        let has_forms = view.reader.index().packs()?.iter().any(|pack| pack.format >= formats::SPARSE_RUNS);
        let mut sink = Sink::new(self.repository, self.job.threads, (self.has_runs(), has_forms), loss.at_risk.clone());
        let outcome = salvage::copy_at_risk(&view.reader, &mut ReadContext::new()?, &mut sink);
        report.copied_chunks += sink.chunks;
        report.stored_bytes += sink.finish()?;
        outcome
    }
}

//! What a backup did, for people and programs.

use std::collections::BTreeMap;

use esker_cluster::engine::Count;
use esker_format::ObjectId;
use esker_format::manifest::Totals;
use serde::Serialize;

use crate::sorted_report::SortedReport;

/// The outcome of one backup. Bytes are bytes, times milliseconds since 1970.
#[derive(Debug, Clone, Default, Serialize)]
pub struct BackupReport {
    /// The backup's id; none after a dry run.
    pub id: Option<String>,
    /// Its label.
    pub label: String,
    /// Its cluster.
    pub cluster: String,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// When it began.
    pub started_ms: u64,
    /// When it was committed.
    pub finished_ms: u64,
    /// Engines found.
    pub engines: u64,
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes read from the hosts; in a dry run, those that would be.
    pub read_bytes: u64,
    /// Files taken over unread.
    pub reused_files: u64,
    /// Their bytes.
    pub reused_bytes: u64,
    /// Of those files, how many were known by size, mtime and inode only.
    pub reused_by_stamp_files: u64,
    /// Plain bytes of chunks that were new.
    pub new_bytes: u64,
    /// Bytes added to the repository.
    pub stored_bytes: u64,
    /// Bytes that an interrupted run had uploaded and this one did not have to.
    pub left_over_bytes: u64,
    /// Share of the backup's bytes that did not have to be stored, 0 to 1.
    pub reuse_ratio: f64,
    /// How the bytes of new tables went.
    pub sorted: SortedReport,
    /// What was left out by rule.
    pub left_out: Vec<LeftOutLine>,
    /// The spread of commit ids over the replicas of each partition, worst first.
    pub spread: Vec<SpreadLine>,
    /// Partitions whose position was read.
    pub partitions: u64,
    /// Named warnings.
    pub warnings: Vec<String>,
    /// What turns the share of known files that are read again.
    #[serde(skip)]
    pub(super) generation: u64,
    #[serde(skip)]
    positions: BTreeMap<String, (u64, u64, u64)>,
}

/// Entries left out for one reason.
#[derive(Debug, Clone, Serialize)]
pub struct LeftOutLine {
    /// The pattern of names.
    pub pattern: &'static str,
    /// Files and links.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How far the replicas of one partition are apart.
#[derive(Debug, Clone, Serialize)]
pub struct SpreadLine {
    /// `<space>/<partition>`
    pub partition: String,
    /// Replicas seen.
    pub replicas: u64,
    /// The lowest commit id.
    pub commit_min: u64,
    /// The highest.
    pub commit_max: u64,
}

impl BackupReport {
    pub(super) fn begin(label: String, cluster: String, started_ms: u64, dry_run: bool) -> Self {
        Self { label, cluster, started_ms, dry_run, ..Self::default() }
    }

    pub(super) fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    pub(super) fn leave_out(&mut self, pattern: &'static str, count: Count) {
        match self.left_out.iter_mut().find(|line| line.pattern == pattern) {
            Some(line) => {
                line.files += count.files;
                line.bytes += count.bytes;
            }
            None => self.left_out.push(LeftOutLine { pattern, files: count.files, bytes: count.bytes }),
        }
    }

    pub(super) fn taken_over(&mut self, by_stamp: bool) {
        self.reused_by_stamp_files += u64::from(by_stamp);
    }

    pub(super) fn position(&mut self, partition: &str, commit_id: u64) {
        let entry = self.positions.entry(partition.to_owned()).or_insert((0, commit_id, commit_id));
        *entry = (entry.0 + 1, entry.1.min(commit_id), entry.2.max(commit_id));
    }

    pub(super) fn totals(&mut self, totals: &Totals) {
        self.files = totals.files;
        self.bytes = totals.bytes;
        self.read_bytes = totals.read_bytes;
        self.reused_files = totals.reused_files;
        self.reused_bytes = totals.reused_bytes;
        self.new_bytes = totals.new_bytes;
        self.stored_bytes = totals.stored_data + totals.stored_meta;
        let kept = totals.bytes.saturating_sub(totals.new_bytes);
        #[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
        let ratio = if totals.bytes == 0 { 1.0 } else { kept as f64 / totals.bytes as f64 };
        self.reuse_ratio = ratio;
        self.partitions = self.positions.len() as u64;
        let lines = self.positions.iter().map(|(partition, (replicas, commit_min, commit_max))| SpreadLine {
            partition: partition.clone(),
            replicas: *replicas,
            commit_min: *commit_min,
            commit_max: *commit_max,
        });
        self.spread = lines.filter(|line| line.commit_min != line.commit_max).collect();
        self.spread.sort_by_key(|line| std::cmp::Reverse(line.commit_max - line.commit_min));
    }

    /// What was not read would not be stored: the ratio is the least that a run would reach.
    pub(super) fn end_dry_run(&mut self, now_ms: u64) {
        #[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
        let ratio = if self.bytes == 0 { 1.0 } else { self.reused_bytes as f64 / self.bytes as f64 };
        self.reuse_ratio = ratio;
        self.finished_ms = now_ms;
    }

    pub(super) fn finish(&mut self, id: ObjectId, stored_bytes: u64, now_ms: u64) {
        self.id = Some(id.to_string());
        self.stored_bytes = stored_bytes;
        self.finished_ms = now_ms;
    }
}

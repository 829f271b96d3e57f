//! What a copy did.

use esker_repo::RequestCounts;
use serde::Serialize;

/// Findings of one backup that are told, at most.
const FINDINGS_MAX: usize = 50;

/// One of the two repositories.
#[derive(Debug, Clone, Serialize)]
pub struct Side {
    /// Its id.
    pub repository: String,
    /// Where it is.
    pub location: String,
    /// What was asked of its store.
    pub requests: RequestCounts,
}

/// What became of one backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was copied; with `dry_run`, it would be.
    Copied,
    /// It was there already.
    Known,
    /// Not all of it can be read, so it was not copied.
    Damaged,
    /// Its writer was taken for dead and it was not asked for by its id.
    Undecided,
}

/// One backup.
#[derive(Debug, Clone, Serialize)]
pub struct BackupLine {
    /// Its id in the repository that was read.
    pub id: String,
    /// Its label.
    pub label: String,
    /// Its cluster.
    pub cluster: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The id of its copy.
    pub copy: Option<String>,
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Plain bytes of content that were read for it.
    pub read_bytes: u64,
    /// Chunks of content that were stored for it,
    pub new_chunks: u64,
    /// and their plain bytes.
    pub new_bytes: u64,
    /// Chunks that were looked up and there already,
    pub known_chunks: u64,
    /// and of those, how many an interrupted run had left.
    pub left_over_chunks: u64,
    /// Bytes added to the repository, packs and index segments.
    pub stored_bytes: u64,
    /// Whether its hold and tags were carried over by this run.
    pub notes: bool,
    /// What cannot be read, the first ones,
    pub findings: Vec<String>,
    /// and how many there are.
    pub findings_count: u64,
}

/// What a copy did.
#[derive(Debug, Clone, Serialize)]
pub struct CopyReport {
    /// The repository that was read.
    pub from: Side,
    /// The one that was written.
    pub to: Side,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Whether both name chunks alike.
    pub same_keys: bool,
    /// Whether a session kept prune away from what was read.
    pub protected: bool,
    /// Backups copied; with `dry_run`, that would be.
    pub copied: u64,
    /// Backups that were there already.
    pub known: u64,
    /// Backups that cannot be copied.
    pub damaged: u64,
    /// Plain bytes of content read.
    pub read_bytes: u64,
    /// Bytes added to the repository.
    pub stored_bytes: u64,
    /// All backups that were asked for, oldest first.
    pub backups: Vec<BackupLine>,
    /// Manifests that cannot be read.
    pub findings: Vec<String>,
    /// Named warnings.
    pub warnings: Vec<String>,
    /// How long it took.
    pub duration_ms: u64,
}

impl CopyReport {
    /// Whether something of the repository that was read is damaged.
    pub fn is_damaged(&self) -> bool {
        self.damaged > 0 || !self.findings.is_empty()
    }

    pub(super) fn add(&mut self, line: BackupLine) {
        match line.outcome {
            Outcome::Copied => self.copied += 1,
            Outcome::Known => self.known += 1,
            Outcome::Damaged => self.damaged += 1,
            Outcome::Undecided => {}
        }
        self.read_bytes += line.read_bytes;
        self.stored_bytes += line.stored_bytes;
        self.backups.push(line);
    }
}

/// What is wrong with one backup: all are counted, the first are kept.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub kept: Vec<String>,
    count: u64,
}

impl Findings {
    pub fn add(&mut self, finding: String) {
        self.count += 1;
        if self.kept.len() < FINDINGS_MAX {
            self.kept.push(finding);
        }
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

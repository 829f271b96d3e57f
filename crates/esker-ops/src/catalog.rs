//! `list`, `show` and `ls`: what backups there are and what is in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use esker_cluster::path::escaped;
use esker_format::file_table::Node;
use esker_repo::Repository;
use esker_repo::manifests::{Backup, Standing, read_engine};
use esker_repo::notes::{NoteState, Notes, Verifications};
use esker_repo::reader::{ChunkReader, ReadContext};
use serde::Serialize;

use crate::error::Result;
use crate::rows::{replicas_of, walk_rows};
use crate::select::{Selection, find_among};
use crate::sorted_report::SortedReport;

/// One backup in a list. Bytes are bytes, times milliseconds since 1970.
#[derive(Debug, Clone, Serialize)]
pub struct BackupLine {
    /// Its id.
    pub id: String,
    /// Its label.
    pub label: String,
    /// Its cluster.
    pub cluster: String,
    /// When it began.
    pub started_ms: u64,
    /// When it was finished.
    pub finished_ms: u64,
    /// Seconds since it began, by this machine's clock.
    pub age_s: u64,
    /// `ok`, `undecided` (its writer was fenced) or `damaged` (a check found it so, or its manifest cannot be read).
    pub status: &'static str,
    /// Hosts.
    pub hosts: u64,
    /// Engines.
    pub engines: u64,
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes the backup added to the repository.
    pub stored_bytes: u64,
    /// The deepest level at which it was found whole, if any.
    pub verified_level: Option<&'static str>,
    /// When that was.
    pub verified_ms: Option<u64>,
    /// Files that a check found lost, as long as it counts as damaged.
    pub lost_files: u64,
    /// Their bytes.
    pub lost_bytes: u64,
    /// Whether it is held.
    pub held: bool,
    /// Its tags.
    pub tags: Vec<String>,
    /// How many named warnings it ended with.
    pub warnings: u64,
}

/// All backups.
#[derive(Debug, Clone, Serialize)]
pub struct BackupList {
    /// The time of this list by this machine's clock, milliseconds since 1970.
    pub now_ms: u64,
    /// By start time.
    pub backups: Vec<BackupLine>,
    /// What could not be read, and backups this client knows that are gone.
    pub findings: Vec<String>,
}

/// Everything about one backup.
#[derive(Debug, Clone, Serialize)]
pub struct BackupDetails {
    /// What the list says.
    #[serde(flatten)]
    pub line: BackupLine,
    /// The program that wrote it.
    pub written_by: String,
    /// The session that wrote it.
    pub session: String,
    /// Of a copy: the backup that it is one of.
    pub origin: Option<OriginDetails>,
    /// Encoders that a restore needs; none means that any build of this version restores it.
    pub encoders: Vec<u32>,
    /// How the bytes of the tables went that this backup stored.
    pub sorted: SortedReport,
    /// Bytes read from the hosts.
    pub read_bytes: u64,
    /// Bytes of files taken over unread.
    pub reused_bytes: u64,
    /// Named warnings.
    pub warning_texts: Vec<String>,
    /// Hosts with their engines.
    pub tree: Vec<HostDetails>,
    /// How far the replicas of each partition are apart, `<space>/<partition>` by name.
    pub spread: Vec<PartitionSpread>,
}

/// Where a backup was made that was copied here.
#[derive(Debug, Clone, Serialize)]
pub struct OriginDetails {
    /// The id of the repository.
    pub repository: String,
    /// The backup's id there.
    pub id: String,
}

/// One host of a backup.
#[derive(Debug, Clone, Serialize)]
pub struct HostDetails {
    /// Its name.
    pub host: String,
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Its engines.
    pub engines: Vec<EngineDetails>,
}

/// One engine of a backup.
#[derive(Debug, Clone, Serialize)]
pub struct EngineDetails {
    /// The space, if known.
    pub space: Option<String>,
    /// The data path.
    pub data_path: String,
    /// Its folder below the host's.
    pub folder: String,
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The comparator.
    pub comparator: Option<String>,
    /// The merge operator.
    pub merge_operator: Option<String>,
    /// Column families.
    pub column_families: Vec<String>,
    /// The highest format_version of its tables.
    pub format_version_max: u32,
    /// RocksDB's database id.
    pub database_id: Option<String>,
    /// Positions of the replicas in it.
    pub replicas: Vec<ReplicaDetails>,
}

/// One replica's position.
#[derive(Debug, Clone, Serialize)]
pub struct ReplicaDetails {
    /// The partition.
    pub partition: u32,
    /// Raft log id up to which the engine has applied.
    pub commit_id: u64,
    /// Its term.
    pub term: u64,
    /// The cut that the cluster file gave.
    pub cut: Option<u64>,
    /// The last id in the Raft log that was backed up.
    pub wal_last_id: Option<u64>,
}

/// How far the replicas of one partition are apart.
#[derive(Debug, Clone, Serialize)]
pub struct PartitionSpread {
    /// `<space>/<partition>`
    pub partition: String,
    /// Replicas in the backup.
    pub replicas: u64,
    /// The lowest commit id.
    pub commit_min: u64,
    /// The highest.
    pub commit_max: u64,
}

/// One row of `ls`.
#[derive(Debug, Clone, Serialize)]
pub struct FileLine {
    /// The host.
    pub host: String,
    /// Path below the host's folder, escaped to text.
    pub path: String,
    /// `file`, `folder` or `link`.
    pub kind: &'static str,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, milliseconds since 1970; negative before.
    pub mtime_ms: i64,
    /// Bytes of a file.
    pub bytes: u64,
    /// BLAKE3 of a file.
    pub blake3: Option<String>,
    /// The link's target, escaped to text.
    pub target: Option<String>,
}

/// Lists the backups.
///
/// # Errors
/// `Store`, a manifest of a newer format.
pub fn list(repository: &Arc<Repository>) -> Result<BackupList> {
    let backups = repository.backups()?;
    let (notes, verifications) = (repository.notes()?, repository.verifications()?);
    let mut findings: Vec<String> = backups.damaged.iter().map(|(_, error)| error.to_string()).collect();
    findings.extend(notes.damaged.iter().chain(&verifications.damaged).map(ToString::to_string));
    for id in repository.rolled_back(&backups)? {
        findings.push(format!(
            "backup {} was here when this client last looked, is gone, and nobody forgot it: the store lost it or was rolled back",
            id.short()
        ));
    }
    let now_ms = repository.environment().now_ms();
    let lines = backups.found.iter().map(|backup| line(backup, &notes, &verifications, now_ms)).collect();
    Ok(BackupList { now_ms, backups: lines, findings })
}

/// Shows one backup.
///
/// # Errors
/// `Usage` if it is not found; `ChunkLost`, `Store`.
pub fn show(repository: &Arc<Repository>, name: &str) -> Result<BackupDetails> {
    let backup = find_among(&repository.backups()?, name)?;
    let line = line(&backup, &repository.notes()?, &repository.verifications()?, repository.environment().now_ms());
    let reader = ChunkReader::glance(repository)?;
    let context = &mut ReadContext::new()?;
    let mut tree = Vec::new();
    let mut spread: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
    for host in &backup.manifest.hosts {
        let mut engines = Vec::new();
        for id in &host.engines {
            let engine = read_engine(&reader, context, id)?;
            let replicas = replicas_of(&reader, context, &engine)?;
            for replica in &replicas {
                let name = format!("{}/{}", engine.space.as_deref().unwrap_or("-"), replica.partition);
                let entry = spread.entry(name).or_insert((0, replica.commit_id, replica.commit_id));
                *entry = (entry.0 + 1, entry.1.min(replica.commit_id), entry.2.max(replica.commit_id));
            }
            engines.push(EngineDetails {
                space: engine.space,
                data_path: engine.data_path,
                folder: escaped(&engine.folder),
                files: engine.file_count,
                bytes: engine.bytes,
                comparator: engine.comparator,
                merge_operator: engine.merge_operator,
                column_families: engine.column_families,
                format_version_max: engine.format_version_max,
                database_id: engine.database_id,
                replicas: replicas
                    .into_iter()
                    .map(|replica| ReplicaDetails {
                        partition: replica.partition,
                        commit_id: replica.commit_id,
                        term: replica.commit_term,
                        cut: replica.cut,
                        wal_last_id: replica.wal_last_id,
                    })
                    .collect(),
            });
        }
        tree.push(HostDetails { host: host.name.clone(), files: host.files, bytes: host.bytes, engines });
    }
    let manifest = backup.manifest;
    Ok(BackupDetails {
        line,
        written_by: manifest.written_by,
        session: manifest.session.to_string(),
        origin: manifest.origin.map(|origin| OriginDetails { repository: origin.repository.to_string(), id: origin.manifest.to_string() }),
        sorted: SortedReport::sum(manifest.sorted.iter()),
        encoders: manifest.encoders,
        read_bytes: manifest.totals.read_bytes,
        reused_bytes: manifest.totals.reused_bytes,
        warning_texts: manifest.warnings,
        tree,
        spread: spread
            .into_iter()
            .map(|(partition, (replicas, commit_min, commit_max))| PartitionSpread { partition, replicas, commit_min, commit_max })
            .collect(),
    })
}

/// Gives every chosen file, folder and link of a backup to `take`, in the order of their tables.
///
/// # Errors
/// `Usage` if the backup is not found or nothing matches; `ChunkLost`, `Store`, and what `take` returns.
pub fn ls(repository: &Arc<Repository>, name: &str, selection: &Selection, mut take: impl FnMut(FileLine) -> Result<()>) -> Result<()> {
    let backup = find_among(&repository.backups()?, name)?;
    let reader = ChunkReader::glance(repository)?;
    let mut found = false;
    walk_rows(&reader, &mut ReadContext::new()?, &backup.manifest, selection, |place, row| {
        found = true;
        let (kind, bytes, blake3, target) = match row.node {
            Node::File(content) => ("file", content.size, Some(esker_format::ObjectId(content.hash).to_string()), None),
            Node::Folder => ("folder", 0, None, None),
            Node::Link(target) => ("link", 0, None, Some(escaped(&target))),
        };
        let mtime_ms = row.mtime_s.saturating_mul(1000).saturating_add(i64::from(row.mtime_ns / 1_000_000));
        let (host, path) = (place.host.name.clone(), escaped(&row.path));
        take(FileLine { host, path, kind, mode: row.mode, uid: row.uid, gid: row.gid, mtime_ms, bytes, blake3, target })
    })?;
    if found { Ok(()) } else { Err(selection.nothing(&backup)) }
}

/// A backup's line.
pub(crate) fn line(backup: &Backup, notes: &Notes, verifications: &Verifications, now_ms: u64) -> BackupLine {
    let manifest = &backup.manifest;
    let nothing = NoteState::default();
    let note = notes.by_backup.get(&backup.id).unwrap_or(&nothing);
    let verified = verifications.by_backup.get(&backup.id).copied().unwrap_or_default();
    let status = match (backup.standing, verified.damaged) {
        (_, Some(_)) => "damaged",
        (Standing::Undecided, None) => "undecided",
        (Standing::Valid, None) => "ok",
    };
    BackupLine {
        id: backup.id.to_string(),
        label: manifest.label.clone(),
        cluster: manifest.cluster.clone(),
        started_ms: manifest.started_ms,
        finished_ms: manifest.finished_ms,
        age_s: now_ms.saturating_sub(manifest.started_ms) / 1000,
        status,
        hosts: manifest.hosts.len() as u64,
        engines: manifest.hosts.iter().map(|host| host.engines.len() as u64).sum(),
        files: manifest.totals.files,
        bytes: manifest.totals.bytes,
        stored_bytes: manifest.totals.stored_data + manifest.totals.stored_meta,
        verified_level: verified.whole.map(|(level, _)| level.name()),
        verified_ms: verified.whole.map(|(_, at_ms)| at_ms),
        lost_files: verified.lost.map_or(0, |(files, _)| files),
        lost_bytes: verified.lost.map_or(0, |(_, bytes)| bytes),
        held: note.held,
        tags: note.tags(manifest).to_vec(),
        warnings: manifest.warnings.len() as u64,
    }
}

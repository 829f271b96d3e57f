//! `restore`: a backup's hosts become folders again, byte for byte.
//!
//! A planner walks the recipes and hands out pieces of work, each a stretch of one file; workers fetch, check and write
//! them. Tables that are made of sorted runs come after, all hosts' together, in one sweep over their keys. What a run left
//! behind is read back and kept where it is right. `CURRENT` comes last, after everything else is on disk.

mod hand_out;
mod mark;
mod partial;
mod swept;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, bounded};
use esker_cluster::path::shown;
use esker_cluster::path::split;
use esker_cluster::target::Node as TargetNode;
use esker_cluster::{Attributes, Kind, Target, TargetFile, TargetOptions, Timestamp};
use esker_format::ChunkId;
use esker_format::file_table::{FileContent, FileRow, Node};
use esker_format::recipe::Operation;
use esker_format::seal::ChunkKind;
use esker_format::table::TableRef;
use esker_repo::Repository;
use esker_repo::manifests::Backup;
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::tables::read_table;
use serde::Serialize;

use crate::error::{OpsError, Result};
use crate::job::{FirstFault, Job, Protection};
use crate::rows::walk_rows;
use crate::select::{Selection, find_backup};

pub use partial::{MissingFile, restore_partial};

use hand_out::HandOut;
use mark::Mark;
use partial::{Losses, tolerate};
use swept::SweptHosts;

/// Bytes from which on a stretch starts its way to disk as soon as it is written.
const EARLY_BYTES: u64 = 1 << 20;
/// Pieces of work that wait, at most.
const QUEUE: usize = 32;

/// What to restore, and where.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// The backup: `latest`, a label or an id.
    pub backup: String,
    /// The folder that `<host>/...` is written to.
    pub target: PathBuf,
    /// What of it.
    pub selection: Selection,
    /// Only say what would be written.
    pub dry_run: bool,
}

/// What was restored. Bytes are bytes, times milliseconds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RestoreReport {
    /// The backup's id.
    pub id: String,
    /// Its label.
    pub label: String,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Hosts.
    pub hosts: u64,
    /// Regular files.
    pub files: u64,
    /// Folders and links.
    pub others: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Bytes that an interrupted run had written already and that were found right.
    pub kept_bytes: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// Whether owners were restored too, which needs root.
    pub owners: bool,
    /// Whether a session kept prune away meanwhile; not so without the right to write.
    pub protected: bool,
    /// Files that were left out because they are not whole, and each `CURRENT` of an engine that lacks one. Only a partial
    /// restore leaves any out; it is the list in `.esker-missing`.
    pub missing: Vec<MissingFile>,
    /// Files more that are missing and of which not even the names are known.
    pub missing_unnamed: u64,
    /// Parts of the backup's own tables that are lost, in words.
    pub missing_parts: Vec<String>,
}

/// Restores a backup, or a part of it.
///
/// # Errors
/// `Usage` if nothing matches or the target holds something else; `ChunkLost`, `Damage`; `Forgotten` if that is why; a full
/// or read-only target. What was written stays, and the same call goes on from there.
pub fn restore(repository: &Arc<Repository>, request: &RestoreRequest, job: &Job) -> Result<RestoreReport> {
    let protection = if request.dry_run { Protection::none() } else { Protection::begin(repository, "restore") };
    let backup = find_backup(repository, &request.backup)?;
    restore_found(repository, &backup, &protection, request, job).map_err(|error| match error.is_damage() {
        // Whether it was forgotten is not known, either, of a store that cannot be asked.
        true if repository.forgotten().is_ok_and(|forgotten| forgotten.contains_key(&backup.id)) => {
            OpsError::Forgotten(backup.manifest.label.clone())
        }
        _ => error,
    })
}

fn restore_found(
    repository: &Arc<Repository>,
    backup: &Backup,
    protection: &Protection,
    request: &RestoreRequest,
    job: &Job,
) -> Result<RestoreReport> {
    let started_ms = repository.environment().now_ms();
    let reader = ChunkReader::glance(repository)?;
    job.progress.phase("planning", 0);
    let plans = plan(&reader, backup, &request.selection)?;
    job.progress.finish();
    let options = TargetOptions::default();
    let mut report = RestoreReport {
        id: backup.id.to_string(),
        label: backup.manifest.label.clone(),
        dry_run: request.dry_run,
        owners: options.owners,
        protected: protection.is_on(),
        ..RestoreReport::default()
    };
    report.hosts = plans.len() as u64;
    report.count(&plans);
    if request.dry_run {
        return Ok(report);
    }
    let mark = Mark::set(&request.target, backup, &request.selection)?;
    let options = TargetOptions { resume: mark.resumed, ..options };
    job.progress.phase("restoring", report.bytes);
    let kept = write_hosts(&reader, &request.target, plans, options, None, job)?;
    job.progress.finish();
    mark.clear()?;
    report.kept_bytes = kept;
    report.duration_ms = repository.environment().now_ms().saturating_sub(started_ms);
    Ok(report)
}

impl RestoreReport {
    /// Counts what is planned.
    fn count(&mut self, plans: &[HostPlan]) {
        for node in plans.iter().flat_map(|host| &host.nodes) {
            match node.kind {
                Kind::File => {
                    self.files += 1;
                    self.bytes = self.bytes.saturating_add(node.size);
                }
                _ => self.others += 1,
            }
        }
    }
}

/// One host to be written.
struct HostPlan {
    name: String,
    root: Option<Attributes>,
    nodes: Vec<TargetNode>,
    /// Each with the space that it belongs to.
    files: Vec<(Vec<u8>, FileContent, String)>,
}

fn plan(reader: &ChunkReader, backup: &Backup, selection: &Selection) -> Result<Vec<HostPlan>> {
    let mut plans: Vec<HostPlan> = Vec::new();
    walk_rows(reader, &mut ReadContext::new()?, &backup.manifest, selection, |place, row| {
        if plans.last().is_none_or(|plan| plan.name != place.host.name) {
            plans.push(HostPlan { name: place.host.name.clone(), root: None, nodes: Vec::new(), files: Vec::new() });
        }
        if let Some(plan) = plans.last_mut() {
            let space = place.engine.and_then(|engine| engine.space.clone()).unwrap_or_default();
            plan.add(row, space);
        }
        Ok(())
    })?;
    plans.retain(|plan| !plan.nodes.is_empty() || (plan.root.is_some() && selection.is_all()));
    if plans.is_empty() && !(selection.is_all() && backup.manifest.hosts.is_empty()) {
        return Err(selection.nothing(backup));
    }
    if !selection.is_all() {
        for host in &backup.manifest.hosts {
            if let Some(plan) = plans.iter_mut().find(|plan| plan.name == host.name) {
                plan.add_folders_above(reader, &host.tree)?;
            }
        }
    }
    Ok(plans)
}

impl HostPlan {
    /// Folders above what was chosen are made as well, and get the mode, owner and time that they had.
    fn add_folders_above(&mut self, reader: &ChunkReader, tree: &TableRef) -> Result<()> {
        let planned: HashSet<Vec<u8>> = self.nodes.iter().map(|node| node.path.clone()).collect();
        let mut above: HashSet<Vec<u8>> = HashSet::from([Vec::new()]);
        for path in &planned {
            let mut folder = split(path).0;
            while !planned.contains(folder) && above.insert(folder.to_vec()) {
                folder = split(folder).0;
            }
        }
        read_table::<FileRow, OpsError>(reader, &mut ReadContext::new()?, tree, |row| {
            if row.node == Node::Folder && above.contains(&row.path) {
                self.add(row, String::new());
            }
            Ok(())
        })
    }

    fn add(&mut self, row: FileRow, space: String) {
        let mtime = Timestamp { seconds: row.mtime_s, nanoseconds: row.mtime_ns };
        let attributes = Attributes { mode: row.mode, uid: row.uid, gid: row.gid, mtime };
        if row.path.is_empty() {
            self.root = Some(attributes);
            return;
        }
        let (kind, size) = match row.node {
            Node::File(content) => {
                let size = content.size;
                self.files.push((row.path.clone(), content, space));
                (Kind::File, size)
            }
            Node::Folder => (Kind::Directory, 0),
            Node::Link(target) => (Kind::Symlink { target }, 0),
        };
        self.nodes.push(TargetNode { path: row.path, kind, attributes, size });
    }
}

/// What is to be written below one host's folder.
type PlannedFiles = [(Vec<u8>, FileContent, String)];

/// A file that is being written. What is large starts its way to disk when it is written; the rest is left to the one sync at
/// the end.
struct WrittenFile {
    name: String,
    file: TargetFile,
}

impl WrittenFile {
    /// Makes a planned file; with whether something may stand there from an earlier run.
    fn create(host: &Target, path: &[u8], resume: bool) -> Result<(Self, bool)> {
        let existed = resume && host.existing_size(path)?.is_some();
        let file = host.create_file(path)?;
        Ok((Self { name: shown(file.path()), file }, existed))
    }

    /// These bytes are written.
    fn settle(&self, offset: u64, length: u64) {
        if length >= EARLY_BYTES {
            self.file.start_to_disk(offset, length);
        }
    }
}

/// A stretch of one file.
struct Stretch {
    file: Arc<WrittenFile>,
    offset: u64,
    operations: Vec<Operation>,
    /// Whether something may stand there from an earlier run.
    existed: bool,
}

fn write_hosts(
    reader: &ChunkReader,
    target: &Path,
    plans: Vec<HostPlan>,
    options: TargetOptions,
    losses: Option<&Losses>,
    job: &Job,
) -> Result<u64> {
    let kept = AtomicU64::new(0);
    let mut hosts = Vec::new();
    for HostPlan { name, root, nodes, files } in plans {
        hosts.push((Target::prepare(target, &name, root, nodes, options)?, files));
    }
    let fault = FirstFault::default();
    let (send, receive) = bounded(QUEUE);
    let tables = std::thread::scope(|scope| {
        for _ in 0..job.threads.max(1) {
            scope.spawn(|| write_stretches(reader, &receive, &kept, &fault, losses, job));
        }
        let mut hand_out = HandOut { reader, send, resume: options.resume, losses, tables: SweptHosts::default() };
        for (host, files) in &hosts {
            fault.note(hand_out.run(host, files, &fault, job));
        }
        hand_out.tables
    });
    tables.write(reader, options.resume, &kept, &fault, losses, job);
    fault.into_result()?;
    for (mut host, files) in hosts {
        if let Some(losses) = losses {
            losses.leave_out(&mut host, &files)?;
        }
        host.finish()?;
    }
    Ok(kept.into_inner())
}

fn write_stretches(
    reader: &ChunkReader,
    receive: &Receiver<Stretch>,
    kept: &AtomicU64,
    fault: &FirstFault,
    losses: Option<&Losses>,
    job: &Job,
) {
    let mut context = ReadContext::new();
    for stretch in receive {
        // After a fault the queue is emptied, so that the planner is not left waiting.
        if fault.is_set() {
            continue;
        }
        fault.note(match &mut context {
            Ok(context) => job
                .cancel
                .check()
                .and_then(|()| write_stretch(reader, context, &stretch, kept, job))
                .or_else(|error| tolerate(losses, &stretch.file.name, error)),
            Err(error) => Err(OpsError::Damage(error.to_string())),
        });
    }
}

/// A damage with the file that cannot be restored for it.
fn of_file(name: &str, error: OpsError) -> OpsError {
    match error.is_damage() {
        true => OpsError::Damage(format!("cannot restore {name}: {error}; esker fsck tells what is lost")),
        false => error,
    }
}

fn write_stretch(reader: &ChunkReader, context: &mut ReadContext, stretch: &Stretch, kept: &AtomicU64, job: &Job) -> Result<()> {
    let file = &stretch.file.file;
    let mut wanted: Vec<(ChunkId, u64, u32)> = Vec::new();
    let mut offset = stretch.offset;
    for operation in &stretch.operations {
        match operation {
            Operation::Chunk { id, len } => {
                if stretch.existed && is_there(reader, file, offset, *len, id)? {
                    kept.fetch_add(u64::from(*len), Ordering::Relaxed);
                    job.progress.advance(u64::from(*len));
                } else {
                    wanted.push((*id, offset, *len));
                }
            }
            Operation::Hole { len } => {
                file.hole(offset, *len)?;
                job.progress.advance(*len);
            }
            Operation::Literal(bytes) => {
                file.write_at(offset, bytes)?;
                job.progress.advance(bytes.len() as u64);
            }
        }
        offset += operation.len();
    }
    let ids: Vec<ChunkId> = wanted.iter().map(|(id, ..)| *id).collect();
    reader.read_each::<OpsError, _>(context, &ids, |position, _, bytes| {
        if let Some((id, offset, len)) = wanted.get(position) {
            if bytes.len() != *len as usize {
                return Err(OpsError::Damage(format!("chunk {id} has {} bytes, its recipe says {len}", bytes.len())));
            }
            file.write_at(*offset, bytes)?;
        }
        job.progress.advance(bytes.len() as u64);
        Ok(())
    })?;
    stretch.file.settle(stretch.offset, offset - stretch.offset);
    Ok(())
}

fn is_there(reader: &ChunkReader, file: &TargetFile, offset: u64, len: u32, id: &ChunkId) -> Result<bool> {
    let mut bytes = vec![0; len as usize];
    file.read_at(offset, &mut bytes)?;
    Ok(reader.repository().sealing().chunk_id(ChunkKind::Bytes, &bytes) == *id)
}

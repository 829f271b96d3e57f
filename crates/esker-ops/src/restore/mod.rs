//! `restore`: a backup's hosts become folders again, byte for byte.
//!
//! A planner walks the recipes and hands out pieces of work, each a stretch of one file; workers fetch, check and write
//! them. Tables that are made of sorted runs come after, all hosts' together, in one sweep over their keys. What a run left behind is read back and kept where it is right. `CURRENT` comes last, after everything else is
//! on disk.

mod mark;
mod swept;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use esker_cluster::path::shown;
use esker_cluster::path::split;
use esker_cluster::target::Node as TargetNode;
use esker_cluster::{Attributes, Kind, Target, TargetFile, TargetOptions, Timestamp};
use esker_format::ChunkId;
use esker_format::file_table::{FileContent, FileRow, Node};
use esker_format::recipe::{Operation, Piece, RecipePiece};
use esker_format::seal::ChunkKind;
use esker_format::table::TableRef;
use esker_repo::manifests::Backup;
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::tables::{read_piece, read_table};
use esker_repo::{RepoError, Repository};
use serde::Serialize;

use crate::error::{OpsError, Result};
use crate::job::{FirstFault, Job, Protection};
use crate::rebuild::WINDOW_CHUNKS;
use crate::rows::walk_rows;
use crate::select::{Selection, find_backup};

use mark::Mark;
use swept::SweptHosts;

/// Bytes from which on a stretch starts its way to disk as soon as it is written.
const EARLY_BYTES: u64 = 1 << 20;
/// Files whose recipes' beginnings are read together.
const FILES_AT_ONCE: usize = 64;
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
}

/// Restores a backup, or a part of it.
///
/// # Errors
/// `Usage` if nothing matches or the target holds something else; `ChunkLost`, `Damage`; a full or read-only target. What
/// was written stays, and the same call goes on from there.
pub fn restore(repository: &Arc<Repository>, request: &RestoreRequest, job: &Job) -> Result<RestoreReport> {
    let started_ms = repository.environment().now_ms();
    let protection = if request.dry_run { Protection::none() } else { Protection::begin(repository, "restore") };
    let backup = find_backup(repository, &request.backup)?;
    let reader = ChunkReader::open(repository)?;
    job.progress.phase("planning", 0);
    let plans = plan(&reader, &backup, &request.selection)?;
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
    for host in &plans {
        report.hosts += 1;
        for node in &host.nodes {
            match node.kind {
                Kind::File => {
                    report.files += 1;
                    report.bytes = report.bytes.saturating_add(node.size);
                }
                _ => report.others += 1,
            }
        }
    }
    if request.dry_run {
        return Ok(report);
    }
    let mark = Mark::set(&request.target, &backup, &request.selection)?;
    let options = TargetOptions { resume: mark.resumed, ..options };
    job.progress.phase("restoring", report.bytes);
    let kept = write_hosts(&reader, &request.target, plans, options, job)?;
    job.progress.finish();
    mark.clear()?;
    report.kept_bytes = kept;
    report.duration_ms = repository.environment().now_ms().saturating_sub(started_ms);
    Ok(report)
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

/// A file that is being written. What is large starts its way to disk when it is written; the rest is left to the one sync at
/// the end.
struct WrittenFile {
    name: String,
    file: TargetFile,
}

impl WrittenFile {
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

fn write_hosts(reader: &ChunkReader, target: &Path, plans: Vec<HostPlan>, options: TargetOptions, job: &Job) -> Result<u64> {
    let kept = AtomicU64::new(0);
    let mut hosts = Vec::new();
    for HostPlan { name, root, nodes, files } in plans {
        hosts.push((Target::prepare(target, &name, root, nodes, options)?, files));
    }
    let fault = FirstFault::default();
    let tables = SweptHosts::default();
    let (send, receive) = bounded(QUEUE);
    std::thread::scope(|scope| {
        for _ in 0..job.threads.max(1) {
            scope.spawn(|| write_stretches(reader, &receive, &kept, &fault, job));
        }
        let mut hand_out = HandOut { reader, send, resume: options.resume, tables };
        for (host, files) in &hosts {
            fault.note(hand_out.run(host, files, &fault, job));
        }
        hand_out.tables
    })
    .write(reader, &kept, &fault, job);
    fault.into_result()?;
    for (host, _) in hosts {
        host.finish()?;
    }
    Ok(kept.into_inner())
}

/// Cuts the files of a host into stretches, and sets aside the tables that are made of sorted runs.
struct HandOut<'a> {
    reader: &'a ChunkReader,
    send: Sender<Stretch>,
    resume: bool,
    tables: SweptHosts,
}

/// The first piece of a file's recipe, as far as it decides what becomes of the file.
enum First {
    /// It has none: the file is empty.
    None,
    /// The file is a table made of sorted runs.
    OfTable,
    Bytes(RecipePiece),
}

impl HandOut<'_> {
    fn run(&mut self, host: &Target, files: &[(Vec<u8>, FileContent, String)], fault: &FirstFault, job: &Job) -> Result<()> {
        let context = &mut ReadContext::new()?;
        for files in files.chunks(FILES_AT_ONCE) {
            for ((path, content, space), first) in files.iter().zip(first_pieces(self.reader, context, files)?) {
                job.cancel.check()?;
                if fault.is_set() {
                    return Ok(());
                }
                let existed = self.resume && host.existing_size(path)?.is_some();
                let file = host.create_file(path)?;
                let name = shown(file.path());
                let file = Arc::new(WrittenFile { name: name.clone(), file });
                let handed_out = match first {
                    Ok(First::OfTable) => {
                        self.tables.add(file, content.clone(), space.clone(), existed);
                        Ok(())
                    }
                    Ok(First::Bytes(first)) => self.file(context, file, content, Some(first), existed),
                    Ok(First::None) => self.file(context, file, content, None, existed),
                    Err(error) => Err(error.into()),
                };
                handed_out.map_err(|error| of_file(&name, error))?;
            }
        }
        Ok(())
    }

    /// Hands out a file that is made of bytes. Its recipe's first piece was read.
    fn file(
        &mut self,
        context: &mut ReadContext,
        file: Arc<WrittenFile>,
        content: &FileContent,
        first: Option<RecipePiece>,
        existed: bool,
    ) -> Result<()> {
        let mut offset = 0;
        let mut piece = first;
        for next in content.recipe.iter().skip(1).map(Some).chain([None]) {
            let operations = piece.take().map(|piece| piece.operations).unwrap_or_default();
            for operations in operations.chunks(WINDOW_CHUNKS) {
                let stretch = Stretch { file: Arc::clone(&file), offset, operations: operations.to_vec(), existed };
                offset = operations.iter().map(Operation::len).fold(offset, u64::saturating_add);
                if offset > content.size {
                    break;
                }
                if self.send.send(stretch).is_err() {
                    return Err(OpsError::Cancelled);
                }
            }
            let Some(next) = next else { break };
            piece = match read_piece(self.reader, context, next)? {
                Piece::Bytes(piece) => Some(piece),
                _ => return Err(OpsError::Damage("its recipe mixes blocks and bytes".into())),
            };
        }
        match offset == content.size {
            true => Ok(()),
            false => Err(OpsError::Damage(format!("its recipe makes {offset} bytes, the file had {}", content.size))),
        }
    }
}

/// Reads the first piece of each file's recipe.
fn first_pieces(
    reader: &ChunkReader,
    context: &mut ReadContext,
    files: &[(Vec<u8>, FileContent, String)],
) -> Result<Vec<esker_repo::Result<First>>> {
    let mut firsts: Vec<esker_repo::Result<First>> = files.iter().map(|_| Ok(First::None)).collect();
    let (positions, pieces): (Vec<usize>, Vec<ChunkId>) =
        files.iter().enumerate().filter_map(|(position, (_, content, _))| Some((position, *content.recipe.first()?))).unzip();
    reader.read_scattered::<OpsError, _>(context, &pieces, |number, bytes| {
        let first = bytes.and_then(|bytes| match Piece::is_of_table(bytes) {
            true => Ok(First::OfTable),
            false => match Piece::decode(bytes) {
                Ok(Piece::Bytes(piece)) => Ok(First::Bytes(piece)),
                Ok(_) => Ok(First::OfTable),
                Err(source) => {
                    Err(RepoError::Object { path: pieces.get(number).map_or_else(String::new, |id| format!("recipe piece {id}")), source })
                }
            },
        });
        if let Some(slot) = positions.get(number).and_then(|position| firsts.get_mut(*position)) {
            *slot = first;
        }
        Ok(())
    })?;
    Ok(firsts)
}

fn write_stretches(reader: &ChunkReader, receive: &Receiver<Stretch>, kept: &AtomicU64, fault: &FirstFault, job: &Job) {
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
                .map_err(|error| of_file(&stretch.file.name, error)),
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

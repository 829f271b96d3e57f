//! The walk over all backups that finds what is lost.

use std::collections::HashMap;

use blake3::Hasher;
use esker_cluster::path::escaped;
use esker_format::engine::EngineRecord;
use esker_format::file_table::{FileContent, FileRow, Node};
use esker_format::recipe::{Operation, Piece};
use esker_format::seal::ChunkKind;
use esker_format::{ChunkId, ObjectId};
use esker_repo::RepoError;
use esker_repo::index::SharedIndex;
use esker_repo::manifests::Backup;
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::tables::read_piece;

use super::loss::{FileNeeds, Loss, LossyFile, Suspects};
use super::report::{BackupLoss, FILES_NAMED};
use crate::error::Result;
use crate::fsck::raft_log_partition;
use crate::job::Job;
use crate::rows::{Place, replicas_of};
use crate::select::Selection;
use crate::walk_left::{Visit, walk_left};

impl Loss {
    /// Walks all backups.
    ///
    /// # Errors
    /// `Store`, `Cache`, `Cancelled`.
    pub(super) fn find(reader: &ChunkReader, backups: &[Backup], suspects: &Suspects<'_>, job: &Job) -> Result<Self> {
        let mut search = Search {
            reader,
            index: reader.index(),
            context: ReadContext::new()?,
            suspects,
            loss: Self::default(),
            known: HashMap::new(),
            whole_pieces: HashMap::new(),
            recipes: HashMap::new(),
            partitions: HashMap::new(),
            backup: BackupLoss::default(),
            files: 0,
            in_piece: None,
        };
        for backup in backups {
            job.cancel.check()?;
            search.backup(backup)?;
        }
        Ok(search.loss)
    }
}

struct Search<'a> {
    reader: &'a ChunkReader,
    index: SharedIndex,
    context: ReadContext,
    suspects: &'a Suspects<'a>,
    loss: Loss,
    /// Suspected or lost chunks that were looked at: whether they are lost.
    known: HashMap<ChunkId, bool>,
    /// Pieces of file tables in which no file lost anything, with how many files they have.
    whole_pieces: HashMap<ChunkId, u64>,
    /// Recipes that were looked at: whether their file lost anything.
    recipes: HashMap<ObjectId, bool>,
    partitions: HashMap<ChunkId, Vec<String>>,
    backup: BackupLoss,
    /// Files seen of the backup that is being walked.
    files: u64,
    /// The piece that is being walked, how many files were seen before it, and whether a file of it lost anything.
    in_piece: Option<(ChunkId, u64, bool)>,
}

impl Search<'_> {
    fn backup(&mut self, backup: &Backup) -> Result<()> {
        let label = backup.manifest.label.clone();
        self.backup = BackupLoss { id: backup.id.to_string(), label, ..BackupLoss::default() };
        self.files = 0;
        for piece in &backup.manifest.seen.pieces {
            if self.table_is_lost(piece)? {
                self.loss.seen.insert(backup.id);
                self.backup.lose_part("the list of backups that stood there when it was made".into());
            }
        }
        // The walk needs the reader while this hears of what it finds.
        let mut context = ReadContext::new()?;
        walk_left(self.reader, &mut context, &backup.manifest, &Selection::default(), self)?;
        self.end_piece();
        // Of files whose rows are lost only the number is known.
        self.backup.unnamed = backup.manifest.totals.files.saturating_sub(self.files);
        let found = std::mem::take(&mut self.backup);
        if !found.is_empty() {
            self.loss.backups.push(found);
        }
        Ok(())
    }

    /// Notes a chunk that a backup needs; whether it is lost.
    fn needs(&mut self, chunk: &ChunkId, kind: ChunkKind) -> Result<bool> {
        if let Some(lost) = self.known.get(chunk) {
            return Ok(*lost);
        }
        let places = self.index.locate_readable(chunk)?;
        let is_suspect = places.is_empty() || self.suspects.chunks.contains(chunk);
        if !is_suspect && self.suspects.packs.is_empty() {
            return Ok(false);
        }
        let lost = is_suspect && !is_readable(self.reader, &mut self.context, chunk)?;
        self.note(chunk, kind, lost);
        if !lost && places.iter().all(|place| self.suspects.packs.contains(&place.pack)) {
            self.loss.at_risk.insert(*chunk, kind);
        }
        Ok(lost)
    }

    fn note(&mut self, chunk: &ChunkId, kind: ChunkKind, lost: bool) {
        self.known.insert(*chunk, lost);
        if lost {
            self.loss.chunks.insert(*chunk, kind);
        }
    }

    /// A chunk of a table, which is always read.
    fn table_is_lost(&mut self, chunk: &ChunkId) -> Result<bool> {
        let lost = !is_readable(self.reader, &mut self.context, chunk)?;
        self.table(chunk, lost)
    }

    fn table(&mut self, chunk: &ChunkId, lost: bool) -> Result<bool> {
        if lost {
            self.note(chunk, ChunkKind::Table, true);
        } else {
            self.needs(chunk, ChunkKind::Table)?;
        }
        Ok(lost)
    }

    fn end_piece(&mut self) {
        if let Some((piece, before, false)) = self.in_piece.take() {
            self.whole_pieces.insert(piece, self.files - before);
        }
    }

    /// Looks at a file; whether it lost anything.
    fn file(&mut self, place: Place<'_>, path: &[u8], content: &FileContent) -> Result<bool> {
        let key = recipe_key(content);
        if let Some(lossy) = self.recipes.get(&key) {
            return Ok(*lossy);
        }
        let needs = self.file_needs(content)?;
        let is_lossy = !needs.is_empty();
        if is_lossy {
            let file = LossyFile { host: place.host.name.clone(), path: path.to_vec(), content: content.clone(), needs };
            self.loss.files.push(file);
        }
        self.recipes.insert(key, is_lossy);
        Ok(is_lossy)
    }

    fn file_needs(&mut self, content: &FileContent) -> Result<FileNeeds> {
        let mut needs = FileNeeds::default();
        let mut offset = Some(0u64);
        for (position, id) in content.recipe.iter().enumerate() {
            let piece = match read_piece(self.reader, &mut self.context, id) {
                Ok(piece) => piece,
                Err(error) if error.is_damage() => {
                    self.table(id, true)?;
                    needs.recipe.push(position);
                    offset = None;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            self.table(id, false)?;
            match &piece {
                Piece::Bytes(bytes) => {
                    // Behind a lost piece nobody knows where a file's bytes are, but for the last ones.
                    let len = piece.len();
                    let is_last = position + 1 == content.recipe.len();
                    let mut at = offset.or_else(|| content.size.checked_sub(len).filter(|_| is_last));
                    for operation in &bytes.operations {
                        if let Operation::Chunk { id, len } = operation
                            && self.needs(id, ChunkKind::Bytes)?
                        {
                            needs.bytes.push((at.unwrap_or(u64::MAX), *len));
                        }
                        at = at.map(|at| at.saturating_add(operation.len()));
                    }
                    offset = at;
                }
                Piece::Blocks(blocks) => {
                    let mut runs = Vec::new();
                    for run in &blocks.runs {
                        if self.needs(&run.id, ChunkKind::Run)? {
                            runs.push(run.id);
                        }
                    }
                    if !runs.is_empty() {
                        needs.runs.push((position, runs));
                    }
                    self.in_table(&piece, position, &mut needs)?;
                }
                Piece::Rest(_) => self.in_table(&piece, position, &mut needs)?,
            }
        }
        Ok(needs)
    }

    /// The byte chunks of a table's piece.
    fn in_table(&mut self, piece: &Piece, position: usize, needs: &mut FileNeeds) -> Result<()> {
        let mut is_lossy = false;
        for chunk in piece.chunks().filter(|chunk| chunk.kind == ChunkKind::Bytes) {
            is_lossy |= self.needs(&chunk.id, ChunkKind::Bytes)?;
        }
        if is_lossy {
            needs.in_table.push(position);
        }
        Ok(())
    }

    /// Partitions that an engine's files hold.
    fn partitions_of(&mut self, engine: &EngineRecord) -> Result<Vec<String>> {
        let key = engine.replicas.pieces.first().copied().unwrap_or(ChunkId([0; 32]));
        if let Some(known) = self.partitions.get(&key) {
            return Ok(known.clone());
        }
        let replicas = match replicas_of(self.reader, &mut self.context, engine) {
            Ok(replicas) => replicas,
            Err(error) if error.is_damage() => Vec::new(),
            Err(error) => return Err(error),
        };
        let space = engine.space.as_deref().unwrap_or("-");
        let partitions: Vec<String> = replicas.iter().map(|replica| format!("{space}/{}", replica.partition)).collect();
        self.partitions.insert(key, partitions.clone());
        Ok(partitions)
    }

    fn lose_file(&mut self, place: Place<'_>, path: &[u8], bytes: u64) -> Result<()> {
        self.backup.files += 1;
        self.backup.bytes = self.backup.bytes.saturating_add(bytes);
        let shown = escaped(path);
        self.backup.partitions.extend(raft_log_partition(&shown).filter(|_| place.engine.is_none()));
        if let Some(engine) = place.engine {
            let partitions = self.partitions_of(engine)?;
            self.backup.partitions.extend(partitions);
        }
        if self.backup.names.len() < FILES_NAMED {
            self.backup.names.push(format!("{}/{shown}", place.host.name));
        }
        Ok(())
    }
}

impl Visit for Search<'_> {
    fn table(&mut self, place: Place<'_>, id: &ChunkId, is_rows: bool, fault: Option<RepoError>) -> Result<bool> {
        self.end_piece();
        let lost = Search::table(self, id, fault.is_some())?;
        if lost {
            let host = &place.host.name;
            self.backup.lose_part(match (place.engine, is_rows) {
                (None, false) => format!("the record of an engine of {host}, with all that it names"),
                (Some(engine), false) => format!("the positions of the replicas in engine {} of {host}", escaped(&engine.folder)),
                (Some(engine), true) => format!("a part of the file table of engine {} of {host}", escaped(&engine.folder)),
                (None, true) => format!("a part of the file table of {host}"),
            });
            return Ok(false);
        }
        if !is_rows {
            return Ok(true);
        }
        match self.whole_pieces.get(id) {
            Some(files) => {
                self.files += files;
                Ok(false)
            }
            None => {
                self.in_piece = Some((*id, self.files, false));
                Ok(true)
            }
        }
    }

    fn row(&mut self, place: Place<'_>, row: FileRow) -> Result<()> {
        let Node::File(content) = &row.node else { return Ok(()) };
        self.files += 1;
        if self.file(place, &row.path, content)? {
            if let Some((.., is_lossy)) = &mut self.in_piece {
                *is_lossy = true;
            }
            self.lose_file(place, &row.path, content.size)?;
        }
        Ok(())
    }
}

fn is_readable(reader: &ChunkReader, context: &mut ReadContext, chunk: &ChunkId) -> Result<bool> {
    match reader.prove(context, chunk) {
        Ok(()) => Ok(true),
        Err(error) if error.is_damage() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The same for files with the same hash, size and recipe.
fn recipe_key(content: &FileContent) -> ObjectId {
    let mut hasher = Hasher::new();
    hasher.update(&content.hash).update(&content.size.to_le_bytes());
    for piece in &content.recipe {
        hasher.update(&piece.0);
    }
    ObjectId(*hasher.finalize().as_bytes())
}

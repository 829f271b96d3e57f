//! Tables and recipes: do they decode, add up, and name chunks that exist; and do their files rebuild.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use blake3::Hasher;
use crossbeam_channel::bounded;
use esker_cluster::path::{escaped, join};
use esker_format::engine::{EngineRecord, ReplicaRow};
use esker_format::file_table::{FileContent, FileRow, Node};
use esker_format::layout::{ObjectKind, PackKind};
use esker_format::manifest::HostRecord;
use esker_format::pack::FrameEntry;
use esker_format::recipe::{NamedChunk, Operation, Piece};
use esker_format::seal::ChunkKind;
use esker_format::table::{TableRef, decode_piece};
use esker_format::{ChunkId, ObjectId};
use esker_repo::RepoError;
use esker_repo::index::Location;
use esker_repo::manifests::{Backup, read_engine};
use esker_repo::reader::ReadContext;
use esker_repo::tables::read_table;

use super::finding::{Severity, help_for};
use super::{Check, split_damage};
use crate::error::{OpsError, Result};
use crate::job::FirstFault;
use crate::rebuild::{WINDOW_CHUNKS, chunk_of};
use crate::sweep::SweptFile;

/// Files whose recipes are read together.
const RECIPES_AT_ONCE: usize = 1024;
/// Distinct files that wait to be rebuilt, at most.
const QUEUE: usize = 64;

impl Check<'_> {
    /// Reads every table and recipe of the chosen backups and checks them against each other and the index.
    pub(super) fn tables(&mut self) -> Result<()> {
        let context = &mut ReadContext::new()?;
        let mut seen = SeenTables::default();
        for backup in self.chosen.clone() {
            self.job.cancel.check()?;
            if let Err(error) = self.backup_tables(context, &backup, &mut seen) {
                let error = split_damage(error)?;
                self.tables_damaged = true;
                *self.touched.entry(backup.id).or_default() += 1;
                if let OpsError::Repository(RepoError::ChunkLost { chunk, why }) = &error {
                    self.bad_chunks.entry(*chunk).or_insert_with(|| why.clone());
                }
                self.damage(format!("backup {}", backup.manifest.label), error.to_string(), help_for("table"));
            }
        }
        self.recipes(context, &seen.unread)
    }

    fn backup_tables(&mut self, context: &mut ReadContext, backup: &Backup, seen: &mut SeenTables) -> Result<()> {
        let (mut files, mut bytes, mut chunks) = (0, 0, 0);
        for host in &backup.manifest.hosts {
            let mut of_host = self.table_sums(context, &host.tree, host, None, seen)?;
            for id in &host.engines {
                let engine = read_engine(&self.reader, context, id)?;
                let of_engine = self.table_sums(context, &engine.files, host, Some(&engine), seen)?;
                if (of_engine.files, of_engine.bytes) != (engine.file_count, engine.bytes) {
                    self.does_not_add_up(backup, &format!("engine {} of {}", escaped(&engine.folder), host.name));
                }
                read_table::<ReplicaRow, RepoError>(&self.reader, context, &engine.replicas, |_| Ok(()))?;
                of_host.add(&of_engine);
            }
            if (of_host.files, of_host.bytes) != (host.files, host.bytes) {
                self.does_not_add_up(backup, &format!("host {}", host.name));
            }
            files += of_host.files;
            bytes = u64::saturating_add(bytes, of_host.bytes);
            chunks = u64::saturating_add(chunks, of_host.chunks);
        }
        let totals = &backup.manifest.totals;
        if (files, bytes, chunks) != (totals.files, totals.bytes, totals.chunks) {
            self.does_not_add_up(backup, "the backup");
        }
        Ok(())
    }

    fn does_not_add_up(&mut self, backup: &Backup, what: &str) {
        *self.touched.entry(backup.id).or_default() += 1;
        let object = format!("backup {}", backup.manifest.label);
        self.damage(object, format!("the totals of {what} are not those of its tables"), help_for("table"));
    }

    /// Sums of a table; each piece and each recipe is looked at once in a run.
    fn table_sums(
        &mut self,
        context: &mut ReadContext,
        table: &TableRef,
        host: &HostRecord,
        engine: Option<&EngineRecord>,
        seen: &mut SeenTables,
    ) -> Result<Sums> {
        let mut sums = Sums::default();
        for piece in &table.pieces {
            if let Some(known) = seen.pieces.get(piece) {
                sums.add(known);
                continue;
            }
            let mut of_piece = Sums::default();
            let bytes = self.reader.read(context, piece)?;
            for row in decode_piece::<FileRow>(&bytes).map_err(RepoError::object(format!("table piece {piece}")))? {
                of_piece.rows += 1;
                let Node::File(content) = row.node else { continue };
                of_piece.files += 1;
                of_piece.bytes = of_piece.bytes.saturating_add(content.size);
                of_piece.chunks = of_piece.chunks.saturating_add(content.chunks);
                if seen.recipes.insert(recipe_key(&content)) {
                    seen.unread.push((name_of(host, engine, &row.path), content));
                }
            }
            if seen.unread.len() >= RECIPES_AT_ONCE {
                self.recipes(context, &std::mem::take(&mut seen.unread))?;
            }
            sums.add(&of_piece);
            seen.pieces.insert(*piece, of_piece);
        }
        if sums.rows == table.rows {
            return Ok(sums);
        }
        let found = format!("{} rows where its reference says {}", sums.rows, table.rows);
        let source = esker_format::FormatError::BadValue { field: "table", found };
        Err(RepoError::Object { path: format!("table of {}", host.name), source }.into())
    }

    /// Recipes make as many bytes as their files have, from chunks that stand somewhere and are as long.
    fn recipes(&mut self, context: &mut ReadContext, files: &[(String, FileContent)]) -> Result<()> {
        let mut pieces: Vec<ChunkId> = files.iter().flat_map(|(_, content)| content.recipe.iter().copied()).collect();
        pieces.sort_unstable();
        pieces.dedup();
        // Bytes and chunks of each piece that could be read.
        let mut sums: HashMap<ChunkId, (u64, u64)> = HashMap::new();
        let reader = Arc::clone(&self.reader);
        reader.read_scattered::<OpsError, _>(context, &pieces, |position, bytes| {
            let Some(id) = pieces.get(position) else { return Ok(()) };
            self.is_indexed(&self.index.locate(id)?)?;
            match bytes.and_then(|bytes| Piece::decode(bytes).map_err(RepoError::object(format!("recipe piece {id}")))) {
                Ok(piece) => drop(sums.insert(*id, (piece.len(), self.chunks_of(&piece)?))),
                Err(error) => {
                    self.bad_chunks.entry(*id).or_insert_with(|| error.to_string());
                    self.tolerate(error)?;
                }
            }
            Ok(())
        })?;
        for (name, content) in files {
            let of_pieces: Option<Vec<(u64, u64)>> = content.recipe.iter().map(|piece| sums.get(piece).copied()).collect();
            // A piece that could not be read is a finding already.
            let Some(of_pieces) = of_pieces else { continue };
            let sum =
                of_pieces.iter().fold((0, 0), |sum: (u64, u64), piece| (sum.0.saturating_add(piece.0), sum.1.saturating_add(piece.1)));
            if sum != (content.size, content.chunks) {
                self.damage(format!("file {name}"), "its recipe does not make a file of its size", help_for("file"));
            }
        }
        Ok(())
    }

    /// Every chunk that a piece names stands somewhere and is what it says; gives how many there are.
    fn chunks_of(&mut self, piece: &Piece) -> Result<u64> {
        let mut chunks = 0;
        for NamedChunk { id, kind, len } in piece.chunks() {
            chunks += 1;
            let (mut places, forms) = self.index.locate_with_forms(&id)?;
            places.extend(forms);
            self.is_indexed(&places)?;
            let is_other =
                |place: &Location| len.is_some_and(|len| place.frame.entry.plain_len != len) || kind_of(&place.frame.entry) != kind;
            if places.is_empty() {
                self.bad_chunks.entry(id).or_insert_with(|| "no pack in the store holds it".into());
            } else if places.iter().any(is_other) {
                self.bad_chunks.entry(id).or_insert_with(|| "its length or kind is not the one the recipe names".into());
            }
            for place in &places {
                if self.index.pack(place.pack)?.name.kind != PackKind::Data {
                    self.notice(format!("chunk {id}"), "bytes of a file stand in a metadata pack", "");
                }
            }
        }
        Ok(chunks)
    }

    /// A writer indexes what an interrupted job left before it builds on it. So where a backup needs a chunk that only packs
    /// without a segment hold, a segment is lost.
    fn is_indexed(&mut self, places: &[Location]) -> Result<()> {
        if places.iter().all(|place| self.index.is_orphan(place.pack)) {
            for place in places {
                let path = self.index.pack(place.pack)?.name.path();
                // No interrupted job left it, as it seemed.
                self.findings.retain(|finding| finding.object != path || finding.severity != Severity::Notice);
                self.damage(path, "no index segment names it although a backup needs it: a segment is lost", help_for("index"));
            }
        }
        Ok(())
    }

    /// Rebuilds every distinct file of the chosen backups, or as many as were asked for, and compares hashes.
    pub(super) fn files(&mut self, started: Instant) -> Result<()> {
        let (percent, turn) = (u64::from(self.request.sample_percent), self.turn()?);
        let is_chosen = |content: &FileContent| {
            let draw = content.hash.first_chunk().map_or(0, |head| u64::from(u32::from_le_bytes(*head)));
            (draw + turn * percent) % 100 < percent
        };
        let (mut total, mut all) = (0, 0u64);
        self.each_distinct_file(|file| {
            all += 1;
            if is_chosen(&file.content) {
                total = u64::saturating_add(total, file.content.size);
            }
            Ok(true)
        })?;
        self.job.progress.phase("files", total);
        let (send, receive) = bounded::<SweptFile>(QUEUE);
        let (files, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        let bad: Mutex<Vec<(String, Vec<ChunkId>, String)>> = Mutex::default();
        let tables: Mutex<Vec<SweptFile>> = Mutex::default();
        let fault = FirstFault::default();
        let this = &*self;
        std::thread::scope(|scope| {
            for _ in 0..this.job.threads.max(1) {
                scope.spawn(|| {
                    let mut context = ReadContext::new();
                    for job in &receive {
                        if fault.is_set() || this.is_late(started) {
                            continue;
                        }
                        let Ok(context) = &mut context else { continue };
                        match this.rebuild_file(context, &job, &bytes) {
                            Ok(Rebuilt::Table) => tables.lock().unwrap_or_else(PoisonError::into_inner).push(job),
                            Ok(Rebuilt::Bytes(faults)) if faults.is_empty() => drop(files.fetch_add(1, Ordering::Relaxed)),
                            Ok(Rebuilt::Bytes(faults)) => {
                                let (chunks, words): (Vec<_>, Vec<_>) = faults.into_iter().unzip();
                                let chunks = chunks.into_iter().flatten().collect();
                                let text = words.first().cloned().unwrap_or_default();
                                bad.lock().unwrap_or_else(PoisonError::into_inner).push((job.name, chunks, text));
                            }
                            Err(error) => fault.note(Err(error)),
                        }
                    }
                });
            }
            fault.note(this.each_distinct_file(|file| {
                let wanted = is_chosen(&file.content);
                let sent = !wanted || send.send(file).is_ok();
                Ok(sent && !fault.is_set() && !this.is_late(started))
            }));
            drop(send);
        });
        fault.into_result()?;
        let tables = tables.into_inner().unwrap_or_else(PoisonError::into_inner);
        let swept = self.sweep_tables(tables, started)?;
        self.job.progress.finish();
        self.files = files.into_inner() + swept.whole;
        self.bytes += bytes.into_inner() + swept.run_bytes;
        let mut bad = bad.into_inner().unwrap_or_else(PoisonError::into_inner);
        bad.extend(swept.bad);
        self.complete &= self.files + bad.len() as u64 == all;
        for (name, chunks, text) in bad {
            // A damage with a chunk to blame is reported under the pack that holds it, with every file that it touches.
            if chunks.is_empty() {
                self.damage(format!("file {name}"), text.clone(), help_for("file"));
            }
            for chunk in chunks {
                self.bad_chunks.entry(chunk).or_insert_with(|| text.clone());
            }
        }
        Ok(())
    }

    /// Rebuilds one file in memory, unless its recipe is that of a table.
    fn rebuild_file(&self, context: &mut ReadContext, job: &SweptFile, bytes: &AtomicU64) -> Result<Rebuilt> {
        let mut hasher = Hasher::new();
        let mut faults = Vec::new();
        for piece in &job.content.recipe {
            let read = self.reader.read(context, piece);
            if read.as_ref().is_ok_and(|bytes| Piece::is_of_table(bytes)) {
                return Ok(Rebuilt::Table);
            }
            let decode = |bytes: Vec<u8>| Piece::decode(&bytes).map_err(RepoError::object(format!("recipe piece {piece}")));
            let operations = match read.and_then(decode) {
                Ok(Piece::Bytes(piece)) => piece.operations,
                Ok(_) => return Ok(Rebuilt::Table),
                Err(error) if error.is_damage() => return Ok(Rebuilt::Bytes(vec![(Some(*piece), error.to_string())])),
                Err(error) => return Err(error.into()),
            };
            let mut rest = operations.as_slice();
            while let Some(first) = rest.first() {
                self.job.cancel.check()?;
                let run: Vec<ChunkId> = rest.iter().map_while(chunk_of).take(WINDOW_CHUNKS).collect();
                match first {
                    Operation::Chunk { .. } => self.rebuild_run(context, &run, &mut hasher, &mut faults, bytes)?,
                    Operation::Hole { len } => zeros(&mut hasher, (*len).min(job.content.size)),
                    Operation::Literal(literal) => drop(hasher.update(literal)),
                }
                rest = rest.get(run.len().max(1)..).unwrap_or_default();
            }
        }
        self.job.progress.advance(job.content.size);
        if faults.is_empty() && *hasher.finalize().as_bytes() != job.content.hash {
            faults.push((None, "does not rebuild to the bytes that were backed up".to_owned()));
        }
        Ok(Rebuilt::Bytes(faults))
    }

    fn rebuild_run(
        &self,
        context: &mut ReadContext,
        run: &[ChunkId],
        hasher: &mut Hasher,
        faults: &mut Vec<(Option<ChunkId>, String)>,
        bytes: &AtomicU64,
    ) -> Result<()> {
        let mut at = 0;
        while at < run.len() {
            let start = at;
            let read =
                self.reader.read_each::<crate::OpsError, _>(context, run.get(start..).unwrap_or_default(), |position, place, plain| {
                    hasher.update(plain);
                    bytes.fetch_add(plain.len() as u64, Ordering::Relaxed);
                    if let Some(place) = place {
                        self.was_read(place.pack, place.frame.number)?;
                    }
                    at = start + position + 1;
                    Ok(())
                });
            if let Err(error) = read {
                let error = split_damage(error)?;
                faults.push((run.get(at).copied(), error.to_string()));
                at += 1;
            }
        }
        Ok(())
    }

    /// How many checks are remembered: it turns which files a sample takes.
    fn turn(&self) -> Result<u64> {
        let records = esker_repo::listing::ids(self.repository.store(), ObjectKind::Verification)?;
        Ok(records.len() as u64)
    }

    /// Visits every distinct file of the chosen backups until `visit` says false; unreadable tables are passed over, they
    /// were found by the structure level.
    fn each_distinct_file(&self, mut visit: impl FnMut(SweptFile) -> Result<bool>) -> Result<()> {
        let context = &mut ReadContext::new()?;
        let (mut pieces, mut recipes) = (HashSet::new(), HashSet::new());
        for backup in &self.chosen {
            for host in &backup.manifest.hosts {
                let mut tables: Vec<(TableRef, Option<EngineRecord>)> = vec![(host.tree.clone(), None)];
                for id in &host.engines {
                    match read_engine(&self.reader, context, id) {
                        Ok(engine) => tables.push((engine.files.clone(), Some(engine))),
                        Err(error) if error.is_damage() => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                for (table, engine) in tables {
                    for piece in table.pieces.iter().filter(|piece| pieces.insert(**piece)) {
                        let rows = match self.reader.read(context, piece) {
                            Ok(bytes) => decode_piece::<FileRow>(&bytes).unwrap_or_default(),
                            Err(error) if error.is_damage() => Vec::new(),
                            Err(error) => return Err(error.into()),
                        };
                        for row in rows {
                            let Node::File(content) = row.node else { continue };
                            let is_new = recipes.insert(recipe_key(&content));
                            let name = name_of(host, engine.as_ref(), &row.path);
                            let space = engine.as_ref().and_then(|engine| engine.space.clone()).unwrap_or_default();
                            if is_new && !visit(SweptFile { name, content, space })? {
                                return Ok(());
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// The kind of chunk that a frame stands for: a form of a run for the run.
fn kind_of(entry: &FrameEntry) -> ChunkKind {
    if entry.form.is_some() { ChunkKind::Run } else { entry.kind }
}

/// What a try to rebuild a file came to.
enum Rebuilt {
    /// It was made of bytes; what is wrong with it, chunk by chunk.
    Bytes(Vec<(Option<ChunkId>, String)>),
    /// It is a table made of runs, which is rebuilt together with others.
    Table,
}

/// Tables and recipes looked at already.
#[derive(Default)]
struct SeenTables {
    pieces: BTreeMap<ChunkId, Sums>,
    recipes: HashSet<ObjectId>,
    /// Files whose recipes wait to be looked at, with their names.
    unread: Vec<(String, FileContent)>,
}

#[derive(Default, Clone, Copy)]
struct Sums {
    rows: u64,
    files: u64,
    bytes: u64,
    chunks: u64,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.files += other.files;
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.chunks = self.chunks.saturating_add(other.chunks);
    }
}

/// The same for files with the same hash, size and recipe: then one of them stands for all.
fn recipe_key(content: &FileContent) -> ObjectId {
    let mut hasher = Hasher::new();
    hasher.update(&content.hash).update(&content.size.to_le_bytes()).update(&content.chunks.to_le_bytes());
    for piece in &content.recipe {
        hasher.update(&piece.0);
    }
    ObjectId(*hasher.finalize().as_bytes())
}

fn name_of(host: &HostRecord, engine: Option<&EngineRecord>, path: &[u8]) -> String {
    let path = engine.map_or_else(|| path.to_vec(), |engine| join(&engine.folder, path));
    format!("{}/{}", host.name, escaped(&path))
}

fn zeros(hasher: &mut Hasher, len: u64) {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut left = len;
    while left > 0 {
        let step = usize::try_from(left.min(ZEROS.len() as u64)).unwrap_or(ZEROS.len());
        hasher.update(ZEROS.get(..step).unwrap_or(&ZEROS));
        left -= step as u64;
    }
}

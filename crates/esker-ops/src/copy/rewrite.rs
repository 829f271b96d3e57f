//! One backup, bottom up: the chunks of its files, the recipes over them, the rows with the recipes, the hosts with the
//! rows. What cannot be read is named, and the rest is carried over all the same: another backup may need it, and the next
//! run finds it there.

use std::collections::{HashMap, HashSet};

use esker_cluster::path::{escaped, join};
use esker_format::engine::{EngineRecord, ReplicaRow};
use esker_format::file_table::{FileContent, FileRow, Node};
use esker_format::manifest::{HostRecord, Manifest};
use esker_format::recipe::Piece;
use esker_format::seal::ChunkKind;
use esker_format::table::{TableRef, TableType, decode_piece, decode_single, encode_piece, encode_single};
use esker_format::table_recipe::TableBlocks;
use esker_format::{ChunkId, FormatError};
use esker_repo::RepoError;
use esker_repo::reader::ReadContext;

use super::memo::{Proven, Sums};
use super::mover::Mover;
use super::report::Findings;
use crate::error::{OpsError, Result};

/// Plain bytes of recipes that are worked on at a time.
pub(super) const RECIPE_BATCH_BYTES: u64 = 4 << 20;

/// Carries one backup over.
pub(super) struct Rewriter<'a> {
    mover: &'a Mover<'a>,
    context: ReadContext,
    pub findings: Findings,
}

impl<'a> Rewriter<'a> {
    pub fn new(mover: &'a Mover<'a>) -> Result<Self> {
        Ok(Self { mover, context: ReadContext::new()?, findings: Findings::default() })
    }

    /// The hosts as they stand in the other repository. They are those of the manifest if there are no findings.
    ///
    /// # Errors
    /// Anything but damage of the source.
    pub fn hosts(&mut self, manifest: &Manifest) -> Result<Vec<HostRecord>> {
        let (mut hosts, mut all) = (Vec::new(), Sums::default());
        for host in &manifest.hosts {
            let (record, sums) = self.host(host)?;
            hosts.push(record);
            all.add(&sums);
        }
        let totals = &manifest.totals;
        let (found, told) = ((all.files, all.bytes, all.chunks), (totals.files, totals.bytes, totals.chunks));
        if self.findings.is_empty() && found != told {
            self.findings.add(format!("{}, {} where the manifest says {}, {}", sizes(found), found.2, sizes(told), told.2));
        }
        Ok(hosts)
    }

    fn host(&mut self, host: &HostRecord) -> Result<(HostRecord, Sums)> {
        let findings = self.findings.count();
        let (tree, mut sums) = self.file_table(&host.tree, &host.name, b"")?;
        let mut engines = Vec::new();
        for id in &host.engines {
            if let Some(engine) = self.engine(id, &host.name)? {
                sums.add(&engine.sums);
                engines.push(engine.id);
            }
        }
        if self.findings.count() == findings && (sums.files, sums.bytes) != (host.files, host.bytes) {
            let (found, told) = (sizes((sums.files, sums.bytes, 0)), sizes((host.files, host.bytes, 0)));
            self.findings.add(format!("host {}: {found} where the manifest says {told}", host.name));
        }
        Ok((HostRecord { tree, engines, ..host.clone() }, sums))
    }

    fn engine(&mut self, id: &ChunkId, host: &str) -> Result<Option<Proven>> {
        if let Some(proven) = self.mover.memo.proven(id)? {
            return Ok(Some(proven));
        }
        let what = format!("an engine of host {host}");
        let Some(record) = self.read(id, &what, |bytes| decode_single::<EngineRecord>(TableType::Engine, bytes))? else {
            return Ok(None);
        };
        let findings = self.findings.count();
        let (files, sums) = self.file_table(&record.files, host, &record.folder)?;
        let replicas = self.replicas(&record, host)?;
        let folder = escaped(&record.folder);
        if self.findings.count() == findings && (sums.files, sums.bytes) != (record.file_count, record.bytes) {
            let (found, told) = (sizes((sums.files, sums.bytes, 0)), sizes((record.file_count, record.bytes, 0)));
            self.findings.add(format!("engine {host}/{folder}: {found} where its record says {told}"));
        }
        if self.findings.count() > findings {
            return Ok(None);
        }
        let record = encode_single(TableType::Engine, &EngineRecord { files, replicas, ..record });
        let new = self.mover.store(ChunkKind::Table, record.map_err(RepoError::object(folder))?)?;
        self.mover.memo.prove(id, new, sums)?;
        Ok(Some(Proven { id: new, sums }))
    }

    /// Replicas name no chunks: their pieces are stored as they are.
    fn replicas(&mut self, engine: &EngineRecord, host: &str) -> Result<TableRef> {
        let what = format!("the positions of engine {host}/{}", escaped(&engine.folder));
        let (mut pieces, mut rows) = (Vec::new(), 0);
        for piece in &engine.replicas.pieces {
            let Some((found, bytes)) = self.read(piece, &what, |bytes| Ok((decode_piece::<ReplicaRow>(bytes)?.len(), bytes.to_vec())))?
            else {
                continue;
            };
            rows += found as u64;
            let new = self.mover.store(ChunkKind::Table, bytes)?;
            self.mover.memo.note_name(piece, new)?;
            pieces.push(new);
        }
        self.check_rows(&engine.replicas, pieces.len(), rows, &what);
        Ok(TableRef { pieces, rows })
    }

    fn file_table(&mut self, table: &TableRef, host: &str, folder: &[u8]) -> Result<(TableRef, Sums)> {
        let (mut pieces, mut sums) = (Vec::new(), Sums::default());
        for piece in &table.pieces {
            self.mover.job.cancel.check()?;
            if let Some(proven) = self.file_piece(piece, host, folder)? {
                self.mover.job.progress.advance(proven.sums.bytes);
                sums.add(&proven.sums);
                pieces.push(proven.id);
            }
        }
        self.check_rows(table, pieces.len(), sums.rows, &format!("the files of {host}/{}", escaped(folder)));
        Ok((TableRef { pieces, rows: table.rows }, sums))
    }

    fn check_rows(&mut self, table: &TableRef, pieces: usize, rows: u64, what: &str) {
        if pieces == table.pieces.len() && rows != table.rows {
            self.findings.add(format!("{what}: {rows} rows where there must be {}", table.rows));
        }
    }

    fn file_piece(&mut self, piece: &ChunkId, host: &str, folder: &[u8]) -> Result<Option<Proven>> {
        if let Some(proven) = self.mover.memo.proven(piece)? {
            return Ok(Some(proven));
        }
        let Some(mut rows) = self.read(piece, &format!("files of {host}/{}", escaped(folder)), decode_piece::<FileRow>)? else {
            return Ok(None);
        };
        self.recipes(&rows)?;
        let findings = self.findings.count();
        let mut sums = Sums { rows: rows.len() as u64, ..Sums::default() };
        for row in &mut rows {
            let Node::File(content) = &mut row.node else { continue };
            match self.file(content)? {
                Ok(chunks) => sums.add(&Sums { files: 1, bytes: content.size, chunks, rows: 0 }),
                Err(why) => self.findings.add(format!("{host}/{}: {why}", escaped(&join(folder, &row.path)))),
            }
        }
        if self.findings.count() > findings {
            return Ok(None);
        }
        let new = self.mover.store(ChunkKind::Table, encode_piece(&rows).map_err(RepoError::object("file row"))?)?;
        self.mover.memo.prove(piece, new, sums)?;
        Ok(Some(Proven { id: new, sums }))
    }

    /// Puts the new ids into a file's row; gives the chunks that its recipe names, or why it is not whole.
    fn file(&self, content: &mut FileContent) -> Result<std::result::Result<u64, String>> {
        let mut sums = Sums::default();
        for piece in &mut content.recipe {
            let Some(proven) = self.mover.memo.proven(piece)? else {
                return Ok(Err(self.mover.damage(piece).unwrap_or_else(|| format!("recipe piece {piece} was not copied"))));
            };
            sums.add(&proven.sums);
            *piece = proven.id;
        }
        if (sums.bytes, sums.chunks) == (content.size, content.chunks) {
            return Ok(Ok(sums.chunks));
        }
        let told = format!("{} bytes in {} chunks where its row says", sums.bytes, sums.chunks);
        Ok(Err(format!("its recipe makes {told} {} in {}", content.size, content.chunks)))
    }

    /// Sees to it that the recipes of these files are in the target, with all that they name.
    fn recipes(&mut self, rows: &[FileRow]) -> Result<()> {
        let mut wanted = Vec::new();
        let mut seen = HashMap::new();
        for row in rows {
            let Node::File(content) = &row.node else { continue };
            for piece in &content.recipe {
                if seen.insert(*piece, ()).is_none() && self.mover.memo.proven(piece)?.is_none() {
                    wanted.push(*piece);
                }
            }
        }
        let mover = self.mover;
        mover.read_batches(&mut self.context, wanted, RECIPE_BATCH_BYTES, |read| store_recipes(mover, &read))
    }

    /// Reads a chunk of a table; `None` with a finding if it is damaged.
    fn read<T>(
        &mut self,
        chunk: &ChunkId,
        what: &str,
        decode: impl FnOnce(&[u8]) -> std::result::Result<T, FormatError>,
    ) -> Result<Option<T>> {
        let source = self.mover.source;
        let read = source.read(&mut self.context, chunk);
        match read.and_then(|bytes| decode(&bytes).map_err(RepoError::object(format!("table piece {chunk}")))) {
            Ok(record) => Ok(Some(record)),
            Err(error) if error.is_damage() => {
                self.findings.add(format!("{what}: {error}"));
                Ok(None)
            }
            Err(error) => Err(OpsError::within(source.repository())(error)),
        }
    }
}

/// Carries over what these recipe pieces name, then the pieces.
fn store_recipes(mover: &Mover<'_>, read: &[(ChunkId, Vec<u8>)]) -> Result<()> {
    // In the order in which they are named they stand beside each other, here and there.
    let (mut pieces, mut wanted, mut known) = (Vec::new(), Vec::new(), HashSet::new());
    let mut context = ReadContext::new()?;
    for (id, bytes) in read {
        match Piece::decode(bytes) {
            Ok(piece) => {
                let there = runs_there(mover, &mut context, &piece)?;
                let new = piece.chunks().filter(|chunk| !there.contains_key(&chunk.id) && known.insert(chunk.id));
                wanted.extend(new.map(|chunk| (chunk.id, chunk.kind)));
                pieces.push((id, piece, there));
            }
            Err(error) => mover.note_damage(*id, format!("recipe piece {id}: {error}")),
        }
    }
    mover.carry(&wanted)?;
    for (id, mut piece, there) in pieces {
        let sums = Sums { bytes: piece.len(), chunks: piece.chunks().count() as u64, ..Sums::default() };
        let mut lost = None;
        if let Piece::Blocks(blocks) = &mut piece
            && !renumber(mover, blocks, &there)?
        {
            mover.note_damage(*id, format!("recipe piece {id}: entries of its runs stand in none of their sparse forms"));
            continue;
        }
        let renamed =
            piece.rename_chunks(|chunk| match there.get(chunk).map_or_else(|| mover.memo.proven(chunk), |there| Ok(Some(*there))) {
                Ok(Some(proven)) => Ok(proven.id),
                Ok(None) => {
                    lost = Some(mover.damage(chunk).unwrap_or_else(|| format!("chunk {chunk} was not copied")));
                    Err(None)
                }
                Err(error) => Err(Some(error)),
            });
        match (renamed, lost) {
            (Ok(()), _) => {
                let bytes = piece.encode().map_err(RepoError::object(format!("recipe piece {id}")))?;
                let new = mover.store(ChunkKind::Table, bytes)?;
                mover.memo.prove(id, new, sums)?;
            }
            (Err(Some(error)), _) => return Err(error),
            (Err(None), why) => mover.note_damage(*id, why.unwrap_or_default()),
        }
    }
    Ok(())
}

/// The runs of a piece of which the target has what the piece copies, but not all.
fn runs_there(mover: &Mover<'_>, context: &mut ReadContext, piece: &Piece) -> Result<HashMap<ChunkId, Proven>> {
    let mut there = HashMap::new();
    let Piece::Blocks(blocks) = piece else { return Ok(there) };
    for (run, entries) in blocks.runs.iter().zip(blocks.used_entries()) {
        if let Some(id) = mover.holds_entries(context, &run.id, &entries)? {
            there.insert(run.id, Proven { id, sums: Sums::default() });
        }
    }
    Ok(there)
}

/// Gives copies from runs that were made of sparse forms the positions that their entries have there; whether all have one.
fn renumber(mover: &Mover<'_>, blocks: &mut TableBlocks, there: &HashMap<ChunkId, Proven>) -> Result<bool> {
    let mut positions = Vec::with_capacity(blocks.runs.len());
    for run in &blocks.runs {
        let made = mover.memo.proven(&run.id)?.filter(|_| !there.contains_key(&run.id));
        let of_made = made.map_or(Ok(None), |made| mover.positions(&run.id, &made.id))?;
        positions.push(of_made.map(|held| held.iter().collect::<Vec<u32>>()));
    }
    for copy in &mut blocks.copies {
        let Some(Some(held)) = positions.get(copy.run as usize) else { continue };
        let start = held.partition_point(|entry| *entry < copy.start);
        let last = start + (copy.count as usize).saturating_sub(1);
        let is_held = held.get(start) == Some(&copy.start) && held.get(last) == Some(&(copy.start + copy.count.saturating_sub(1)));
        if !is_held {
            return Ok(false);
        }
        copy.start = u32::try_from(start).unwrap_or(u32::MAX);
    }
    Ok(true)
}

fn sizes((files, bytes, _): (u64, u64, u64)) -> String {
    format!("{files} files with {bytes} bytes")
}

//! Names from a backup that both repositories have: the two are the same but for ids, so what stands at the same place is
//! the same chunk. It costs tables and recipes of both, no content, and spares reading all content again.

use std::collections::HashMap;

use esker_format::ChunkId;
use esker_format::engine::EngineRecord;
use esker_format::file_table::{FileRow, Node};
use esker_format::manifest::Manifest;
use esker_format::recipe::{NamedChunk, Piece};
use esker_format::seal::ChunkKind;
use esker_format::table::{TableRef, TableType, decode_piece, decode_single};
use esker_repo::RepoError;
use esker_repo::reader::{ChunkReader, ReadContext};

use super::memo::Sums;
use super::mover::Mover;
use super::rewrite::RECIPE_BATCH_BYTES;
use crate::error::{OpsError, Result};

/// Goes through both backups in step.
pub(super) struct Pairs<'a> {
    mover: &'a Mover<'a>,
    contexts: [ReadContext; 2],
}

type Recipes = HashMap<ChunkId, Piece>;

impl<'a> Pairs<'a> {
    pub fn new(mover: &'a Mover<'a>) -> Result<Self> {
        Ok(Self { mover, contexts: [ReadContext::new()?, ReadContext::new()?] })
    }

    /// Learns the names; where the two are not in step, or one is damaged, nothing is learned.
    ///
    /// # Errors
    /// Anything but damage.
    pub fn learn(&mut self, source: &Manifest, copy: &Manifest) -> Result<()> {
        for (old, new) in source.hosts.iter().zip(&copy.hosts) {
            self.file_table(&old.tree, &new.tree)?;
            for (old, new) in old.engines.iter().zip(&new.engines) {
                let decode = |bytes: &[u8]| decode_single::<EngineRecord>(TableType::Engine, bytes).ok();
                let Some((a, b)) = self.both(old, new, decode)? else { continue };
                self.file_table(&a.files, &b.files)?;
            }
        }
        Ok(())
    }

    fn file_table(&mut self, old: &TableRef, new: &TableRef) -> Result<()> {
        if old.pieces.len() != new.pieces.len() {
            return Ok(());
        }
        for (old, new) in old.pieces.iter().zip(&new.pieces) {
            self.mover.job.cancel.check()?;
            if self.mover.memo.proven(old)?.is_none() {
                self.file_piece(old, new)?;
            }
        }
        Ok(())
    }

    fn file_piece(&mut self, old: &ChunkId, new: &ChunkId) -> Result<()> {
        let Some((a, b)) = self.both(old, new, |bytes| decode_piece::<FileRow>(bytes).ok())? else { return Ok(()) };
        if a.len() != b.len() {
            return Ok(());
        }
        let mut recipes = HashMap::new();
        for (a, b) in a.iter().zip(&b) {
            match (&a.node, &b.node) {
                (Node::File(x), Node::File(y)) if a.path == b.path && (x.hash, x.recipe.len()) == (y.hash, y.recipe.len()) => {
                    recipes.extend(x.recipe.iter().copied().zip(y.recipe.iter().copied()));
                }
                (Node::File(_), _) | (_, Node::File(_)) => return Ok(()),
                _ => {}
            }
        }
        self.recipes(recipes)?;
        self.prove_rows(old, new, &a)
    }

    /// All that the rows reach is there: then so is the piece, if it is.
    fn prove_rows(&self, old: &ChunkId, new: &ChunkId, rows: &[FileRow]) -> Result<()> {
        let mut sums = Sums { rows: rows.len() as u64, ..Sums::default() };
        for row in rows {
            let Node::File(content) = &row.node else { continue };
            let mut file = Sums::default();
            for piece in &content.recipe {
                let Some(proven) = self.mover.memo.proven(piece)? else { return Ok(()) };
                file.add(&proven.sums);
            }
            if (file.bytes, file.chunks) != (content.size, content.chunks) {
                return Ok(());
            }
            sums.add(&Sums { files: 1, rows: 0, ..file });
        }
        if self.exists(new)? { self.mover.memo.prove(old, *new, sums) } else { Ok(()) }
    }

    fn recipes(&mut self, mut pairs: HashMap<ChunkId, ChunkId>) -> Result<()> {
        let mut unknown = Vec::new();
        for old in pairs.keys() {
            if self.mover.memo.proven(old)?.is_none() {
                unknown.push(*old);
            }
        }
        let mover = self.mover;
        let [context, other] = &mut self.contexts;
        mover.read_batches(context, unknown, RECIPE_BATCH_BYTES, |read| {
            let ids: Vec<(ChunkId, ChunkId)> = read.iter().filter_map(|(old, _)| Some((*old, pairs.remove(old)?))).collect();
            let a: Recipes = read.iter().filter_map(|(id, bytes)| Some((*id, Piece::decode(bytes).ok()?))).collect();
            let b = read_recipes(mover.writer.reader(), other, ids.iter().map(|(_, new)| *new).collect())?;
            ids.iter().try_for_each(|(old, new)| match (a.get(old), b.get(new)) {
                (Some(a), Some(b)) => learn_recipe(mover, (old, a), (new, b)),
                _ => Ok(()),
            })
        })
    }

    fn exists(&self, chunk: &ChunkId) -> Result<bool> {
        Ok(self.mover.writer.exists(chunk).map_err(OpsError::within(self.mover.target))?.is_some())
    }

    /// The record that a chunk of either holds, if both can be read.
    fn both<T>(&mut self, old: &ChunkId, new: &ChunkId, decode: impl Fn(&[u8]) -> Option<T>) -> Result<Option<(T, T)>> {
        let [context, other] = &mut self.contexts;
        let a = unless_damaged(self.mover.source, self.mover.source.read(context, old))?;
        let Some(a) = a.and_then(|bytes| decode(&bytes)) else { return Ok(None) };
        let reader = self.mover.writer.reader();
        let b = unless_damaged(reader, reader.read(other, new))?;
        Ok(b.and_then(|bytes| decode(&bytes)).map(|b| (a, b)))
    }
}

/// The same chunks in the same order: one is called so, the other so.
fn learn_recipe(mover: &Mover<'_>, (old, a): (&ChunkId, &Piece), (new, b): (&ChunkId, &Piece)) -> Result<()> {
    let alike = |(a, b): (&NamedChunk, &NamedChunk)| (a.kind, a.len) == (b.kind, b.len);
    let (of_a, of_b): (Vec<NamedChunk>, Vec<NamedChunk>) = (a.chunks().collect(), b.chunks().collect());
    if (a.len(), of_a.len()) != (b.len(), of_b.len()) || !of_a.iter().zip(&of_b).all(alike) {
        return Ok(());
    }
    let there = |chunk: &ChunkId| mover.writer.exists(chunk).map_err(OpsError::within(mover.target));
    let mut whole = there(new)?.is_some();
    for (x, y) in of_a.iter().zip(&of_b).filter(|(x, _)| x.kind != ChunkKind::Run) {
        if there(&y.id)?.is_some() {
            mover.memo.prove(&x.id, y.id, Sums::default())?;
        } else {
            whole = false;
        }
    }
    if let (Piece::Blocks(a), Piece::Blocks(b)) = (a, b) {
        let mut context = ReadContext::new()?;
        for ((x, y), used) in a.runs.iter().zip(&b.runs).zip(b.used_entries()) {
            whole &= mover.writer.holds_entries(&mut context, &y.id, &used).map_err(OpsError::within(mover.target))?;
            learn_run(mover, &x.id, &y.id, a.copies == b.copies)?;
        }
    }
    let sums = Sums { bytes: a.len(), chunks: of_a.len() as u64, ..Sums::default() };
    if whole { mover.memo.prove(old, *new, sums) } else { Ok(()) }
}

/// One run is called so, the other so, if they are the same: a copy of sparse forms is not what the run was.
fn learn_run(mover: &Mover<'_>, old: &ChunkId, new: &ChunkId, alike: bool) -> Result<()> {
    let source = mover.source.index();
    let old_places = source.locate(old).map_err(OpsError::within(mover.source.repository()))?;
    let index = mover.writer.reader().index();
    let new_places = index.locate(new).map_err(OpsError::within(mover.target))?;
    match (old_places.first(), new_places.first()) {
        (Some(a), Some(b)) if alike && a.frame.entry.plain_len == b.frame.entry.plain_len => {
            // What the writer sees exists: its index begins with what stood there.
            let is_there = mover.writer.exists(new).map_err(OpsError::within(mover.target))?.is_some();
            if is_there { mover.memo.prove(old, *new, Sums::default()) } else { Ok(()) }
        }
        // It holds some of the entries, under the same positions.
        (Some(_), None) if alike => mover.memo.note_name(old, *new),
        _ => Ok(()),
    }
}

fn read_recipes(reader: &ChunkReader, context: &mut ReadContext, ids: Vec<ChunkId>) -> Result<Recipes> {
    let ids = reader.in_store_order(ids).map_err(OpsError::within(reader.repository()))?;
    let mut recipes = HashMap::new();
    let read = reader.read_each::<RepoError, _>(context, &ids, |position, _, bytes| {
        recipes.extend(ids.get(position).and_then(|id| Some((*id, Piece::decode(bytes).ok()?))));
        Ok(())
    });
    unless_damaged(reader, read)?;
    Ok(recipes)
}

fn unless_damaged<T>(reader: &ChunkReader, read: std::result::Result<T, RepoError>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(OpsError::within(reader.repository())(error)),
    }
}

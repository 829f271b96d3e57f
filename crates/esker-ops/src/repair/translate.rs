//! A backup that a second repository holds under other keys: the same tables, recipes and chunks, named otherwise.
//!
//! A copy with keys of its own has every chunk of the original, but ids are keyed, and tables and recipes name chunks by
//! their ids. From the chunks up everything can be named anew: a recipe with our ids in the place of theirs is our recipe.
//! Only what is lost is looked at; that it came out right shows in its id.

use std::collections::HashMap;

use esker_format::ChunkId;
use esker_format::engine::EngineRecord;
use esker_format::file_table::{FileRow, Node};
use esker_format::manifest::{HostRecord, Manifest};
use esker_format::recipe::{Operation, Piece};
use esker_format::seal::ChunkKind;
use esker_format::table::{TableRef, TableType, decode_piece, decode_single, encode_piece, encode_single};
use esker_format::table_recipe::{ChunkUse, RestPart};
use esker_repo::Repository;
use esker_repo::manifests::Backup;
use esker_repo::reader::{ChunkReader, ReadContext};

use super::sink::Sink;
use crate::error::Result;
use crate::job::Job;

/// Names what the second repository has with our ids.
pub(super) struct Translator<'a, 's, 'r> {
    pub(super) repository: &'a Repository,
    pub(super) ours: &'a ChunkReader,
    pub(super) theirs: &'a ChunkReader,
    pub(super) sink: &'s mut Sink<'r>,
    pub(super) job: &'a Job,
    pub(super) context: ReadContext,
    /// Their ids with ours; `None` for what cannot be read there.
    pub(super) known: HashMap<ChunkId, Option<ChunkId>>,
}

/// Whether two manifests may be of one backup: copied, or made over the same folders. What comes out right tells.
pub(super) fn is_same(ours: &Manifest, theirs: &Manifest) -> bool {
    (&ours.label, &ours.cluster) == (&theirs.label, &theirs.cluster)
}

impl Translator<'_, '_, '_> {
    /// Takes what our backup has lost from theirs.
    ///
    /// # Errors
    /// `Store`, `Cache`, `Cancelled`.
    pub(super) fn backup(&mut self, ours: &Backup, theirs: &Backup) -> Result<()> {
        for host in &ours.manifest.hosts {
            if let Some(other) = theirs.manifest.hosts.iter().find(|other| other.name == host.name) {
                self.host(host, other)?;
            }
        }
        Ok(())
    }

    fn host(&mut self, ours: &HostRecord, theirs: &HostRecord) -> Result<()> {
        self.rows(&ours.tree, &theirs.tree)?;
        for (our, their) in ours.engines.iter().zip(&theirs.engines) {
            if self.sink.wants(our) {
                self.engine(their)?;
                continue;
            }
            let our = read(self.ours, &mut self.context, our)?.and_then(|bytes| engine_of(&bytes));
            let (Some(our), Some(their)) = (our, self.their_engine(their)?) else { continue };
            self.rows(&our.files, &their.files)?;
            for (our, their) in our.replicas.pieces.iter().zip(&their.replicas.pieces) {
                if self.sink.wants(our) {
                    self.chunk(ChunkKind::Table, their)?;
                }
            }
        }
        Ok(())
    }

    /// Two tables of the same files.
    fn rows(&mut self, ours: &TableRef, theirs: &TableRef) -> Result<()> {
        for (our, their) in ours.pieces.iter().zip(&theirs.pieces) {
            self.job.cancel.check()?;
            if self.sink.wants(our) {
                self.piece_of_rows(their)?;
                continue;
            }
            let our = read(self.ours, &mut self.context, our)?.and_then(|bytes| decode_piece::<FileRow>(&bytes).ok());
            let their = read(self.theirs, &mut self.context, their)?.and_then(|bytes| decode_piece::<FileRow>(&bytes).ok());
            for (our, their) in our.into_iter().flatten().zip(their.into_iter().flatten()) {
                if let (Node::File(our), Node::File(their)) = (our.node, their.node) {
                    for (our, their) in our.recipe.iter().zip(&their.recipe) {
                        self.recipes(our, their)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn recipes(&mut self, our: &ChunkId, their: &ChunkId) -> Result<()> {
        if self.sink.wants(our) {
            self.recipe(their)?;
            return Ok(());
        }
        let Some(ours) = read(self.ours, &mut self.context, our)?.and_then(|bytes| Piece::decode(&bytes).ok()) else { return Ok(()) };
        let lost: Vec<bool> = ours.chunks().map(|chunk| self.sink.wants(&chunk.id)).collect();
        if !lost.contains(&true) {
            return Ok(());
        }
        let Some(theirs) = read(self.theirs, &mut self.context, their)?.and_then(|bytes| Piece::decode(&bytes).ok()) else { return Ok(()) };
        let wanted: Vec<_> = theirs.chunks().zip(lost).filter(|(_, lost)| *lost).map(|(chunk, _)| chunk).collect();
        for chunk in wanted {
            self.chunk(chunk.kind, &chunk.id)?;
        }
        Ok(())
    }

    /// Our id of a chunk that names no other.
    fn chunk(&mut self, kind: ChunkKind, their: &ChunkId) -> Result<Option<ChunkId>> {
        if let Some(known) = self.known.get(their) {
            return Ok(*known);
        }
        self.job.cancel.check()?;
        let plain = read(self.theirs, &mut self.context, their)?;
        self.named(kind, their, plain)
    }

    fn named(&mut self, kind: ChunkKind, their: &ChunkId, plain: Option<Vec<u8>>) -> Result<Option<ChunkId>> {
        let mut ours = None;
        if let Some(plain) = plain {
            self.sink.give(kind, &plain)?;
            ours = Some(self.repository.sealing().chunk_id(kind, &plain));
        }
        self.known.insert(*their, ours);
        Ok(ours)
    }

    fn recipe(&mut self, their: &ChunkId) -> Result<Option<ChunkId>> {
        if let Some(known) = self.known.get(their) {
            return Ok(*known);
        }
        let piece = read(self.theirs, &mut self.context, their)?.and_then(|bytes| Piece::decode(&bytes).ok());
        let named = match piece {
            Some(mut piece) => match self.rename(&mut piece)? {
                true => piece.encode().ok(),
                false => None,
            },
            None => None,
        };
        self.named(ChunkKind::Table, their, named)
    }

    /// Puts our ids in the place of theirs; whether all are known.
    fn rename(&mut self, piece: &mut Piece) -> Result<bool> {
        let mut all = true;
        let bytes = |this: &mut Self, chunks: &mut dyn Iterator<Item = &mut ChunkUse>| -> Result<bool> {
            for chunk in chunks {
                let Some(ours) = this.chunk(ChunkKind::Bytes, &chunk.id)? else { return Ok(false) };
                chunk.id = ours;
            }
            Ok(true)
        };
        match piece {
            Piece::Bytes(piece) => {
                for operation in &mut piece.operations {
                    if let Operation::Chunk { id, .. } = operation {
                        let Some(ours) = self.chunk(ChunkKind::Bytes, id)? else { return Ok(false) };
                        *id = ours;
                    }
                }
            }
            Piece::Blocks(piece) => {
                for run in &mut piece.runs {
                    let Some(ours) = self.chunk(ChunkKind::Run, &run.id)? else { return Ok(false) };
                    run.id = ours;
                }
                all &= bytes(self, &mut piece.kept.iter_mut())? && bytes(self, &mut piece.dictionary.iter_mut())?;
            }
            Piece::Rest(piece) => {
                let mut chunks = piece.parts.iter_mut().filter_map(|part| match part {
                    RestPart::Chunk(chunk) => Some(chunk),
                    _ => None,
                });
                all &= bytes(self, &mut chunks)?;
            }
        }
        Ok(all)
    }

    fn piece_of_rows(&mut self, their: &ChunkId) -> Result<Option<ChunkId>> {
        if let Some(known) = self.known.get(their) {
            return Ok(*known);
        }
        let rows = read(self.theirs, &mut self.context, their)?.and_then(|bytes| decode_piece::<FileRow>(&bytes).ok());
        let Some(mut rows) = rows else { return self.named(ChunkKind::Table, their, None) };
        let mut all = true;
        for row in &mut rows {
            let Node::File(content) = &mut row.node else { continue };
            for id in &mut content.recipe {
                match self.recipe(id)? {
                    Some(ours) => *id = ours,
                    None => all = false,
                }
            }
        }
        let named = if all { encode_piece(&rows).ok() } else { None };
        self.named(ChunkKind::Table, their, named)
    }

    fn their_engine(&mut self, their: &ChunkId) -> Result<Option<EngineRecord>> {
        Ok(read(self.theirs, &mut self.context, their)?.and_then(|bytes| engine_of(&bytes)))
    }

    fn engine(&mut self, their: &ChunkId) -> Result<()> {
        let Some(mut engine) = self.their_engine(their)? else { return Ok(()) };
        let mut all = true;
        for id in &mut engine.files.pieces {
            match self.piece_of_rows(id)? {
                Some(ours) => *id = ours,
                None => all = false,
            }
        }
        for id in &mut engine.replicas.pieces {
            match self.chunk(ChunkKind::Table, id)? {
                Some(ours) => *id = ours,
                None => all = false,
            }
        }
        let named = if all { encode_single(TableType::Engine, &engine).ok() } else { None };
        self.named(ChunkKind::Table, their, named)?;
        Ok(())
    }
}

fn engine_of(bytes: &[u8]) -> Option<EngineRecord> {
    decode_single(TableType::Engine, bytes).ok()
}

/// The bytes of a chunk; `None` if it is lost or damaged.
fn read(reader: &ChunkReader, context: &mut ReadContext, id: &ChunkId) -> Result<Option<Vec<u8>>> {
    match reader.read(context, id) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

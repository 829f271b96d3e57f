//! Writing needed chunks again that stand in packs which are to go, into packs of this prune's own session.
//!
//! A chunk is decrypted, checked against its id and sealed again as it was compressed.

use std::sync::Arc;

use esker_format::formats;
use esker_format::index_segment::IndexedPack;
use esker_format::layout::{PackKind, PackName};
use esker_format::pack::{BuiltPack, Frame, PackBuilder, pack_kind_of};
use esker_format::{ChunkId, SessionId};

use super::mark::{Lack, Marker};
use super::segments::publish;
use crate::environment::random;
use crate::error::{RepoError, Result};
use crate::index::{Location, PackEntry, SharedIndex};
use crate::reader::{ChunkReader, ReadContext};
use crate::repository::Repository;

/// Frames after which a pack is closed whatever its size.
const PACK_FRAMES: usize = 4096;

/// Writes chunks again.
pub(super) struct Rescue {
    repository: Arc<Repository>,
    reader: Arc<ChunkReader>,
    index: SharedIndex,
    context: ReadContext,
    session: SessionId,
    format: u16,
    open: [Option<PackBuilder>; 2],
    written: Vec<IndexedPack>,
    /// Chunks written.
    pub(super) chunks: u64,
}

impl Rescue {
    /// Packs of this session, read as the marker reads.
    ///
    /// # Errors
    /// `Object` if zstd cannot be set up.
    pub(super) fn begin(repository: &Arc<Repository>, marker: &Marker, session: SessionId) -> Result<Self> {
        Ok(Self {
            repository: Arc::clone(repository),
            reader: marker.reader(),
            index: marker.index(),
            context: ReadContext::new()?,
            session,
            // What is copied is of no kind that no pack has.
            format: marker.marks.packs().map(|pack| pack.entry.format).max().unwrap_or(formats::FIRST),
            open: [None, None],
            written: Vec::new(),
            chunks: 0,
        })
    }

    /// Copies a chunk from wherever it is whole.
    ///
    /// # Errors
    /// `PruneStopped` if it is whole nowhere and a valid backup needs it; `Cold`, `Store`.
    pub(super) fn chunk(&mut self, chunk: &ChunkId, lack: Lack) -> Result<()> {
        let mut fault = RepoError::ChunkLost { chunk: *chunk, why: "no pack in the store holds it".into() };
        for place in self.index.locate(chunk)? {
            let mut whole = None;
            self.reader.bodies_at(&self.index, &mut self.context, &[place], |_, body| {
                match body {
                    Ok(body) => whole = Some(body),
                    Err(error) => fault = error,
                }
                Ok(())
            })?;
            if let Some(body) = whole {
                return self.add(&place.frame, body);
            }
        }
        match (lack, fault) {
            (_, fault @ RepoError::Cold { .. }) => Err(fault),
            (Lack::IsPassed, _) => Ok(()),
            (Lack::Stops, fault) => Err(RepoError::PruneStopped(format!("{fault}; run esker fsck"))),
        }
    }

    /// Copies frames of one pack, in their order. `false` if one of them is not whole: the pack must then stay.
    ///
    /// # Errors
    /// `Store`.
    pub(super) fn frames(&mut self, pack: &PackEntry, frames: &[Frame]) -> Result<bool> {
        let places: Vec<Location> = frames.iter().map(|frame| Location { pack: pack.number, frame: *frame }).collect();
        let (reader, index, mut context) = (Arc::clone(&self.reader), Arc::clone(&self.index), ReadContext::new()?);
        let mut are_whole = true;
        reader.bodies_at(&index, &mut context, &places, |number, body| match (frames.get(number), body) {
            (Some(frame), Ok(body)) => self.add(frame, body),
            _ => {
                are_whole = false;
                Ok(())
            }
        })?;
        Ok(are_whole)
    }

    /// Makes all of it durable and indexed; gives the packs.
    ///
    /// # Errors
    /// `Store`.
    pub(super) fn finish(mut self) -> Result<Vec<IndexedPack>> {
        for pack in std::mem::take(&mut self.open).into_iter().flatten() {
            self.send(pack.finish().map_err(RepoError::object("pack"))?)?;
        }
        publish(&self.repository, self.written.clone())?;
        Ok(self.written)
    }

    fn add(&mut self, frame: &Frame, body: Vec<u8>) -> Result<()> {
        let damaged = |source| RepoError::Object { path: format!("chunk {}", frame.entry.chunk), source };
        let kind = pack_kind_of(frame.entry.kind);
        let config = &self.repository.config;
        let [data, meta] = &mut self.open;
        let slot = if kind == PackKind::Data { data } else { meta };
        let mut pack = match slot.take() {
            Some(pack) => pack,
            None => {
                let salt = random(self.repository.environment())?;
                PackBuilder::new(&self.repository.sealing, kind, self.format, salt).map_err(damaged)?
            }
        };
        pack.add(frame.entry.chunk, frame.entry.kind, frame.entry.codec, frame.entry.plain_len, body).map_err(damaged)?;
        self.chunks += 1;
        if pack.len() < config.pack_target as usize && pack.frames() < PACK_FRAMES {
            *slot = Some(pack);
            return Ok(());
        }
        self.send(pack.finish().map_err(damaged)?)
    }

    fn send(&mut self, pack: BuiltPack) -> Result<()> {
        let name = PackName { kind: pack.kind, session: self.session, id: pack.id };
        pack.verify(&self.repository.sealing).map_err(RepoError::object(name.path()))?;
        self.repository.store.put(&name.path(), pack.bytes)?;
        self.written.push(IndexedPack { name, table: pack.table });
        Ok(())
    }
}

//! Writing needed chunks again that stand in packs which are to go, into packs of this prune's own session.
//!
//! A chunk is decrypted, checked against its id and sealed again as it was compressed. A run of which backups need only some
//! entries becomes a sparse form with these, compared with the run entry by entry before it is sent.

use std::sync::Arc;

use esker_format::entry_set::EntrySet;
use esker_format::formats;
use esker_format::index_segment::IndexedPack;
use esker_format::layout::{PackKind, PackName};
use esker_format::pack::{BuiltPack, FormOf, Frame, FrameDecoder, FrameEncoder, FrameEntry, PackBuilder, pack_kind_of};
use esker_format::run::Run;
use esker_format::seal::ChunkKind;
use esker_format::sparse_run::{self, decode_any};
use esker_format::{ChunkId, SessionId};

use super::mark::{Lack, Marker};
use super::segments::publish;
use super::uses::Use;
use crate::environment::random;
use crate::error::{RepoError, Result};
use crate::index::{Location, PackEntry, SharedIndex};
use crate::reader::{ChunkReader, ReadContext};
use crate::repository::Repository;
use crate::writer::RUN_LEVEL;

/// Frames after which a pack is closed whatever its size.
const PACK_FRAMES: usize = 4096;

/// Writes chunks again.
pub(super) struct Rescue {
    repository: Arc<Repository>,
    reader: Arc<ChunkReader>,
    index: SharedIndex,
    context: ReadContext,
    session: SessionId,
    /// Formats of its data and metadata packs.
    formats: [u16; 2],
    encoder: FrameEncoder,
    decoder: FrameDecoder,
    open: [Option<PackBuilder>; 2],
    written: Vec<IndexedPack>,
    /// Chunks written.
    pub(super) chunks: u64,
    /// Sparse forms among them.
    pub(super) forms: u64,
}

impl Rescue {
    /// Packs of this session, read as the marker reads; `makes_forms` if sparse forms may come.
    ///
    /// # Errors
    /// `Object` if zstd cannot be set up.
    pub(super) fn begin(repository: &Arc<Repository>, marker: &Marker, session: SessionId, makes_forms: bool) -> Result<Self> {
        // What is copied is of no kind that no pack has.
        let newest = |kind: PackKind| {
            let formats = marker.marks.packs().filter(|pack| pack.name().kind == kind).map(|pack| pack.entry.format);
            formats.filter(|format| *format <= formats::newest(kind.object_kind())).max().unwrap_or(formats::FIRST)
        };
        let data = newest(PackKind::Data).max(if makes_forms { formats::SPARSE_RUNS } else { formats::FIRST });
        Ok(Self {
            repository: Arc::clone(repository),
            reader: marker.reader(),
            index: marker.index(),
            context: ReadContext::new()?,
            session,
            formats: [data, newest(PackKind::Meta)],
            encoder: FrameEncoder::new(RUN_LEVEL).map_err(RepoError::object("zstd"))?,
            decoder: FrameDecoder::new().map_err(RepoError::object("zstd"))?,
            open: [None, None],
            written: Vec::new(),
            chunks: 0,
            forms: 0,
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

    /// Writes a form with these entries of a run, from wherever they can be read.
    ///
    /// # Errors
    /// `PruneStopped` if not all can be and a valid backup needs them; `Cold`, `Store`.
    pub(super) fn run(&mut self, run: &ChunkId, needed: &Use) -> Result<()> {
        let reader = Arc::clone(&self.reader);
        let damaged = RepoError::object(format!("run {run}"));
        let read = reader.read(&mut self.context, run).and_then(|bytes| decode_any(Run::default(), run, &bytes).map_err(damaged));
        let lacks = |held: &Run| !needed.firm.without(&held.held()).is_empty();
        let fault = match read {
            Ok(held) if !lacks(&held) => {
                let form = held.keep(&needed.entries);
                return if form.is_empty() { Ok(()) } else { self.add_form(run, &held, &form).map(drop) };
            }
            Ok(_) => format!("run {run}: entries that a backup needs stand in none of its forms"),
            Err(error) if error.is_damage() && needed.firm.is_empty() => return Ok(()),
            Err(error) if error.is_damage() => error.to_string(),
            Err(error) => return Err(error),
        };
        Err(RepoError::PruneStopped(format!("{fault}; run esker fsck")))
    }

    /// Copies frames of one pack, in their order, those with entries beside them as forms with these. `false` if one of
    /// them is not whole: the pack must then stay.
    ///
    /// # Errors
    /// `Store`.
    pub(super) fn frames(&mut self, pack: &PackEntry, frames: &[(Frame, Option<EntrySet>)]) -> Result<bool> {
        let places: Vec<Location> = frames.iter().map(|(frame, _)| Location { pack: pack.number, frame: *frame }).collect();
        let (reader, index, mut context) = (Arc::clone(&self.reader), Arc::clone(&self.index), ReadContext::new()?);
        let mut are_whole = true;
        reader.bodies_at(&index, &mut context, &places, |number, body| match (frames.get(number), body) {
            (Some((frame, Some(entries))), Ok(body)) => self.add_sparse(frame, body, entries),
            (Some((frame, None)), Ok(body)) => self.add(frame, body),
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

    /// Adds these entries of a run, or of a form of it; what would not be smaller is copied as it is.
    fn add_sparse(&mut self, frame: &Frame, body: Vec<u8>, entries: &EntrySet) -> Result<()> {
        let run = frame.entry.stands_for();
        let damaged = |source| RepoError::Object { path: format!("run {run}"), source };
        let plain = self.decoder.decode(frame.entry.codec, &body, frame.entry.plain_len as usize).map_err(damaged)?;
        let held = decode_any(Run::default(), &run, plain).map_err(damaged)?;
        let form = held.keep(entries);
        let is_smaller = !form.is_empty() && form.len() < held.len();
        if is_smaller { self.add_form(&run, &held, &form) } else { self.add(frame, body) }
    }

    /// Adds a form that was made of `held`.
    fn add_form(&mut self, run: &ChunkId, held: &Run, form: &Run) -> Result<()> {
        let damaged = |source| RepoError::Object { path: format!("run {run}"), source };
        let bytes = sparse_run::encode(run, form).map_err(damaged)?;
        if !is_part_of(&sparse_run::decode(run, &bytes).map_err(damaged)?, held) {
            return Err(RepoError::Internal(format!("a sparse form of run {run} has other entries than the run")));
        }
        let kind = ChunkKind::SparseRun;
        let (codec, body) = self.encoder.encode(&bytes).map_err(damaged)?;
        let plain_len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let of = FormOf { run: *run, entries: u32::try_from(form.len()).unwrap_or(u32::MAX) };
        let chunk = self.repository.sealing.chunk_id(kind, &bytes);
        self.forms += 1;
        self.push(FrameEntry { chunk, kind, codec, stored_len: 0, plain_len, form: Some(of) }, body)
    }

    fn add(&mut self, frame: &Frame, body: Vec<u8>) -> Result<()> {
        self.push(frame.entry, body)
    }

    fn push(&mut self, entry: FrameEntry, body: Vec<u8>) -> Result<()> {
        let damaged = |source| RepoError::Object { path: format!("chunk {}", entry.chunk), source };
        let kind = pack_kind_of(entry.kind);
        let config = &self.repository.config;
        let ([data, meta], [data_format, meta_format]) = (&mut self.open, self.formats);
        let (slot, format) = if kind == PackKind::Data { (data, data_format) } else { (meta, meta_format) };
        let mut pack = match slot.take() {
            Some(pack) => pack,
            None => {
                let salt = random(self.repository.environment())?;
                PackBuilder::new(&self.repository.sealing, kind, format, salt).map_err(damaged)?
            }
        };
        pack.push(entry, body).map_err(damaged)?;
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

/// Whether each entry of a form is that of the run, or form of it, that it was made of.
fn is_part_of(form: &Run, held: &Run) -> bool {
    let is_same = |position: usize| {
        let Some(home) = held.positions(form.number(position), 1).map(|home| home.start) else { return false };
        let parts = |run: &Run, at: usize| (run.key(at).to_vec(), run.trailer(at), run.timestamp(at).to_vec());
        parts(form, position) == parts(held, home) && form.value(position) == held.value(home)
    };
    (0..form.len()).all(is_same)
}

#[cfg(test)]
mod tests {
    use esker_format::run::KeyOrder;

    use super::*;

    /// Three entries of which the last has this value.
    fn run(last: &[u8]) -> Run {
        let mut run = Run::new(KeyOrder::Ascending, 0);
        for (key, value) in [(&b"a"[..], &b"1"[..]), (b"b", b"2"), (b"c", last)] {
            run.push(key, value, 7, b"");
        }
        run
    }

    fn set(entries: &[u32]) -> EntrySet {
        let mut set = EntrySet::default();
        entries.iter().for_each(|entry| set.insert(*entry, 1));
        set
    }

    #[test]
    fn a_form_is_part_of_its_run_if_every_entry_of_it_is() {
        let (held, other) = (run(b"3"), run(b"4"));
        assert!(is_part_of(&held.keep(&set(&[0, 2])), &held));
        assert!(is_part_of(&other.keep(&set(&[0, 1])), &held), "the entry that differs is not kept");
        assert!(!is_part_of(&other.keep(&set(&[0, 2])), &held), "another value");
        assert!(!is_part_of(&held.keep(&set(&[0, 2])), &held.keep(&set(&[0, 1]))), "an entry that was not there");
    }
}

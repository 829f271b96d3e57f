//! Building a pack in memory, and opening it again before it is sent.

use super::frame::check_kind;
use super::table::{TABLE, table_aad};
use super::{Codec, Frame, FrameDecoder, FrameEntry, FrameOpener, FrameTable, Tail, slice_of};
use crate::error::{FormatError, Result};
use crate::formats;
use crate::ids::{ChunkId, ObjectId};
use crate::layout::PackKind;
use crate::limits::{CHUNK_PLAIN_MAX, FRAME_OVERHEAD_MAX, PACK_FRAMES_MAX, PACK_MAX};
use crate::seal::{ChunkKind, SALT_LEN, Sealing, TAG_LEN};
use crate::wire::Writer;

/// Builds one pack in memory.
pub struct PackBuilder {
    kind: PackKind,
    opener: FrameOpener,
    bytes: Vec<u8>,
    table: FrameTable,
    /// The newest frame waits unsealed until it is known whether it is the last.
    waiting: Option<(Frame, Vec<u8>)>,
}

/// A pack that is complete.
pub struct BuiltPack {
    /// The hash of its bytes.
    pub id: ObjectId,
    /// Data or metadata.
    pub kind: PackKind,
    /// Its frame table.
    pub table: FrameTable,
    /// The whole object.
    pub bytes: Vec<u8>,
}

impl PackBuilder {
    /// An empty pack of this format with a salt drawn for it.
    ///
    /// # Errors
    /// `BadValue` or `TooNew` for a format that such packs do not have; `Codec` if the cipher refuses the key.
    pub fn new(sealing: &Sealing, kind: PackKind, format: u16, salt: [u8; SALT_LEN]) -> Result<Self> {
        formats::check(kind.object_kind(), format)?;
        let opener = FrameOpener::new(sealing, kind, format, salt)?;
        let mut head = Writer::default();
        opener.head.write(&mut head);
        let table = FrameTable { format, salt, frames: Vec::new() };
        Ok(Self { kind, opener, bytes: head.into_bytes(), table, waiting: None })
    }

    /// Makes room for a pack of this many bytes at once: a buffer that grows step by step leaves holes in the heap.
    #[must_use]
    pub fn with_room(mut self, bytes: usize) -> Self {
        self.bytes.reserve_exact(bytes);
        self
    }

    /// Appends a chunk that `FrameEncoder` compressed to `body`.
    ///
    /// # Errors
    /// `OverLimit` if the chunk is or the pack would grow over the format's limits; `BadValue` for a chunk of a kind
    /// that packs of its kind and format do not hold.
    pub fn add(&mut self, chunk: ChunkId, kind: ChunkKind, codec: Codec, plain_len: u32, body: Vec<u8>) -> Result<()> {
        self.push(FrameEntry { chunk, kind, codec, stored_len: 0, plain_len, form: None }, body)
    }

    /// Appends a chunk as `add` does, sparse forms as well; the entry's stored length is that of `body`, whatever it says.
    ///
    /// # Errors
    /// As `add`; `BadValue` for a form that does not say of what, or another chunk that does.
    pub fn push(&mut self, entry: FrameEntry, body: Vec<u8>) -> Result<()> {
        let FrameEntry { kind, plain_len, form, .. } = entry;
        if form.is_some() != (kind == ChunkKind::SparseRun) {
            return Err(FormatError::BadValue { field: "form", found: format!("{form:?} of a chunk of kind {kind:?}") });
        }
        let stored_len = body.len() + TAG_LEN;
        let after = (self.len() + stored_len) as u64;
        let over = |field, found, limit| Err(FormatError::OverLimit { field, found, limit });
        if after > PACK_MAX / 2 {
            return over("pack", after, PACK_MAX / 2);
        }
        if plain_len as usize > CHUNK_PLAIN_MAX || body.len() > CHUNK_PLAIN_MAX + FRAME_OVERHEAD_MAX - TAG_LEN {
            return over("chunk", u64::from(plain_len).max(body.len() as u64), CHUNK_PLAIN_MAX as u64);
        }
        check_kind(self.kind, self.table.format, kind)?;
        if self.table.frames.len() >= PACK_FRAMES_MAX {
            return over("frame count", self.table.frames.len() as u64 + 1, PACK_FRAMES_MAX as u64);
        }
        self.flush(false)?;
        let stored_len = u32::try_from(stored_len).unwrap_or(u32::MAX);
        let entry = FrameEntry { stored_len, ..entry };
        let number = u32::try_from(self.table.frames.len()).unwrap_or(u32::MAX);
        let offset = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.table.frames.push(entry);
        self.waiting = Some((Frame { entry, number, offset, last: false }, body));
        Ok(())
    }

    /// Bytes so far, without the table.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.waiting.as_ref().map_or(0, |(_, body)| body.len() + TAG_LEN)
    }

    /// Frames so far.
    pub fn frames(&self) -> usize {
        self.table.frames.len()
    }

    /// Whether no chunk was added.
    pub fn is_empty(&self) -> bool {
        self.table.frames.is_empty()
    }

    /// Seals the last frame and the table and names the pack.
    ///
    /// # Errors
    /// `Codec`.
    pub fn finish(mut self) -> Result<BuiltPack> {
        self.flush(true)?;
        let mut sealed = self.table.table_bytes();
        let tail = Tail {
            table_len: u32::try_from(sealed.len() + TAG_LEN).unwrap_or(u32::MAX),
            frames: u32::try_from(self.table.frames.len()).unwrap_or(u32::MAX),
        };
        self.opener.sealer.seal(TABLE, &table_aad(&self.opener.head, &tail), &mut sealed)?;
        let mut end = Writer::default();
        end.raw(&sealed);
        tail.write(&mut end);
        self.bytes.extend_from_slice(&end.into_bytes());
        Ok(BuiltPack { id: ObjectId::of(&self.bytes), kind: self.kind, table: self.table, bytes: self.bytes })
    }

    fn flush(&mut self, last: bool) -> Result<()> {
        if let Some((frame, mut body)) = self.waiting.take() {
            let frame = Frame { last, ..frame };
            self.opener.sealer.seal(frame.part(), &frame.aad(&self.opener.head), &mut body)?;
            self.bytes.extend_from_slice(&body);
        }
        Ok(())
    }
}

impl BuiltPack {
    /// Opens every frame again from the very bytes that will be uploaded.
    ///
    /// # Errors
    /// Whatever does not come back as it went in.
    pub fn verify(&self, sealing: &Sealing) -> Result<()> {
        let table = FrameTable::of_pack(sealing, self.kind, &self.bytes)?;
        let opener = FrameOpener::new(sealing, self.kind, table.format, table.salt)?;
        let mut decoder = FrameDecoder::new()?;
        for frame in table.frames() {
            opener.open(sealing, &frame, &mut slice_of(&self.bytes, &frame)?.to_vec(), &mut decoder)?;
        }
        if table == self.table { Ok(()) } else { Err(FormatError::Damaged { what: "pack" }) }
    }
}

//! One frame: what the table says of it, where it stands, and what is authenticated with it.

use super::Codec;
use crate::error::{FormatError, Result};
use crate::formats;
use crate::ids::ChunkId;
use crate::layout::PackKind;
use crate::limits::{CHUNK_PLAIN_MAX, FRAME_OVERHEAD_MAX, PACK_FRAMES_MAX, RUN_ENTRIES_MAX};
use crate::seal::{ChunkKind, Part, SALT_LEN, Sealing, TAG_LEN};
use crate::sealed_object::{read_header, write_header};
use crate::wire::{Reader, Record, Writer};

const FRAME_ENTRY_MIN: usize = 36;

/// What the frame table says of one frame. Offsets follow from the lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameEntry {
    /// The chunk it holds.
    pub chunk: ChunkId,
    /// What the chunk holds.
    pub kind: ChunkKind,
    /// How it is compressed.
    pub codec: Codec,
    /// Its bytes in the pack, the tag included.
    pub stored_len: u32,
    /// The chunk's plain bytes.
    pub plain_len: u32,
    /// Of a sparse form, what it is a form of.
    pub form: Option<FormOf>,
}

/// What a sparse form has of which run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormOf {
    /// The run.
    pub run: ChunkId,
    /// How many of its entries.
    pub entries: u32,
}

impl FrameEntry {
    /// The chunk that recipes name if they mean this one: of a form its run.
    pub fn stands_for(&self) -> ChunkId {
        self.form.map_or(self.chunk, |form| form.run)
    }
}

impl Record for FrameEntry {
    const NAME: &'static str = "frame entry";

    fn write(&self, out: &mut Writer) {
        out.u8(self.kind as u8);
        out.u8(self.codec as u8);
        out.raw(&self.chunk.0);
        out.varint(u64::from(self.stored_len));
        out.varint(u64::from(self.plain_len));
        if let Some(FormOf { run, entries }) = self.form {
            out.raw(&run.0);
            out.varint(u64::from(entries));
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let kind = ChunkKind::from_u8(input.u8("chunk kind")?)?;
        let codec = Codec::from_u8(input.u8("codec")?)?;
        let chunk = ChunkId(input.array("chunk id")?);
        let stored_len = length(input, "stored length", CHUNK_PLAIN_MAX + FRAME_OVERHEAD_MAX)?;
        if (stored_len as usize) < TAG_LEN {
            return Err(FormatError::BadValue { field: "stored length", found: stored_len.to_string() });
        }
        let plain_len = length(input, "plain length", CHUNK_PLAIN_MAX)?;
        let form = if kind == ChunkKind::SparseRun { Some(FormOf::read(input)?) } else { None };
        Ok(Self { chunk, kind, codec, stored_len, plain_len, form })
    }
}

impl FormOf {
    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let run = ChunkId(input.array("run")?);
        match length(input, "entries of a form", RUN_ENTRIES_MAX)? {
            0 => Err(FormatError::BadValue { field: "entries of a form", found: "0".into() }),
            entries => Ok(Self { run, entries }),
        }
    }
}

fn length(input: &mut Reader<'_>, field: &'static str, limit: usize) -> Result<u32> {
    let found = input.varint_max(field, limit as u64)?;
    u32::try_from(found).map_err(|_| FormatError::OverLimit { field, found, limit: limit as u64 })
}

/// Where a frame stands and all that opening it needs, apart from the pack's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// What the table says of it.
    pub entry: FrameEntry,
    /// Its number in the pack, from 0.
    pub number: u32,
    /// Where it starts, in bytes from the start of the pack.
    pub offset: u32,
    /// Whether it is the pack's last.
    pub last: bool,
}

impl Frame {
    pub(super) fn aad(&self, head: &PackHead) -> Vec<u8> {
        let mut out = Writer::default();
        head.write(&mut out);
        out.u32(self.number);
        out.u8(self.entry.kind as u8);
        out.u8(self.entry.codec as u8);
        out.u32(self.entry.stored_len);
        out.u32(self.entry.plain_len);
        out.u8(u8::from(self.last));
        out.into_bytes()
    }

    pub(super) fn part(&self) -> Part {
        Part { number: u64::from(self.number), role: 0 }
    }
}

/// The first bytes of a pack: everything in it is authenticated together with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackHead {
    /// Data or metadata.
    pub kind: PackKind,
    /// The format it was written in.
    pub format: u16,
    /// How it is sealed, as `Sealing::mode`.
    pub mode: u8,
    /// The salt that its key is derived with.
    pub salt: [u8; SALT_LEN],
}

impl PackHead {
    pub(super) fn write(&self, out: &mut Writer) {
        write_header(out, self.kind.object_kind(), self.format);
        out.u8(self.mode);
        out.raw(&self.salt);
    }

    /// Reads the first `HEAD_LEN` bytes of a pack, before anything else of it.
    ///
    /// # Errors
    /// `WrongKind`, `TooNew`, `WrongMode`, `CutShort`.
    pub fn decode(head: &[u8], kind: PackKind, sealing: &Sealing) -> Result<Self> {
        let mut input = Reader::new(head);
        let format = read_header(&mut input, kind.object_kind())?;
        let mode = input.u8("mode")?;
        if mode != sealing.mode() {
            let (found, expected) = (Sealing::mode_name(mode), Sealing::mode_name(sealing.mode()));
            return Err(FormatError::WrongMode { what: kind.object_kind().name(), found, expected });
        }
        Ok(Self { kind, format, mode, salt: input.array("salt")? })
    }
}

/// Reads a list of frame entries, at most as many as a pack may have.
pub(crate) fn read_frames(input: &mut Reader<'_>) -> Result<Vec<FrameEntry>> {
    input.list_max("frames", PACK_FRAMES_MAX as u64, FRAME_ENTRY_MIN, FrameEntry::read)
}

/// Every chunk is of a kind that packs of this kind and format hold.
pub(crate) fn check_kinds(pack: PackKind, format: u16, frames: &[FrameEntry]) -> Result<()> {
    frames.iter().try_for_each(|frame| check_kind(pack, format, frame.kind))
}

/// Data packs hold bytes, from their second format on runs, from the third on forms of them; metadata packs hold tables.
pub(super) fn check_kind(pack: PackKind, format: u16, chunk: ChunkKind) -> Result<()> {
    if pack_kind_of(chunk) == pack && format >= format_of(chunk) {
        return Ok(());
    }
    Err(FormatError::BadValue { field: "chunk kind", found: format!("{chunk:?} in a {pack:?} pack of format {format}") })
}

/// The first format of packs and index segments that knows such chunks.
fn format_of(chunk: ChunkKind) -> u16 {
    match chunk {
        ChunkKind::Bytes | ChunkKind::Table => formats::FIRST,
        ChunkKind::Run => formats::SORTED_RUNS,
        ChunkKind::SparseRun => formats::SPARSE_RUNS,
    }
}

/// The kind of pack that a chunk belongs in.
pub fn pack_kind_of(chunk: ChunkKind) -> PackKind {
    match chunk {
        ChunkKind::Bytes | ChunkKind::Run | ChunkKind::SparseRun => PackKind::Data,
        ChunkKind::Table => PackKind::Meta,
    }
}

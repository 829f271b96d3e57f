//! Rows of the local index. They are this version's own: a cache of another version does not open, and is made anew.

use esker_format::index_segment::IndexedPack;
use esker_format::layout::{PackKind, PackName};
use esker_format::pack::{Codec, FormOf, Frame, FrameEntry};
use esker_format::seal::ChunkKind;
use esker_format::wire::{Reader, Writer};
use esker_format::{ChunkId, FormatError, ObjectId, SessionId};

use super::{Location, PackEntry};

/// Chunk id: every place where it stands, oldest pack first.
pub(super) const CHUNK: u8 = 1;
/// Pack number: the pack.
pub(super) const PACK: u8 = 2;
/// Pack id: its number.
pub(super) const PACK_NUMBER: u8 = 3;
/// Id of a segment or unindexed pack that is in here.
pub(super) const SOURCE: u8 = 4;
/// Id of a segment that one of these stands for.
pub(super) const REPLACED: u8 = 5;

/// Pack number and a group of its frames: the frames, one after another.
pub(super) const FRAMES: u8 = 6;
/// Chunk id: it stands at several places, or as a sparse form.
pub(super) const SEVERAL: u8 = 7;

/// Frames of a group: what is read along when chunks beside each other are looked up.
pub(super) const GROUP_FRAMES: u32 = 64;

pub(super) fn pack_number(key: &[u8]) -> Option<u32> {
    key.last_chunk().map(|number| u32::from_be_bytes(*number))
}

pub(super) fn encode_pack(pack: &IndexedPack) -> Vec<u8> {
    let mut out = Writer::default();
    out.u8(pack.name.kind as u8);
    out.raw(&pack.name.session.0);
    out.raw(&pack.name.id.0);
    out.u16(pack.table.format);
    out.raw(&pack.table.salt);
    out.u32(u32::try_from(pack.table.frames.len()).unwrap_or(u32::MAX));
    out.u64(pack.table.bytes());
    out.into_bytes()
}

pub(super) fn decode_pack(number: u32, row: &[u8]) -> std::result::Result<PackEntry, FormatError> {
    let mut input = Reader::new(row);
    let kind = PackKind::from_u8(input.u8("kind")?)?;
    let session = SessionId(input.array("session")?);
    let id = ObjectId(input.array("id")?);
    let format = input.u16("format")?;
    let salt = input.array("salt")?;
    let frames = input.u32("frames")?;
    Ok(PackEntry { name: PackName { kind, session, id }, format, salt, number, frames, bytes: input.u64("bytes")? })
}

/// The key of a chunk's row.
pub(super) fn chunk_key(chunk: &ChunkId) -> Vec<u8> {
    [&[CHUNK][..], &chunk.0].concat()
}

/// Bytes of a place in a chunk's row where it stands whole; the place of a sparse form takes more.
pub(super) const PLACE_BYTES: usize = 23;

/// A place in a chunk's row; that of a sparse form stands in the row of its run.
pub(super) fn encode_place(pack: u32, frame: &Frame) -> Vec<u8> {
    let mut out = Writer::default();
    out.u32(pack);
    out.u8(frame.entry.kind as u8);
    out.u8(frame.entry.codec as u8);
    out.u8(u8::from(frame.last));
    out.u32(frame.entry.stored_len);
    out.u32(frame.entry.plain_len);
    out.u32(frame.number);
    out.u32(frame.offset);
    if let Some(FormOf { run: _, entries }) = frame.entry.form {
        out.raw(&frame.entry.chunk.0);
        out.u32(entries);
    }
    out.into_bytes()
}

/// The key of a group of frames.
pub(super) fn frames_key(pack: u32, group: u32) -> Vec<u8> {
    [&[FRAMES][..], &pack.to_be_bytes(), &group.to_be_bytes()].concat()
}

/// Frames of a pack that follow each other.
pub(super) fn encode_frames(frames: &[Frame]) -> Vec<u8> {
    let mut out = Writer::default();
    out.u32(frames.first().map_or(0, |frame| frame.offset));
    for frame in frames {
        out.raw(&frame.entry.chunk.0);
        out.u8(frame.entry.kind as u8);
        out.u8(frame.entry.codec as u8);
        out.u8(u8::from(frame.last));
        out.u32(frame.entry.stored_len);
        out.u32(frame.entry.plain_len);
    }
    out.into_bytes()
}

/// The frames of a group; of a sparse form it is not said which run it is of.
pub(super) fn decode_frames(group: u32, row: &[u8]) -> std::result::Result<Vec<Frame>, FormatError> {
    let mut input = Reader::new(row);
    let mut frames = Vec::with_capacity(GROUP_FRAMES as usize);
    let (mut number, mut offset) = (group.saturating_mul(GROUP_FRAMES), input.u32("offset")?);
    while input.left() > 0 {
        let chunk = ChunkId(input.array("chunk")?);
        let kind = ChunkKind::from_u8(input.u8("kind")?)?;
        let codec = Codec::from_u8(input.u8("codec")?)?;
        let last = input.u8("last")? == 1;
        let entry = FrameEntry { chunk, kind, codec, stored_len: input.u32("stored")?, plain_len: input.u32("plain")?, form: None };
        frames.push(Frame { entry, number, offset, last });
        number = number.saturating_add(1);
        offset = offset.saturating_add(entry.stored_len);
    }
    Ok(frames)
}

/// Every place in a chunk's row.
pub(super) fn decode_places(chunk: &ChunkId, row: &[u8]) -> std::result::Result<Vec<Location>, FormatError> {
    let mut input = Reader::new(row);
    let mut places = Vec::new();
    while input.left() > 0 {
        places.push(Location { pack: input.u32("pack")?, frame: decode_frame(*chunk, &mut input)? });
    }
    Ok(places)
}

fn decode_frame(chunk: ChunkId, input: &mut Reader<'_>) -> std::result::Result<Frame, FormatError> {
    let kind = ChunkKind::from_u8(input.u8("kind")?)?;
    let codec = Codec::from_u8(input.u8("codec")?)?;
    let last = input.u8("last")? == 1;
    let (stored_len, plain_len) = (input.u32("stored")?, input.u32("plain")?);
    let (number, offset) = (input.u32("number")?, input.u32("offset")?);
    let mut entry = FrameEntry { chunk, kind, codec, stored_len, plain_len, form: None };
    if kind == ChunkKind::SparseRun {
        entry.chunk = ChunkId(input.array("form")?);
        entry.form = Some(FormOf { run: chunk, entries: input.u32("entries")? });
    }
    Ok(Frame { entry, number, offset, last })
}

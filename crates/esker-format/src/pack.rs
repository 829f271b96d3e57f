//! Packs: many chunks in one object (format-spec chapter 5).
//!
//! `header 8 | mode 1 | salt 32 | frames | sealed frame table | tail 16`. A frame is one chunk, compressed, then sealed, and
//! decodes on its own. The table names every frame's chunk and lengths; it is sealed too, so that a pack can be listed
//! without trusting it. `PackBuilder` writes, `FrameTable` and `FrameOpener` read.

use crate::error::{FormatError, Result};
use crate::ids::{ChunkId, ObjectId};
use crate::layout::PackKind;
use crate::limits::{self, CHUNK_PLAIN_MAX, FRAME_OVERHEAD_MAX, PACK_FRAMES_MAX, PACK_MAX};
use crate::seal::{ChunkKind, Part, SALT_LEN, Sealer, Sealing, TAG_LEN};
use crate::sealed_object::{FORMAT, HEADER_LEN, check_one_frame, read_header, write_header_of};
use crate::wire::{Reader, Record, Writer};

/// Bytes before the first frame: header, mode and salt.
pub const HEAD_LEN: usize = HEADER_LEN + 1 + SALT_LEN;
/// Bytes of the tail: table length, frame count, closing magic.
pub const TAIL_LEN: usize = 16;
const TAIL_MAGIC: &[u8; 8] = b"ESKERend";
const FRAME_ENTRY_MIN: usize = 36;

/// How a frame's bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// As they are.
    Raw = 0,
    /// One zstd frame (RFC 8878).
    Zstd = 1,
}

impl Codec {
    /// From its stored number.
    ///
    /// # Errors
    /// `BadValue`.
    pub fn from_u8(value: u8) -> Result<Self> {
        match value {
            0 => Ok(Self::Raw),
            1 => Ok(Self::Zstd),
            other => Err(FormatError::BadValue { field: "codec", found: other.to_string() }),
        }
    }
}

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
}

impl Record for FrameEntry {
    const NAME: &'static str = "frame entry";

    fn write(&self, out: &mut Writer) {
        out.u8(self.kind as u8);
        out.u8(self.codec as u8);
        out.raw(&self.chunk.0);
        out.varint(u64::from(self.stored_len));
        out.varint(u64::from(self.plain_len));
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let kind = ChunkKind::from_u8(input.u8("chunk kind")?)?;
        let codec = Codec::from_u8(input.u8("codec")?)?;
        let chunk = ChunkId(input.array("chunk id")?);
        let stored_len = length(input, "stored length", CHUNK_PLAIN_MAX + FRAME_OVERHEAD_MAX)?;
        let plain_len = length(input, "plain length", CHUNK_PLAIN_MAX)?;
        Ok(Self { chunk, kind, codec, stored_len, plain_len })
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
    fn aad(&self, head: &PackHead) -> Vec<u8> {
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

    fn part(&self) -> Part {
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
    fn write(&self, out: &mut Writer) {
        write_header_of(out, self.kind.object_kind(), self.format);
        out.u8(self.mode);
        out.raw(&self.salt);
    }

    fn read(input: &mut Reader<'_>, kind: PackKind, sealing: &Sealing) -> Result<Self> {
        let format = read_header(input, kind.object_kind())?;
        let mode = input.u8("mode")?;
        if mode != sealing.mode() {
            let (found, expected) = (Sealing::mode_name(mode), Sealing::mode_name(sealing.mode()));
            return Err(FormatError::WrongMode { what: kind.object_kind().name(), found, expected });
        }
        Ok(Self { kind, format, mode, salt: input.array("salt")? })
    }
}

/// The frame table of one pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameTable {
    /// The format that the pack was written in.
    pub format: u16,
    /// The salt that the pack's key is derived with.
    pub salt: [u8; SALT_LEN],
    /// The frames in order.
    pub frames: Vec<FrameEntry>,
}

impl FrameTable {
    /// Every frame with its place.
    pub fn frames(&self) -> impl Iterator<Item = Frame> + '_ {
        let last = self.frames.len().saturating_sub(1);
        let mut offset = HEAD_LEN as u64;
        self.frames.iter().enumerate().map(move |(number, entry)| {
            let start = offset;
            offset += u64::from(entry.stored_len);
            Frame {
                entry: *entry,
                number: u32::try_from(number).unwrap_or(u32::MAX),
                offset: u32::try_from(start).unwrap_or(u32::MAX),
                last: number == last,
            }
        })
    }

    /// The length in bytes of a pack with these frames and a sealed table of `table_len`.
    fn pack_len(&self, table_len: u32) -> u64 {
        let frames: u64 = self.frames.iter().map(|entry| u64::from(entry.stored_len)).sum();
        (HEAD_LEN + TAIL_LEN) as u64 + frames + u64::from(table_len)
    }

    fn table_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.list(&self.frames, |out, entry| entry.write(out));
        out.into_bytes()
    }

    /// Opens the table of a pack of `pack_len` bytes.
    ///
    /// `head` are the pack's first `HEAD_LEN` bytes, `tail` its last `TAIL_LEN`, `sealed` those that `Tail::table_range`
    /// names.
    ///
    /// # Errors
    /// `Damaged`, `WrongKind`, `TooNew`; `BadValue` if the frames do not fill the pack exactly.
    pub fn open(sealing: &Sealing, kind: PackKind, head: &[u8], sealed: &[u8], tail: &Tail, pack_len: u64) -> Result<Self> {
        if pack_len > PACK_MAX {
            return Err(FormatError::OverLimit { field: "pack", found: pack_len, limit: PACK_MAX });
        }
        let head = PackHead::read(&mut Reader::new(head), kind, sealing)?;
        let mut sealed = sealed.to_vec();
        let plain = sealing.pack_sealer(&head.salt)?.open(TABLE, &table_aad(&head, tail), &mut sealed, "frame table")?;
        let mut input = Reader::new(plain);
        let frames = read_frames(&mut input)?;
        input.finish("frame table")?;
        check_kinds(kind, &frames)?;
        let table = Self { format: head.format, salt: head.salt, frames };
        if table.frames.len() == tail.frames as usize && table.pack_len(tail.table_len) == pack_len {
            Ok(table)
        } else {
            Err(FormatError::BadValue { field: "frame table", found: format!("frames that do not fill {pack_len} bytes") })
        }
    }

    /// Opens the table of a pack that is all in memory.
    ///
    /// # Errors
    /// As `open`, and `CutShort`.
    pub fn of_pack(sealing: &Sealing, kind: PackKind, pack: &[u8]) -> Result<Self> {
        let cut_short = || FormatError::CutShort { field: "pack", offset: 0, needed: (HEAD_LEN + TAIL_LEN) as u64, left: pack.len() };
        let tail = pack.len().checked_sub(TAIL_LEN).and_then(|at| pack.get(at..)).ok_or_else(cut_short)?;
        let tail = Tail::decode(tail, pack.len() as u64)?;
        let (start, end) = tail.table_range(pack.len() as u64);
        let (start, end) = (usize::try_from(start).unwrap_or(0), usize::try_from(end).unwrap_or(0));
        let sealed = pack.get(start..end).ok_or_else(cut_short)?;
        let head = pack.get(..HEAD_LEN).ok_or_else(cut_short)?;
        Self::open(sealing, kind, head, sealed, &tail, pack.len() as u64)
    }
}

const TABLE: Part = Part { number: 0, role: 1 };

fn table_aad(head: &PackHead, tail: &Tail) -> Vec<u8> {
    let mut out = Writer::default();
    head.write(&mut out);
    tail.write(&mut out);
    out.into_bytes()
}

/// Reads a list of frame entries, at most as many as a pack may have.
pub(crate) fn read_frames(input: &mut Reader<'_>) -> Result<Vec<FrameEntry>> {
    input.list_max("frames", PACK_FRAMES_MAX as u64, FRAME_ENTRY_MIN, FrameEntry::read)
}

/// Data packs hold bytes, metadata packs tables.
fn check_kinds(pack: PackKind, frames: &[FrameEntry]) -> Result<()> {
    match frames.iter().find(|frame| pack_kind_of(frame.kind) != pack) {
        Some(frame) => Err(FormatError::BadValue { field: "chunk kind", found: format!("{:?} in a {:?} pack", frame.kind, pack) }),
        None => Ok(()),
    }
}

/// The kind of pack that a chunk belongs in.
pub fn pack_kind_of(chunk: ChunkKind) -> PackKind {
    match chunk {
        ChunkKind::Bytes => PackKind::Data,
        ChunkKind::Table => PackKind::Meta,
    }
}

/// The last sixteen bytes of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    table_len: u32,
    frames: u32,
}

impl Tail {
    /// Reads a tail; `pack_len` bounds what it may claim.
    ///
    /// # Errors
    /// `WrongKind` without the closing magic, `OverLimit` for a table that does not fit the pack.
    pub fn decode(bytes: &[u8], pack_len: u64) -> Result<Self> {
        let mut input = Reader::new(bytes);
        let tail = Self { table_len: input.u32("table length")?, frames: input.u32("frame count")? };
        if input.raw(TAIL_MAGIC.len(), "tail magic")? != TAIL_MAGIC {
            return Err(FormatError::WrongKind { expected: "pack", found: "no closing magic".into() });
        }
        let room = pack_len.min(PACK_MAX).saturating_sub((HEAD_LEN + TAIL_LEN) as u64);
        let over = |field, found: u32, limit| FormatError::OverLimit { field, found: u64::from(found), limit };
        if u64::from(tail.table_len) > room {
            return Err(over("table length", tail.table_len, room));
        }
        if tail.frames as usize > PACK_FRAMES_MAX {
            return Err(over("frame count", tail.frames, PACK_FRAMES_MAX as u64));
        }
        Ok(tail)
    }

    /// First byte and end of the sealed table.
    pub fn table_range(&self, pack_len: u64) -> (u64, u64) {
        let end = pack_len.saturating_sub(TAIL_LEN as u64);
        (end.saturating_sub(u64::from(self.table_len)), end)
    }

    fn write(&self, out: &mut Writer) {
        out.u32(self.table_len);
        out.u32(self.frames);
        out.raw(TAIL_MAGIC);
    }
}

/// Opens the frames of one pack.
pub struct FrameOpener {
    head: PackHead,
    sealer: Sealer,
}

impl FrameOpener {
    /// For the pack of this kind, format and salt.
    ///
    /// # Errors
    /// `Codec` if the cipher refuses the key.
    pub fn new(sealing: &Sealing, kind: PackKind, format: u16, salt: [u8; SALT_LEN]) -> Result<Self> {
        let head = PackHead { kind, format, mode: sealing.mode(), salt };
        Ok(Self { head, sealer: sealing.pack_sealer(&salt)? })
    }

    /// The plain bytes of a frame, checked against its chunk's id. `sealed` is overwritten.
    ///
    /// # Errors
    /// `Damaged`, `Codec`, `WrongContent`.
    pub fn open(&self, sealing: &Sealing, frame: &Frame, sealed: &mut [u8], decoder: &mut FrameDecoder) -> Result<Vec<u8>> {
        let body = self.sealer.open(frame.part(), &frame.aad(&self.head), sealed, "frame")?;
        let plain = decoder.decode(frame.entry.codec, body, frame.entry.plain_len as usize)?;
        if sealing.chunk_id(frame.entry.kind, &plain) == frame.entry.chunk {
            Ok(plain)
        } else {
            Err(FormatError::WrongContent { id: frame.entry.chunk })
        }
    }
}

/// Compresses chunks; keeps its context between them.
pub struct FrameEncoder(zstd::bulk::Compressor<'static>);

impl FrameEncoder {
    /// At this zstd level.
    ///
    /// # Errors
    /// `Codec` for a level that zstd does not have.
    pub fn new(level: i32) -> Result<Self> {
        zstd::bulk::Compressor::new(level).map(Self).map_err(|error| compression(&error))
    }

    /// The chunk's bytes as a frame holds them: compressed, or as they are when that is shorter.
    ///
    /// # Errors
    /// `OverLimit` for a chunk over `CHUNK_PLAIN_MAX`, `Codec`.
    pub fn encode(&mut self, plain: &[u8]) -> Result<(Codec, Vec<u8>)> {
        if plain.len() > CHUNK_PLAIN_MAX {
            return Err(FormatError::OverLimit { field: "chunk", found: plain.len() as u64, limit: CHUNK_PLAIN_MAX as u64 });
        }
        let packed = self.0.compress(plain).map_err(|error| compression(&error))?;
        Ok(if packed.len() < plain.len() { (Codec::Zstd, packed) } else { (Codec::Raw, plain.to_vec()) })
    }
}

/// Decompresses chunks; keeps its context between them.
pub struct FrameDecoder(zstd::bulk::Decompressor<'static>);

impl FrameDecoder {
    /// A new context.
    ///
    /// # Errors
    /// `Codec` if zstd cannot be set up.
    pub fn new() -> Result<Self> {
        zstd::bulk::Decompressor::new().map(Self).map_err(|error| compression(&error))
    }

    fn decode(&mut self, codec: Codec, body: &[u8], plain_len: usize) -> Result<Vec<u8>> {
        let plain = match codec {
            Codec::Raw => body.to_vec(),
            Codec::Zstd => {
                check_one_frame(body)?;
                self.0.decompress(body, plain_len.min(CHUNK_PLAIN_MAX)).map_err(|error| compression(&error))?
            }
        };
        if plain.len() == plain_len { Ok(plain) } else { Err(FormatError::Damaged { what: "frame" }) }
    }
}

fn compression(error: &std::io::Error) -> FormatError {
    FormatError::Codec { what: "zstd", why: error.to_string() }
}

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
    /// An empty pack with a salt drawn for it.
    ///
    /// # Errors
    /// `Codec` if the cipher refuses the key.
    pub fn new(sealing: &Sealing, kind: PackKind, salt: [u8; SALT_LEN]) -> Result<Self> {
        let opener = FrameOpener::new(sealing, kind, FORMAT, salt)?;
        let mut head = Writer::default();
        opener.head.write(&mut head);
        let table = FrameTable { format: FORMAT, salt, frames: Vec::new() };
        Ok(Self { kind, opener, bytes: head.into_bytes(), table, waiting: None })
    }

    /// Appends a chunk that `FrameEncoder` compressed to `body`.
    ///
    /// # Errors
    /// `OverLimit` if the chunk is or the pack would grow over the format's limits; `BadValue` for a chunk of another kind
    /// than the pack's.
    pub fn add(&mut self, chunk: ChunkId, kind: ChunkKind, codec: Codec, plain_len: u32, body: Vec<u8>) -> Result<()> {
        let stored_len = body.len() + TAG_LEN;
        let after = (self.len() + stored_len) as u64;
        let over = |field, found, limit| Err(FormatError::OverLimit { field, found, limit });
        if after > PACK_MAX / 2 {
            return over("pack", after, PACK_MAX / 2);
        }
        if plain_len as usize > CHUNK_PLAIN_MAX || body.len() > CHUNK_PLAIN_MAX + FRAME_OVERHEAD_MAX - TAG_LEN {
            return over("chunk", u64::from(plain_len).max(body.len() as u64), CHUNK_PLAIN_MAX as u64);
        }
        if pack_kind_of(kind) != self.kind {
            return Err(FormatError::BadValue { field: "chunk kind", found: format!("{kind:?} in a {:?} pack", self.kind) });
        }
        if self.table.frames.len() >= PACK_FRAMES_MAX {
            return over("frame count", self.table.frames.len() as u64 + 1, PACK_FRAMES_MAX as u64);
        }
        self.flush(false)?;
        let stored_len = u32::try_from(stored_len).unwrap_or(u32::MAX);
        let entry = FrameEntry { chunk, kind, codec, stored_len, plain_len };
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

/// The sealed bytes of a frame in a pack that is all in memory.
///
/// # Errors
/// `CutShort`.
pub fn slice_of<'a>(pack: &'a [u8], frame: &Frame) -> Result<&'a [u8]> {
    let start = frame.offset as usize;
    let end = start.saturating_add(frame.entry.stored_len as usize);
    pack.get(start..end).ok_or(FormatError::CutShort {
        field: "frame",
        offset: start,
        needed: u64::from(frame.entry.stored_len),
        left: pack.len().saturating_sub(start),
    })
}

const _: () = assert!(limits::PACK_MAX < u32::MAX as u64);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::MasterKey;
    use zeroize::Zeroizing;

    fn built(sealing: &Sealing) -> BuiltPack {
        let mut builder = PackBuilder::new(sealing, PackKind::Data, [3; 32]).unwrap();
        let mut encoder = FrameEncoder::new(3).unwrap();
        for text in ["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "b", ""] {
            let id = sealing.chunk_id(ChunkKind::Bytes, text.as_bytes());
            let (codec, body) = encoder.encode(text.as_bytes()).unwrap();
            builder.add(id, ChunkKind::Bytes, codec, text.len() as u32, body).unwrap();
        }
        builder.finish().unwrap()
    }

    #[test]
    fn every_flip_and_every_cut_of_a_pack_is_found() {
        for sealing in [Sealing::Plain, Sealing::encrypted(MasterKey(Zeroizing::new([7; 32])))] {
            let pack = built(&sealing);
            pack.verify(&sealing).unwrap();
            let again = |bytes: Vec<u8>| BuiltPack { bytes, id: pack.id, kind: pack.kind, table: pack.table.clone() }.verify(&sealing);
            for bit in 0..pack.bytes.len() * 8 {
                let mut bytes = pack.bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(again(bytes).is_err(), "bit {bit}");
            }
            for len in 0..pack.bytes.len() {
                assert!(again(pack.bytes[..len].to_vec()).is_err(), "cut at {len}");
            }
        }
    }

    #[test]
    fn a_data_pack_does_not_pass_for_a_metadata_pack() {
        let pack = built(&Sealing::Plain);
        assert!(FrameTable::of_pack(&Sealing::Plain, PackKind::Meta, &pack.bytes).is_err());
    }
}

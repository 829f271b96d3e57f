//! The frame table and the tail that leads to it.

use super::frame::{check_kinds, read_frames};
use super::{Frame, FrameEntry, HEAD_LEN, PackHead, TAIL_LEN, TAIL_MAGIC};
use crate::error::{FormatError, Result};
use crate::layout::PackKind;
use crate::limits::{PACK_FRAMES_MAX, PACK_MAX};
use crate::seal::{Part, SALT_LEN, Sealing, TAG_LEN};
use crate::wire::{Reader, Record, Writer};

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

    /// The length in bytes of the pack that these frames make.
    pub fn bytes(&self) -> u64 {
        self.pack_len(u32::try_from(self.table_bytes().len() + TAG_LEN).unwrap_or(u32::MAX))
    }

    /// The length in bytes of a pack with these frames and a sealed table of `table_len`.
    fn pack_len(&self, table_len: u32) -> u64 {
        let frames: u64 = self.frames.iter().map(|entry| u64::from(entry.stored_len)).sum();
        (HEAD_LEN + TAIL_LEN) as u64 + frames + u64::from(table_len)
    }

    pub(super) fn table_bytes(&self) -> Vec<u8> {
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
        let head = PackHead::decode(head, kind, sealing)?;
        let mut sealed = sealed.to_vec();
        let plain = sealing.pack_sealer(&head.salt)?.open(TABLE, &table_aad(&head, tail), &mut sealed, "frame table")?;
        let mut input = Reader::in_format(head.format, plain);
        let frames = read_frames(&mut input)?;
        input.finish("frame table")?;
        check_kinds(kind, head.format, &frames)?;
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
        let head = pack.get(..HEAD_LEN).ok_or_else(cut_short)?;
        PackHead::decode(head, kind, sealing)?;
        let tail = pack.len().checked_sub(TAIL_LEN).and_then(|at| pack.get(at..)).ok_or_else(cut_short)?;
        let tail = Tail::decode(tail, pack.len() as u64)?;
        let (start, end) = tail.table_range(pack.len() as u64);
        let (start, end) = (usize::try_from(start).unwrap_or(0), usize::try_from(end).unwrap_or(0));
        let sealed = pack.get(start..end).ok_or_else(cut_short)?;
        Self::open(sealing, kind, head, sealed, &tail, pack.len() as u64)
    }
}

pub(super) const TABLE: Part = Part { number: 0, role: 1 };

pub(super) fn table_aad(head: &PackHead, tail: &Tail) -> Vec<u8> {
    let mut out = Writer::default();
    head.write(&mut out);
    tail.write(&mut out);
    out.into_bytes()
}

/// The last sixteen bytes of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    pub(super) table_len: u32,
    pub(super) frames: u32,
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

    pub(super) fn write(&self, out: &mut Writer) {
        out.u32(self.table_len);
        out.u32(self.frames);
        out.raw(TAIL_MAGIC);
    }
}

//! Index segments: the frame tables of many packs in one object (format-spec chapter 6).
//!
//! A segment is a hint, (chunk, pack, place); what it says is checked where it is used. Several segments may name one
//! pack, and one chunk may stand in several packs.

use crate::error::{FormatError, Result};
use crate::formats;
use crate::ids::{ObjectId, SessionId};
use crate::layout::{ObjectKind, PackKind, PackName};
use crate::limits::PACK_MAX;
use crate::pack::{FrameTable, check_kinds, read_frames};
use crate::wire::{Reader, Record, Writer};

/// A pack with its frame table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedPack {
    /// Its name.
    pub name: PackName,
    /// What it holds.
    pub table: FrameTable,
}

/// One index segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexSegment {
    /// Segments whose packs are all named here as well, so that they may go.
    pub replaces: Vec<ObjectId>,
    /// Packs with their frame tables.
    pub packs: Vec<IndexedPack>,
}

impl Record for IndexedPack {
    const NAME: &'static str = "indexed pack";

    fn write(&self, out: &mut Writer) {
        out.u8(self.name.kind as u8);
        out.raw(&self.name.session.0);
        out.raw(&self.name.id.0);
        out.u16(self.table.format);
        out.raw(&self.table.salt);
        out.list(&self.table.frames, |out, frame| frame.write(out));
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        let kind = PackKind::from_u8(input.u8("pack kind")?)?;
        let session = SessionId(input.array("session")?);
        let id = ObjectId(input.array("pack id")?);
        let format = input.u16("format")?;
        let salt = input.array("salt")?;
        if format == 0 {
            return Err(FormatError::BadValue { field: "pack format", found: "0".into() });
        }
        let frames = read_frames(input)?;
        // A segment knows no more kinds of chunk than its own format, whatever it says of the pack.
        check_kinds(kind, format.min(input.format()), &frames)?;
        let bytes = frames.iter().map(|frame| u64::from(frame.stored_len)).sum::<u64>();
        if bytes > PACK_MAX {
            return Err(FormatError::OverLimit { field: "pack", found: bytes, limit: PACK_MAX });
        }
        Ok(Self { name: PackName { kind, session, id }, table: FrameTable { format, salt, frames } })
    }
}

impl Record for IndexSegment {
    const NAME: &'static str = "index segment";

    fn format(&self) -> u16 {
        let newest = self.packs.iter().map(|pack| pack.table.format).max().unwrap_or(formats::FIRST);
        newest.clamp(formats::FIRST, formats::newest(ObjectKind::IndexSegment))
    }

    fn write(&self, out: &mut Writer) {
        out.list(&self.replaces, |out, id| out.raw(&id.0));
        out.list(&self.packs, |out, pack| pack.write(out));
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            replaces: input.list("replaced segments", 32, |input| input.array("segment id").map(ObjectId))?,
            packs: input.list("packs", 84, IndexedPack::read)?,
        })
    }
}

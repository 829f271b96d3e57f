//! What fsck proved, and when (format-spec chapter 12).

use crate::error::{FormatError, Result};
use crate::formats::{FIRST, LOSSES};
use crate::ids::ObjectId;
use crate::limits::NAME_MAX;
use crate::wire::{Reader, Record, Writer};

/// How deep a check went; each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Every object that must be there is listed.
    Existence = 1,
    /// Every table, segment and pack footer decodes and agrees.
    Structure = 2,
    /// Every chunk decrypts, decompresses and hashes.
    Data = 3,
    /// Every file rebuilt in memory has its hash.
    Files = 4,
    /// Every engine opens from a scratch restore, and its positions are the manifest's.
    Engine = 5,
}

impl Level {
    /// All, from the shallowest.
    pub const ALL: [Self; 5] = [Self::Existence, Self::Structure, Self::Data, Self::Files, Self::Engine];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Existence => "existence",
            Self::Structure => "structure",
            Self::Data => "data",
            Self::Files => "files",
            Self::Engine => "engine",
        }
    }

    fn from_u8(value: u8) -> Result<Self> {
        let bad = || FormatError::BadValue { field: "level", found: value.to_string() };
        Self::ALL.into_iter().find(|level| *level as u8 == value).ok_or_else(bad)
    }
}

/// `verified/<hash>`: the outcome of one fsck.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// When it ended, milliseconds since 1970 by its clock.
    pub at_ms: u64,
    /// The program with its version.
    pub written_by: String,
    /// The outcome for each backup it looked at.
    pub backups: Vec<BackupVerdict>,
    /// Packs whose every frame was read and found whole.
    pub packs: Vec<ObjectId>,
    /// What damaged backups have lost. With any the record is of the format that has them.
    pub losses: Vec<Loss>,
}

/// What one backup has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// The backup's manifest.
    pub manifest: ObjectId,
    /// Files that cannot be restored, as far as was looked.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The outcome for one backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupVerdict {
    /// The backup's manifest.
    pub manifest: ObjectId,
    /// The level that was asked for.
    pub level: Level,
    /// Whether all of it was looked at; not so after `--sample` or `--max-minutes`.
    pub complete: bool,
    /// Findings that touch it; 0 means that it is whole, as far as was looked.
    pub findings: u64,
}

impl Record for BackupVerdict {
    const NAME: &'static str = "verdict";

    fn write(&self, out: &mut Writer) {
        out.raw(&self.manifest.0);
        out.u8(self.level as u8);
        out.u8(u8::from(self.complete));
        out.varint(self.findings);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            manifest: ObjectId(input.array("manifest")?),
            level: Level::from_u8(input.u8("level")?)?,
            complete: match input.u8("complete")? {
                0 => false,
                1 => true,
                other => return Err(FormatError::BadValue { field: "complete", found: other.to_string() }),
            },
            findings: input.varint("findings")?,
        })
    }
}

impl Record for Loss {
    const NAME: &'static str = "loss";

    fn write(&self, out: &mut Writer) {
        out.raw(&self.manifest.0);
        out.varint(self.files);
        out.varint(self.bytes);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { manifest: ObjectId(input.array("manifest")?), files: input.varint("files")?, bytes: input.varint("bytes")? })
    }
}

impl Record for Verification {
    const NAME: &'static str = "verification record";

    fn format(&self) -> u16 {
        if self.losses.is_empty() { FIRST } else { LOSSES }
    }

    fn write(&self, out: &mut Writer) {
        out.u64(self.at_ms);
        out.text(&self.written_by);
        out.list(&self.backups, |out, verdict| verdict.write(out));
        out.list(&self.packs, |out, id| out.raw(&id.0));
        if !self.losses.is_empty() {
            out.list(&self.losses, |out, loss| loss.write(out));
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            at_ms: input.u64("time")?,
            written_by: input.text("written by", NAME_MAX)?,
            backups: input.list("backups", 35, BackupVerdict::read)?,
            packs: input.list("packs", 32, |input| input.array("pack").map(ObjectId))?,
            losses: match input.format() {
                ..LOSSES => Vec::new(),
                _ => match input.list("losses", 34, Loss::read)? {
                    // Without one the first format says it all, and a record has one encoding.
                    none if none.is_empty() => return Err(FormatError::BadValue { field: "losses", found: "none".into() }),
                    losses => losses,
                },
            },
        })
    }
}

//! What is to go and what is gone: doomed lists and forgotten records (format-spec chapter 11).

use crate::error::{FormatError, Result};
use crate::formats::{FIRST, FORGOTTEN_PACKS};
use crate::ids::{ObjectId, SessionId};
use crate::limits::{NAME_MAX, TEXT_MAX};
use crate::wire::{Reader, Record, Writer};

/// `doomed/<hash>`: packs that one prune wants to delete. A chunk in such a pack does not exist for a writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoomedList {
    /// The prune.
    pub session: SessionId,
    /// When, by its clock.
    pub at_ms: u64,
    /// The packs.
    pub packs: Vec<ObjectId>,
}

/// What a forgotten record stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ForgottenKind {
    /// Backups.
    Manifest = 1,
    /// Passphrases or recovery keys.
    Key = 2,
    /// Packs that a prune deletes although a backup that stands wrote them: all that is needed of them stands elsewhere.
    Pack = 3,
}

/// `forgotten/<hash>`: written before the objects it names are deleted, so that their absence is known to be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// Who deleted them.
    pub session: SessionId,
    /// When, by its clock.
    pub at_ms: u64,
    /// What they were.
    pub kind: ForgottenKind,
    /// Which, each with its label.
    pub objects: Vec<(ObjectId, String)>,
    /// Why: the policy, or the command.
    pub reason: String,
}

impl Record for DoomedList {
    const NAME: &'static str = "doomed list";

    fn write(&self, out: &mut Writer) {
        out.raw(&self.session.0);
        out.u64(self.at_ms);
        out.list(&self.packs, |out, id| out.raw(&id.0));
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            session: SessionId(input.array("session")?),
            at_ms: input.u64("time")?,
            packs: input.list("packs", 32, |input| input.array("pack").map(ObjectId))?,
        })
    }
}

impl Record for Forgotten {
    const NAME: &'static str = "forgotten record";

    fn format(&self) -> u16 {
        if self.kind == ForgottenKind::Pack { FORGOTTEN_PACKS } else { FIRST }
    }

    fn write(&self, out: &mut Writer) {
        out.raw(&self.session.0);
        out.u64(self.at_ms);
        out.u8(self.kind as u8);
        out.list(&self.objects, |out, (id, label)| {
            out.raw(&id.0);
            out.text(label);
        });
        out.text(&self.reason);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            session: SessionId(input.array("session")?),
            at_ms: input.u64("time")?,
            kind: match input.u8("forgotten kind")? {
                1 => ForgottenKind::Manifest,
                2 => ForgottenKind::Key,
                3 if input.format() >= FORGOTTEN_PACKS => ForgottenKind::Pack,
                other => return Err(FormatError::BadValue { field: "forgotten kind", found: other.to_string() }),
            },
            objects: input.list("objects", 33, |input| Ok((ObjectId(input.array("object")?), input.text("label", NAME_MAX)?)))?,
            reason: input.text("reason", TEXT_MAX)?,
        })
    }
}

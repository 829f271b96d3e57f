//! Notes: what people decide about a backup after it was made (format-spec chapter 13).
//!
//! Notes are added, never changed. A note names those it supersedes; what stands is what no other note supersedes, and
//! where two stand against each other the hold wins. So no clock decides whether a backup is held.

use crate::error::{FormatError, Result};
use crate::ids::ObjectId;
use crate::limits::{NAME_MAX, TEXTS_MAX};
use crate::wire::{Reader, Record, Writer};

/// `notes/<hash>`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The backup's manifest.
    pub manifest: ObjectId,
    /// When, by the writer's clock; for people.
    pub at_ms: u64,
    /// Whether the backup is held: forget and prune leave it alone.
    pub hold: bool,
    /// The backup's tags from now on.
    pub tags: Vec<String>,
    /// Notes on the same backup that this one takes the place of.
    pub supersedes: Vec<ObjectId>,
}

impl Record for Note {
    const NAME: &'static str = "note";

    fn write(&self, out: &mut Writer) {
        out.raw(&self.manifest.0);
        out.u64(self.at_ms);
        out.u8(u8::from(self.hold));
        out.list(&self.tags, |out, tag| out.text(tag));
        out.list(&self.supersedes, |out, id| out.raw(&id.0));
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            manifest: ObjectId(input.array("manifest")?),
            at_ms: input.u64("time")?,
            hold: match input.u8("hold")? {
                0 => false,
                1 => true,
                other => return Err(FormatError::BadValue { field: "hold", found: other.to_string() }),
            },
            tags: input.list_max("tags", TEXTS_MAX, 1, |input| input.text("tag", NAME_MAX))?,
            supersedes: input.list("supersedes", 32, |input| input.array("note").map(ObjectId))?,
        })
    }
}

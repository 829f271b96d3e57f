//! Sessions: writers at work, and their fences (format-spec chapter 10).

use crate::error::Result;
use crate::ids::{ObjectId, SessionId};
use crate::limits::NAME_MAX;
use crate::wire::{Reader, Record, Writer};

/// `sessions/<session>/open`: a writer began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOpen {
    /// What it does: `backup`, `forget` and so on.
    pub job: String,
    /// Where it runs, for people.
    pub host: String,
    /// Its process id, for people.
    pub process: u32,
    /// The program with its version.
    pub written_by: String,
    /// When it began, milliseconds since 1970 by its clock.
    pub started_ms: u64,
}

/// `sessions/<session>/beat-<number>`: it was alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionBeat {
    /// When, by its clock.
    pub at_ms: u64,
}

/// `sessions/<session>/end`: it ended, and its fate is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEnd {
    /// When, by its clock.
    pub at_ms: u64,
    /// How many beats it wrote.
    pub beats: u32,
    /// The manifest it committed, if it committed one.
    pub manifest: Option<ObjectId>,
}

/// `fences/<session>`: the session was declared dead and may not commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// Who declared it.
    pub by: SessionId,
    /// When, by its clock.
    pub at_ms: u64,
}

impl Record for SessionOpen {
    const NAME: &'static str = "session record";

    fn write(&self, out: &mut Writer) {
        out.text(&self.job);
        out.text(&self.host);
        out.u32(self.process);
        out.text(&self.written_by);
        out.u64(self.started_ms);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            job: input.text("job", NAME_MAX)?,
            host: input.text("host", NAME_MAX)?,
            process: input.u32("process")?,
            written_by: input.text("written by", NAME_MAX)?,
            started_ms: input.u64("started")?,
        })
    }
}

impl Record for SessionBeat {
    const NAME: &'static str = "session beat";

    fn write(&self, out: &mut Writer) {
        out.u64(self.at_ms);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { at_ms: input.u64("time")? })
    }
}

impl Record for SessionEnd {
    const NAME: &'static str = "session end";

    fn write(&self, out: &mut Writer) {
        out.u64(self.at_ms);
        out.u32(self.beats);
        out.option(self.manifest, |out, id| out.raw(&id.0));
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            at_ms: input.u64("time")?,
            beats: input.u32("beats")?,
            manifest: input.option("manifest", |input| input.array("manifest").map(ObjectId))?,
        })
    }
}

impl Record for Fence {
    const NAME: &'static str = "fence";

    fn write(&self, out: &mut Writer) {
        out.raw(&self.by.0);
        out.u64(self.at_ms);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { by: SessionId(input.array("session")?), at_ms: input.u64("time")? })
    }
}

//! What a backup's sorted runs came to (format-spec chapter 9): a part of manifests from their second format on.

use crate::error::Result;
use crate::limits::{NAME_MAX, TEXTS_MAX};
use crate::wire::{Reader, Record, Writer};

/// The least bytes that one fallback takes.
const FALLBACK_MIN: usize = 3;

/// Sums over the tables that a job read; those that kept their recipe unread do not count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SortedTotals {
    /// Tables stored by sorted runs.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Plain bytes of the keys and values of their entries that a run held already.
    pub copied_bytes: u64,
    /// Plain bytes of the keys and values of their entries that this job put into runs.
    pub literal_bytes: u64,
    /// Bytes of those tables that were kept as they are: blocks not taken apart, index, filter.
    pub kept_bytes: u64,
    /// Tables that were stored by byte chunks all the same, by reason.
    pub fallbacks: Vec<Fallback>,
}

/// Tables that one reason kept from being stored by sorted runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    /// Why, for people.
    pub reason: String,
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Record for SortedTotals {
    const NAME: &'static str = "totals of sorted runs";

    fn write(&self, out: &mut Writer) {
        out.varint(self.files);
        out.varint(self.bytes);
        out.varint(self.copied_bytes);
        out.varint(self.literal_bytes);
        out.varint(self.kept_bytes);
        out.list(&self.fallbacks, |out, fallback| fallback.write(out));
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            files: input.varint("sorted files")?,
            bytes: input.varint("sorted bytes")?,
            copied_bytes: input.varint("copied bytes")?,
            literal_bytes: input.varint("literal bytes")?,
            kept_bytes: input.varint("kept bytes")?,
            fallbacks: input.list_max("fallbacks", TEXTS_MAX, FALLBACK_MIN, Fallback::read)?,
        })
    }
}

impl Record for Fallback {
    const NAME: &'static str = "fallback";

    fn write(&self, out: &mut Writer) {
        out.text(&self.reason);
        out.varint(self.files);
        out.varint(self.bytes);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { reason: input.text("reason", NAME_MAX)?, files: input.varint("files")?, bytes: input.varint("bytes")? })
    }
}

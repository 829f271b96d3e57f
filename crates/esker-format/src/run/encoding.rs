//! A run as bytes, column by column.

use super::{KeyOrder, Run, end, shared_len};
use crate::error::{FormatError, Result};
use crate::limits::{CHUNK_PLAIN_MAX, RUN_ENTRIES_MAX, RUN_KEYS_MAX, TIMESTAMP_MAX};
use crate::trailers::{read_sequences_into, write_sequences};
use crate::wire::{Reader, Writer};

/// Bytes that an entry takes beside its key and value, about.
const ENTRY_OVERHEAD: usize = 8;

impl Run {
    /// The chunk's bytes.
    ///
    /// # Errors
    /// `OverLimit` or `BadValue` for what no reader would take: too large, or keys out of order; `BadValue` for a sparse form,
    /// which is no run.
    pub fn encode(&self) -> Result<Vec<u8>> {
        match self.form {
            None => self.encode_held(),
            Some(_) => Err(FormatError::BadValue { field: "run", found: "a sparse form".into() }),
        }
    }

    /// The entries at hand as a run.
    pub(crate) fn encode_held(&self) -> Result<Vec<u8>> {
        let mut out = Writer::with_capacity(self.entry_bytes() + self.timestamps.len() + ENTRY_OVERHEAD * self.len());
        self.order.write(&mut out);
        out.u8(self.timestamp_size);
        out.varint(self.len() as u64);
        let [mut shared_lens, mut suffix_lens, mut value_lens] = [(); 3].map(|()| Writer::with_capacity(2 * self.len()));
        let mut suffixes = Vec::with_capacity(self.keys.len());
        let mut before: &[u8] = &[];
        for index in 0..self.len() {
            let key = self.key(index);
            let shared = shared_len(before, key);
            let suffix = key.get(shared..).unwrap_or_default();
            if index > 0 && !self.order.may_follow(before, shared, suffix) {
                return Err(out_of_order(index));
            }
            shared_lens.varint(shared as u64);
            suffix_lens.varint(suffix.len() as u64);
            suffixes.extend_from_slice(suffix);
            value_lens.varint(self.value(index).len() as u64);
            before = key;
        }
        out.bytes(&shared_lens.into_bytes());
        out.bytes(&suffix_lens.into_bytes());
        out.bytes(&suffixes);
        out.bytes(&value_lens.into_bytes());
        out.bytes(&self.values);
        write_sequences(&mut out, &self.trailers);
        out.raw(&self.timestamps);
        check(self.len(), self.keys.len(), self.timestamp_size)?;
        let bytes = out.into_bytes();
        match bytes.len() {
            found if found > CHUNK_PLAIN_MAX => Err(over("run", found, CHUNK_PLAIN_MAX)),
            _ => Ok(bytes),
        }
    }

    /// Reads a run.
    ///
    /// # Errors
    /// Whatever is wrong with the bytes: also keys out of order, or a prefix that is not stored as shared.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        Self::decode_reusing(Self::default(), bytes)
    }

    /// As `decode`; the new run takes over the memory of one that is done with.
    ///
    /// # Errors
    /// As `decode`.
    pub fn decode_reusing(mut done: Self, bytes: &[u8]) -> Result<Self> {
        if bytes.len() > CHUNK_PLAIN_MAX {
            return Err(over("run", bytes.len(), CHUNK_PLAIN_MAX));
        }
        done.clear();
        let mut run = done;
        let mut input = Reader::new(bytes);
        run.order = KeyOrder::read(&mut input)?;
        run.timestamp_size = input.u8("timestamp size")?;
        let entries = input.varint_max("entries", RUN_ENTRIES_MAX as u64)?;
        let entries = usize::try_from(entries).unwrap_or(0);
        check(entries, 0, run.timestamp_size)?;
        let mut column = |field| input.bytes(field, CHUNK_PLAIN_MAX);
        let [shared, suffix_lens, suffixes, value_lens] =
            [column("shared lengths")?, column("suffix lengths")?, column("suffixes")?, column("value lengths")?];
        // Each length takes a byte at least, so a count without bytes behind it makes no room.
        let room = entries.min(suffix_lens.len());
        run.key_ends.reserve_exact(room);
        run.value_ends.reserve_exact(room);
        run.read_keys(entries, shared, suffix_lens, suffixes)?;
        run.values.extend_from_slice(column("values")?);
        run.read_value_ends(entries, value_lens)?;
        read_sequences_into(&mut input, entries, &mut run.trailers)?;
        run.timestamps.extend_from_slice(input.raw(entries * usize::from(run.timestamp_size), "timestamps")?);
        input.finish("run")?;
        Ok(run)
    }

    /// Removes all entries and keeps the memory.
    fn clear(&mut self) {
        let Self { order: _, timestamp_size: _, keys, key_ends, values, value_ends, trailers, timestamps, form } = self;
        *form = None;
        for bytes in [keys, values, timestamps] {
            bytes.clear();
        }
        for ends in [key_ends, value_ends] {
            ends.clear();
        }
        trailers.clear();
    }

    fn read_keys(&mut self, entries: usize, shared: &[u8], lens: &[u8], suffixes: &[u8]) -> Result<()> {
        let (mut shared, mut lens, mut suffixes) = (Reader::new(shared), Reader::new(lens), Reader::new(suffixes));
        let mut before = 0..0;
        for index in 0..entries {
            let prefix = shared.varint_max("shared length", before.len() as u64)?;
            let prefix = usize::try_from(prefix).unwrap_or(usize::MAX);
            let len = lens.varint_max("suffix length", suffixes.left() as u64)?;
            let suffix = suffixes.raw(usize::try_from(len).unwrap_or(usize::MAX), "suffixes")?;
            let old = self.keys.get(before.clone()).unwrap_or_default();
            if index > 0 && !self.order.may_follow(old, prefix, suffix) {
                return Err(out_of_order(index));
            }
            let start = self.keys.len();
            if start + prefix + suffix.len() > RUN_KEYS_MAX {
                return Err(over("keys of a run", start + prefix + suffix.len(), RUN_KEYS_MAX));
            }
            self.keys.extend_from_within(before.start..before.start + prefix);
            self.keys.extend_from_slice(suffix);
            self.key_ends.push(end(&self.keys));
            before = start..self.keys.len();
        }
        shared.finish("shared lengths")?;
        lens.finish("suffix lengths")?;
        suffixes.finish("suffixes")
    }

    fn read_value_ends(&mut self, entries: usize, lens: &[u8]) -> Result<()> {
        let mut lens = Reader::new(lens);
        let mut at = 0;
        for _ in 0..entries {
            at += lens.varint_max("value length", (self.values.len() - at) as u64)?.try_into().unwrap_or(usize::MAX);
            self.value_ends.push(u32::try_from(at).unwrap_or(u32::MAX));
        }
        lens.finish("value lengths")?;
        match self.values.len() - at {
            0 => Ok(()),
            extra => Err(FormatError::TrailingBytes { what: "values", extra }),
        }
    }
}

fn check(entries: usize, key_bytes: usize, timestamp_size: u8) -> Result<()> {
    if entries == 0 {
        return Err(FormatError::BadValue { field: "entries", found: "none".into() });
    }
    let limits = [
        ("entries", entries, RUN_ENTRIES_MAX),
        ("keys of a run", key_bytes, RUN_KEYS_MAX),
        ("timestamp size", usize::from(timestamp_size), TIMESTAMP_MAX),
    ];
    limits.into_iter().find(|(_, found, limit)| found > limit).map_or(Ok(()), |(field, found, limit)| Err(over(field, found, limit)))
}

fn over(field: &'static str, found: usize, limit: usize) -> FormatError {
    FormatError::OverLimit { field, found: found as u64, limit: limit as u64 }
}

fn out_of_order(index: usize) -> FormatError {
    FormatError::BadValue { field: "keys", found: format!("key {index} out of order or with a shared prefix that is stored") }
}

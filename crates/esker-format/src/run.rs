//! Runs: sorted entries as a chunk of their own (format-spec chapter 17).
//!
//! An entry is a key, a value, and a trailer (RocksDB's sequence number and type, and the user-defined timestamp if the keys
//! have one). A run stores each part in a column of its own: lengths beside lengths and values beside values compress better
//! than the rows they came in. Keys are sorted, and each stores only what it does not share with the one before it.

use std::ops::Range;

use crate::entry_set::EntrySet;
use crate::error::{FormatError, Result};
use crate::limits::{CHUNK_PLAIN_MAX, RUN_ENTRIES_MAX, RUN_KEYS_MAX, TIMESTAMP_MAX};
use crate::trailers::{read_sequences_into, write_sequences};
use crate::wire::{Reader, Writer};

/// How the keys of a run or table are sorted, byte by byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyOrder {
    /// Smallest first.
    #[default]
    Ascending,
    /// Largest first.
    Descending,
}

impl KeyOrder {
    /// Which of two keys comes first.
    pub fn compare(self, left: &[u8], right: &[u8]) -> std::cmp::Ordering {
        match self {
            Self::Ascending => left.cmp(right),
            Self::Descending => right.cmp(left),
        }
    }

    pub(crate) fn write(self, out: &mut Writer) {
        out.u8(match self {
            Self::Ascending => 0,
            Self::Descending => 1,
        });
    }

    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Self> {
        match input.u8("key order")? {
            0 => Ok(Self::Ascending),
            1 => Ok(Self::Descending),
            other => Err(FormatError::BadValue { field: "key order", found: other.to_string() }),
        }
    }

    /// Whether `key`, which shares exactly `shared` bytes with the key before it, may follow that one.
    fn may_follow(self, before: &[u8], shared: usize, suffix: &[u8]) -> bool {
        match (before.get(shared), suffix.first(), self) {
            (None, None, _) | (None, Some(_), Self::Ascending) | (Some(_), None, Self::Descending) => true,
            (None, Some(_), Self::Descending) | (Some(_), None, Self::Ascending) => false,
            (Some(old), Some(new), Self::Ascending) => new > old,
            (Some(old), Some(new), Self::Descending) => new < old,
        }
    }
}

/// Bytes that an entry takes beside its key and value, about.
const ENTRY_OVERHEAD: usize = 8;

/// Sorted entries. Grows by [`push`](Self::push), is stored by [`encode`](Self::encode).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    order: KeyOrder,
    timestamp_size: u8,
    keys: Vec<u8>,
    key_ends: Vec<u32>,
    values: Vec<u8>,
    value_ends: Vec<u32>,
    trailers: Vec<u64>,
    timestamps: Vec<u8>,
    /// Of a sparse form, where its entries stand in the run that it is of.
    form: Option<Form>,
}

/// What a sparse form has of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Form {
    /// Position in the whole run of each entry, rising.
    numbers: Vec<u32>,
    /// Entries of the whole run.
    whole: u32,
}

impl Run {
    /// An empty run of keys in this order, whose timestamps take `timestamp_size` bytes each (0 without timestamps).
    pub fn new(order: KeyOrder, timestamp_size: u8) -> Self {
        Self { order, timestamp_size, ..Self::default() }
    }

    /// An empty run like this one, with room for as much.
    #[must_use]
    pub fn another(&self) -> Self {
        Self {
            order: self.order,
            timestamp_size: self.timestamp_size,
            keys: Vec::with_capacity(self.keys.len()),
            key_ends: Vec::with_capacity(self.key_ends.len()),
            values: Vec::with_capacity(self.values.len()),
            value_ends: Vec::with_capacity(self.value_ends.len()),
            trailers: Vec::with_capacity(self.trailers.len()),
            timestamps: Vec::with_capacity(self.timestamps.len()),
            form: None,
        }
    }

    /// How the keys are sorted.
    pub fn order(&self) -> KeyOrder {
        self.order
    }

    /// Bytes of each entry's timestamp.
    pub fn timestamp_size(&self) -> u8 {
        self.timestamp_size
    }

    /// How many entries there are; of a sparse form, those that it holds.
    pub fn len(&self) -> usize {
        self.trailers.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.trailers.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn entry_bytes(&self) -> usize {
        self.keys.len() + self.values.len()
    }

    /// Bytes of memory that it takes, room for more included.
    pub fn memory_bytes(&self) -> usize {
        let bytes = self.keys.capacity() + self.values.capacity() + self.timestamps.capacity();
        let ends = (self.key_ends.capacity() + self.value_ends.capacity()) * size_of::<u32>();
        let numbers = self.form.as_ref().map_or(0, |form| form.numbers.capacity() * size_of::<u32>());
        bytes + ends + numbers + self.trailers.capacity() * size_of::<u64>()
    }

    /// Adds an entry behind all others. The caller keeps the order, [`encode`](Self::encode) checks it. What is missing of
    /// the timestamp is taken as zeros.
    pub fn push(&mut self, key: &[u8], value: &[u8], trailer: u64, timestamp: &[u8]) {
        self.keys.extend_from_slice(key);
        self.key_ends.push(end(&self.keys));
        self.values.extend_from_slice(value);
        self.value_ends.push(end(&self.values));
        self.trailers.push(trailer);
        let size = usize::from(self.timestamp_size);
        self.timestamps.extend(timestamp.iter().copied().chain(std::iter::repeat(0)).take(size));
    }

    /// The key of an entry, without its timestamp; empty if there is no such entry.
    #[inline]
    pub fn key(&self, index: usize) -> &[u8] {
        slice(&self.keys, &self.key_ends, index)
    }

    /// The value of an entry; empty if there is no such entry.
    #[inline]
    pub fn value(&self, index: usize) -> &[u8] {
        slice(&self.values, &self.value_ends, index)
    }

    /// Sequence number (upper 56 bits) and type (lower 8) of an entry; 0 if there is no such entry.
    #[inline]
    pub fn trailer(&self, index: usize) -> u64 {
        self.trailers.get(index).copied().unwrap_or(0)
    }

    /// The timestamp of an entry; empty without timestamps.
    #[inline]
    pub fn timestamp(&self, index: usize) -> &[u8] {
        let size = usize::from(self.timestamp_size);
        self.timestamps.get(index * size..(index + 1) * size).unwrap_or_default()
    }

    /// Key, value and trailer of consecutive entries; none if there are fewer.
    pub fn entries(&self, range: Range<usize>) -> impl Iterator<Item = (&[u8], &[u8], u64)> {
        let start_of = |ends: &[u32]| range.start.checked_sub(1).and_then(|before| ends.get(before)).map_or(0, |end| *end as usize);
        let (mut key_start, mut value_start) = (start_of(&self.key_ends), start_of(&self.value_ends));
        let key_ends = self.key_ends.get(range.clone()).unwrap_or_default();
        let value_ends = self.value_ends.get(range.clone()).unwrap_or_default();
        let ends = key_ends.iter().zip(value_ends);
        ends.zip(self.trailers.get(range).unwrap_or_default()).map(move |((key_end, value_end), trailer)| {
            let (key_end, value_end) = (*key_end as usize, *value_end as usize);
            let key = self.keys.get(key_start..key_end).unwrap_or_default();
            let value = self.values.get(value_start..value_end).unwrap_or_default();
            (key_start, value_start) = (key_end, value_end);
            (key, value, *trailer)
        })
    }

    /// The first entry, from `from` on, whose key does not come before `key`; `len` if there is none.
    pub fn seek(&self, from: usize, key: &[u8]) -> usize {
        let is_before = |index: usize| self.order.compare(self.key(index), key).is_lt();
        // Near entries are the common case: double the step before halving the rest.
        let (mut low, mut step) = (from, 1);
        while low + step <= self.len() && is_before(low + step - 1) {
            low += step;
            step *= 2;
        }
        let mut high = (low + step).min(self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if is_before(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

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

    /// Of a sparse form, how many entries the whole run has.
    pub fn whole_len(&self) -> Option<u32> {
        self.form.as_ref().map(|form| form.whole)
    }

    /// The position that an entry has in the whole run.
    #[inline]
    pub fn number(&self, position: usize) -> u32 {
        let number = self.form.as_ref().map_or(u32::try_from(position).ok(), |form| form.numbers.get(position).copied());
        number.unwrap_or(u32::MAX)
    }

    /// Where so many consecutive entries of the whole run stand here, from the one with this number on; `None` if one of them
    /// does not.
    #[inline]
    pub fn positions(&self, number: u32, count: u32) -> Option<Range<usize>> {
        let (number, count) = (number as usize, count as usize);
        let Some(form) = &self.form else {
            let end = number.checked_add(count)?;
            return (end <= self.len()).then_some(number..end);
        };
        let start = form.numbers.partition_point(|held| (*held as usize) < number);
        let held = form.numbers.get(start..start.checked_add(count)?)?;
        // They rise, so the first and the last tell of all between.
        let is_there = held.first().is_none_or(|first| *first as usize == number)
            && held.last().is_none_or(|last| *last as usize == number + count - 1);
        is_there.then_some(start..start + count)
    }

    /// The entries that it holds, by their positions in the whole run.
    pub fn held(&self) -> EntrySet {
        match &self.form {
            Some(form) => form.numbers.iter().copied().collect(),
            None => {
                let mut all = EntrySet::default();
                all.insert(0, u32::try_from(self.len()).unwrap_or(u32::MAX));
                all
            }
        }
    }

    /// A sparse form with those of these entries that are here.
    #[must_use]
    pub fn keep(&self, entries: &EntrySet) -> Self {
        let whole = self.whole_len().unwrap_or_else(|| u32::try_from(self.len()).unwrap_or(u32::MAX));
        let mut kept = Self { form: Some(Form { numbers: Vec::new(), whole }), ..Self::new(self.order, self.timestamp_size) };
        for position in (0..self.len()).filter(|position| entries.contains(self.number(*position))) {
            kept.take(self, position);
        }
        kept
    }

    /// A form with the entries of two forms of one run.
    ///
    /// # Errors
    /// `BadValue` if they cannot be of one run.
    pub fn join(&self, other: &Self) -> Result<Self> {
        let like = |run: &Self| (run.order, run.timestamp_size, run.whole_len());
        let (Some(whole), true) = (self.whole_len(), like(self) == like(other)) else {
            return Err(FormatError::BadValue { field: "forms", found: "not of one run".into() });
        };
        let mut both = Self { form: Some(Form { numbers: Vec::new(), whole }), ..Self::new(self.order, self.timestamp_size) };
        let (mut left, mut right) = (0, 0);
        while left < self.len() || right < other.len() {
            let (mine, theirs) = (self.number(left), other.number(right));
            if mine <= theirs {
                both.take(self, left);
                left += 1;
                right += usize::from(mine == theirs);
            } else {
                both.take(other, right);
                right += 1;
            }
        }
        Ok(both)
    }

    /// Adds an entry of another form or run of the same.
    fn take(&mut self, from: &Self, position: usize) {
        self.push(from.key(position), from.value(position), from.trailer(position), from.timestamp(position));
        if let Some(form) = &mut self.form {
            form.numbers.push(from.number(position));
        }
    }

    /// Makes it a form: its entries are these of a run with so many.
    pub(crate) fn into_form(mut self, kept: &EntrySet, whole: u32) -> Result<Self> {
        if kept.count() as usize != self.len() {
            let found = format!("{} where {} are stored", kept.count(), self.len());
            return Err(FormatError::BadValue { field: "kept entries", found });
        }
        self.form = Some(Form { numbers: kept.iter().collect(), whole });
        Ok(self)
    }

    /// The entries of a form as a run of their own, in which they have other positions.
    #[must_use]
    pub fn into_whole(self) -> Self {
        Self { form: None, ..self }
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

/// How many bytes two keys have in common at their start.
pub fn shared_len(left: &[u8], right: &[u8]) -> usize {
    let words = left.chunks_exact(8).zip(right.chunks_exact(8)).take_while(|(left, right)| left == right).count() * 8;
    let rest = left.iter().zip(right).skip(words).take_while(|(left, right)| left == right).count();
    words + rest
}

fn slice<'a>(bytes: &'a [u8], ends: &[u32], index: usize) -> &'a [u8] {
    let start = index.checked_sub(1).and_then(|before| ends.get(before)).map_or(0, |end| *end as usize);
    let end = ends.get(index).map_or(start, |end| *end as usize);
    bytes.get(start..end).unwrap_or_default()
}

fn end(bytes: &[u8]) -> u32 {
    // A run that came so far is over its limit, which `encode` says.
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(order: KeyOrder, entries: &[(&[u8], &[u8], u64)]) -> Run {
        let mut run = Run::new(order, 0);
        entries.iter().for_each(|(key, value, trailer)| run.push(key, value, *trailer, &[]));
        run
    }

    proptest! {
        #[test]
        fn entries_come_back_in_both_orders(
            mut entries: Vec<(Vec<u8>, Vec<u8>, u64, [u8; 8])>,
            descending: bool,
        ) {
            let order = if descending { KeyOrder::Descending } else { KeyOrder::Ascending };
            entries.sort_by(|left, right| order.compare(&left.0, &right.0));
            let mut run = Run::new(order, 8);
            entries.iter().for_each(|(key, value, trailer, timestamp)| run.push(key, value, *trailer, timestamp));
            if entries.is_empty() {
                prop_assert!(run.encode().is_err());
            } else {
                let bytes = run.encode().unwrap();
                let back = Run::decode(&bytes).unwrap();
                prop_assert_eq!(&back, &run);
                for (index, (key, value, trailer, timestamp)) in entries.iter().enumerate() {
                    prop_assert_eq!((back.key(index), back.value(index)), (&key[..], &value[..]));
                    prop_assert_eq!((back.trailer(index), back.timestamp(index)), (*trailer, &timestamp[..]));
                    let first = entries.iter().position(|(other, ..)| other == key).unwrap();
                    prop_assert_eq!(back.seek(0, key), first);
                }
            }
        }

        #[test]
        fn a_run_has_one_encoding(bytes: Vec<u8>) {
            if let Ok(run) = Run::decode(&bytes) {
                prop_assert_eq!(run.encode().unwrap(), bytes);
            }
        }
    }

    #[test]
    fn keys_out_of_order_are_neither_written_nor_read() {
        assert!(run(KeyOrder::Ascending, &[(b"b", b"", 0), (b"a", b"", 0)]).encode().is_err());
        assert!(run(KeyOrder::Descending, &[(b"a", b"", 0), (b"ab", b"", 0)]).encode().is_err());
        let mut bytes = run(KeyOrder::Ascending, &[(b"a", b"", 0), (b"b", b"", 0)]).encode().unwrap();
        bytes[0] = 1;
        assert!(Run::decode(&bytes).is_err());
    }

    #[test]
    fn seek_finds_the_place_of_a_key_that_is_not_there() {
        let run = run(KeyOrder::Ascending, &[(b"b", b"", 0), (b"d", b"", 0), (b"d", b"", 0), (b"f", b"", 0)]);
        let places = [b"a", b"b", b"c", b"d", b"e", b"f", b"g"].map(|key| run.seek(0, key));
        assert_eq!(places, [0, 0, 1, 1, 3, 3, 4]);
        assert_eq!(run.seek(4, b"a"), 4);
    }
}

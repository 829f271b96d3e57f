//! Runs: sorted entries as a chunk of their own (format-spec chapter 17).
//!
//! An entry is a key, a value, and a trailer (RocksDB's sequence number and type, and the user-defined timestamp if the keys
//! have one). A run stores each part in a column of its own: lengths beside lengths and values beside values compress better
//! than the rows they came in. Keys are sorted, and each stores only what it does not share with the one before it.

mod encoding;
mod form;

use std::ops::Range;

use crate::error::{FormatError, Result};
use crate::wire::{Reader, Writer};

use form::Form;

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

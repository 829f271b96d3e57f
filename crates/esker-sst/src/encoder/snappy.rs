//! The Snappy encoder at level 1; format-spec/15-encoders.md specifies it. RocksDB has no other level and no dictionaries for it
//! (`BuiltinSnappyCompressorV2`, util/compression.cc, RocksDB 11.8; `Snappy_Compress`, util/compression.h, 7.8).
//!
//! Algorithm: `CompressFragment`, snappy.cc, Snappy 1.1.8, 1.1.9 and the commit behind 1.1.10 that RocksDB's crate bundles. They
//! differ in the hash function and the largest table alone (see [`super::snappy_hash`]), though 1.1.9 unrolls the search.

use super::bytes::{Sink, common_length, load32};
use super::snappy_hash::{Crc, Of14Bits, Of15Bits, SnappyHash, UpperBits};

/// Input is cut into fragments of this size, which know nothing of each other (`kBlockSize`).
const FRAGMENT: usize = 1 << 16;
/// The smallest table (`kMinHashTableSize`).
const MIN_PLACES: usize = 256;
/// The largest table of any version.
const MAX_PLACES: usize = 1 << 15;
/// No search begins in the last 15 bytes, and shorter fragments are literals (`kInputMarginBytes`).
const MARGIN: usize = 15;
const MIN_MATCH: usize = 4;
/// After 32 misses the search steps one byte further.
const SKIP_TRIGGER: u32 = 5;

/// A version of Snappy, as far as its output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// Up to 1.1.8.
    V1_1_8,
    /// 1.1.9.
    V1_1_9,
    /// 1.1.10 and newer, compiled without CRC instructions.
    V1_1_10,
    /// 1.1.10 and newer, compiled with CRC instructions.
    V1_1_10Crc,
}

/// One thread's Snappy encoder.
#[derive(Debug)]
pub(super) struct Snappy {
    version: Version,
    output: Sink,
    table: Table,
}

/// Last positions by hash plus an offset that grows from fragment to fragment, so that what older fragments left reads as
/// position 0, which is what the zero of a cleared table means.
#[derive(Debug)]
struct Table {
    entries: Box<[u32; MAX_PLACES]>,
    /// A multiple of [`FRAGMENT`], so that no position added to it overflows.
    offset: u32,
    mask: u32,
}

impl Table {
    fn start(&mut self, len: usize, max_places: usize) {
        self.offset = self.offset.checked_add(FRAGMENT as u32).unwrap_or_else(|| {
            self.entries.fill(0);
            0
        });
        self.mask = (len.next_power_of_two().clamp(MIN_PLACES, max_places) - 1) as u32;
    }

    /// Remembers `at` for the 4 bytes that stand there and returns the position remembered before.
    #[inline(always)]
    fn replace<H: SnappyHash>(&mut self, bytes: u32, at: usize) -> usize {
        match self.entries.get_mut(H::of(bytes, self.mask)) {
            Some(place) => {
                let before = place.saturating_sub(self.offset);
                *place = self.offset.wrapping_add(at as u32);
                before as usize
            }
            None => 0,
        }
    }
}

impl Snappy {
    pub(super) fn new(version: Version) -> Self {
        Self { version, output: Sink::default(), table: Table { entries: Box::new([0; MAX_PLACES]), offset: 0, mask: 0 } }
    }

    /// The elements of `plain`, without the length in front.
    pub(super) fn compress(&mut self, plain: &[u8]) -> &[u8] {
        self.output.start(32 + plain.len() + plain.len() / 6);
        for fragment in plain.chunks(FRAGMENT) {
            match self.version {
                Version::V1_1_8 => self.compress_fragment::<UpperBits>(fragment),
                Version::V1_1_9 => self.compress_fragment::<Of14Bits>(fragment),
                Version::V1_1_10 => self.compress_fragment::<Of15Bits>(fragment),
                Version::V1_1_10Crc => self.compress_fragment::<Crc>(fragment),
            }
        }
        self.output.written()
    }

    fn compress_fragment<H: SnappyHash>(&mut self, bytes: &[u8]) {
        let Self { output, table, .. } = self;
        let mut anchor = 0usize;
        if let Some(last_search) = bytes.len().checked_sub(MARGIN) {
            table.start(bytes.len(), H::MAX_PLACES);
            while let Some((mut at, mut candidate)) = next_match::<H>(bytes, table, anchor.wrapping_add(1), last_search) {
                put_literals(output, bytes, anchor, at);
                loop {
                    let tail = common_length(bytes, candidate.wrapping_add(MIN_MATCH), at.wrapping_add(MIN_MATCH), bytes.len());
                    let matched = tail.wrapping_add(MIN_MATCH);
                    put_copy(output, at.wrapping_sub(candidate), matched);
                    at = at.wrapping_add(matched);
                    anchor = at;
                    if at >= last_search {
                        break;
                    }
                    let before = at.wrapping_sub(1);
                    table.replace::<H>(load32(bytes, before), before);
                    let here = load32(bytes, at);
                    candidate = table.replace::<H>(here, at);
                    if load32(bytes, candidate) != here {
                        break;
                    }
                }
                if at >= last_search {
                    break;
                }
            }
        }
        if anchor < bytes.len() {
            put_literals(output, bytes, anchor, bytes.len());
        }
    }
}

/// The first position from `at` on, in steps that widen, whose candidate equals it in 4 bytes; and that candidate.
#[inline(always)]
fn next_match<H: SnappyHash>(bytes: &[u8], table: &mut Table, mut at: usize, last_search: usize) -> Option<(usize, usize)> {
    let mut skip = 1u32 << SKIP_TRIGGER;
    loop {
        let step = skip >> SKIP_TRIGGER;
        skip = skip.wrapping_add(step);
        let next = at.wrapping_add(step as usize);
        if next > last_search {
            return None;
        }
        let here = load32(bytes, at);
        let candidate = table.replace::<H>(here, at);
        if load32(bytes, candidate) == here {
            return Some((at, candidate));
        }
        at = next;
    }
}

/// Writes `bytes[from..to]`, not empty, as a literal element.
#[inline(always)]
fn put_literals(output: &mut Sink, bytes: &[u8], from: usize, to: usize) {
    let len = to.wrapping_sub(from);
    let stored = (len as u32).wrapping_sub(1);
    if stored < 60 {
        output.push((stored as u8) << 2);
    } else {
        let width = if stored < 1 << 8 { 1 } else { 2 };
        output.push((59 + width as u8) << 2);
        output.push_wide(stored.to_le_bytes(), width);
    }
    output.copy(bytes, from, len);
}

/// Writes copies of `length` bytes in all: of 64 while 68 or more are left, then of 60 if more than 64 are, then of the rest.
#[inline(always)]
fn put_copy(output: &mut Sink, distance: usize, mut length: usize) {
    while length >= 68 {
        put_short_copy(output, distance, 64);
        length = length.wrapping_sub(64);
    }
    if length > 64 {
        put_short_copy(output, distance, 60);
        length = length.wrapping_sub(60);
    }
    put_short_copy(output, distance, length);
}

/// Writes one copy of 4 to 64 bytes: in 2 bytes if it is shorter than 12 and reaches back less than 2,048, else in 3.
#[inline(always)]
fn put_short_copy(output: &mut Sink, distance: usize, length: usize) {
    let (distance, length) = (distance as u32, length as u32);
    if length < 12 && distance < 2048 {
        let element = 1 | length.wrapping_sub(4) << 2 | (distance >> 8) << 5 | (distance & 0xff) << 8;
        output.push_wide(element.to_le_bytes(), 2);
    } else {
        let element = 2 | length.wrapping_sub(1) << 2 | distance << 8;
        output.push_wide(element.to_le_bytes(), 3);
    }
}

#[cfg(test)]
mod tests {
    use super::{FRAGMENT, MAX_PLACES, Snappy, Version};

    #[test]
    fn a_new_fragment_finds_nothing_of_the_one_before() {
        let mut snappy = Snappy::new(Version::V1_1_10);
        for offset in [0, 1 << 20, 0xfffe_0000, 0xffff_0000] {
            snappy.table.offset = offset;
            for _ in 0..3 {
                snappy.table.start(FRAGMENT, MAX_PLACES);
                assert_eq!(snappy.table.replace::<super::Of15Bits>(7, FRAGMENT - 1), 0);
                assert_eq!(snappy.table.replace::<super::Of15Bits>(7, 400), FRAGMENT - 1);
            }
        }
    }
}

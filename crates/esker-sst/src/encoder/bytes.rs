//! Loads and stores of the LZ and Snappy encoders: no panic, no unsafe, one well predicted branch each.

/// The 4 bytes at `at`, little-endian; 0 beyond the end.
#[inline(always)]
pub(super) fn load32(bytes: &[u8], at: usize) -> u32 {
    match bytes.get(at..at.wrapping_add(4)).and_then(|slice| slice.first_chunk::<4>()) {
        Some(chunk) => u32::from_le_bytes(*chunk),
        None => 0,
    }
}

/// The 8 bytes at `at`, little-endian; 0 beyond the end.
#[inline(always)]
pub(super) fn load64(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..at.wrapping_add(8)).and_then(|slice| slice.first_chunk::<8>()) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => 0,
    }
}

/// How many bytes at `ahead` equal those at `behind`, up to `end` of the former. `behind < ahead <= end <= bytes.len()`.
#[inline(always)]
pub(super) fn common_length(bytes: &[u8], behind: usize, ahead: usize, end: usize) -> usize {
    let mut matched = 0;
    while ahead.wrapping_add(matched).wrapping_add(8) <= end {
        let difference = load64(bytes, behind.wrapping_add(matched)) ^ load64(bytes, ahead.wrapping_add(matched));
        if difference != 0 {
            return matched.wrapping_add(difference.trailing_zeros() as usize / 8);
        }
        matched = matched.wrapping_add(8);
    }
    while ahead.wrapping_add(matched) < end && bytes.get(behind.wrapping_add(matched)) == bytes.get(ahead.wrapping_add(matched)) {
        matched = matched.wrapping_add(1);
    }
    matched
}

/// Room behind the largest output that a wide store may touch.
const SLACK: usize = 32;

/// Output of an encoder: a buffer that only grows, so that blocks are written into memory cleared once.
#[derive(Debug, Default)]
pub(super) struct Sink {
    bytes: Vec<u8>,
    len: usize,
}

impl Sink {
    /// Forgets what was written and makes room for `bound` bytes. Stores beyond that are dropped, never made.
    pub(super) fn start(&mut self, bound: usize) {
        self.len = 0;
        let room = bound.saturating_add(SLACK);
        if self.bytes.len() < room {
            self.bytes.resize(room, 0);
        }
    }

    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    pub(super) fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
        }
        self.len = self.len.wrapping_add(1);
    }

    /// Appends the first `len` bytes of `bytes`, which are stored whole.
    #[inline(always)]
    pub(super) fn push_wide<const N: usize>(&mut self, bytes: [u8; N], len: usize) {
        if let Some(place) = self.bytes.get_mut(self.len..self.len.wrapping_add(N)).and_then(|slice| slice.first_chunk_mut::<N>()) {
            *place = bytes;
        }
        self.len = self.len.wrapping_add(len);
    }

    /// Appends `source[at..at + len]`; reads and writes beyond it where that is faster.
    #[inline(always)]
    pub(super) fn copy(&mut self, source: &[u8], at: usize, len: usize) {
        if len <= 16
            && let Some(wide) = source.get(at..at.wrapping_add(16)).and_then(|slice| slice.first_chunk::<16>())
        {
            return self.push_wide(*wide, len);
        }
        let end = self.len.wrapping_add(len);
        if let Some(place) = self.bytes.get_mut(self.len..end)
            && let Some(literals) = source.get(at..at.wrapping_add(len))
        {
            place.copy_from_slice(literals);
        }
        self.len = end;
    }

    /// Sets bits of a byte written before.
    #[inline(always)]
    pub(super) fn or_at(&mut self, at: usize, bits: u8) {
        if let Some(place) = self.bytes.get_mut(at) {
            *place |= bits;
        }
    }

    /// What was written.
    pub(super) fn written(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

//! Bloom filter blocks from hashes.
//!
//! ```text
//! lines     each of 64 bytes (older filters: the writer's cache line); a key sets all its bits in one line
//! trailer   format_version 5 on: ff 00 | probes: u8 | 00 00        before: probes: u8 | number of lines: u32
//! ```
//!
//! Sources, RocksDB 11.8: `FastLocalBloomImpl` and `LegacyLocalityBloomImpl`, util/bloom_impl.h;
//! `XXPH3FilterBitsBuilder` and `LegacyBloomBitsBuilder`, table/block_based/filter_policy.cc.

/// Bytes of the trailer of either kind.
pub(super) const TRAILER_LEN: usize = 5;

/// Shape of a filter block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BloomForm {
    /// Logarithm, base 2, of a line's bytes in older filters, 5 to 8; 0 for filters of format_version 5 on.
    pub old_line_log: u8,
    /// Number of lines.
    pub lines: u32,
    /// Bits set for each key.
    pub probes: u8,
}

impl BloomForm {
    /// Largest logarithm of a line's bytes.
    pub(super) const LINE_LOG_MAX: u8 = 8;

    /// Reads the form off the content of a filter block. `None` if it is of another kind: ribbon, empty, not a filter.
    pub(super) fn of(content: &[u8]) -> Option<Self> {
        let (lines, trailer) = content.split_last_chunk::<TRAILER_LEN>()?;
        if lines.is_empty() {
            return None;
        }
        match *trailer {
            [0xff, 0, probes, 0, 0] if lines.len() % 64 == 0 => {
                Some(Self { old_line_log: 0, lines: u32::try_from(lines.len() / 64).ok()?, probes })
            }
            [probes @ 1..=127, a, b, c, d] => {
                let count = u32::from_le_bytes([a, b, c, d]);
                let line = lines.len().checked_div(count as usize)?;
                let log = u8::try_from(line.checked_ilog2()?).ok().filter(|log| (5..=Self::LINE_LOG_MAX).contains(log))?;
                (line == 1 << log && line * count as usize == lines.len()).then_some(Self { old_line_log: log, lines: count, probes })
            }
            _ => None,
        }
    }

    /// Appends the content of the filter block of the keys with these hashes.
    pub(super) fn build(&self, hashes: &[u64], out: &mut Vec<u8>) {
        let start = out.len();
        let line_log = if self.old_line_log == 0 { 6 } else { self.old_line_log };
        out.resize(start + ((self.lines as usize) << line_log), 0);
        let bits = out.get_mut(start..).unwrap_or_default();
        if self.old_line_log == 0 {
            set_bits(bits.as_chunks_mut().0, self.probes, hashes);
            out.extend_from_slice(&[0xff, 0, self.probes, 0, 0]);
        } else {
            set_bits_of_old(bits, 1 << line_log, self.lines, self.probes, hashes);
            out.push(self.probes);
            out.extend_from_slice(&self.lines.to_le_bytes());
        }
    }
}

fn set_bits(lines: &mut [[u8; 64]], probes: u8, hashes: &[u64]) {
    let count = lines.len() as u64;
    for hash in hashes {
        let line = ((hash & 0xffff_ffff) * count) >> 32;
        let Some(line) = lines.get_mut(line as usize) else { return };
        let mut rest = (hash >> 32) as u32;
        for _ in 0..probes {
            // 9 bits: which of 512.
            if let Some(byte) = line.get_mut((rest >> 26) as usize) {
                *byte |= 1 << ((rest >> 23) & 7);
            }
            rest = rest.wrapping_mul(0x9e37_79b9);
        }
    }
}

fn set_bits_of_old(bits: &mut [u8], line_len: usize, lines: u32, probes: u8, hashes: &[u64]) {
    for hash in hashes {
        let mut rest = *hash as u32;
        let Some(number) = rest.checked_rem(lines) else { return };
        let start = number as usize * line_len;
        let Some(line) = bits.get_mut(start..start + line_len) else { return };
        let step = rest.rotate_right(17);
        for _ in 0..probes {
            let bit = rest as usize % (line_len * 8);
            if let Some(byte) = line.get_mut(bit / 8) {
                *byte |= 1 << (bit % 8);
            }
            rest = rest.wrapping_add(step);
        }
    }
}

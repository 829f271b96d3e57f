//! LZ4's hash functions and the table of a block without dictionary.

/// A hash of what stands at a position, fit for a table of `PLACES` places.
pub(super) trait Hash<const PLACES: usize> {
    fn of(bytes: u64) -> usize;
}

/// 5 bytes to 12 bits (`LZ4_hash5`, little-endian, tables of 32-bit positions on 64-bit machines).
pub(super) struct Hash5;
impl Hash<4096> for Hash5 {
    #[inline(always)]
    fn of(bytes: u64) -> usize {
        ((bytes << 24).wrapping_mul(889_523_592_379) >> 52) as usize
    }
}

/// 4 bytes to 13 bits (`LZ4_hash4`, tables of 16-bit positions).
pub(super) struct Hash4;
impl Hash<8192> for Hash4 {
    #[inline(always)]
    fn of(bytes: u64) -> usize {
        ((bytes as u32).wrapping_mul(2_654_435_761) >> 19) as usize
    }
}

/// Last positions by hash, plus an offset that grows from block to block: entries of blocks before are below it and read as
/// position 0, which is what the zero of a cleared table means. So the table is cleared once in 4 GiB.
#[derive(Debug)]
pub(super) struct Table<const PLACES: usize> {
    entries: Box<[u32; PLACES]>,
    offset: u32,
    /// The offset for the next block.
    next: u32,
}

impl<const PLACES: usize> Table<PLACES> {
    pub(super) fn new() -> Self {
        Self { entries: Box::new([0; PLACES]), offset: 0, next: 0 }
    }

    /// Forgets what it holds and expects positions below `len`.
    pub(super) fn start(&mut self, len: u32) {
        self.offset = self.next;
        self.next = match self.offset.checked_add(len) {
            Some(next) => next,
            None => {
                self.entries.fill(0);
                self.offset = 0;
                len
            }
        };
    }
}

/// Last positions by hash in a block whose positions have 16 bits. It is cleared for each block: half as large, it leaves
/// more of the nearest cache to the block, and its positions are never too far away for a match.
#[derive(Debug)]
pub(super) struct SmallTable<const PLACES: usize>(Box<[u16; PLACES]>);

impl<const PLACES: usize> SmallTable<PLACES> {
    pub(super) fn new() -> Self {
        Self(Box::new([0; PLACES]))
    }

    /// Forgets what it holds.
    pub(super) fn start(&mut self) {
        self.0.fill(0);
    }
}

impl<const PLACES: usize> Candidates for SmallTable<PLACES> {
    const ALL_ARE_NEAR: bool = true;

    #[inline(always)]
    fn replace(&mut self, hash: usize, at: usize) -> Option<usize> {
        let place = self.0.get_mut(hash)?;
        let before = *place as usize;
        *place = at as u16;
        Some(before)
    }
}

/// Places for candidates: a table of this block alone, or one that was filled from a dictionary.
pub(super) trait Candidates {
    /// Whether no two positions are further apart than a match may reach.
    const ALL_ARE_NEAR: bool = false;

    /// Remembers `at` under `hash` and returns the position remembered before, if that may be a match.
    fn replace(&mut self, hash: usize, at: usize) -> Option<usize>;
}

impl<const PLACES: usize> Candidates for Table<PLACES> {
    #[inline(always)]
    fn replace(&mut self, hash: usize, at: usize) -> Option<usize> {
        let place = self.entries.get_mut(hash)?;
        let before = place.saturating_sub(self.offset) as usize;
        *place = self.offset.wrapping_add(at as u32);
        Some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::{Candidates, Table};

    #[test]
    fn a_new_block_finds_nothing_of_the_one_before() {
        let mut table = Table::<4096>::new();
        for offset in [0, 1 << 20, u32::MAX - 1000, u32::MAX] {
            table.next = offset;
            for _ in 0..3 {
                table.start(600);
                assert_eq!(table.replace(7, 599), Some(0));
                assert_eq!(table.replace(7, 400), Some(599));
            }
        }
    }
}

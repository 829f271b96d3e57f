//! LZ4's view of a dictionary: the bytes before the block, and a hash table filled from them.

use super::bytes::load64;
use super::lz4_table::{Candidates, Hash, Hash5};

/// The last 64 KiB of a dictionary are used.
const WINDOW: usize = 65_536;
/// A dictionary shorter than this gives no candidates (`HASH_UNIT`), and blocks differ from those without one all the same.
const SHORTEST: usize = 8;
/// Every third position of a dictionary is remembered (`LZ4_loadDict`).
const STRIDE: usize = 3;

/// A dictionary, ready for one block after the other.
#[derive(Debug)]
pub(super) struct Lz4Dictionary {
    /// The dictionary, then the block at hand.
    window: Vec<u8>,
    dictionary_len: usize,
    loaded: Box<[u32; 4096]>,
    table: DictionaryTable,
}

/// Positions in the window plus 1; 0 is none. Unlike in a table without dictionary an empty place is no candidate: LZ4 counts
/// positions so that the block begins at 64 KiB, and 0 is then outside the dictionary or further away than a match may be.
#[derive(Debug)]
pub(super) struct DictionaryTable {
    entries: Box<[u32; 4096]>,
}

impl Candidates for DictionaryTable {
    #[inline(always)]
    fn replace(&mut self, hash: usize, at: usize) -> Option<usize> {
        let place = self.entries.get_mut(hash)?;
        let before = place.checked_sub(1).map(|position| position as usize);
        *place = (at as u32).wrapping_add(1);
        before
    }
}

impl Lz4Dictionary {
    pub(super) fn new(dictionary: &[u8]) -> Self {
        let used = dictionary.get(dictionary.len().saturating_sub(WINDOW)..).unwrap_or_default();
        let window = if used.len() < SHORTEST { Vec::new() } else { used.to_vec() };
        let mut table = DictionaryTable { entries: Box::new([0; 4096]) };
        let mut at = 0;
        while at + SHORTEST <= window.len() {
            table.replace(Hash5::of(load64(&window, at)), at);
            at += STRIDE;
        }
        Self { dictionary_len: window.len(), window, loaded: table.entries.clone(), table }
    }

    /// Dictionary and block in one, where the block begins, and the table as the dictionary left it.
    pub(super) fn before(&mut self, plain: &[u8]) -> (&[u8], usize, &mut DictionaryTable) {
        self.window.truncate(self.dictionary_len);
        self.window.extend_from_slice(plain);
        self.table.entries.copy_from_slice(self.loaded.as_slice());
        (&self.window, self.dictionary_len, &mut self.table)
    }
}

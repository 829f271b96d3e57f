//! The LZ4 block encoder, in the two ways in which RocksDB has called it; format-spec/15-encoders.md specifies both.
//!
//! * **Continue**: `LZ4_createStream`, `LZ4_loadDict` if there is a dictionary, `LZ4_compress_fast_continue`: RocksDB up to 10.7
//!   (`LZ4_Compress`, util/compression.h, 7.8), and with a dictionary still (`BuiltinLZ4CompressorV2WithDict`,
//!   util/compression.cc, 11.8). The hash table has 4,096 places and hashes 5 bytes.
//! * **Fast**: `LZ4_compress_fast` (`BuiltinLZ4CompressorV2NoDict`, 11.8). Below 65,547 bytes the table has 8,192 places and
//!   hashes 4 bytes, from there on it is as above.
//!
//! Which matches are found depends on nothing else. Algorithm: lib/lz4.c, LZ4 1.10.0; 1.9.4 gives the same bytes.

use super::bytes::{Sink, common_length, load32, load64};
use super::lz4_dictionary::Lz4Dictionary;
use super::lz4_sequence::{put_literals, put_match};
use super::lz4_table::{Candidates, Hash, Hash4, Hash5, SmallTable, Table};

/// Inputs of this size and more use the table of 4,096 places whichever the call (`LZ4_64Klimit`).
const SMALL_INPUT_END: usize = 65_547;
/// Inputs below this are stored as literals (`LZ4_minLength`).
const MIN_INPUT: usize = 13;
/// No match begins in the last 12 bytes (`MFLIMIT`), nor covers one of the last 5 (`LASTLITERALS`).
const MATCH_START_MARGIN: usize = 12;
const LAST_LITERALS: usize = 5;
const MIN_MATCH: usize = 4;
const MAX_DISTANCE: usize = 65_535;
/// After 64 misses the search steps one byte further (`LZ4_skipTrigger`).
const SKIP_TRIGGER: u32 = 6;

/// One thread's LZ4 encoder.
#[derive(Debug)]
pub(super) struct Lz4 {
    acceleration: u32,
    output: Sink,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Continue { small: SmallTable<4096>, large: Table<4096> },
    Dictionary(Lz4Dictionary),
    Fast { small: SmallTable<8192>, large: Table<4096> },
}

impl Lz4 {
    pub(super) fn fast(acceleration: u16) -> Self {
        Self::new(acceleration, Way::Fast { small: SmallTable::new(), large: Table::new() })
    }

    pub(super) fn continued(acceleration: u16, dictionary: &[u8]) -> Self {
        Self::new(
            acceleration,
            match dictionary {
                [] => Way::Continue { small: SmallTable::new(), large: Table::new() },
                dictionary => Way::Dictionary(Lz4Dictionary::new(dictionary)),
            },
        )
    }

    fn new(acceleration: u16, way: Way) -> Self {
        Self { acceleration: u32::from(acceleration.max(1)), output: Sink::default(), way }
    }

    /// The LZ4 block of `plain`, which has `len` bytes and at most `LZ4_MAX_INPUT_SIZE`.
    pub(super) fn compress(&mut self, plain: &[u8], len: u32) -> &[u8] {
        self.output.start(plain.len() + plain.len() / 255 + 16);
        let search = Search { acceleration: self.acceleration, start: 0 };
        match &mut self.way {
            Way::Fast { small, .. } if plain.len() < SMALL_INPUT_END => {
                small.start();
                search.run::<Hash4, _, 8192>(plain, small, &mut self.output);
            }
            Way::Continue { small, .. } if plain.len() < SMALL_INPUT_END => {
                small.start();
                search.run::<Hash5, _, 4096>(plain, small, &mut self.output);
            }
            Way::Continue { large: table, .. } | Way::Fast { large: table, .. } => {
                table.start(len);
                search.run::<Hash5, _, 4096>(plain, table, &mut self.output);
            }
            Way::Dictionary(dictionary) => {
                let (window, start, table) = dictionary.before(plain);
                Search { start, ..search }.run::<Hash5, _, 4096>(window, table, &mut self.output);
            }
        }
        self.output.written()
    }
}

/// The search for matches in `bytes[start..]`; what stands before `start` is dictionary.
struct Search {
    acceleration: u32,
    start: usize,
}

impl Search {
    #[inline(always)]
    fn run<H: Hash<PLACES>, T: Candidates, const PLACES: usize>(&self, bytes: &[u8], table: &mut T, output: &mut Sink) {
        let mut anchor = self.start;
        if bytes.len() - self.start >= MIN_INPUT {
            let last_start = bytes.len() - MATCH_START_MARGIN;
            let match_end = bytes.len() - LAST_LITERALS;
            table.replace(H::of(load64(bytes, anchor)), anchor);
            let mut at = anchor + 1;
            while let Some((found, candidate)) = self.next_match::<H, T, PLACES>(bytes, table, at, last_start) {
                let (mut begin, mut source) = (found, candidate);
                let lowest = if source < self.start { 0 } else { self.start };
                while begin > anchor && source > lowest && bytes.get(begin.wrapping_sub(1)) == bytes.get(source.wrapping_sub(1)) {
                    begin = begin.wrapping_sub(1);
                    source = source.wrapping_sub(1);
                }
                let mut token = put_literals(output, bytes, anchor, begin);
                loop {
                    let matched = common_length(bytes, source.wrapping_add(MIN_MATCH), begin.wrapping_add(MIN_MATCH), match_end);
                    put_match(output, token, begin.wrapping_sub(source), matched);
                    anchor = begin.wrapping_add(matched).wrapping_add(MIN_MATCH);
                    if anchor > last_start {
                        break;
                    }
                    let two_back = anchor.wrapping_sub(2);
                    table.replace(H::of(load64(bytes, two_back)), two_back);
                    let here = load64(bytes, anchor);
                    match table.replace(H::of(here), anchor) {
                        Some(next)
                            if (T::ALL_ARE_NEAR || anchor.wrapping_sub(next) <= MAX_DISTANCE) && load32(bytes, next) == here as u32 =>
                        {
                            token = output.len();
                            output.push(0);
                            begin = anchor;
                            source = next;
                        }
                        _ => break,
                    }
                }
                if anchor > last_start {
                    break;
                }
                at = anchor.wrapping_add(1);
            }
        }
        put_literals(output, bytes, anchor, bytes.len());
    }

    /// The first position from `at` on, in steps that widen, whose candidate equals it in 4 bytes; and that candidate.
    #[inline(always)]
    fn next_match<H: Hash<PLACES>, T: Candidates, const PLACES: usize>(
        &self,
        bytes: &[u8],
        table: &mut T,
        mut at: usize,
        last_start: usize,
    ) -> Option<(usize, usize)> {
        let mut step = 1;
        let mut misses = self.acceleration << SKIP_TRIGGER;
        let mut here = load64(bytes, at);
        loop {
            let next = at.wrapping_add(step);
            step = (misses >> SKIP_TRIGGER) as usize;
            misses = misses.wrapping_add(1);
            if next > last_start.wrapping_add(1) {
                return None;
            }
            let ahead = load64(bytes, next);
            if let Some(candidate) = table.replace(H::of(here), at)
                && (T::ALL_ARE_NEAR || at.wrapping_sub(candidate) <= MAX_DISTANCE)
                && load32(bytes, candidate) == here as u32
            {
                return Some((at, candidate));
            }
            at = next;
            here = ahead;
        }
    }
}

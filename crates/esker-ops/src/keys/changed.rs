//! In which key ranges two sides may differ, told from tables' hashes and recipes alone.
//!
//! Where every entry of one side stands, at the same place of the same run, on the other side too, nothing can differ, and
//! nobody need read it. So what both sides have is struck out: tables, recipe pieces, stretches of pieces. Keys that only
//! struck out stretches can hold are equal; the rest are the ranges that must be read.

use std::collections::HashSet;
use std::rc::Rc;

use esker_dedup::sorted::segments;
use esker_format::recipe::Piece;
use esker_format::table_recipe::TableBlocks;

use super::cursor::is_of_runs;
use super::family::KeyForm;
use super::ranges::{KeyRange, Upper, joined};
use super::store::Store;
use super::table::{Content, Table};
use crate::error::Result;

/// Stretches of pieces that are compared one by one, at most on each side; with more of them whole pieces are.
const STRETCHES_MAX: usize = 1 << 19;
/// Ranges that one write-ahead log adds key by key, at most.
const LOGGED_RANGES_MAX: usize = 1 << 16;

/// Entries that stand in one stretch of a piece, or in a whole one.
struct Stretch {
    signature: ([u8; 16], u64),
    range: KeyRange,
}

/// How finely pieces are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grain {
    Segments,
    Pieces,
}

/// The ranges in which the tables of two sides may differ. With `exact_numbers`, entries of which only one side's sequence
/// numbers were cleared are read all the same.
///
/// # Errors
/// `ChunkLost`, `Store`; `Unreadable` for what is no table.
pub(super) fn changed_ranges(store: &Store<'_>, form: KeyForm, sides: [&[Rc<Table>]; 2], exact_numbers: bool) -> Result<Vec<KeyRange>> {
    let identities = sides.map(|tables| tables.iter().map(|table| table.identity).collect::<HashSet<_>>());
    let [first, second] = sides;
    let [in_first, in_second] = &identities;
    let only_first: Vec<&Table> = first.iter().map(Rc::as_ref).filter(|table| !in_second.contains(&table.identity)).collect();
    let only_second: Vec<&Table> = second.iter().map(Rc::as_ref).filter(|table| !in_first.contains(&table.identity)).collect();
    let mut ranges = Vec::new();
    let (first, second) = (read_whole(store, form, only_first, &mut ranges)?, read_whole(store, form, only_second, &mut ranges)?);
    for grain in [Grain::Segments, Grain::Pieces] {
        let collector = Collector { store, exact_numbers, grain };
        let (Some(first), Some(second)) = (collector.stretches(&first, &mut ranges)?, collector.stretches(&second, &mut ranges)?) else {
            continue;
        };
        ranges.extend(in_one_only(first, second));
        break;
    }
    Ok(joined(ranges, form.order))
}

/// Strikes out of the list what must be read whatever its recipe says, and adds its ranges; the others, with the sequence
/// number of all their entries, if they have one.
fn read_whole<'t>(store: &Store<'_>, form: KeyForm, tables: Vec<&'t Table>, ranges: &mut Vec<KeyRange>) -> Result<Vec<(&'t Table, u64)>> {
    let mut left = Vec::new();
    for table in tables {
        let tail = table.tail(store, form)?;
        match &table.content {
            Content::Logged { entries, .. } if tail.tombstones.is_empty() && entries.len() <= LOGGED_RANGES_MAX => {
                let key = |number| entries.key(number).to_vec();
                ranges.extend((0..entries.len()).map(|number| KeyRange { from: Some(key(number)), upper: Upper::To(key(number)) }));
            }
            Content::Stored(_) if tail.tombstones.is_empty() => left.push((table, tail.global_sequence.map_or(0, |number| number + 1))),
            _ => ranges.push(table.range()),
        }
    }
    Ok(left)
}

struct Collector<'s, 'r> {
    store: &'s Store<'r>,
    exact_numbers: bool,
    grain: Grain,
}

impl Collector<'_, '_> {
    /// The stretches of these tables; `None` if there are too many. Tables that are not all of runs go to `ranges`.
    fn stretches(&self, tables: &[(&Table, u64)], ranges: &mut Vec<KeyRange>) -> Result<Option<Vec<Stretch>>> {
        let mut all = Vec::new();
        for (table, salt) in tables {
            match self.of_table(table, *salt)? {
                Some(more) => all.extend(more),
                None => ranges.push(table.range()),
            }
            if self.grain == Grain::Segments && all.len() > STRETCHES_MAX {
                return Ok(None);
            }
        }
        Ok(Some(all))
    }

    fn of_table(&self, table: &Table, salt: u64) -> Result<Option<Vec<Stretch>>> {
        let Content::Stored(content) = &table.content else { return Ok(None) };
        let mut found: Vec<Vec<([u8; 16], Vec<u8>)>> = content.recipe.iter().map(|_| Vec::new()).collect();
        let mut is_whole = true;
        self.store.pieces(&content.recipe, |position, piece| {
            match (piece, found.get_mut(position)) {
                (Piece::Blocks(piece), Some(slot)) if is_of_runs(&piece) => *slot = self.of_piece(&piece),
                (Piece::Rest(_), _) => {}
                _ => is_whole = false,
            }
            Ok(())
        })?;
        if !is_whole {
            return Ok(None);
        }
        let mut stretches: Vec<Stretch> = Vec::new();
        for (signature, from) in found.into_iter().flatten() {
            if let Some(before) = stretches.last_mut() {
                before.range.upper = Upper::To(from.clone());
            }
            let range = KeyRange { from: Some(from), upper: table.upper.clone() };
            stretches.push(Stretch { signature: (signature, salt), range });
        }
        Ok(Some(stretches))
    }

    /// Signatures and first keys.
    fn of_piece(&self, piece: &TableBlocks) -> Vec<([u8; 16], Vec<u8>)> {
        let segments = segments(piece, self.exact_numbers);
        let first_key = |run: usize| piece.runs.get(run).map(|run| run.first_key.clone()).unwrap_or_default();
        match self.grain {
            Grain::Segments => segments.iter().map(|segment| (segment.signature, first_key(segment.run))).collect(),
            Grain::Pieces if segments.is_empty() => Vec::new(),
            Grain::Pieces => {
                let mut hasher = blake3::Hasher::new();
                segments.iter().for_each(|segment| {
                    hasher.update(&segment.signature);
                });
                vec![(hasher.finalize().as_bytes().first_chunk().copied().unwrap_or_default(), first_key(0))]
            }
        }
    }
}

/// The ranges of stretches that only one side has, or more often than the other.
fn in_one_only(mut first: Vec<Stretch>, mut second: Vec<Stretch>) -> Vec<KeyRange> {
    first.sort_by_key(|stretch| stretch.signature);
    second.sort_by_key(|stretch| stretch.signature);
    let (mut first, mut second) = (first.into_iter().peekable(), second.into_iter().peekable());
    let mut ranges = Vec::new();
    loop {
        let side = match (first.peek(), second.peek()) {
            (Some(left), Some(right)) => left.signature.cmp(&right.signature),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return ranges,
        };
        match side {
            std::cmp::Ordering::Less => ranges.extend(first.next().map(|stretch| stretch.range)),
            std::cmp::Ordering::Greater => ranges.extend(second.next().map(|stretch| stretch.range)),
            std::cmp::Ordering::Equal => drop((first.next(), second.next())),
        }
    }
}

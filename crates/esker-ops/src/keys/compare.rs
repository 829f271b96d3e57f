//! Comparing a column family of two engines, key by key.

use std::rc::Rc;

use esker_format::run::KeyOrder;

use super::blobs::{BlobFiles, BlobReader, compare_values};
use super::changed::changed_ranges;
use super::engine::FamilyView;
use super::family::KeyForm;
use super::ranges::{KeyRange, in_both, joined};
use super::side::Side;
use super::store::Store;
use super::visible::{Comparison, Visible};
use crate::error::{OpsError, Result};

/// Keys after which somebody may stop the work.
const KEYS_AT_ONCE: u32 = 4096;

/// One side of a comparison.
#[derive(Clone)]
pub(super) struct FamilyOf<'f> {
    pub(super) family: &'f FamilyView,
    pub(super) blobs: Rc<BlobFiles>,
}

/// How much was read for it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Effort {
    /// Tables on both sides together, and their bytes.
    pub(super) tables: u64,
    pub(super) table_bytes: u64,
    /// Of those, bytes of which no entry was looked at.
    pub(super) skipped_bytes: u64,
    /// Entries that were looked at.
    pub(super) entries: u64,
    /// Tables of one side that were open at once, at most.
    pub(super) open: u64,
}

impl Effort {
    pub(super) fn add(&mut self, more: Self) {
        self.tables += more.tables;
        self.table_bytes += more.table_bytes;
        self.skipped_bytes += more.skipped_bytes;
        self.entries += more.entries;
        self.open = self.open.max(more.open);
    }
}

/// A key that differs.
pub(super) struct Difference<'d> {
    pub(super) comparison: Comparison,
    pub(super) key: &'d [u8],
    /// What the first side has, and the second.
    pub(super) first: Option<&'d Visible>,
    pub(super) second: Option<&'d Visible>,
}

/// What is to be compared.
pub(super) struct Task<'t> {
    /// Only keys in these ranges; all if `None`.
    pub(super) only: Option<&'t [KeyRange]>,
    /// Whether the two come from different hosts, whose sequence numbers mean nothing to each other.
    pub(super) exact_numbers: bool,
}

/// Gives every key that differs to `take`.
///
/// # Errors
/// `ChunkLost`, `Store`, `Cancelled`; `Unreadable` if keys cannot be compared; what `take` returns.
pub(super) fn compare(
    store: &Store<'_>,
    first: &FamilyOf<'_>,
    second: &FamilyOf<'_>,
    task: &Task<'_>,
    take: &mut dyn FnMut(&Difference<'_>) -> Result<()>,
) -> Result<Effort> {
    let form = form_of(first.family, second.family)?;
    let tables = [&first.family.tables[..], &second.family.tables[..]];
    let changed = changed_ranges(store, form, tables, task.exact_numbers)?;
    let ranges = match task.only {
        Some(only) if form.order == KeyOrder::Ascending => in_both(&changed, &joined(only.to_vec(), form.order), form.order),
        Some(_) => return Err(OpsError::Unreadable("partitions are told from keys in ascending order only".into())),
        None => changed,
    };
    let total = tables.iter().flat_map(|tables| tables.iter()).map(|table| table.size).sum();
    store.job.progress.phase("keys", total);
    let mut sides = [first, second].map(|side| Side::new(store, form, &side.family.tables, &side.blobs));
    let mut blobs = [first, second].map(|side| BlobReader::new(store, &side.blobs));
    for range in &ranges {
        store.job.cancel.check()?;
        compare_range(store, &mut sides, &mut blobs, range, form, take)?;
    }
    let mut effort = Effort::default();
    for (side, tables) in sides.into_iter().zip(tables) {
        let (count, table_bytes) = (tables.len() as u64, tables.iter().map(|table| table.size).sum());
        effort.add(Effort { tables: count, table_bytes, ..side.finish() });
    }
    store.job.progress.finish();
    Ok(effort)
}

/// How the keys of both are sorted.
fn form_of(first: &FamilyView, second: &FamilyView) -> Result<KeyForm> {
    if let Some(fault) = first.fault.as_ref().or(second.fault.as_ref()) {
        return Err(OpsError::Unreadable(fault.clone()));
    }
    // Who has no such family has no tables of it.
    let forms = [first, second].map(|family| family.comparator.as_deref().map(|name| KeyForm::of(Some(name))));
    match forms {
        [Some(first), Some(second)] => match (first?, second?) {
            (first, second) if first == second => Ok(first),
            _ => Err(OpsError::Unreadable("its keys are sorted in another way in the other backup".into())),
        },
        [Some(form), None] | [None, Some(form)] => form,
        [None, None] => KeyForm::of(None),
    }
}

fn compare_range(
    store: &Store<'_>,
    [first, second]: &mut [Side<'_, '_>; 2],
    [in_files, in_other_files]: &mut [BlobReader<'_, '_>; 2],
    range: &KeyRange,
    form: KeyForm,
    take: &mut dyn FnMut(&Difference<'_>) -> Result<()>,
) -> Result<()> {
    first.begin(range)?;
    second.begin(range)?;
    let (mut in_first, mut in_second) = (first.next()?, second.next()?);
    let mut until_check = KEYS_AT_ONCE;
    let nothing = Visible::default();
    while in_first || in_second {
        let side = match (in_first, in_second) {
            (true, true) => form.order.compare(first.key(), second.key()),
            (true, false) => std::cmp::Ordering::Less,
            (false, _) => std::cmp::Ordering::Greater,
        };
        let (left, right) = (side.is_le().then(|| first.visible()), side.is_ge().then(|| second.visible()));
        let (one, other) = (left.unwrap_or(&nothing), right.unwrap_or(&nothing));
        let comparison = match one.compare(other) {
            Comparison::Undecided => compare_values((one, in_files), (other, in_other_files))?,
            comparison => comparison,
        };
        if comparison != Comparison::Equal {
            let exists = |visible: &&Visible| visible.exists();
            let key = if side.is_le() { first.key() } else { second.key() };
            take(&Difference { comparison, key, first: left.filter(exists), second: right.filter(exists) })?;
        }
        if side.is_le() {
            in_first = first.next()?;
        }
        if side.is_ge() {
            in_second = second.next()?;
        }
        until_check -= 1;
        if until_check == 0 {
            store.job.cancel.check()?;
            until_check = KEYS_AT_ONCE;
        }
    }
    Ok(())
}

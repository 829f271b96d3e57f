//! One side of a comparison: a column family of one engine, key by key, as a read would find it.

use std::rc::Rc;

use esker_dedup::sorted::heap::StreamHeap;

use super::blobs::{BlobFiles, place_of};
use super::compare::Effort;
use super::cursor::TableCursor;
use super::family::{KeyForm, time_of};
use super::ranges::KeyRange;
use super::store::Store;
use super::table::Table;
use super::tombstone::Tombstones;
use super::visible::{Form, Visible, kind};
use crate::error::{OpsError, Result};

/// Bytes that a timed value has behind it (`PackValueAndSeqno`, db/seqno_to_time_mapping.h, RocksDB 11.8).
const WRITE_TIME_BYTES: usize = 8;

/// A merge over the tables of a family. Tables are opened when their first key is reached: at any time as many are open as
/// have keys in common, whatever the engine's size.
pub(super) struct Side<'s, 'r> {
    store: &'s Store<'r>,
    form: KeyForm,
    /// By their first keys.
    tables: Vec<Rc<Table>>,
    next: usize,
    /// An empty place is that of a table that is done.
    cursors: Vec<Option<TableCursor<'s, 'r>>>,
    heap: StreamHeap,
    tombstones: Tombstones,
    blobs: Rc<BlobFiles>,
    range: KeyRange,
    key: Vec<u8>,
    visible: Visible,
    /// Bytes of tables that were not looked at.
    skipped: u64,
    entries: u64,
}

impl<'s, 'r> Side<'s, 'r> {
    pub(super) fn new(store: &'s Store<'r>, form: KeyForm, tables: &[Rc<Table>], blobs: &Rc<BlobFiles>) -> Self {
        let mut tables = tables.to_vec();
        tables.sort_by(|left, right| form.order.compare(&left.from, &right.from));
        Self {
            store,
            form,
            tables,
            next: 0,
            cursors: Vec::new(),
            heap: StreamHeap::default(),
            tombstones: Tombstones::default(),
            blobs: Rc::clone(blobs),
            range: KeyRange::all(),
            key: Vec::new(),
            visible: Visible::default(),
            skipped: 0,
            entries: 0,
        }
    }

    /// Moves on to a range; ranges must rise.
    pub(super) fn begin(&mut self, range: &KeyRange) -> Result<()> {
        self.range = range.clone();
        self.heap = StreamHeap::default();
        let order = self.form.order;
        for place in 0..self.cursors.len() {
            let Some(Some(cursor)) = self.cursors.get_mut(place) else { continue };
            let is_there = !range.is_behind(&cursor.table.upper, order) && cursor.seek(range)?;
            self.place(place, is_there);
        }
        Ok(())
    }

    /// The key moved to.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// What is visible of it; perhaps nothing.
    pub(super) fn visible(&self) -> &Visible {
        &self.visible
    }

    /// Moves to the next key of the range; false if there is none.
    pub(super) fn next(&mut self) -> Result<bool> {
        self.open_tables()?;
        let Some(top) = self.heap.top() else { return Ok(false) };
        let key = self.cursors.get(top).and_then(Option::as_ref).map(TableCursor::key).unwrap_or_default();
        if self.range.upper.is_before(key, self.form.order) {
            return Ok(false);
        }
        self.key.clear();
        self.key.extend_from_slice(key);
        self.visible.clear();
        self.tombstones.advance(&self.key, self.form.order);
        while let Some(top) = self.heap.top() {
            let Some(Some(cursor)) = self.cursors.get_mut(top) else { break };
            if cursor.key() != self.key {
                break;
            }
            take(cursor, &self.key, &self.tombstones, &self.blobs, &mut self.visible)?;
            self.entries += 1;
            let is_there = cursor.advance()?;
            let (cursors, order) = (&self.cursors, self.form.order);
            let compare = |left: usize, right: usize| order.compare(key_of(cursors, left), key_of(cursors, right));
            if is_there {
                self.heap.settle_top(compare);
            } else {
                self.heap.pop(compare);
                self.drop_cursor(top);
            }
        }
        self.visible.settle();
        Ok(true)
    }

    /// Opens every table whose first key is not behind the key that comes next.
    fn open_tables(&mut self) -> Result<()> {
        let order = self.form.order;
        while let Some(table) = self.tables.get(self.next) {
            let is_later = match self.heap.top() {
                Some(top) => order.compare(key_of(&self.cursors, top), &table.from).is_lt(),
                None => false,
            };
            if is_later || self.range.upper.is_before(&table.from, order) {
                break;
            }
            self.next += 1;
            if self.range.is_behind(&table.upper, order) {
                self.skipped += table.size;
                self.store.job.progress.advance(table.size);
                continue;
            }
            let table = Rc::clone(table);
            let tail = table.tail(self.store, self.form)?;
            self.tombstones.add(tail.tombstones, order);
            let mut cursor = TableCursor::open(self.store, table, self.form, tail.global_sequence)?;
            let is_there = cursor.seek(&self.range)?;
            let free = self.cursors.iter().position(Option::is_none);
            let place = free.unwrap_or(self.cursors.len());
            match self.cursors.get_mut(place) {
                Some(slot) => *slot = Some(cursor),
                None => self.cursors.push(Some(cursor)),
            }
            self.place(place, is_there);
        }
        Ok(())
    }

    /// Takes a stream that stands at an entry into the merge.
    fn place(&mut self, place: usize, is_there: bool) {
        if is_there {
            let (cursors, order) = (&self.cursors, self.form.order);
            self.heap.push(place, |left, right| order.compare(key_of(cursors, left), key_of(cursors, right)));
        } else {
            self.drop_cursor(place);
        }
    }

    fn drop_cursor(&mut self, place: usize) {
        if let Some(cursor) = self.cursors.get_mut(place).and_then(Option::take) {
            self.skipped += cursor.skipped();
            self.store.job.progress.advance(cursor.table.size);
        }
    }

    /// What was looked at and what not, when all ranges are through.
    pub(super) fn finish(mut self) -> Effort {
        let open = self.cursors.len() as u64;
        (0..self.cursors.len()).for_each(|place| self.drop_cursor(place));
        let unopened: u64 = self.tables.iter().skip(self.next).map(|table| table.size).sum();
        Effort { skipped_bytes: self.skipped + unopened, entries: self.entries, open, ..Effort::default() }
    }
}

fn key_of<'c>(cursors: &'c [Option<TableCursor<'_, '_>>], place: usize) -> &'c [u8] {
    cursors.get(place).and_then(Option::as_ref).map(TableCursor::key).unwrap_or_default()
}

/// Takes the entry at hand into what is visible of its key.
fn take(cursor: &TableCursor<'_, '_>, key: &[u8], tombstones: &Tombstones, blobs: &BlobFiles, visible: &mut Visible) -> Result<()> {
    let (entry, value) = cursor.entry();
    let age = (time_of(entry.timestamp), entry.sequence);
    if tombstones.hide(key, age.1, age.0) {
        visible.take(age, Form::Deleted, entry.timestamp, b"");
        return Ok(());
    }
    match (entry.kind, Form::of(entry.kind)) {
        (kind::MERGE, _) => visible.take_operand(age, value),
        (kind::TIMED_VALUE, Some(form)) => {
            let plain = value.get(..value.len().saturating_sub(WRITE_TIME_BYTES)).unwrap_or_default();
            visible.take(age, form, entry.timestamp, plain);
        }
        (_, Some(form @ Form::InBlob)) => {
            let (place, bytes) = place_of(value, blobs);
            visible.take_of(age, form, entry.timestamp, (&place, bytes));
        }
        (_, Some(form)) => visible.take(age, form, entry.timestamp, value),
        (other, None) => {
            let name = &cursor.table.name;
            return Err(OpsError::Unreadable(format!("{name}: an entry has type {other:#04x}, which is not known")));
        }
    }
    Ok(())
}

//! Range deletions, and which entries they hide.

use esker_format::run::KeyOrder;

/// One range deletion, cut to the table that it stands in: beyond the table's bounds compaction may have dropped it, and
/// cleared the sequence numbers of what came after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tombstone {
    /// The first key that it hides.
    pub(super) start: Vec<u8>,
    /// Of the first key it hides entries up to this sequence number.
    pub(super) start_sequence_max: u64,
    /// The key before which it ends.
    pub(super) end: Vec<u8>,
    /// If it was cut there: it hides entries of `end` itself from this sequence number on.
    pub(super) end_sequence_min: Option<u64>,
    /// It hides what is older.
    pub(super) sequence: u64,
    /// And what was written at this time or before.
    pub(super) time: u64,
}

/// The range deletions of the tables that are open.
#[derive(Default)]
pub(super) struct Tombstones {
    /// Those that begin behind the last key asked for, the next one last.
    waiting: Vec<Tombstone>,
    active: Vec<Tombstone>,
}

impl Tombstones {
    /// Adds those of another table.
    pub(super) fn add(&mut self, more: Vec<Tombstone>, order: KeyOrder) {
        if !more.is_empty() {
            self.waiting.extend(more);
            self.waiting.sort_by(|left, right| order.compare(&right.start, &left.start));
        }
    }

    /// Moves on to a key; keys must rise.
    pub(super) fn advance(&mut self, key: &[u8], order: KeyOrder) {
        while let Some(next) = self.waiting.pop_if(|next| order.compare(&next.start, key).is_le()) {
            self.active.push(next);
        }
        self.active.retain(|tombstone| match order.compare(&tombstone.end, key) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => tombstone.end_sequence_min.is_some(),
            std::cmp::Ordering::Greater => true,
        });
    }

    /// Whether one hides an entry of the key moved to.
    pub(super) fn hide(&self, key: &[u8], sequence: u64, time: u64) -> bool {
        self.active.iter().any(|tombstone| {
            let is_older = sequence < tombstone.sequence && time <= tombstone.time;
            let is_behind_start = tombstone.start != key || sequence <= tombstone.start_sequence_max;
            let is_before_end = tombstone.end != key || tombstone.end_sequence_min.is_some_and(|least| sequence >= least);
            is_older && is_behind_start && is_before_end
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tombstone(start: &str, end: &str, sequence: u64) -> Tombstone {
        let (start, end) = (start.into(), end.into());
        Tombstone { start, start_sequence_max: u64::MAX, end, end_sequence_min: None, sequence, time: u64::MAX }
    }

    #[test]
    fn what_is_older_and_in_between_is_hidden() {
        let order = KeyOrder::Ascending;
        let mut tombstones = Tombstones::default();
        tombstones.add(vec![tombstone("b", "d", 5), tombstone("c", "x", 9)], order);
        let mut hidden = |key: &str, sequence| {
            tombstones.advance(key.as_bytes(), order);
            tombstones.hide(key.as_bytes(), sequence, 0)
        };
        assert!(!hidden("a", 1));
        assert!(hidden("b", 4) && !hidden("b", 5));
        assert!(hidden("c", 8));
        assert!(hidden("w", 8) && !hidden("w", 9));
        assert!(!hidden("x", 1));
    }

    #[test]
    fn a_cut_one_hides_no_entry_of_the_next_table() {
        let order = KeyOrder::Ascending;
        let mut tombstones = Tombstones::default();
        let cut = Tombstone { start_sequence_max: 3, end_sequence_min: Some(4), ..tombstone("b", "d", 9) };
        tombstones.add(vec![cut], order);
        tombstones.advance(b"b", order);
        assert!(tombstones.hide(b"b", 3, 0) && !tombstones.hide(b"b", 4, 0));
        tombstones.advance(b"d", order);
        assert!(tombstones.hide(b"d", 4, 0) && !tombstones.hide(b"d", 3, 0));
        tombstones.advance(b"da", order);
        assert!(!tombstones.hide(b"da", 4, 0));
    }
}

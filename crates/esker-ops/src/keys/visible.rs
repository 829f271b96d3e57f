//! What a read of a key would find: the newest entry, or operands down to what they are merged with.

/// Types of entries (`enum ValueType`, db/dbformat.h, RocksDB 11.8).
pub(super) mod kind {
    pub const DELETION: u8 = 0x00;
    pub const VALUE: u8 = 0x01;
    pub const MERGE: u8 = 0x02;
    pub const SINGLE_DELETION: u8 = 0x07;
    pub const RANGE_DELETION: u8 = 0x0f;
    pub const BLOB: u8 = 0x11;
    pub const DELETION_WITH_TIMESTAMP: u8 = 0x14;
    pub const WIDE_COLUMNS: u8 = 0x16;
    /// A value, and behind it 8 bytes that say when it was written.
    pub const TIMED_VALUE: u8 = 0x18;
}

/// What kind of thing stands behind a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Deleted,
    Value,
    Columns,
    /// The value stands in a blob file; what is kept says where.
    InBlob,
}

impl Form {
    /// Of an entry of this type that is no operand; `None` for a type that is not known.
    pub(super) fn of(entry: u8) -> Option<Self> {
        Some(match entry {
            kind::DELETION | kind::SINGLE_DELETION | kind::DELETION_WITH_TIMESTAMP => Self::Deleted,
            kind::VALUE | kind::TIMED_VALUE => Self::Value,
            kind::WIDE_COLUMNS => Self::Columns,
            kind::BLOB => Self::InBlob,
            _ => return None,
        })
    }
}

/// When an entry was written: timestamp, then sequence number.
pub(super) type Age = (u64, u64);

/// One entry of a key.
struct Version {
    age: Age,
    form: Form,
    timestamp: Vec<u8>,
    value: Vec<u8>,
    /// Bytes of the value, wherever it stands.
    bytes: u64,
}

/// What is visible of one key. Filled entry by entry, in any order; keeps its memory from key to key.
#[derive(Default)]
pub(super) struct Visible {
    base: Option<Version>,
    /// Operands that are newer than the base.
    operands: Vec<(Age, Vec<u8>)>,
    /// Memory of an earlier base.
    spare: Option<Version>,
}

/// How what two sides have of a key compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Added,
    Deleted,
    Changed,
    /// Whoever reads blob files, or knows the merge operator, can tell.
    Undecided,
}

impl Visible {
    pub(super) fn clear(&mut self) {
        self.spare = self.base.take().or(self.spare.take());
        self.operands.clear();
    }

    /// Takes an entry that is no operand.
    pub(super) fn take(&mut self, age: Age, form: Form, timestamp: &[u8], value: &[u8]) {
        self.take_of(age, form, timestamp, (value, value.len() as u64));
    }

    /// Takes one whose value has so many bytes, which may stand elsewhere.
    pub(super) fn take_of(&mut self, age: Age, form: Form, timestamp: &[u8], (value, bytes): (&[u8], u64)) {
        if self.base.as_ref().is_some_and(|base| base.age >= age) {
            return;
        }
        let spare = self.base.take().or(self.spare.take());
        let mut base = spare.unwrap_or(Version { age, form, timestamp: Vec::new(), value: Vec::new(), bytes });
        (base.age, base.form, base.bytes) = (age, form, bytes);
        base.timestamp.clear();
        base.timestamp.extend_from_slice(timestamp);
        base.value.clear();
        base.value.extend_from_slice(value);
        self.operands.retain(|(operand, _)| *operand > age);
        self.base = Some(base);
    }

    /// Takes an operand.
    pub(super) fn take_operand(&mut self, age: Age, operand: &[u8]) {
        if self.base.as_ref().is_none_or(|base| age > base.age) {
            self.operands.push((age, operand.to_vec()));
        }
    }

    /// Puts operands into their order; no entry follows.
    pub(super) fn settle(&mut self) {
        self.operands.sort_by(|(left, _), (right, _)| right.cmp(left));
    }

    /// The base, unless the key was deleted.
    fn value(&self) -> Option<&Version> {
        self.base.as_ref().filter(|base| base.form != Form::Deleted)
    }

    /// Whether a read finds anything.
    pub(super) fn exists(&self) -> bool {
        !self.operands.is_empty() || self.value().is_some()
    }

    /// Bytes of value and operands.
    pub(super) fn value_bytes(&self) -> u64 {
        let operands: usize = self.operands.iter().map(|(_, operand)| operand.len()).sum();
        operands as u64 + self.value().map_or(0, |base| base.bytes)
    }

    /// What stands behind the key if no operand does: what it is, and the value, or where it stands.
    pub(super) fn plain(&self) -> Option<(Form, &[u8])> {
        self.value().filter(|_| self.operands.is_empty()).map(|base| (base.form, base.value.as_slice()))
    }

    /// The timestamp of the newest entry.
    pub(super) fn timestamp(&self) -> &[u8] {
        self.value().map(|base| base.timestamp.as_slice()).unwrap_or_default()
    }

    /// How `second` differs from this one.
    pub(super) fn compare(&self, second: &Self) -> Comparison {
        match (self.exists(), second.exists()) {
            (false, false) => return Comparison::Equal,
            (false, true) => return Comparison::Added,
            (true, false) => return Comparison::Deleted,
            (true, true) => {}
        }
        let operands = |side: &Self| !side.operands.is_empty();
        let same_operands = self.operands.len() == second.operands.len()
            && self.operands.iter().zip(&second.operands).all(|(left, right)| left.1 == right.1);
        let (left, right) = (self.value(), second.value());
        let same_base = match (left, right) {
            (None, None) => true,
            (Some(left), Some(right)) => (left.form, &left.timestamp, &left.value) == (right.form, &right.timestamp, &right.value),
            _ => false,
        };
        let in_blobs = |version: Option<&Version>| version.is_some_and(|version| version.form == Form::InBlob);
        match (same_operands && same_base, operands(self) || operands(second) || in_blobs(left) || in_blobs(right)) {
            (true, _) => Comparison::Equal,
            (false, true) => Comparison::Undecided,
            (false, false) => Comparison::Changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visible(entries: &[(u64, u8, &str)]) -> Visible {
        let mut visible = Visible::default();
        for (sequence, entry, value) in entries {
            match Form::of(*entry) {
                Some(form) => visible.take((0, *sequence), form, b"", value.as_bytes()),
                None => visible.take_operand((0, *sequence), value.as_bytes()),
            }
        }
        visible.settle();
        visible
    }

    #[test]
    fn the_newest_entry_is_what_is_read_whatever_the_order() {
        let newest = visible(&[(7, kind::VALUE, "new")]);
        assert_eq!(visible(&[(3, kind::VALUE, "old"), (7, kind::VALUE, "new")]).compare(&newest), Comparison::Equal);
        assert_eq!(visible(&[(7, kind::VALUE, "new"), (3, kind::DELETION, "")]).compare(&newest), Comparison::Equal);
        assert_eq!(visible(&[(8, kind::VALUE, "newer"), (7, kind::VALUE, "new")]).compare(&newest), Comparison::Changed);
        let gone = visible(&[(7, kind::VALUE, "new"), (9, kind::SINGLE_DELETION, "")]);
        assert_eq!((gone.compare(&newest), newest.compare(&gone)), (Comparison::Added, Comparison::Deleted));
        assert_eq!(visible(&[]).compare(&gone), Comparison::Equal);
    }

    #[test]
    fn operands_count_down_to_their_base() {
        let merged =
            |base: &str| visible(&[(4, kind::MERGE, "b"), (3, kind::VALUE, base), (2, kind::MERGE, "hidden"), (9, kind::MERGE, "a")]);
        assert_eq!(
            merged("x").compare(&visible(&[(1, kind::VALUE, "x"), (7, kind::MERGE, "a"), (6, kind::MERGE, "b")])),
            Comparison::Equal
        );
        assert_eq!(merged("x").compare(&merged("y")), Comparison::Undecided);
        assert_eq!(merged("x").compare(&visible(&[(10, kind::VALUE, "xba")])), Comparison::Undecided);
        assert_eq!(merged("x").compare(&visible(&[])), Comparison::Deleted);
        assert_eq!(merged("x").value_bytes(), 3);
    }
}

//! Ranges of keys, in the order of an engine's comparator.

use std::cmp::Ordering;

use esker_format::run::KeyOrder;

/// Where a range ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Upper {
    /// With this key.
    To(Vec<u8>),
    /// Before this key.
    Below(Vec<u8>),
    /// With the last key there is.
    End,
}

impl Upper {
    /// Whether a key comes behind the end.
    pub(super) fn is_before(&self, key: &[u8], order: KeyOrder) -> bool {
        match self {
            Self::To(last) => order.compare(last, key).is_lt(),
            Self::Below(end) => order.compare(end, key).is_le(),
            Self::End => false,
        }
    }

    fn compare(&self, other: &Self, order: KeyOrder) -> Ordering {
        match (self, other) {
            (Self::End, Self::End) => Ordering::Equal,
            (Self::End, _) => Ordering::Greater,
            (_, Self::End) => Ordering::Less,
            (Self::To(left), Self::To(right)) | (Self::Below(left), Self::Below(right)) => order.compare(left, right),
            (Self::Below(left), Self::To(right)) => order.compare(left, right).then(Ordering::Less),
            (Self::To(left), Self::Below(right)) => order.compare(left, right).then(Ordering::Greater),
        }
    }
}

/// Keys from one to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyRange {
    /// The first key that may be in it; `None` if every key may be.
    pub(super) from: Option<Vec<u8>>,
    pub(super) upper: Upper,
}

impl KeyRange {
    pub(super) fn all() -> Self {
        Self { from: None, upper: Upper::End }
    }

    /// All keys that begin like this, in ascending order.
    pub(super) fn of_prefix(prefix: &[u8]) -> Self {
        let mut next = prefix.to_vec();
        while let Some(last) = next.pop() {
            if let Some(higher) = last.checked_add(1) {
                next.push(higher);
                return Self { from: Some(prefix.to_vec()), upper: Upper::Below(next) };
            }
        }
        Self { from: Some(prefix.to_vec()), upper: Upper::End }
    }

    /// Whether all keys up to this end come before the range.
    pub(super) fn is_behind(&self, upper: &Upper, order: KeyOrder) -> bool {
        self.from.as_ref().is_some_and(|from| upper.is_before(from, order))
    }

    fn compare_from(&self, other: &Self, order: KeyOrder) -> Ordering {
        match (&self.from, &other.from) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(left), Some(right)) => order.compare(left, right),
        }
    }
}

/// The same keys in ranges that rise and have none in common.
pub(super) fn joined(mut ranges: Vec<KeyRange>, order: KeyOrder) -> Vec<KeyRange> {
    ranges.sort_by(|left, right| left.compare_from(right, order));
    let mut joined: Vec<KeyRange> = Vec::new();
    for range in ranges {
        match joined.last_mut().filter(|last| !range.is_behind(&last.upper, order)) {
            Some(last) if last.upper.compare(&range.upper, order).is_lt() => last.upper = range.upper,
            Some(_) => {}
            None => joined.push(range),
        }
    }
    joined
}

/// The keys that are in both; each list rises and has no key twice.
pub(super) fn in_both(left: &[KeyRange], right: &[KeyRange], order: KeyOrder) -> Vec<KeyRange> {
    let mut both = Vec::new();
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    while let (Some(one), Some(other)) = (left.peek(), right.peek()) {
        if !one.is_behind(&other.upper, order) && !other.is_behind(&one.upper, order) {
            let from = if one.compare_from(other, order).is_lt() { &other.from } else { &one.from };
            let upper = if one.upper.compare(&other.upper, order).is_lt() { &one.upper } else { &other.upper };
            both.push(KeyRange { from: from.clone(), upper: upper.clone() });
        }
        let ends_first = if one.upper.compare(&other.upper, order).is_lt() { &mut left } else { &mut right };
        ends_first.next();
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: KeyOrder = KeyOrder::Ascending;

    fn range(from: &str, to: &str) -> KeyRange {
        KeyRange { from: Some(from.into()), upper: Upper::To(to.into()) }
    }

    #[test]
    fn ranges_that_touch_become_one() {
        let ranges = vec![range("m", "p"), range("a", "c"), range("c", "d"), range("b", "b"), range("q", "q")];
        assert_eq!(joined(ranges, ORDER), [range("a", "d"), range("m", "p"), range("q", "q")]);
        let descending = joined(vec![range("a", "a"), range("p", "m"), range("m", "b")], KeyOrder::Descending);
        assert_eq!(descending, [range("p", "b"), range("a", "a")]);
    }

    #[test]
    fn what_two_lists_have_in_common_is_found() {
        let left = [range("a", "d"), range("m", "p"), range("x", "x")];
        let prefix = KeyRange::of_prefix(b"c");
        assert_eq!(prefix.upper, Upper::Below(b"d".to_vec()));
        let common = in_both(&left, &[prefix.clone(), range("n", "z")], ORDER);
        assert_eq!(common, [KeyRange { from: Some(b"c".to_vec()), upper: prefix.upper }, range("n", "p"), range("x", "x")]);
        assert_eq!(in_both(&left, &[KeyRange::all()], ORDER), left);
        assert_eq!(KeyRange::of_prefix(&[0xff, 0xff]).upper, Upper::End);
        assert_eq!(KeyRange::of_prefix(&[1, 0xff]).upper, Upper::Below(vec![2]));
    }
}

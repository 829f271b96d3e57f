//! The key that an index holds between two data blocks.

use crate::internal_key::user_key;
use crate::rest::facts::TableFacts;

/// How a writer chose the keys of its index: `IndexShorteningMode`, include/rocksdb/table.h, with the comparators of
/// util/comparator.cc, RocksDB 11.8. Between two blocks stands a user key not below the last of the one and below the
/// first of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeparatorRule {
    /// The last key of the block.
    LastKey,
    /// A shorter key if there is one, in ascending order of bytes; behind the last block, its last key.
    Shortened,
    /// The same, and a short key behind the last block too.
    ShortenedToTheEnd,
    /// A shorter key if there is one, in descending order of bytes; behind the last block, its last key.
    ShortenedDescending,
}

impl SeparatorRule {
    pub(super) const ALL: [Self; 4] = [Self::LastKey, Self::Shortened, Self::ShortenedToTheEnd, Self::ShortenedDescending];

    pub(super) fn to_number(self) -> u64 {
        match self {
            Self::LastKey => 0,
            Self::Shortened => 1,
            Self::ShortenedToTheEnd => 2,
            Self::ShortenedDescending => 3,
        }
    }

    pub(super) fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.to_number() == number)
    }

    /// The separator behind a block, of the last internal key of that block and the first of the next.
    fn between(self, last: &[u8], first: Option<&[u8]>) -> Shortening {
        let last = user_key(last).unwrap_or_default();
        match (self, first) {
            (Self::LastKey, _) | (Self::Shortened | Self::ShortenedDescending, None) => None,
            (Self::ShortenedToTheEnd, None) => bump(last, 0),
            (Self::Shortened | Self::ShortenedToTheEnd, Some(first)) => ascending(last, user_key(first).unwrap_or_default()),
            (Self::ShortenedDescending, Some(first)) => descending(last, user_key(first).unwrap_or_default()),
        }
    }
}

/// Bytes kept of the last user key, and whether the last of them goes up by one; `None`: the key as it is.
type Shortening = Option<(usize, bool)>;

/// `BytewiseComparatorImpl::FindShortestSeparator`.
fn ascending(last: &[u8], first: &[u8]) -> Shortening {
    let at = common_len(last, first);
    // One key begins with the other, or they are in descending order: nothing between.
    let (low, high) = (*last.get(at)?, *first.get(at)?);
    if low >= high {
        return None;
    }
    if at + 1 < first.len() || low + 1 < high { Some((at + 1, true)) } else { bump(last, at + 1) }
}

/// Cuts behind the first byte from `from` on that can go up by one; this is also `FindShortSuccessor`.
fn bump(key: &[u8], from: usize) -> Shortening {
    let at = key.iter().skip(from).position(|byte| *byte < 0xff)?;
    Some((from + at + 1, true))
}

/// `ReverseBytewiseComparatorImpl::FindShortestSeparator`.
fn descending(last: &[u8], first: &[u8]) -> Shortening {
    let at = common_len(last, first);
    (last.get(at)? > first.get(at)? && at + 1 < last.len()).then_some((at + 1, false))
}

pub(super) fn common_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// Writes separators of a table's blocks.
#[derive(Clone, Copy)]
pub(super) struct Separators<'f> {
    pub facts: &'f TableFacts,
    pub rule: SeparatorRule,
    /// Without sequence number and type.
    pub user_keys: bool,
    /// Type in the trailer of shortened keys; its sequence number is the largest.
    pub seek_type: u8,
}

impl Separators<'_> {
    /// Puts the separator behind `block` into `out`, which it clears.
    pub(super) fn put(&self, block: usize, out: &mut Vec<u8>) {
        out.clear();
        let last = self.facts.last_key(block);
        let next = block.saturating_add(1);
        let first = (next < self.facts.len()).then(|| self.facts.first_key(next));
        let Some((len, up)) = self.rule.between(last, first) else {
            out.extend_from_slice(if self.user_keys { user_key(last).unwrap_or_default() } else { last });
            return;
        };
        out.extend_from_slice(last.get(..len).unwrap_or_default());
        if let (true, Some(byte)) = (up, out.last_mut()) {
            *byte = byte.wrapping_add(1);
        }
        if !self.user_keys {
            out.extend_from_slice(&(LARGEST_SEQUENCE << 8 | u64::from(self.seek_type)).to_le_bytes());
        }
    }
}

/// `kMaxSequenceNumber`, db/dbformat.h, RocksDB 11.8.
const LARGEST_SEQUENCE: u64 = (1 << 56) - 1;

/// The type in the trailer of an internal key that was shortened, `kValueTypeForSeek` of the writer; `None` if the key is
/// one of an entry.
pub(super) fn seek_type(key: &[u8]) -> Option<u8> {
    let trailer = u64::from_le_bytes(*key.last_chunk()?);
    (trailer >> 8 == LARGEST_SEQUENCE).then_some(trailer as u8)
}

#[cfg(test)]
mod tests {
    use super::{SeparatorRule, Separators, seek_type};
    use crate::block_handle::BlockHandle;
    use crate::entries::Entries;
    use crate::rest::facts::TableFacts;
    use crate::rest::filter_keys::FilterKeys;

    /// User key of the separator between two blocks, or behind one.
    fn separator(rule: SeparatorRule, last: &str, first: Option<&str>) -> String {
        let mut facts = TableFacts::new(FilterKeys::NONE);
        for key in [Some(last), first].into_iter().flatten() {
            let mut entries = Entries::new();
            entries.push_parts(key.as_bytes(), &[7; 8], b"");
            facts.push_block(BlockHandle { offset: 0, size: 0 }, &entries);
        }
        let mut out = Vec::new();
        Separators { facts: &facts, rule, user_keys: true, seek_type: 0 }.put(0, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn separators_are_as_short_as_the_rule_makes_them() {
        use SeparatorRule::{LastKey, Shortened, ShortenedDescending, ShortenedToTheEnd};
        for (rule, last, first, wanted) in [
            (LastKey, "abc", Some("b"), "abc"),
            (Shortened, "abcd", Some("abxy"), "abd"),
            (Shortened, "abcd", Some("abd"), "abce"),
            (Shortened, "abc", Some("abd"), "abc"),
            (Shortened, "abcd", Some("abdd"), "abd"),
            (Shortened, "ab", Some("abc"), "ab"),
            (Shortened, "same", Some("same"), "same"),
            (Shortened, "abcd", None, "abcd"),
            (ShortenedToTheEnd, "abcd", None, "b"),
            (ShortenedToTheEnd, "abcd", Some("abxy"), "abd"),
            (ShortenedDescending, "xyzz", Some("xaaa"), "xy"),
            (ShortenedDescending, "xy", Some("xa"), "xy"),
            (ShortenedDescending, "xaaa", Some("xyzz"), "xaaa"),
        ] {
            assert_eq!(separator(rule, last, first), wanted, "{rule:?} between {last} and {first:?}");
        }
    }

    #[test]
    fn bytes_that_cannot_go_up_are_passed_over() {
        assert_eq!(super::ascending(b"a\xff\xff1", b"b"), Some((4, true)));
        assert_eq!(super::ascending(b"a\xff\xff", b"b"), None);
        assert_eq!(super::bump(b"\xff\xffa", 0), Some((3, true)));
        assert_eq!(super::bump(b"\xff\xff", 0), None);
    }

    #[test]
    fn shortened_internal_keys_have_the_largest_sequence_number_and_the_writers_type() {
        let mut facts = TableFacts::new(FilterKeys::NONE);
        for key in [b"abcd", b"abxy"] {
            let mut entries = Entries::new();
            entries.push_parts(key, &[7; 8], b"");
            facts.push_block(BlockHandle { offset: 0, size: 0 }, &entries);
        }
        let separators = Separators { facts: &facts, rule: SeparatorRule::Shortened, user_keys: false, seek_type: 0x16 };
        let mut out = Vec::new();
        separators.put(0, &mut out);
        assert_eq!(out, b"abd\x16\xff\xff\xff\xff\xff\xff\xff");
        assert_eq!(seek_type(&out), Some(0x16));
        separators.put(1, &mut out);
        assert_eq!(out, b"abxy\x07\x07\x07\x07\x07\x07\x07\x07");
        assert_eq!(seek_type(&out), None);
        separators.put(2, &mut out);
        assert_eq!(out, b"");
    }
}

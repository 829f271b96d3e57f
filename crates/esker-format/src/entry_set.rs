//! Sets of entries of a run, by position: a bit for each.

use std::ops::Range;

/// Positions of entries. Bit `i % 8` of byte `i / 8` stands for entry `i`; the last byte is not 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntrySet(Vec<u8>);

impl EntrySet {
    /// From its bytes; zeros at their end say nothing.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Self(bytes.get(..used).unwrap_or_default().to_vec())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is no entry in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the entries from `start` on, so many.
    pub fn insert(&mut self, start: u32, count: u32) {
        let (start, end) = (start as usize, (start as usize).saturating_add(count as usize));
        if count == 0 {
            return;
        }
        if self.0.len() < end.div_ceil(8) {
            self.0.resize(end.div_ceil(8), 0);
        }
        let (first, last) = (start / 8, (end - 1) / 8);
        for (number, byte) in self.0.iter_mut().enumerate().take(last + 1).skip(first) {
            let from = if number == first { start % 8 } else { 0 };
            let to = if number == last { (end - 1) % 8 } else { 7 };
            *byte |= (0xff_u8 >> (7 - to)) & (0xff_u8 << from);
        }
    }

    /// Whether an entry is in it.
    pub fn contains(&self, entry: u32) -> bool {
        self.0.get(entry as usize / 8).is_some_and(|byte| byte >> (entry % 8) & 1 == 1)
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|byte| byte.count_ones()).sum()
    }

    /// One more than the last of them.
    pub fn end(&self) -> u32 {
        let zeros = self.0.last().map_or(0, |byte| byte.leading_zeros());
        u32::try_from(self.0.len() * 8).unwrap_or(u32::MAX) - zeros
    }

    /// The entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let bits = |byte: u8| (0..8).filter(move |bit| byte >> bit & 1 == 1);
        self.0
            .iter()
            .enumerate()
            .flat_map(move |(number, byte)| bits(*byte).map(move |bit| u32::try_from(number * 8 + bit).unwrap_or(u32::MAX)))
    }

    /// Adds all of another; whether one was new.
    pub fn unite(&mut self, other: &Self) -> bool {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        let mut grew = false;
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            grew |= *theirs & !*mine != 0;
            *mine |= theirs;
        }
        grew
    }

    /// Those that are not in another.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let others = other.0.iter().copied().chain(std::iter::repeat(0));
        Self::from_bytes(&self.0.iter().zip(others).map(|(mine, theirs)| mine & !theirs).collect::<Vec<u8>>())
    }

    /// Ranges of consecutive entries, in order.
    pub fn ranges(&self) -> Vec<Range<u32>> {
        let mut ranges: Vec<Range<u32>> = Vec::new();
        for entry in self.iter() {
            match ranges.last_mut().filter(|range| range.end == entry) {
                Some(range) => range.end = entry + 1,
                None => ranges.push(entry..entry + 1),
            }
        }
        ranges
    }
}

impl FromIterator<u32> for EntrySet {
    fn from_iter<T: IntoIterator<Item = u32>>(entries: T) -> Self {
        let mut set = Self::default();
        entries.into_iter().for_each(|entry| set.insert(entry, 1));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set(left: Vec<(u8, u8)>, right: BTreeSet<u8>) {
            let (mut set, mut model) = (EntrySet::default(), BTreeSet::new());
            for (start, count) in left {
                set.insert(u32::from(start), u32::from(count));
                model.extend((u32::from(start)..).take(usize::from(count)));
            }
            let other: EntrySet = right.iter().map(|entry| u32::from(*entry)).collect();
            let others: BTreeSet<u32> = right.into_iter().map(u32::from).collect();
            prop_assert_eq!(set.iter().collect::<BTreeSet<_>>(), model.clone());
            prop_assert_eq!(set.count() as usize, model.len());
            prop_assert_eq!(set.end(), model.last().map_or(0, |last| last + 1));
            prop_assert!(model.iter().all(|entry| set.contains(*entry)));
            prop_assert_eq!(set.ranges().into_iter().flatten().collect::<BTreeSet<_>>(), model.clone());
            prop_assert_eq!(set.without(&other).iter().collect::<BTreeSet<_>>(), &model - &others);
            prop_assert_eq!(EntrySet::from_bytes(&[set.as_bytes(), &[0, 0]].concat()), set.clone());
            prop_assert_eq!(set.unite(&other), !others.is_subset(&model));
            prop_assert_eq!(set.iter().collect::<BTreeSet<_>>(), &model | &others);
        }
    }
}

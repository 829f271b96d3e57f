//! A heap of streams by their current key.

use std::cmp::Ordering;

/// Stream numbers, the one that comes first on top. The keys stay with the streams: every call is told how they compare.
#[derive(Debug, Default)]
pub struct StreamHeap {
    streams: Vec<usize>,
}

impl StreamHeap {
    /// The stream whose key comes first.
    #[inline]
    pub fn top(&self) -> Option<usize> {
        self.streams.first().copied()
    }

    /// Adds a stream.
    pub fn push(&mut self, stream: usize, mut compare: impl FnMut(usize, usize) -> Ordering) {
        self.streams.push(stream);
        let mut at = self.streams.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.comes_before(at, parent, &mut compare) {
                break;
            }
            self.streams.swap(at, parent);
            at = parent;
        }
    }

    /// Puts the top back into its place after its key has moved on.
    #[inline]
    pub fn settle_top(&mut self, mut compare: impl FnMut(usize, usize) -> Ordering) {
        let mut at = 0;
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            if left >= self.streams.len() {
                return;
            }
            let child = if right < self.streams.len() && self.comes_before(right, left, &mut compare) { right } else { left };
            if !self.comes_before(child, at, &mut compare) {
                return;
            }
            self.streams.swap(at, child);
            at = child;
        }
    }

    /// Removes the top.
    pub fn pop(&mut self, compare: impl FnMut(usize, usize) -> Ordering) {
        if !self.streams.is_empty() {
            self.streams.swap_remove(0);
            self.settle_top(compare);
        }
    }

    /// Equal keys keep the order of their streams.
    fn comes_before(&self, left: usize, right: usize, compare: &mut impl FnMut(usize, usize) -> Ordering) -> bool {
        let (Some(left), Some(right)) = (self.streams.get(left), self.streams.get(right)) else { return false };
        compare(*left, *right).then(left.cmp(right)).is_lt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn streams_come_by_key_and_then_by_number(mut streams: Vec<Vec<u8>>) {
            streams.iter_mut().for_each(|keys| keys.sort_by(|left, right| right.cmp(left)));
            let mut expected: Vec<(u8, usize)> = streams.iter().enumerate().flat_map(|(number, keys)| keys.iter().map(move |key| (*key, number))).collect();
            expected.sort();
            let mut heap = StreamHeap::default();
            let compare = |streams: &[Vec<u8>], left: usize, right: usize| streams[left].last().cmp(&streams[right].last());
            for number in 0..streams.len() {
                if !streams[number].is_empty() {
                    heap.push(number, |left, right| compare(&streams, left, right));
                }
            }
            let mut found = Vec::new();
            while let Some(top) = heap.top() {
                found.push((streams[top].pop().unwrap(), top));
                if streams[top].is_empty() {
                    heap.pop(|left, right| compare(&streams, left, right));
                } else {
                    heap.settle_top(|left, right| compare(&streams, left, right));
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}

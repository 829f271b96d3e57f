//! Which backups and hosts need a chunk, in few bytes: whoever needs it does so for some backups in a row.

use esker_format::wire::{Reader, Writer};

/// Numbers as spans, sorted, none touching the next: from the first to before the second.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Spans(Vec<(u32, u32)>);

impl Spans {
    /// Adds a number.
    pub fn add(&mut self, number: u32) {
        let end = number.saturating_add(1);
        match self.0.last_mut() {
            // The common case: numbers come in order.
            Some((start, last)) if *start <= number && number <= *last => *last = end.max(*last),
            _ => self.join(&Self(vec![(number, end)])),
        }
    }

    /// Adds all numbers of the other.
    pub fn join(&mut self, other: &Self) {
        if self == other {
            return;
        }
        let mut all: Vec<(u32, u32)> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        self.0.clear();
        for (start, end) in all {
            match self.0.last_mut() {
                Some((_, last)) if start <= *last => *last = end.max(*last),
                _ => self.0.push((start, end)),
            }
        }
    }

    /// The number, if there is no other.
    pub fn only(&self) -> Option<u32> {
        match self.0.as_slice() {
            [(start, end)] if start.checked_add(1) == Some(*end) => Some(*start),
            _ => None,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.0.iter().copied()
    }

    fn write(&self, out: &mut Writer) {
        out.list(&self.0, |out, (start, end)| {
            out.varint(u64::from(*start));
            out.varint(u64::from(end - start));
        });
    }

    fn read(input: &mut Reader<'_>) -> Option<Self> {
        let number = |input: &mut Reader<'_>| {
            input.varint_max("number", u64::from(u32::MAX)).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
        };
        let spans = input.list("spans", 2, |input| {
            let start = number(input)?;
            Ok((start, start.saturating_add(number(input)?)))
        });
        spans.ok().map(Self)
    }
}

/// Who needs a chunk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Users {
    pub backups: Spans,
    pub hosts: Spans,
}

impl Users {
    pub fn of(backup: u32, host: u32) -> Self {
        let mut users = Self::default();
        users.backups.add(backup);
        users.hosts.add(host);
        users
    }

    pub fn join(&mut self, other: &Self) {
        self.backups.join(&other.backups);
        self.hosts.join(&other.hosts);
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.backups.write(&mut out);
        self.hosts.write(&mut out);
        out.into_bytes()
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader::new(bytes);
        Some(Self { backups: Spans::read(&mut input)?, hosts: Spans::read(&mut input)? })
    }
}

/// Sums by number, of which each span adds to many.
#[derive(Debug, Default)]
pub(super) struct SumsByNumber(Vec<i128>);

impl SumsByNumber {
    /// Adds to each number of the spans.
    pub fn add(&mut self, spans: &Spans, amount: u64) {
        for (start, end) in spans.iter() {
            self.change(start, i128::from(amount));
            self.change(end, -i128::from(amount));
        }
    }

    fn change(&mut self, number: u32, by: i128) {
        let at = number as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        if let Some(sum) = self.0.get_mut(at) {
            *sum += by;
        }
    }

    /// The sum of each number, from 0.
    pub fn sums(&self) -> impl Iterator<Item = u64> + '_ {
        let running = self.0.iter().scan(0i128, |sum, change| {
            *sum += change;
            Some(*sum)
        });
        running.map(|sum| u64::try_from(sum).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn spans_hold_what_was_added_in_any_order() {
        let mut spans = Spans::default();
        for number in [3, 4, 4, 9, 0, 5, 1, 7] {
            spans.add(number);
        }
        assert_eq!(spans.iter().collect::<Vec<_>>(), [(0, 2), (3, 6), (7, 8), (9, 10)]);
        let mut other = Spans::default();
        [2, 6, 8, 20].into_iter().for_each(|number| other.add(number));
        spans.join(&other);
        assert_eq!(spans.iter().collect::<Vec<_>>(), [(0, 10), (20, 21)]);
        assert_eq!((spans.only(), Users::of(7, 1).backups.only()), (None, Some(7)));
        let users = Users { backups: spans, hosts: other };
        assert_eq!(Users::decode(&users.encode()).unwrap(), users);
    }

    #[test]
    fn sums_by_number_are_those_of_all_spans() {
        let mut sums = SumsByNumber::default();
        let spans = |numbers: &[u32]| {
            let mut spans = Spans::default();
            numbers.iter().for_each(|number| spans.add(*number));
            spans
        };
        sums.add(&spans(&[0, 1, 2]), 5);
        sums.add(&spans(&[1, 4]), 7);
        assert_eq!(sums.sums().collect::<Vec<_>>(), [5, 12, 5, 0, 7, 0]);
    }
}

//! What a sparse form has of a run: its entries keep the positions that they have in the whole run (chapter 19).

use std::ops::Range;

use super::Run;
use crate::entry_set::EntrySet;
use crate::error::{FormatError, Result};

/// What a sparse form has of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Form {
    /// Position in the whole run of each entry, rising.
    pub(super) numbers: Vec<u32>,
    /// Entries of the whole run.
    pub(super) whole: u32,
}

impl Run {
    /// Of a sparse form, how many entries the whole run has.
    pub fn whole_len(&self) -> Option<u32> {
        self.form.as_ref().map(|form| form.whole)
    }

    /// The position that an entry has in the whole run.
    #[inline]
    pub fn number(&self, position: usize) -> u32 {
        let number = self.form.as_ref().map_or(u32::try_from(position).ok(), |form| form.numbers.get(position).copied());
        number.unwrap_or(u32::MAX)
    }

    /// Where so many consecutive entries of the whole run stand here, from the one with this number on; `None` if one of them
    /// does not.
    #[inline]
    pub fn positions(&self, number: u32, count: u32) -> Option<Range<usize>> {
        let (number, count) = (number as usize, count as usize);
        let Some(form) = &self.form else {
            let end = number.checked_add(count)?;
            return (end <= self.len()).then_some(number..end);
        };
        let start = form.numbers.partition_point(|held| (*held as usize) < number);
        let held = form.numbers.get(start..start.checked_add(count)?)?;
        // They rise, so the first and the last tell of all between.
        let is_there = held.first().is_none_or(|first| *first as usize == number)
            && held.last().is_none_or(|last| *last as usize == number + count - 1);
        is_there.then_some(start..start + count)
    }

    /// The entries that it holds, by their positions in the whole run.
    pub fn held(&self) -> EntrySet {
        match &self.form {
            Some(form) => form.numbers.iter().copied().collect(),
            None => {
                let mut all = EntrySet::default();
                all.insert(0, u32::try_from(self.len()).unwrap_or(u32::MAX));
                all
            }
        }
    }

    /// A sparse form with those of these entries that are here.
    #[must_use]
    pub fn keep(&self, entries: &EntrySet) -> Self {
        let whole = self.whole_len().unwrap_or_else(|| u32::try_from(self.len()).unwrap_or(u32::MAX));
        let mut kept = Self { form: Some(Form { numbers: Vec::new(), whole }), ..Self::new(self.order, self.timestamp_size) };
        for position in (0..self.len()).filter(|position| entries.contains(self.number(*position))) {
            kept.take(self, position);
        }
        kept
    }

    /// A form with the entries of two forms of one run.
    ///
    /// # Errors
    /// `BadValue` if they cannot be of one run.
    pub fn join(&self, other: &Self) -> Result<Self> {
        let like = |run: &Self| (run.order, run.timestamp_size, run.whole_len());
        let (Some(whole), true) = (self.whole_len(), like(self) == like(other)) else {
            return Err(FormatError::BadValue { field: "forms", found: "not of one run".into() });
        };
        let mut both = Self { form: Some(Form { numbers: Vec::new(), whole }), ..Self::new(self.order, self.timestamp_size) };
        let (mut left, mut right) = (0, 0);
        while left < self.len() || right < other.len() {
            let (mine, theirs) = (self.number(left), other.number(right));
            if mine <= theirs {
                both.take(self, left);
                left += 1;
                right += usize::from(mine == theirs);
            } else {
                both.take(other, right);
                right += 1;
            }
        }
        Ok(both)
    }

    /// Adds an entry of another form or run of the same.
    fn take(&mut self, from: &Self, position: usize) {
        self.push(from.key(position), from.value(position), from.trailer(position), from.timestamp(position));
        if let Some(form) = &mut self.form {
            form.numbers.push(from.number(position));
        }
    }

    /// Makes it a form: its entries are these of a run with so many.
    pub(crate) fn into_form(mut self, kept: &EntrySet, whole: u32) -> Result<Self> {
        if kept.count() as usize != self.len() {
            let found = format!("{} where {} are stored", kept.count(), self.len());
            return Err(FormatError::BadValue { field: "kept entries", found });
        }
        self.form = Some(Form { numbers: kept.iter().collect(), whole });
        Ok(self)
    }

    /// The entries of a form as a run of their own, in which they have other positions.
    #[must_use]
    pub fn into_whole(self) -> Self {
        Self { form: None, ..self }
    }
}

//! The description of a block that can be built again from the facts of its table.

use crate::encoder::EncoderId;
use crate::rest::bloom::BloomForm;
use crate::rest::fault::RestFault;
use crate::rest::filter_keys::{FilterKeys, KeyHash};
use crate::rest::index_form::IndexForm;

/// Whose keys a filter holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterRange {
    /// Every key of some data blocks.
    Blocks {
        /// Number of the first block.
        first: u64,
        /// How many blocks. Not 0.
        count: u64,
    },
    /// Some keys, counted over the table, versions of one key as one: filters that are cut without regard to blocks.
    Keys {
        /// Number of the first key.
        first: u64,
        /// How many keys. Not 0.
        count: u64,
    },
}

/// How to build one block that stands behind the data blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuiltBlock {
    /// A filter block or a partition of one.
    Filter {
        /// What of a key is hashed, and how: the facts must be gathered so.
        keys: FilterKeys,
        /// The keys it holds.
        range: FilterRange,
        /// Its shape.
        form: BloomForm,
    },
    /// The index block or a partition of it: one entry for each of some data blocks.
    Index {
        /// Number of the first block.
        first: u64,
        /// How many blocks.
        count: u64,
        /// How it is built.
        form: IndexForm,
    },
    /// The block over the partitions of the index: one entry for each [`Index`](Self::Index) block built before.
    IndexTop {
        /// How it is built.
        form: IndexForm,
    },
    /// The block over the partitions of the filter: one entry for each [`Filter`](Self::Filter) block built before. All of
    /// those must hold the keys of blocks.
    FilterTop {
        /// How it is built.
        form: IndexForm,
    },
}

const FILTER_OF_BLOCKS: u8 = 1;
const FILTER_OF_KEYS: u8 = 2;
const INDEX: u8 = 3;
const INDEX_TOP: u8 = 4;
const FILTER_TOP: u8 = 5;

impl BuiltBlock {
    /// Most numbers of a description.
    pub const NUMBERS_MAX: usize = 6;

    /// What of each key the facts must hash for this block; `None` if it is no filter.
    pub fn filter_keys(&self) -> Option<FilterKeys> {
        match self {
            Self::Filter { keys, .. } => Some(*keys),
            Self::Index { .. } | Self::IndexTop { .. } | Self::FilterTop { .. } => None,
        }
    }

    /// The encoder that compresses the block. Filters are not compressed.
    pub fn encoder(&self) -> Option<EncoderId> {
        match self {
            Self::Filter { .. } => None,
            Self::Index { form, .. } | Self::IndexTop { form } | Self::FilterTop { form } => form.encoder,
        }
    }

    /// The same, compressed by that encoder. Filters stay as they are.
    pub(super) fn with_encoder(mut self, encoder: Option<EncoderId>) -> Self {
        if let Self::Index { form, .. } | Self::IndexTop { form } | Self::FilterTop { form } = &mut self {
            form.encoder = encoder;
        }
        self
    }

    /// The description as a kind and numbers: all that [`from_numbers`](Self::from_numbers) needs.
    ///
    /// ```text
    /// 1  filter of blocks   first, count, filter keys, old line log, lines, probes
    /// 2  filter of keys     likewise
    /// 3  index              first, count, form: rule and flags, restart interval, seek type, encoder
    /// 4  top of index       form
    /// 5  top of filter      form
    /// ```
    pub fn to_numbers(&self) -> (u8, Vec<u64>) {
        match *self {
            Self::Filter { keys, range, form } => {
                let (kind, first, count) = match range {
                    FilterRange::Blocks { first, count } => (FILTER_OF_BLOCKS, first, count),
                    FilterRange::Keys { first, count } => (FILTER_OF_KEYS, first, count),
                };
                (kind, vec![first, count, keys.to_number(), form.old_line_log.into(), form.lines.into(), form.probes.into()])
            }
            Self::Index { first, count, form } => (INDEX, [&[first, count], &form.to_numbers()[..]].concat()),
            Self::IndexTop { form } => (INDEX_TOP, form.to_numbers().to_vec()),
            Self::FilterTop { form } => (FILTER_TOP, form.to_numbers().to_vec()),
        }
    }

    /// From a kind and its numbers.
    pub fn from_numbers(kind: u8, numbers: &[u64]) -> Result<Self, RestFault> {
        Self::decode(kind, numbers).ok_or(RestFault::Malformed)
    }

    fn decode(kind: u8, numbers: &[u64]) -> Option<Self> {
        match kind {
            FILTER_OF_BLOCKS | FILTER_OF_KEYS => {
                let &[first, count, keys, old_line_log, lines, probes] = numbers else { return None };
                let range =
                    if kind == FILTER_OF_BLOCKS { FilterRange::Blocks { first, count } } else { FilterRange::Keys { first, count } };
                let form = BloomForm {
                    old_line_log: u8::try_from(old_line_log).ok().filter(|log| *log <= BloomForm::LINE_LOG_MAX)?,
                    lines: u32::try_from(lines).ok()?,
                    probes: u8::try_from(probes).ok()?,
                };
                let keys = FilterKeys::from_number(keys)?;
                // Lines of 64 bytes go with one hash, all others with the other.
                ((keys.hash == Some(KeyHash::Xxph3)) == (form.old_line_log == 0)).then_some(Self::Filter { keys, range, form })
            }
            INDEX => {
                let (&[first, count], form) = numbers.split_first_chunk()?;
                Some(Self::Index { first, count, form: IndexForm::from_numbers(form.try_into().ok()?)? })
            }
            INDEX_TOP => Some(Self::IndexTop { form: IndexForm::from_numbers(numbers.try_into().ok()?)? }),
            FILTER_TOP => Some(Self::FilterTop { form: IndexForm::from_numbers(numbers.try_into().ok()?)? }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BuiltBlock, FilterRange};
    use crate::encoder::EncoderId;
    use crate::rest::bloom::BloomForm;
    use crate::rest::filter_keys::{FilterKeys, KeyHash};
    use crate::rest::index_form::IndexForm;
    use crate::rest::separator::SeparatorRule;

    const FORM: IndexForm = IndexForm {
        rule: SeparatorRule::Shortened,
        user_keys: true,
        deltas: false,
        first_keys: true,
        gaps_end_sharing: false,
        uniform_keys: true,
        restart_interval: 16,
        seek_type: 0x18,
        encoder: Some(EncoderId(0x0401_0001)),
    };

    fn all() -> Vec<BuiltBlock> {
        let keys = FilterKeys { hash: Some(KeyHash::Murmur), timestamp_size: 8 };
        let form = BloomForm { old_line_log: 6, lines: 31, probes: 6 };
        let inverse = IndexForm { user_keys: false, deltas: true, first_keys: false, gaps_end_sharing: true, uniform_keys: false, ..FORM };
        vec![
            BuiltBlock::Filter { keys, range: FilterRange::Blocks { first: 1, count: 2 }, form },
            BuiltBlock::Filter { keys, range: FilterRange::Keys { first: u64::MAX, count: 3 }, form },
            BuiltBlock::Index { first: 7, count: 8, form: FORM },
            BuiltBlock::IndexTop { form: inverse },
            BuiltBlock::FilterTop { form: IndexForm { encoder: None, ..FORM } },
        ]
    }

    #[test]
    fn descriptions_come_back_from_their_numbers() {
        for block in all() {
            let (kind, numbers) = block.to_numbers();
            assert!(numbers.len() <= BuiltBlock::NUMBERS_MAX);
            assert_eq!(BuiltBlock::from_numbers(kind, &numbers), Ok(block));
        }
    }

    #[test]
    fn lines_of_a_filter_go_with_its_hash() {
        for (hash, old_line_log) in [(KeyHash::Xxph3, 6), (KeyHash::Murmur, 0)] {
            let keys = FilterKeys { hash: Some(hash), timestamp_size: 0 };
            let form = BloomForm { old_line_log, lines: 1, probes: 6 };
            let (kind, numbers) = BuiltBlock::Filter { keys, range: FilterRange::Keys { first: 0, count: 1 }, form }.to_numbers();
            assert!(BuiltBlock::from_numbers(kind, &numbers).is_err());
        }
    }

    #[test]
    fn numbers_that_are_no_description_are_refused() {
        for block in all() {
            let (kind, numbers) = block.to_numbers();
            assert!(BuiltBlock::from_numbers(kind, &numbers[1..]).is_err());
            assert!(BuiltBlock::from_numbers(kind, &[&numbers[..], &[0]].concat()).is_err());
            assert!(BuiltBlock::from_numbers(0, &numbers).is_err());
            assert!(BuiltBlock::from_numbers(6, &numbers).is_err());
        }
        let (kind, numbers) = BuiltBlock::IndexTop { form: FORM }.to_numbers();
        // A rule or flag that is not there, no restart interval, numbers that are too large.
        for (place, wrong) in [(0, 4), (0, 1 << 13), (1, 0), (2, 256), (3, 1 << 32)] {
            let mut numbers = numbers.clone();
            numbers[place] = wrong;
            assert!(BuiltBlock::from_numbers(kind, &numbers).is_err(), "number {place} as {wrong}");
        }
    }
}

//! How an index block is built of its entries, and stored.

use crate::encoder::EncoderId;
use crate::rest::separator::SeparatorRule;

/// Everything about an index block that its entries do not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexForm {
    /// Which keys stand between the blocks.
    pub rule: SeparatorRule,
    /// Keys have no sequence number and type (property `rocksdb.index.key.is.user.key`).
    pub user_keys: bool,
    /// An entry that shares bytes of its key with the one before holds only a size, as the difference from the size before
    /// (property `rocksdb.index.value.is.delta.encoded`).
    pub deltas: bool,
    /// Values also hold the first internal key of their block (index type 3).
    pub first_keys: bool,
    /// An entry whose block stands behind padding shares nothing (`super_block_alignment_size`, RocksDB 11.8).
    pub gaps_end_sharing: bool,
    /// The writer flagged its keys as spread evenly.
    pub uniform_keys: bool,
    /// Entries from one that shares nothing to the next. Not 0.
    pub restart_interval: u32,
    /// Type in the trailer of keys that were shortened, where keys are internal ones (`kValueTypeForSeek` of the writer).
    pub seek_type: u8,
    /// The encoder that compresses it; `None` if it is not compressed.
    pub encoder: Option<EncoderId>,
}

const USER_KEYS: u64 = 1 << 8;
const DELTAS: u64 = 1 << 9;
const FIRST_KEYS: u64 = 1 << 10;
const GAPS_END_SHARING: u64 = 1 << 11;
const UNIFORM_KEYS: u64 = 1 << 12;
const FLAGS: u64 = USER_KEYS | DELTAS | FIRST_KEYS | GAPS_END_SHARING | UNIFORM_KEYS;

impl IndexForm {
    /// How many numbers a form is.
    pub(super) const NUMBERS: usize = 4;

    /// The form as numbers: rule and flags, restart interval, seek type, encoder (0: none).
    pub(super) fn to_numbers(self) -> [u64; Self::NUMBERS] {
        let flag = |set: bool, flag: u64| if set { flag } else { 0 };
        let rule_and_flags = self.rule.to_number()
            | flag(self.user_keys, USER_KEYS)
            | flag(self.deltas, DELTAS)
            | flag(self.first_keys, FIRST_KEYS)
            | flag(self.gaps_end_sharing, GAPS_END_SHARING)
            | flag(self.uniform_keys, UNIFORM_KEYS);
        [rule_and_flags, self.restart_interval.into(), self.seek_type.into(), self.encoder.map_or(0, |id| id.0).into()]
    }

    /// From those numbers; `None` if they are none of a form.
    pub(super) fn from_numbers(numbers: &[u64; Self::NUMBERS]) -> Option<Self> {
        let [rule_and_flags, restart_interval, seek_type, encoder] = *numbers;
        let encoder = u32::try_from(encoder).ok()?;
        Some(Self {
            rule: SeparatorRule::from_number(rule_and_flags & !FLAGS)?,
            user_keys: rule_and_flags & USER_KEYS != 0,
            deltas: rule_and_flags & DELTAS != 0,
            first_keys: rule_and_flags & FIRST_KEYS != 0,
            gaps_end_sharing: rule_and_flags & GAPS_END_SHARING != 0,
            uniform_keys: rule_and_flags & UNIFORM_KEYS != 0,
            restart_interval: u32::try_from(restart_interval).ok().filter(|interval| *interval > 0)?,
            seek_type: u8::try_from(seek_type).ok()?,
            encoder: (encoder != 0).then_some(EncoderId(encoder)),
        })
    }
}

//! How the bytes of tables went, and why: for `backup`, `show` and `stats`.

use std::collections::BTreeMap;

use esker_format::sorted_totals::SortedTotals;
use serde::Serialize;

/// What sorted runs did for the tables that a backup stored, or several together. Bytes are bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SortedReport {
    /// Tables stored as sorted runs.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Keys and values of their entries that stood in runs already.
    pub copied_bytes: u64,
    /// Keys and values that went to new runs.
    pub literal_bytes: u64,
    /// Bytes of these tables that were kept as they are.
    pub kept_bytes: u64,
    /// Tables stored as bytes, by reason.
    pub fallbacks: Vec<FallbackLine>,
}

/// Tables stored as bytes for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FallbackLine {
    /// Why.
    pub reason: String,
    /// How many tables.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl SortedReport {
    /// The sum over backups; those without sorted runs add nothing.
    pub(crate) fn sum<'a>(totals: impl Iterator<Item = &'a SortedTotals>) -> Self {
        let mut sum = Self::default();
        let mut fallbacks: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for totals in totals {
            sum.files = sum.files.saturating_add(totals.files);
            sum.bytes = sum.bytes.saturating_add(totals.bytes);
            sum.copied_bytes = sum.copied_bytes.saturating_add(totals.copied_bytes);
            sum.literal_bytes = sum.literal_bytes.saturating_add(totals.literal_bytes);
            sum.kept_bytes = sum.kept_bytes.saturating_add(totals.kept_bytes);
            for fallback in &totals.fallbacks {
                let (files, bytes) = fallbacks.entry(&fallback.reason).or_default();
                *files = files.saturating_add(fallback.files);
                *bytes = bytes.saturating_add(fallback.bytes);
            }
        }
        let line = |(reason, (files, bytes)): (&str, _)| FallbackLine { reason: reason.to_owned(), files, bytes };
        sum.fallbacks = fallbacks.into_iter().map(line).collect();
        sum
    }
}

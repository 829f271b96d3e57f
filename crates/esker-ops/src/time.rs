//! Times as people read them, always UTC.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Milliseconds since 1970 as a UTC date and time; times beyond year 9999 become its last moment.
pub fn civil(ms: u64) -> DateTime {
    let clamped = i64::try_from(ms).unwrap_or(i64::MAX);
    let timestamp = Timestamp::from_millisecond(clamped).unwrap_or(Timestamp::MAX);
    timestamp.to_zoned(TimeZone::UTC).datetime()
}

/// `2026-11-20T10:41:00Z`
pub fn iso(ms: u64) -> String {
    civil(ms).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The label of a backup that was given none: `BACKUP_2026_11_20_10_41_00`.
pub fn default_label(ms: u64) -> String {
    civil(ms).strftime("BACKUP_%Y_%m_%d_%H_%M_%S").to_string()
}

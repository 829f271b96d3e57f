//! Numbers and times as people read them.

use esker_cluster::path::escaped;
use esker_ops::sorted_report::SortedReport;

/// Bytes in binary units: `1.5 GiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[allow(clippy::cast_precision_loss, reason = "three digits for people")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let unit = UNITS.get(unit).unwrap_or(&"");
    if value < 99.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// A duration: `0.4 s`, `12 s`, `3 m 04 s`, `2 h 10 m`, `5 d 3 h`.
pub fn duration_ms(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..10 => format!("{}.{} s", seconds, ms % 1000 / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {:02} m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// An age in its largest unit: `12 s`, `3 m`, `5 h`, `8 d`.
pub fn age(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} m", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// A rate in bytes per second: `214 MiB/s`.
pub fn rate(amount: u64, ms: u64) -> String {
    let per_second = u128::from(amount) * 1000 / u128::from(ms.max(1));
    format!("{}/s", bytes(u64::try_from(per_second).unwrap_or(u64::MAX)))
}

/// A ratio from 0 to 1 as per cent.
pub fn percent(ratio: f64) -> String {
    format!("{:.1} %", ratio * 100.0)
}

/// Text that cannot break a line or forge one.
pub fn text(text: &str) -> String {
    escaped(text.as_bytes())
}

/// A count with its noun: `1 file`, `2 files`.
pub fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// How the bytes of tables went, line by line; no line if there were no tables.
pub fn sorted(report: &SortedReport) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if report.files > 0 {
        let entries = format!("{} of entries known, {} new", bytes(report.copied_bytes), bytes(report.literal_bytes));
        let tables = format!("{} ({}) as sorted runs", count(report.files, "table"), bytes(report.bytes));
        rows.push(("tables", format!("{tables}: {entries}, {} kept as bytes", bytes(report.kept_bytes))));
    }
    for line in &report.fallbacks {
        rows.push(("as bytes", format!("{} ({}): {}", count(line.files, "table"), bytes(line.bytes), line.reason)));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_three_digits() {
        let shown = [0, 1023, 1024, 1536, 1_048_064, 1_048_576, 5 << 30, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1.0 MiB", "5.0 GiB", "16.0 EiB"]);
    }

    #[test]
    fn durations_grow_coarser() {
        let shown = [400, 12_000, 184_000, 7_800_000, 442_800_000].map(duration_ms);
        assert_eq!(shown, ["0.4 s", "12 s", "3 m 04 s", "2 h 10 m", "5 d 3 h"]);
    }
}

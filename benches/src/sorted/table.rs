//! The table, the targets, and the JSON of `esker-bench sorted`.

use std::fmt::Display;

use serde_json::{Value, json};

use super::bounds::Bound;
use super::measured::{EskerReadings, Measured};
use crate::series::{Input, Source};
use crate::work::Reading;

const MB: f64 = 1e6;

/// Prints a table and a line for each bound.
pub fn print(all: &[Measured], bounds: &[Vec<Bound>]) {
    println!("\nMB stored of day 0 and of all later days; how many times as much as esker for the later days; seconds.\n");
    println!("{:<34}{:<14}{:>9}{:>9}{:>8}{:>8}{:>8}{:>9}{:>9}", "", "", "day 0", "later", "times", "first", "later", "restore", "peak MiB");
    for measured in all {
        print_rows(measured);
    }
    println!();
    for (measured, bounds) in all.iter().zip(bounds) {
        for bound in bounds {
            let verdict = if bound.is_kept() { "pass  " } else { "MISSED" };
            let (measured_mb, at_most_mb) = (bound.measured_bytes / MB, bound.at_most_bytes / MB);
            println!("{verdict}  {}: {}: {measured_mb:.2} of at most {at_most_mb:.2} MB", title(measured), bound.what);
        }
    }
}

fn print_rows(measured: &Measured) {
    let title = title(measured);
    print_row(&title, "files", measured.day0_file_bytes, measured.later_file_bytes, "", "");
    for esker in &measured.esker {
        let times = format!(
            "{:>8.1}{:>8.1}{:>9.1}{:>9}",
            esker.first.seconds,
            esker.later.seconds,
            esker.restore.seconds,
            esker.peak_bytes() >> 20
        );
        let stored = esker.stored();
        print_row("", &esker_name(esker), stored.day0_bytes, stored.later_bytes, "", times);
    }
    for thinned in measured.esker.iter().filter_map(|esker| esker.thinned) {
        let rest = format!("{:>8}{:>8.1}{:>9.1}{:>9}", "", thinned.prune.seconds, thinned.restore.seconds, thinned.prune.peak_bytes >> 20);
        print_row("", "before prune", thinned.before_bytes, 0, "", "");
        print_row("", "written by it", thinned.prune.stored_bytes.unwrap_or(0), 0, "", "");
        print_row("", "after prune", thinned.after_bytes, 0, "", rest);
        print_row("", "fresh", thinned.fresh_bytes, 0, "", "");
    }
    let esker_later = measured.esker.last().map_or(0, |esker| esker.stored().later_bytes);
    let times = |bytes: u64| format!("{:.2}", bytes as f64 / esker_later as f64);
    for (tool, stored) in &measured.peers {
        print_row("", &tool.to_string(), stored.day0_bytes, stored.later_bytes, times(stored.later_bytes), "");
    }
    if let Some(bytes) = measured.new_entries_bytes {
        print_row("", "new entries", 0, bytes, times(bytes), "");
    }
}

fn print_row(title: &str, of: &str, day0_bytes: u64, later_bytes: u64, times: impl Display, rest: impl Display) {
    let (day0_mb, later_mb) = (day0_bytes as f64 / MB, later_bytes as f64 / MB);
    println!("{title:<34}{of:<14}{day0_mb:>9.2}{later_mb:>9.2}{times:>8}{rest}");
}

fn esker_name(esker: &EskerReadings) -> String {
    match esker.hosts {
        usize::MAX => "esker".to_owned(),
        1 => "esker, 1 host".to_owned(),
        hosts => format!("esker, {hosts} hosts"),
    }
}

fn title(measured: &Measured) -> String {
    let Input { workload, source, .. } = &measured.input;
    format!("{:?} {:?} {}", measured.name, workload.compression, source_name(source)).to_lowercase()
}

fn source_name(source: &Source) -> String {
    match source {
        Source::Bundled => "bundled".to_owned(),
        Source::Debian(rocksdb) => format!("debian-{}", rocksdb.version()),
    }
}

/// Prints all of it as one JSON array, an object for each case.
pub fn print_json(all: &[Measured], bounds: &[Vec<Bound>]) {
    let cases: Vec<Value> = all.iter().zip(bounds).map(|(measured, bounds)| case_json(measured, bounds)).collect();
    println!("{}", Value::from(cases));
}

fn case_json(measured: &Measured, bounds: &[Bound]) -> Value {
    let reading =
        |reading: Reading| json!({ "seconds": reading.seconds, "peak_bytes": reading.peak_bytes, "stored_bytes": reading.stored_bytes });
    let esker: Vec<Value> = (measured.esker.iter())
        .map(|esker| {
            let hosts = esker.hosts.min(measured.input.hosts as usize);
            let thinned = esker.thinned.map(|thinned| {
                json!({
                    "before_bytes": thinned.before_bytes, "after_bytes": thinned.after_bytes, "fresh_bytes": thinned.fresh_bytes,
                    "prune": reading(thinned.prune), "restore": reading(thinned.restore),
                })
            });
            json!({
                "hosts": hosts, "first": reading(esker.first), "later": reading(esker.later), "restore": reading(esker.restore),
                "thinned": thinned,
            })
        })
        .collect();
    let peers: Vec<Value> = (measured.peers.iter())
        .map(|(tool, stored)| json!({ "tool": tool.to_string(), "day0_bytes": stored.day0_bytes, "later_bytes": stored.later_bytes }))
        .collect();
    let bounds: Vec<Value> = (bounds.iter())
        .map(|bound| {
            json!({
                "what": bound.what, "measured_bytes": bound.measured_bytes, "at_most_bytes": bound.at_most_bytes, "kept": bound.is_kept(),
            })
        })
        .collect();
    let Input { workload, source, hosts, days } = &measured.input;
    json!({
        "workload": format!("{:?}", measured.name).to_lowercase(),
        "compression": format!("{:?}", workload.compression).to_lowercase(),
        "producer": source_name(source),
        "entries": workload.entries, "hosts": hosts, "days": days,
        "day0_file_bytes": measured.day0_file_bytes, "later_file_bytes": measured.later_file_bytes,
        "new_entries_bytes": measured.new_entries_bytes,
        "esker": esker, "peers": peers, "bounds": bounds,
    })
}

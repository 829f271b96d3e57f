//! What Esker must stay below for each workload.

use esker_testkit::workload::Compression;

use super::case::WorkloadName;
use super::measured::{EskerReadings, KEPT_BACKUPS, Measured, Stored};
use crate::series::Source;
use crate::targets::PEAK_TARGET_MIB;
use crate::tools::ToolName;

/// Replicas two and three together against host one, on day 0.
const REPLICAS_DAY0: f64 = 0.01;
/// A further replica's incrementals against those of host one.
const REPLICA_LATER: f64 = 0.25;
/// Incrementals against the new entries alone.
const NEW_ENTRIES: f64 = 1.25;
/// All backups of the many days against rustic's.
const LONG_PEER_SHARE: f64 = 1.0 / 3.5;
/// The last days of many, thinned out, against a repository that never held more.
const LONG_THINNED: f64 = 1.3;
/// Incrementals of Debian's files against rustic's, whatever the compression.
const DEBIAN_PEER_SHARE: f64 = 0.5;

/// A quantity and what it may be at most.
pub struct Bound {
    /// Which quantity, and what the bound is made from.
    pub what: String,
    /// As measured, in bytes.
    pub measured_bytes: f64,
    /// At most this, in bytes.
    pub at_most_bytes: f64,
}

impl Bound {
    /// Whether the quantity stays within it.
    pub fn is_kept(&self) -> bool {
        self.measured_bytes <= self.at_most_bytes
    }
}

/// The bounds of a case.
pub fn check(measured: &Measured) -> Vec<Bound> {
    let mut bounds = match measured.name {
        WorkloadName::Replicas => of_replicas(&measured.esker),
        WorkloadName::Uneven => Vec::new(),
        WorkloadName::Long => of_long(measured),
        _ => of_incrementals(measured),
    };
    bounds.extend(measured.esker.last().map(|esker| Bound {
        what: format!("peak memory: {PEAK_TARGET_MIB} MiB"),
        measured_bytes: esker.peak_bytes() as f64,
        at_most_bytes: (PEAK_TARGET_MIB << 20) as f64,
    }));
    bounds
}

fn of_incrementals(measured: &Measured) -> Vec<Bound> {
    let Some(esker) = measured.esker.last().map(EskerReadings::stored) else { return Vec::new() };
    let later = |what: String, at_most_bytes: f64| Bound { what, measured_bytes: esker.later_bytes as f64, at_most_bytes };
    let best = measured.peers.iter().min_by_key(|(_, stored)| stored.later_bytes);
    let of_best = |divisor: f64| {
        best.map(|(tool, stored)| later(format!("incrementals: 1/{divisor} of {tool}'s"), stored.later_bytes as f64 / divisor))
    };
    let of_new = (measured.new_entries_bytes)
        .map(|bytes| later(format!("incrementals: {NEW_ENTRIES} x the new entries"), bytes as f64 * NEW_ENTRIES));
    let is_plain = matches!(measured.input.workload.compression, Compression::Lz4 | Compression::None);
    let mut bounds: Vec<Bound> = match measured.name {
        WorkloadName::Uniform if is_plain => of_best(5.0).into_iter().chain(of_new).collect(),
        WorkloadName::Zipf => of_best(2.5).into_iter().collect(),
        WorkloadName::Recent => of_best(3.5).into_iter().collect(),
        WorkloadName::Compacted => of_best(4.0).into_iter().collect(),
        WorkloadName::Appended => of_best(2.5).into_iter().chain(of_new).reduce(larger).into_iter().collect(),
        _ => Vec::new(),
    };
    if let (Source::Debian(_), WorkloadName::Uniform, Some(rustic)) = (&measured.input.source, measured.name, rustic(measured)) {
        bounds.push(later("incrementals: half of rustic's".to_owned(), rustic.later_bytes as f64 * DEBIAN_PEER_SHARE));
    }
    bounds
}

/// Both in one: kept if either is.
fn larger(a: Bound, b: Bound) -> Bound {
    let what = format!("{} ({:.2} MB) or {} ({:.2} MB)", a.what, a.at_most_bytes / 1e6, b.what, b.at_most_bytes / 1e6);
    Bound { what, at_most_bytes: a.at_most_bytes.max(b.at_most_bytes), ..a }
}

fn of_long(measured: &Measured) -> Vec<Bound> {
    let totals = measured.esker.last().map(|esker| esker.stored().total_bytes()).zip(rustic(measured));
    let of_rustic = totals.map(|(bytes, rustic)| Bound {
        what: "all backups: 1/3.5 of rustic's".to_owned(),
        measured_bytes: bytes as f64,
        at_most_bytes: rustic.total_bytes() as f64 * LONG_PEER_SHARE,
    });
    let of_fresh = measured.esker.last().and_then(|esker| esker.thinned).map(|thinned| Bound {
        what: format!(
            "the last {KEPT_BACKUPS} backups after prune: {LONG_THINNED} x a fresh full backup and {KEPT_BACKUPS} days of changes"
        ),
        measured_bytes: thinned.after_bytes as f64,
        at_most_bytes: thinned.fresh_bytes as f64 * LONG_THINNED,
    });
    of_rustic.into_iter().chain(of_fresh).collect()
}

fn of_replicas(by_hosts: &[EskerReadings]) -> Vec<Bound> {
    let [one, two, three] = by_hosts else { return Vec::new() };
    let (one, two, three) = (one.stored(), two.stored(), three.stored());
    let later = |host: &str, more: Stored, fewer: Stored| Bound {
        what: format!("incrementals of host {host}: {:.0} % of host one's", REPLICA_LATER * 100.0),
        measured_bytes: more.later_bytes as f64 - fewer.later_bytes as f64,
        at_most_bytes: one.later_bytes as f64 * REPLICA_LATER,
    };
    let day0 = Bound {
        what: format!("day 0 of hosts two and three: {:.0} % of host one's", REPLICAS_DAY0 * 100.0),
        measured_bytes: three.day0_bytes as f64 - one.day0_bytes as f64,
        at_most_bytes: one.day0_bytes as f64 * REPLICAS_DAY0,
    };
    vec![day0, later("two", two, one), later("three", three, two)]
}

fn rustic(measured: &Measured) -> Option<Stored> {
    measured.peers.iter().find(|(tool, _)| *tool == ToolName::Rustic).map(|&(_, stored)| stored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Input;
    use crate::work::Reading;
    use esker_testkit::workload::Workload;

    fn esker(day0_bytes: u64, later_bytes: u64) -> EskerReadings {
        let reading = |bytes| Reading { seconds: 1.0, peak_bytes: 1 << 20, stored_bytes: Some(bytes) };
        EskerReadings { hosts: usize::MAX, first: reading(day0_bytes), later: reading(later_bytes), restore: reading(0), thinned: None }
    }

    fn measured(name: WorkloadName, esker: Vec<EskerReadings>) -> Measured {
        Measured {
            name,
            input: Input { workload: Workload::default(), source: Source::Bundled, hosts: 1, days: 10 },
            day0_file_bytes: 1_000,
            later_file_bytes: 1_000,
            new_entries_bytes: Some(100),
            esker,
            peers: vec![
                (ToolName::Rustic, Stored { day0_bytes: 700, later_bytes: 500 }),
                (ToolName::Borg, Stored { day0_bytes: 700, later_bytes: 490 }),
            ],
        }
    }

    fn kept(measured: &Measured) -> Vec<bool> {
        check(measured).iter().map(Bound::is_kept).collect()
    }

    #[test]
    fn uniform_is_bound_by_the_best_peer_and_by_the_new_entries() {
        assert_eq!(kept(&measured(WorkloadName::Uniform, vec![esker(700, 98)])), [true, true, true]);
        assert_eq!(kept(&measured(WorkloadName::Uniform, vec![esker(700, 99)])), [false, true, true]);
        assert_eq!(kept(&measured(WorkloadName::Uniform, vec![esker(700, 126)])), [false, false, true]);
    }

    #[test]
    fn appended_is_bound_by_the_larger_of_the_two() {
        assert_eq!(kept(&measured(WorkloadName::Appended, vec![esker(700, 196)])), [true, true]);
        assert_eq!(kept(&measured(WorkloadName::Appended, vec![esker(700, 197)])), [false, true]);
    }

    #[test]
    fn each_further_replica_is_bound_by_what_it_adds_to_the_one_before() {
        let by_hosts = |third| vec![esker(1_000, 400), esker(1_005, 500), esker(1_010, third)];
        assert_eq!(kept(&measured(WorkloadName::Replicas, by_hosts(600))), [true, true, true, true]);
        assert_eq!(kept(&measured(WorkloadName::Replicas, by_hosts(601))), [true, true, false, true]);
    }
}

//! Which backups stay: policies over years of them, holds and tags.

use std::fs;
use std::path::PathBuf;

use esker_ops::OpsError;
use esker_ops::forget::{ForgetReport, ForgetRequest, Policy, forget, hold, retag};

use crate::kit::{Esker, Shelf, host, names, request};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
/// Friday 2027-01-01 00:00 UTC, which ISO counts as week 53 of 2026.
const NEW_YEAR_2027: u64 = 1_798_761_600_000;

/// A shelf of backups made at given times.
struct Years {
    shelf: Shelf,
    source: PathBuf,
}

impl Years {
    fn new() -> Self {
        let shelf = Shelf::new(None, NEW_YEAR_2027);
        let source = shelf.path("source");
        fs::create_dir(&source).unwrap();
        Self { shelf, source }
    }

    fn add(&self, label: &str, at_ms: u64, cluster: &str, tags: &[&str]) {
        self.shelf.environment.clock.set_ms(at_ms);
        let text = format!("cluster = \"{cluster}\"\n");
        let cluster = esker_cluster::ClusterFile::parse(self.source.as_path(), &text).unwrap();
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let request = esker_ops::backup::BackupRequest { cluster: Some(cluster), tags, ..request(label, &self.source) };
        esker_ops::backup::backup(&self.shelf.open(), &request, &esker_ops::Job::default()).unwrap();
    }

    /// Backups of cluster `c` so many hours after New Year 2027 (or before), labelled with that number.
    fn hours(hours: &[i64]) -> Self {
        let years = Self::new();
        for hour in hours {
            years.add(&hour.to_string(), NEW_YEAR_2027.checked_add_signed(hour * HOUR as i64).unwrap(), "c", &[]);
        }
        years
    }

    fn ask(&self, policy: Policy) -> ForgetReport {
        forget(&self.shelf.open(), &ForgetRequest { policy, dry_run: true, ..ForgetRequest::default() }).unwrap()
    }

    /// Labels that a policy keeps, newest first, and their reasons.
    #[track_caller]
    fn keeps(&self, policy: Policy, expected: &[(&str, &str)]) {
        let report = self.ask(policy);
        let kept: Vec<(String, String)> = report.kept.into_iter().map(|decision| (decision.label, decision.reasons.join(" "))).collect();
        let expected: Vec<(String, String)> = expected.iter().map(|(label, why)| ((*label).to_owned(), (*why).to_owned())).collect();
        assert_eq!(kept, expected);
    }

    fn labels(&self) -> Vec<String> {
        self.shelf.open().backups().unwrap().found.into_iter().map(|backup| backup.manifest.label).collect()
    }
}

#[test]
fn the_newest_few_stay() {
    let years = Years::hours(&[0, 1, 2, 3, 4]);
    years.keeps(Policy { last: 2, ..Policy::default() }, &[("4", "last"), ("3", "last")]);
    years.keeps(Policy { last: 1, ..Policy::default() }, &[("4", "last")]);
    assert_eq!(years.ask(Policy { last: 99, ..Policy::default() }).forgotten.len(), 0);
}

#[test]
fn of_each_hour_and_day_that_has_one_the_newest_stays() {
    let years = Years::new();
    for minute in [0, 30, 59, 60, 61, 180, 24 * 60, 24 * 60 + 30, 72 * 60] {
        years.add(&format!("m{minute}"), NEW_YEAR_2027 + minute * 60_000, "c", &[]);
    }
    let hourly = Policy { hourly: 3, ..Policy::default() };
    // Hours without a backup take up no place.
    years.keeps(hourly, &[("m4320", "hourly"), ("m1470", "hourly"), ("m180", "hourly")]);
    let daily = Policy { daily: 2, ..Policy::default() };
    years.keeps(daily, &[("m4320", "daily"), ("m1470", "daily")]);
    let both = Policy { hourly: 1, daily: 9, ..Policy::default() };
    years.keeps(both, &[("m4320", "hourly daily"), ("m1470", "daily"), ("m180", "daily")]);
}

#[test]
fn weeks_are_isos_and_months_and_years_the_calendars() {
    // Sunday 27 December (week 52), Monday 28 (53), Friday 1 January (53 of 2026), Sunday 3 (53), Monday 4 (1 of 2027).
    let years = Years::hours(&[-5 * 24, -4 * 24, 0, 2 * 24, 3 * 24]);
    let weekly = Policy { weekly: 9, ..Policy::default() };
    years.keeps(weekly, &[("72", "weekly"), ("48", "weekly"), ("-120", "weekly")]);
    let monthly = Policy { monthly: 9, ..Policy::default() };
    years.keeps(monthly, &[("72", "monthly"), ("-96", "monthly")]);
    let yearly = Policy { yearly: 1, ..Policy::default() };
    years.keeps(yearly, &[("72", "yearly")]);
    let yearly = Policy { yearly: 2, ..Policy::default() };
    years.keeps(yearly, &[("72", "yearly"), ("-96", "yearly")]);
}

#[test]
fn within_counts_back_from_the_newest_backup_not_from_now() {
    let years = Years::hours(&[0, 12, 23, 24, 36]);
    // The cluster's backups stopped a year ago; what is kept does not shrink with every day that passes.
    years.shelf.environment.clock.set_ms(NEW_YEAR_2027 + 365 * DAY);
    years.keeps(
        Policy { within_ms: Some(DAY), ..Policy::default() },
        &[("36", "within"), ("24", "within"), ("23", "within"), ("12", "within")],
    );
    years.keeps(Policy { within_ms: Some(0), ..Policy::default() }, &[("36", "within")]);
}

#[test]
fn each_cluster_is_judged_by_its_own_backups() {
    let years = Years::new();
    for (number, cluster) in ["a", "b", "a", "b", "a"].iter().enumerate() {
        years.add(&format!("{cluster}{number}"), NEW_YEAR_2027 + number as u64 * DAY, cluster, &[]);
    }
    years.keeps(Policy { last: 1, ..Policy::default() }, &[("a4", "last"), ("b3", "last")]);
    let only_a = ForgetRequest { policy: Policy { last: 1, ..Policy::default() }, cluster: Some("a".into()), ..ForgetRequest::default() };
    let report = forget(&years.shelf.open(), &only_a).unwrap();
    assert_eq!(report.forgotten.len(), 2);
    assert_eq!(years.labels(), ["b1", "b3", "a4"]);
    assert_eq!(years.shelf.damage(), Vec::<String>::new());
}

#[test]
fn tags_and_holds_keep_and_a_policy_never_takes_a_clusters_newest() {
    let years = Years::new();
    years.add("release", NEW_YEAR_2027, "c", &["release"]);
    years.add("plain", NEW_YEAR_2027 + DAY, "c", &[]);
    years.add("audit", NEW_YEAR_2027 + 2 * DAY, "c", &[]);
    years.add("newest", NEW_YEAR_2027 + 3 * DAY, "c", &[]);
    let open = years.shelf.open();
    hold(&open, "audit", true).unwrap();
    let tagged = Policy { tags: vec!["release".into(), "other".into()], ..Policy::default() };
    years.keeps(tagged.clone(), &[("newest", "newest"), ("audit", "held"), ("release", "tag")]);
    retag(&open, "release", &["old".into()], &["release".into()]).unwrap();
    retag(&open, "plain", &["release".into()], &[]).unwrap();
    years.keeps(tagged.clone(), &[("newest", "newest"), ("audit", "held"), ("plain", "tag")]);
    hold(&open, "audit", false).unwrap();
    let done = forget(&open, &ForgetRequest { policy: tagged, ..ForgetRequest::default() }).unwrap();
    assert_eq!((done.kept.len(), done.forgotten.len()), (2, 2));
    assert_eq!(years.labels(), ["plain", "newest"]);
    let nothing = forget(&open, &ForgetRequest::default());
    assert!(matches!(nothing, Err(OpsError::Usage(_))), "an empty policy would keep nothing");
}

#[test]
fn backups_whose_clock_was_wrong_are_judged_like_the_others() {
    let years = Years::new();
    years.add("future", u64::MAX, "c", &[]);
    years.add("1970", 0, "c", &[]);
    years.add("now", NEW_YEAR_2027, "c", &[]);
    years.keeps(Policy { last: 1, ..Policy::default() }, &[("future", "last")]);
    years.keeps(Policy { yearly: 9, ..Policy::default() }, &[("future", "yearly"), ("now", "yearly"), ("1970", "yearly")]);
}

#[test]
fn a_held_backup_is_forgotten_neither_by_name_nor_by_policy_until_it_is_released() {
    let esker = Esker::encrypted();
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    for label in ["one", "two", "three"] {
        esker.run(&["backup", "--host", &host("h", &source), "--label", label, "--tag", "nightly"]).exits(4);
    }
    esker.run(&["forget", "--hold", "one"]).exits(0);
    esker.run(&["forget", "one"]).exits(2).says("esker forget --unhold one first");
    assert_eq!(esker.labels().len(), 3);
    assert!(esker.run(&["list"]).exits(0).text().contains("ok, held"));
    let report = esker.json(&["forget", "--keep-last", "1"], 0);
    assert_eq!(
        (names(&report["kept"], "label"), names(&report["forgotten"], "label")),
        (vec!["three".into(), "one".into()], vec!["two".into()])
    );
    esker.run(&["forget", "one", "three", "--add-tag", "x", "--remove-tag", "nightly"]).exits(0);
    let listed = esker.json(&["list"], 0);
    assert_eq!((&listed["backups"][0]["tags"], &listed["backups"][0]["held"]), (&serde_json::json!(["x"]), &true.into()));
    esker.run(&["forget", "--keep-tag", "x", "one", "--unhold"]).exits(0);
    esker.run(&["forget", "one"]).exits(0);
    assert_eq!(esker.labels(), ["three"]);
    esker.run(&["forget", "one"]).exits(2).says("no backup is called");
    esker.run(&["forget", "--hold", "nobody"]).exits(2);
    esker.run(&["fsck", "--level", "files"]).exits(0);
    // The last backup goes by name only, and because it was verified, by force only.
    esker.run(&["forget", "three"]).exits(2).says("--force");
    esker.run(&["forget", "three", "--force"]).exits(0);
    assert_eq!(esker.labels(), Vec::<String>::new());
    esker.run(&["fsck"]).exits(0);
}

#[test]
fn an_id_that_is_no_backup_s_or_was_forgotten_before_is_not_forgotten() {
    let esker = Esker::plain(&[]);
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "text").unwrap();
    esker.run(&["backup", "--label", "one", "--host", &host("h", &source)]).exits(4);
    esker.run(&["backup", "--label", "two", "--host", &host("h", &source)]).exits(4);
    let pack = fs::read_dir(esker.repo().join("packs/meta")).unwrap().next().unwrap().unwrap().path();
    let pack = fs::read_dir(pack).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    esker.run(&["forget", &pack]).exits(2);
    let two = names(&esker.json(&["list"], 0)["backups"], "id").pop().unwrap();
    esker.run(&["forget", &two]).exits(0);
    esker.run(&["forget", &two]).exits(2);
    let never_seen = "ab".repeat(32);
    esker.run(&["forget", &never_seen]).exits(0);
}

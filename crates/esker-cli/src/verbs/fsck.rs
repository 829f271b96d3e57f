//! `fsck`

use std::time::Duration;

use esker_format::verification::Level as StoredLevel;
use esker_ops::fsck::{Finding, FsckReport, FsckRequest, Severity, fsck};

use super::{Outcome, job};
use crate::args::{Fsck, Global, Level};
use crate::exit::Exit;
use crate::human;
use crate::open;
use crate::output::{Output, facts};

/// Files of one finding that are printed; JSON has more.
const FILES_SHOWN: usize = 10;

pub fn run(global: &Global, args: &Fsck, output: &Output) -> Outcome {
    let repository = open::open(global, output)?;
    let request = FsckRequest {
        backup: args.backup.clone(),
        level: match args.level {
            Level::Existence => StoredLevel::Existence,
            Level::Structure => StoredLevel::Structure,
            Level::Data => StoredLevel::Data,
            Level::Files => StoredLevel::Files,
            Level::Engine => StoredLevel::Engine,
        },
        sample_percent: args.sample,
        time_limit: args.max_minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60))),
        scratch: args.scratch.clone(),
        remember: !args.no_remember,
    };
    let report = fsck(&repository, &request, &job(global, output))?;
    if !report.protected {
        output.say("note: this check wrote no session, so it ran without protection from a prune");
    }
    output.result(&report, || text(&report));
    Ok(match report.is_damaged() {
        true => Exit::Damage,
        false => Exit::warned(!repository.warnings().is_empty()),
    })
}

fn text(report: &FsckReport) -> String {
    let mut text: String = report.findings.iter().map(finding_text).collect();
    let outcome = match (report.is_damaged(), report.complete) {
        (true, _) => "DAMAGED",
        (false, true) => "whole",
        (false, false) => "whole as far as it was looked at",
    };
    let mut rows = vec![
        ("outcome", format!("{outcome}, level {}", report.level)),
        ("backups", format!("{}, {} damaged", report.backups, report.damaged_backups.len())),
        ("packs", format!("{} of {} read whole", report.packs_read, report.packs)),
    ];
    if report.files > 0 {
        rows.push(("files", format!("{} distinct ones rebuilt", report.files)));
    }
    if report.engines > 0 {
        rows.push(("engines", format!("{} opened", report.engines)));
    }
    rows.push(("read", format!("{} ({})", human::bytes(report.bytes), human::rate(report.bytes, report.duration_ms))));
    rows.push(("duration", human::duration_ms(report.duration_ms)));
    text.push_str(&facts(&rows));
    if let Some(abilities) = &report.store {
        text.push_str(&super::init::abilities_text(abilities));
    }
    text
}

fn finding_text(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Damage => "DAMAGE",
        Severity::Notice => "notice",
    };
    let mut text = format!("{severity} {}: {}\n", human::text(&finding.object), human::text(&finding.what));
    let mut more = |name: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("  {name}: {}\n", human::text(&value)));
        }
    };
    more("backups", finding.backups.join(", "));
    more("partitions", finding.partitions.join(", "));
    for file in finding.files.iter().take(FILES_SHOWN) {
        more("file", file.clone());
    }
    let hidden = finding.files_touched.saturating_sub(FILES_SHOWN as u64);
    if hidden > 0 {
        more("file", format!("and {hidden} more (see --json)"));
    }
    more("help", finding.help.clone());
    text
}

//! `restore`

use esker_ops::OpsError;
use esker_ops::restore::{RestoreReport, RestoreRequest};
use esker_ops::thaw::{ColdPack, Frozen, Thawing, frozen, restore_when_thawed};
use esker_repo::store::classes::{ThawRequest, ThawTier, Warmth};
use serde::Serialize;

use super::{Outcome, job, selection};
use crate::args::{Global, Restore, Tier};
use crate::exit::Exit;
use crate::human;
use crate::open;
use crate::output::{Output, facts};

/// Missing files that are printed; .esker-missing and JSON have all.
const FILES_SHOWN: usize = 10;

pub fn run(global: &Global, args: &Restore, output: &Output) -> Outcome {
    let repository = open::open(global, output)?;
    let request = RestoreRequest {
        backup: args.named.backup.clone(),
        target: args.target.clone(),
        selection: selection(&args.select)?,
        dry_run: args.dry_run,
    };
    let job = job(global, output);
    let mut waiting = Frozen::default();
    let thaw = ThawRequest { days: args.thaw_days, tier: tier(args.thaw_tier) };
    let mut found = |found: &Frozen| {
        lines(found).iter().for_each(|line| output.say(line));
        waiting = found.clone();
    };
    let thawing = Thawing { request: thaw, wait: args.wait_for_thaw, found: &mut found };
    let restored = restore_when_thawed(&repository, &request, args.partial, thawing, &job);
    let report = match restored {
        Err(OpsError::Thawing { .. }) if output.is_json() => {
            output.json_line(&serde_json::json!({ "thawing": waiting.cold, "lost": waiting.lost }));
            restored?
        }
        restored => restored?,
    };
    if report.dry_run && repository.store().has_classes() {
        waiting = frozen(&repository, &request, args.partial, &job)?;
        lines(&waiting).iter().for_each(|line| output.say(line));
    }
    if !report.dry_run && !report.protected {
        output.say("note: this restore could not write a session, so it ran without protection from a prune");
    }
    output.result(&Restored { report: &report, cold: &waiting.cold }, || text(&report, args));
    if report.is_partial() {
        output.warn(&format!("not all of {} was restored: .esker-missing in the target lists what is missing", report.label));
    }
    Ok(Exit::warned(report.is_partial() || !repository.warnings().is_empty()))
}

/// What was restored, and which packs were cold when it began.
#[derive(Serialize)]
struct Restored<'a> {
    #[serde(flatten)]
    report: &'a RestoreReport,
    cold: &'a [ColdPack],
}

const fn tier(tier: Tier) -> ThawTier {
    match tier {
        Tier::Expedited => ThawTier::Expedited,
        Tier::Standard => ThawTier::Standard,
        Tier::Bulk => ThawTier::Bulk,
    }
}

fn lines(found: &Frozen) -> Vec<String> {
    let line = |pack: &ColdPack| {
        let state = if pack.state == Warmth::Thawing { "thawing already" } else { "must thaw" };
        format!("{} ({}) is in {}: {state}", pack.pack, human::bytes(pack.bytes), pack.class)
    };
    let lost = found.lost.iter().map(|file| format!("{} is lost, whatever thaws", human::text(file)));
    found.cold.iter().map(line).chain(lost).collect()
}

fn text(report: &RestoreReport, args: &Restore) -> String {
    let id: String = report.id.chars().take(8).collect();
    let verb = if report.dry_run { "would restore" } else { "restored" };
    let mut rows = vec![
        ("hosts", report.hosts.to_string()),
        ("files", format!("{}, {}", report.files, human::bytes(report.bytes))),
        ("others", format!("{} folders and links", report.others)),
    ];
    if report.kept_bytes > 0 {
        rows.push(("kept", format!("{} were there and right", human::bytes(report.kept_bytes))));
    }
    if !report.dry_run {
        rows.push(("duration", format!("{} ({})", human::duration_ms(report.duration_ms), human::rate(report.bytes, report.duration_ms))));
        rows.push(("owners", if report.owners { "restored".into() } else { "not restored, which needs root".into() }));
    }
    rows.extend(report.missing_parts.iter().map(|part| ("LOST", human::text(part))));
    if report.missing_unnamed > 0 {
        rows.push(("MISSING", format!("{} whose names are not known", human::count(report.missing_unnamed, "file"))));
    }
    for file in report.missing.iter().take(FILES_SHOWN) {
        rows.push(("MISSING", human::text(&format!("{}/{}: {}", file.host, file.path, file.why))));
    }
    let hidden = report.missing.len().saturating_sub(FILES_SHOWN);
    if hidden > 0 {
        rows.push(("MISSING", format!("and {} more", hidden)));
    }
    format!("{verb} {} ({id}) to {}\n{}", human::text(&report.label), args.target.display(), facts(&rows))
}

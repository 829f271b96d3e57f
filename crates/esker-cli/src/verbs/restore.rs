//! `restore`

use esker_ops::restore::{RestoreReport, RestoreRequest, restore};

use super::{Outcome, job, selection};
use crate::args::{Global, Restore};
use crate::exit::Exit;
use crate::human;
use crate::open;
use crate::output::{Output, facts};

pub fn run(global: &Global, args: &Restore, output: &Output) -> Outcome {
    let repository = open::open(global, output)?;
    let request = RestoreRequest {
        backup: args.named.backup.clone(),
        target: args.target.clone(),
        selection: selection(&args.select)?,
        dry_run: args.dry_run,
    };
    let report = restore(&repository, &request, &job(global, output))?;
    if !report.dry_run && !report.protected {
        output.say("note: this restore could not write a session, so it ran without protection from a prune");
    }
    output.result(&report, || text(&report, args));
    Ok(Exit::warned(!repository.warnings().is_empty()))
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
    format!("{verb} {} ({id}) to {}\n{}", human::text(&report.label), args.target.display(), facts(&rows))
}

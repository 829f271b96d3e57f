//! `copy`

use esker_ops::OpsError;
use esker_ops::copy::{BackupLine, CopyReport, CopyRequest, Outcome as Became, copy};

use super::{Outcome, job};
use crate::args::{Copy, Global};
use crate::config::Place;
use crate::exit::Exit;
use crate::human;
use crate::open;
use crate::output::{Output, facts, table};
use crate::secret;

pub fn run(global: &Global, args: &Copy, output: &Output) -> Outcome {
    let (from, to) = sides(global, args)?;
    let (from, to) = (Place::of(from)?.with_options(&args.from_store_options), Place::of(to)?.with_options(&global.store_options));
    if !args.dry_run {
        to.check_writable()?;
    }
    let of_target = open::secret_of(&to, global.passphrase_file.as_deref(), secret::PASSPHRASE, output)?;
    let source = open::open_from(global, &from, args.from_passphrase_file.as_deref(), of_target.as_ref(), output).map_err(within(&from))?;
    let target = open::open_at(global, &to, of_target, None, output).map_err(within(&to))?;
    let request = CopyRequest { backups: args.backups.clone(), dry_run: args.dry_run, decrypt: args.decrypt };
    let report = copy(&source, &target, &request, &job(global, output))?;
    report.warnings.iter().for_each(|warning| output.warn(warning));
    if !report.dry_run && !report.protected {
        output.say(&format!("note: no session could be written to {}, so it was read without protection from a prune", from.shown()));
    }
    output.result(&report, || text(&report));
    let warned = !report.warnings.is_empty() || !source.warnings().is_empty() || !target.warnings().is_empty();
    Ok(if report.is_damaged() { Exit::Damage } else { Exit::warned(warned) })
}

/// The repository that is read and the one that is written: `--repo` stands for the one that is not named.
fn sides<'a>(global: &'a Global, args: &'a Copy) -> Result<(&'a str, &'a str), OpsError> {
    let from_environment = std::env::var("ESKER_REPO").ok();
    match (args.from.as_deref(), args.to.as_deref(), global.repo.as_deref()) {
        (Some(_), Some(_), Some(repo)) if from_environment.as_deref() != Some(repo) => {
            Err(OpsError::Usage("--repo has no part beside --from and --to: give two of the three".into()))
        }
        (Some(from), Some(to), _) | (Some(from), None, Some(to)) | (None, Some(to), Some(from)) => Ok((from, to)),
        (None, None, _) => Err(OpsError::Usage("which way? give --from or --to, or both".into())),
        (Some(_), None, None) => Err(OpsError::Usage("no repository to copy to: give --to, --repo or ESKER_REPO".into())),
        (None, Some(_), None) => Err(OpsError::Usage("no repository to copy from: give --from, --repo or ESKER_REPO".into())),
    }
}

fn within(place: &Place) -> impl FnOnce(OpsError) -> OpsError {
    let repository = place.shown();
    move |error| match error {
        OpsError::Usage(_) | OpsError::Cancelled => error,
        error => OpsError::In { repository, error: Box::new(error) },
    }
}

fn text(report: &CopyReport) -> String {
    let verb = if report.dry_run { "would copy" } else { "copied" };
    let copied = human::count(report.copied, "backup");
    let mut text = format!("{verb} {copied} from {} to {}", human::text(&report.from.location), human::text(&report.to.location));
    if report.known > 0 {
        text.push_str(&format!("; {} there already", were(report.known)));
    }
    if report.damaged > 0 {
        text.push_str(&format!("; {} DAMAGED and not copied", were(report.damaged)));
    }
    text.push('\n');
    let shown: Vec<&BackupLine> = report.backups.iter().filter(|line| line.outcome != Became::Known || line.notes).collect();
    if !shown.is_empty() {
        let rows = shown.iter().map(|line| row(line, report.dry_run)).collect();
        text.push_str(&table(&["LABEL", "ID", "", ">SIZE", ">READ", ">STORED"], rows));
    }
    for line in &shown {
        for finding in &line.findings {
            text.push_str(&format!("DAMAGE {}: {}\n", human::text(&line.label), human::text(finding)));
        }
        let hidden = line.findings_count.saturating_sub(line.findings.len() as u64);
        if hidden > 0 {
            text.push_str(&format!("DAMAGE {}: and {hidden} more\n", human::text(&line.label)));
        }
    }
    report.findings.iter().for_each(|finding| text.push_str(&format!("DAMAGE {}\n", human::text(finding))));
    if report.is_damaged() {
        text.push_str(&format!("help: esker fsck --repo {}\n", human::text(&report.from.location)));
    }
    if !report.dry_run {
        let left_over: u64 = report.backups.iter().map(|line| line.left_over_chunks).sum();
        let mut rows = vec![
            ("read", format!("{} of content ({})", human::bytes(report.read_bytes), human::rate(report.read_bytes, report.duration_ms))),
            ("stored", human::bytes(report.stored_bytes)),
        ];
        if left_over > 0 {
            rows.push(("resumed", format!("{} were uploaded by an interrupted run", human::count(left_over, "chunk"))));
        }
        rows.push(("duration", human::duration_ms(report.duration_ms)));
        text.push_str(&facts(&rows));
    }
    text
}

fn row(line: &BackupLine, dry_run: bool) -> Vec<String> {
    let outcome = match line.outcome {
        Became::Copied if dry_run => "would be copied",
        Became::Copied => "copied",
        Became::Known => "hold and tags carried over",
        Became::Damaged => "DAMAGED",
        Became::Undecided => "undecided, left out",
    };
    let id = line.id.chars().take(8).collect();
    let sizes = [line.bytes, line.read_bytes, line.stored_bytes].map(human::bytes);
    [line.label.clone(), id, outcome.to_owned()].into_iter().chain(sizes).collect()
}

fn were(count: u64) -> String {
    if count == 1 { "1 was".to_owned() } else { format!("{count} were") }
}

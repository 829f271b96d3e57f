//! `audit`

use std::path::Path;

use esker_format::ObjectId;
use esker_ops::OpsError;
use esker_ops::audit::{AuditEntry, AuditFinding, AuditObject, AuditReport, AuditRequest, audit};
use esker_ops::fsck::Severity;
use esker_ops::time::iso;

use super::{Outcome, job};
use crate::args::{Audit, Global};
use crate::exit::Exit;
use crate::human;
use crate::open;
use crate::output::{Output, facts, table};

/// Objects of one record that are printed; JSON has all.
const OBJECTS_SHOWN: usize = 3;

pub fn run(global: &Global, args: &Audit, output: &Output) -> Outcome {
    let acknowledge: Result<Vec<ObjectId>, OpsError> = args.acknowledge.iter().map(|id| whole_id(id)).collect();
    let heads: Result<Vec<Vec<ObjectId>>, OpsError> = args.heads.iter().map(|head| noted(head)).collect();
    let request = AuditRequest { log_only: args.log_only, heads: heads?.concat(), acknowledge: acknowledge? };
    let repository = open::open(global, output)?;
    let report = audit(&repository, &request, &job(global, output))?;
    if let Some(file) = &args.save_head {
        match report.is_damaged() {
            true => output.warn(&format!("{} is not written: heads of a log that is not whole are nothing to rely on", file.display())),
            false => save(file, &report)?,
        }
    }
    output.result(&report, || text(&report, args.last));
    Ok(if report.is_damaged() { Exit::Damage } else { Exit::warned(!repository.warnings().is_empty()) })
}

fn whole_id(text: &str) -> Result<ObjectId, OpsError> {
    ObjectId::from_hex(text)
        .map_err(|_| OpsError::Usage(format!("{text:?} is not an id: 64 hexadecimal digits, as the finding shows them")))
}

/// A head that is given, or those that stand in a file.
fn noted(head: &str) -> Result<Vec<ObjectId>, OpsError> {
    if let Ok(id) = ObjectId::from_hex(head) {
        return Ok(vec![id]);
    }
    let text = std::fs::read_to_string(head).map_err(|source| OpsError::Local { action: "read", path: head.to_owned(), source })?;
    let ids: Vec<ObjectId> =
        text.lines().filter(|line| !line.starts_with('#')).map(|line| whole_id(line.trim())).collect::<Result<_, _>>()?;
    if ids.is_empty() { Err(OpsError::Usage(format!("{head} names no head"))) } else { Ok(ids) }
}

fn save(file: &Path, report: &AuditReport) -> Result<(), OpsError> {
    let heads: String = report.heads.iter().map(|head| format!("{head}\n")).collect();
    let text = format!("# heads of the audit log of repository {}: esker audit --head THIS_FILE\n{heads}", report.repository);
    std::fs::write(file, text).map_err(|source| OpsError::Local { action: "write", path: file.display().to_string(), source })
}

fn text(report: &AuditReport, last: usize) -> String {
    let mut text: String = report.findings.iter().map(finding_text).collect();
    let shown = report.entries.len().saturating_sub(last);
    if last > 0 && !report.entries.is_empty() {
        let rows = report.entries.iter().skip(shown).map(row).collect();
        text.push_str(&table(&["WHEN (UTC)", "WHO", "WHAT", "", "RECORD", "PROOF"], rows));
        if shown > 0 {
            text.push_str(&format!("and {shown} earlier (see --last, --json)\n"));
        }
    }
    let outcome = if report.is_damaged() { "NOT WHOLE" } else { "whole" };
    let what = if report.log_only { "the log alone" } else { "the log, and what the repository holds" };
    let mut rows = vec![
        ("outcome", format!("{outcome}: {what}")),
        ("records", format!("{}, {} signed, {} unsigned", report.records, report.signed, report.unsigned)),
    ];
    rows.extend(report.heads.iter().map(|head| ("head", head.clone())));
    rows.push(("duration", human::duration_ms(report.duration_ms)));
    text.push_str(&facts(&rows));
    text
}

fn row(entry: &AuditEntry) -> Vec<String> {
    let event = if entry.intended { format!("{} (intended)", entry.event) } else { entry.event.to_owned() };
    // Of a note and a check the label says enough; their ids are for programs.
    let objects: &[AuditObject] = match entry.event {
        "verification" => &[],
        "note" => entry.objects.get(1..).unwrap_or_default(),
        _ => &entry.objects,
    };
    let mut what: Vec<String> = objects.iter().take(OBJECTS_SHOWN).map(|object| named(&object.id, &object.label)).collect();
    let hidden = objects.len().saturating_sub(OBJECTS_SHOWN);
    what.extend((hidden > 0).then(|| format!("and {hidden} more")));
    what.extend((entry.count > 0 && entry.event == "prune").then(|| human::count(entry.count, "pack")));
    what.extend((entry.bytes > 0 && entry.event != "verification").then(|| human::bytes(entry.bytes)));
    what.extend((!entry.detail.is_empty()).then(|| entry.detail.clone()));
    let id = entry.id.chars().take(8).collect();
    vec![iso(entry.at_ms), format!("{}@{}", entry.user, entry.host), event, what.join(", "), id, entry.proof.to_owned()]
}

fn named(id: &str, label: &str) -> String {
    let id: String = id.chars().take(8).collect();
    if label.is_empty() { id } else { format!("{label} ({id})") }
}

fn finding_text(finding: &AuditFinding) -> String {
    let severity = match finding.severity {
        Severity::Damage => "DAMAGE",
        Severity::Notice => "notice",
    };
    let help = if finding.help.is_empty() { String::new() } else { format!("  help: {}\n", human::text(&finding.help)) };
    format!("{severity} {}: {}\n{help}", human::text(&finding.object), human::text(&finding.what))
}

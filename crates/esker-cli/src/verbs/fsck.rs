//! `fsck`

use std::time::Duration;

use esker_cluster::ClusterFile;
use esker_format::verification::Level as StoredLevel;
use esker_ops::OpsError;
use esker_ops::fsck::{Finding, FsckReport, FsckRequest, Severity, fsck};
use esker_ops::repair::{RepairReport, RepairRequest, repair};

use super::backup::host;
use super::{Outcome, job};
use crate::args::{Fsck, Global, Level};
use crate::config::Place;
use crate::exit::Exit;
use crate::human;
use crate::open;
use crate::output::{Output, facts};
use crate::secret;

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
    let report = match args.repair {
        true => repair(&repository, &request, &sources(global, args, output)?, &job(global, output))?,
        false => fsck(&repository, &request, &job(global, output))?,
    };
    if !report.protected {
        output.say("note: this check wrote no session, so it ran without protection from a prune");
    }
    output.result(&report, || text(&report));
    Ok(match report.is_damaged() {
        true => Exit::Damage,
        false => Exit::warned(!repository.warnings().is_empty()),
    })
}

/// Where a repair looks.
fn sources(global: &Global, args: &Fsck, output: &Output) -> Result<RepairRequest, OpsError> {
    let cluster = args.cluster.as_deref().map(ClusterFile::load).transpose()?;
    let mut hosts = args.hosts.iter().map(|text| host(text)).collect::<Result<Vec<_>, _>>()?;
    if hosts.is_empty() {
        let described = cluster.iter().flat_map(ClusterFile::hosts);
        hosts.extend(described.map(|host| (host.name.clone(), host.folder.clone())));
    }
    let open = |location: &String| -> Result<_, OpsError> {
        let place = Place::of(location)?.with_options(&args.from_store_options);
        let of_first = open::secret_of(&open::place(global)?, global.passphrase_file.as_deref(), secret::PASSPHRASE, output)?;
        open::open_from(global, &place, args.from_passphrase_file.as_deref(), of_first.as_ref(), output)
    };
    Ok(RepairRequest { hosts, cluster, from: args.from.as_ref().map(open).transpose()? })
}

fn text(report: &FsckReport) -> String {
    let mut text: String = report.findings.iter().map(finding_text).collect();
    if let Some(repair) = &report.repair {
        text.push_str(&repair_text(repair));
    }
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

fn repair_text(repair: &RepairReport) -> String {
    let mut rows = Vec::new();
    if !repair.has_written() {
        rows.push(("repair", "nothing was written".to_owned()));
    }
    if let Some(path) = repair.config {
        rows.push(("repair", format!("{path} was written again from its copy")));
    }
    if !repair.objects.is_empty() {
        let objects = human::count(repair.objects.len() as u64, "object");
        rows.push(("repair", format!("{objects} brought back from the copy: {}", repair.objects.join(", "))));
    }
    if repair.indexed_packs + repair.removed_segments > 0 {
        let removed = human::count(repair.removed_segments, "damaged index segment");
        rows.push(("repair", format!("{} indexed again, {removed} removed", human::count(repair.indexed_packs, "pack"))));
    }
    if repair.mended_chunks > 0 {
        let counted = [
            (repair.from_packs, "left in packs"),
            (repair.from_repository, "from the second repository"),
            (repair.from_files, "from files"),
            (repair.from_backups, "by a backup done again"),
        ];
        let parts: Vec<String> = counted.iter().filter(|(count, _)| *count > 0).map(|(count, from)| format!("{count} {from}")).collect();
        rows.push(("mended", format!("{}: {}", human::count(repair.mended_chunks, "chunk"), parts.join(", "))));
    }
    if repair.copied_chunks > 0 {
        rows.push(("copied", format!("{} out of damaged packs", human::count(repair.copied_chunks, "chunk"))));
    }
    rows.extend(repair.notes.iter().map(|note| ("note", human::text(note))));
    for loss in &repair.lost {
        let id: String = loss.id.chars().take(8).collect();
        let mut parts = Vec::new();
        if loss.files > 0 {
            parts.push(format!("{} ({})", human::count(loss.files, "file"), human::bytes(loss.bytes)));
        }
        if loss.unnamed > 0 {
            parts.push(format!("{} whose names are lost as well", human::count(loss.unnamed, "file")));
        }
        parts.extend(loss.parts.iter().map(|(part, count)| match count {
            1 => human::text(part),
            count => format!("{} ({count} times)", human::text(part)),
        }));
        let what = format!("backup {} ({id}): {}", human::text(&loss.label), parts.join("; "));
        rows.push(("STILL LOST", what));
        let partitions: Vec<&str> = loss.partitions.iter().map(String::as_str).collect();
        if !partitions.is_empty() {
            rows.push(("", format!("partitions {}", human::text(&partitions.join(", ")))));
        }
        rows.extend(loss.names.iter().take(FILES_SHOWN).map(|name| ("", human::text(name))));
        let hidden = loss.files.saturating_sub(FILES_SHOWN as u64);
        if hidden > 0 {
            rows.push(("", format!("and {hidden} more (see --json)")));
        }
        rows.push(("", format!("what is whole of it: esker restore {id} --partial --target FOLDER")));
    }
    facts(&rows)
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

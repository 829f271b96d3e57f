//! `backup`

use std::path::PathBuf;

use esker_cluster::ClusterFile;
use esker_ops::OpsError;
use esker_ops::backup::{BackupReport, BackupRequest, backup};
use esker_repo::Effort;

use super::{Outcome, job};
use crate::args::{Backup, Global};
use crate::exit::Exit;
use crate::human;
use crate::open;
use crate::output::{Output, facts};

/// Partitions whose spread is named.
const SPREAD_LINES: usize = 5;

pub fn run(global: &Global, args: &Backup, output: &Output) -> Outcome {
    let cluster = args.cluster.as_deref().map(ClusterFile::load).transpose()?;
    let mut hosts = args.hosts.iter().map(|text| host(text)).collect::<Result<Vec<_>, _>>()?;
    if hosts.is_empty() {
        let described = cluster.iter().flat_map(ClusterFile::hosts);
        hosts.extend(described.map(|host| (host.name.clone(), host.folder.clone())));
    }
    let request = BackupRequest {
        hosts,
        cluster,
        space: args.space.clone(),
        label: args.label.clone(),
        tags: args.tags.clone(),
        dry_run: args.dry_run,
        reread: args.reread,
        reread_share: args.reread_share,
        effort: if args.fast { Effort::Fast } else { args.zstd_level.map_or(Effort::Configured, Effort::Level) },
        no_reencode: args.no_reencode,
    };
    let repository = open::open_with_class(global, args.storage_class.as_deref(), output)?;
    let report = backup(&repository, &request, &job(global, output))?;
    report.warnings.iter().for_each(|warning| output.warn(&human::text(warning)));
    output.result(&report, || text(&report));
    Ok(Exit::warned(!report.warnings.is_empty() || !repository.warnings().is_empty()))
}

/// `NAME=FOLDER`
pub fn host(text: &str) -> Result<(String, PathBuf), OpsError> {
    match text.split_once('=') {
        Some((name, folder)) if !name.is_empty() && !folder.is_empty() => Ok((name.to_owned(), PathBuf::from(folder))),
        _ => Err(OpsError::Usage(format!("--host {text}: give it as NAME=FOLDER"))),
    }
}

fn text(report: &BackupReport) -> String {
    let duration_ms = report.finished_ms.saturating_sub(report.started_ms);
    let reused = format!("{} unread ({})", human::count(report.reused_files, "file"), human::bytes(report.reused_bytes));
    let mut rows = vec![
        ("files", format!("{} in {}, {}", report.files, human::count(report.engines, "engine"), human::bytes(report.bytes))),
        ("taken over", reused),
    ];
    if report.dry_run {
        rows.push(("to be read", human::bytes(report.read_bytes)));
    } else {
        rows.push(("read", format!("{} ({})", human::bytes(report.read_bytes), human::rate(report.read_bytes, duration_ms))));
        rows.push(("stored", format!("{} for {} of new chunks", human::bytes(report.stored_bytes), human::bytes(report.new_bytes))));
        rows.extend(human::sorted(&report.sorted));
        rows.push(("reuse", human::percent(report.reuse_ratio)));
        rows.push(("duration", human::duration_ms(duration_ms)));
    }
    if report.left_over_bytes > 0 {
        rows.push(("resumed", format!("{} were uploaded by an interrupted run", human::bytes(report.left_over_bytes))));
    }
    if report.reused_by_stamp_files > 0 {
        rows.push(("by stamp", format!("{} known by size, mtime and inode only", human::count(report.reused_by_stamp_files, "file"))));
    }
    for line in &report.left_out {
        rows.push(("left out", format!("{} {} ({})", line.files, line.pattern, human::bytes(line.bytes))));
    }
    if report.partitions > 0 {
        let spread = match report.spread.len() {
            0 => "all replicas at the same commit id".to_owned(),
            apart => format!("replicas of {apart} apart"),
        };
        rows.push(("cut", format!("{}, {spread}", human::count(report.partitions, "partition"))));
    }
    for line in report.spread.iter().take(SPREAD_LINES) {
        rows.push(("", format!("{} from {} to {} over {} replicas", line.partition, line.commit_min, line.commit_max, line.replicas)));
    }
    let head = match &report.id {
        Some(id) => format!("backup {} ({}) of cluster {}", report.label, id.chars().take(8).collect::<String>(), report.cluster),
        None => format!("dry run, nothing written, of cluster {}", report.cluster),
    };
    format!("{}\n{}", human::text(&head), facts(&rows))
}

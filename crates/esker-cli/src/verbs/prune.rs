//! `prune`

use esker_ops::prune::{PackExplanation, PackLine, PruneReport, PruneRequest, explain, prune};

use super::{Outcome, job};
use crate::args::{Global, Prune};
use crate::exit::Exit;
use crate::human;
use crate::open;
use crate::output::{Output, facts, table};

/// Packs that are printed; JSON has all.
const PACKS_SHOWN: usize = 20;
/// Digits of a pack's id that are printed; `--explain` takes them.
const ID_DIGITS: usize = 16;

pub fn run(global: &Global, args: &Prune, output: &Output) -> Outcome {
    let repository = open::open(global, output)?;
    if let Some(pack) = &args.explain {
        let explanation = explain(&repository, pack, &job(global, output))?;
        output.result(&explanation, || explained(&explanation));
        return Ok(Exit::warned(!repository.warnings().is_empty()));
    }
    let request = PruneRequest {
        dry_run: args.dry_run,
        fence_after: args.fence_after,
        max_wait: args.max_wait,
        max_repack: args.max_repack,
        repack_percent: args.repack_percent,
    };
    let report = prune(&repository, &request, &job(global, output))?;
    for session in &report.fenced {
        output.warn(&format!("session {} gave no sign of life and was taken for dead", session.text()));
    }
    for refused in report.refused.iter().take(PACKS_SHOWN) {
        output.warn(&format!("cannot delete {}: {}", refused.object, human::text(&refused.why)));
    }
    if let Some(hidden) = report.refused.len().checked_sub(PACKS_SHOWN).filter(|hidden| *hidden > 0) {
        output.warn(&format!("and {hidden} more that cannot be deleted (see --json)"));
    }
    output.result(&report, || text(&report));
    let is_warned = !report.fenced.is_empty() || !report.refused.is_empty() || !repository.warnings().is_empty();
    Ok(Exit::warned(is_warned))
}

fn text(report: &PruneReport) -> String {
    let verb = if report.dry_run { "would delete" } else { "deleted" };
    let before = format!("{}, {}", human::count(report.packs_before, "pack"), human::bytes(report.bytes_before));
    let mut rows = vec![
        ("before", before),
        ("needed", format!("{} in {}", human::bytes(report.needed_bytes), human::count(report.needed_chunks, "chunk"))),
        (verb, format!("{}, {}", human::count(report.packs.len() as u64, "pack"), human::bytes(report.deleted_bytes))),
    ];
    let mut more = |is_there: bool, name, what: String| rows.extend(is_there.then_some((name, what)));
    let written = format!("{} in {}, index included", human::bytes(report.written_bytes), human::count(report.rewritten_chunks, "chunk"));
    more(report.written_bytes > 0 && !report.dry_run, "written", written);
    more(report.written_bytes > 0 && report.dry_run, "to write", human::bytes(report.written_bytes));
    let sparse = format!("{}: of them only the entries that backups need", human::count(report.sparse_runs, "run"));
    more(report.sparse_runs > 0, "sparse", sparse);
    let kept = format!("{} that no backup needs, in packs that are needed in part", human::bytes(report.unneeded_kept_bytes));
    more(report.unneeded_kept_bytes > 0, "kept", kept);
    let at_work =
        format!("{} ({}) of sessions that may be at work", human::count(report.at_work_packs, "pack"), human::bytes(report.at_work_bytes));
    more(report.at_work_packs > 0, "left", at_work);
    let locked = format!(
        "{} that the store refused to delete; prune again when it lets go of them",
        human::count(report.refused.len() as u64, "object")
    );
    more(!report.refused.is_empty(), "locked", locked);
    let back = format!("{} that a backup made meanwhile needs", human::count(report.taken_back, "pack"));
    more(report.taken_back > 0, "taken back", back);
    let swept =
        format!("{} of killed writers, {}", human::count(report.swept_files, "half-written file"), human::bytes(report.swept_bytes));
    more(report.swept_files > 0, "swept", swept);
    for session in &report.would_wait_for {
        more(true, "waits for", session.text());
    }
    more(report.waited_ms > 0, "waited", human::duration_ms(report.waited_ms));
    more(true, "duration", human::duration_ms(report.duration_ms));
    let head = if report.dry_run { format!("dry run, nothing written\n{}", packs(&report.packs)) } else { String::new() };
    format!("{head}{}", facts(&rows))
}

fn packs(lines: &[PackLine]) -> String {
    let rows = lines.iter().take(PACKS_SHOWN);
    let rows = rows.map(|line| {
        let id = line.pack.rsplit('/').next().unwrap_or_default().chars().take(ID_DIGITS).collect();
        let kind = line.pack.split('/').nth(1).unwrap_or_default().to_owned();
        let why = match line.sparse_runs {
            0 => line.why.to_owned(),
            runs => format!("{}, {} sparse", line.why, human::count(u64::from(runs), "run")),
        };
        vec![id, kind, human::bytes(line.bytes), human::bytes(line.needed_bytes), why]
    });
    let mut text = if lines.is_empty() { String::new() } else { table(&["PACK", "KIND", ">BYTES", ">NEEDED", "WHY"], rows.collect()) };
    if lines.len() > PACKS_SHOWN {
        text.push_str(&format!("and {} more (see --json)\n", lines.len() - PACKS_SHOWN));
    }
    text
}

fn explained(pack: &PackExplanation) -> String {
    let rows = [
        ("pack", pack.pack.clone()),
        ("size", human::bytes(pack.bytes)),
        ("needed", format!("{}, {} of it nowhere else", human::bytes(pack.needed_bytes), human::bytes(pack.only_here_bytes))),
        ("written by", pack.session.text()),
        ("verdict", pack.verdict.clone()),
    ];
    let users = pack.needed_by.iter().map(|user| {
        let id: String = user.id.chars().take(8).collect();
        let state = if user.is_undecided { "undecided" } else { "" };
        vec![user.label.clone(), id, human::bytes(user.bytes), user.chunks.to_string(), state.to_owned()]
    });
    let users: Vec<_> = users.collect();
    let users = if users.is_empty() { String::new() } else { format!("\n{}", table(&["BACKUP", "ID", ">BYTES", ">CHUNKS", ""], users)) };
    format!("{}{users}", facts(&rows))
}

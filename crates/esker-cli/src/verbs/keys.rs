//! `diff --keys` and `fsck --replicas`

use esker_ops::keys::{
    Divergence, KeyCounts, KeyDiff, KeyDiffRequest, KeyLine, PartitionReplicas, ReplicasReport, compare_replicas, diff_keys,
};
use esker_ops::select::Selection;

use super::{Outcome, job};
use crate::args::{Diff, Fsck, Global};
use crate::exit::Exit;
use crate::human;
use crate::open;
use crate::output::{Output, facts, table};

/// Rows of a difference that are printed; JSON has all.
const ROWS_SHOWN: usize = 100;

pub fn diff(global: &Global, args: &Diff, output: &Output) -> Outcome {
    let repository = open::open(global, output)?;
    let request = KeyDiffRequest {
        from: args.from.clone(),
        to: args.to.clone(),
        selection: Selection::new(args.hosts.clone(), args.spaces.clone(), &[])?,
        partitions: args.partitions.iter().copied().collect(),
    };
    let mut left = args.limit.unwrap_or(if args.list { u64::MAX } else { 0 });
    let difference = diff_keys(&repository, &request, &job(global, output), &mut |line| {
        if left > 0 {
            left -= 1;
            if output.is_json() { output.json_line(&line) } else { output.print(&line_text(&line)) }
        }
        Ok(())
    })?;
    output.result(&difference, || diff_text(&difference));
    warn_of(&difference.not_compared, difference.counts.undecided, output);
    Ok(Exit::warned(difference.is_incomplete() || !repository.warnings().is_empty()))
}

/// Names what could not be told.
fn warn_of(not_compared: &[String], undecided: u64, output: &Output) {
    not_compared.iter().for_each(|what| output.warn(&format!("not compared: {}", human::text(what))));
    if undecided > 0 {
        output.warn(&format!("of {} nobody can tell without the merge operator whether they are equal", human::count(undecided, "key")));
    }
}

fn line_text(line: &KeyLine) -> String {
    let size = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
    let partition = line.partition.map_or_else(|| "-".to_owned(), |partition| partition.to_string());
    let place = format!("{}/{}/{partition}", line.host, line.space.as_deref().unwrap_or("-"));
    let family = if line.column_family == "default" { String::new() } else { format!(" {}", line.column_family) };
    let timestamp = line.timestamp.as_ref().map_or_else(String::new, |timestamp| format!(" at {timestamp}"));
    let sizes = format!("{} -> {}", size(line.value_bytes_from), size(line.value_bytes_to));
    format!("{:9} {}  {}{timestamp}  {sizes}", line.change, human::text(&format!("{place}{family}")), line.key)
}

fn diff_text(difference: &KeyDiff) -> String {
    let mut text = format!("from {} to {}\n", human::text(&difference.from), human::text(&difference.to));
    if difference.rows.is_empty() {
        text.push_str(if difference.is_incomplete() { "no key is known to differ\n" } else { "no key differs\n" });
    } else {
        let cells = |names: [String; 3], counts: &KeyCounts| -> Vec<String> {
            let numbers = [counts.added, counts.changed, counts.deleted].map(|count| count.to_string());
            let bytes = [counts.added_bytes.saturating_add(counts.changed_bytes), counts.deleted_bytes].map(human::bytes);
            names.into_iter().chain(numbers).chain(bytes).chain([counts.undecided.to_string()]).collect()
        };
        let mut rows: Vec<Vec<String>> = difference
            .rows
            .iter()
            .take(ROWS_SHOWN)
            .map(|row| {
                let partition = row.partition.map_or_else(|| "-".to_owned(), |partition| partition.to_string());
                let space = row.space.as_deref().unwrap_or(&row.data_path);
                let family = if row.column_family == "default" { String::new() } else { format!(" {}", row.column_family) };
                cells([row.host.clone(), format!("{space}{family}"), partition], &row.counts)
            })
            .collect();
        rows.push(cells(["all".into(), String::new(), String::new()], &difference.counts));
        let head = ["HOST", "SPACE", "PARTITION", ">ADDED", ">CHANGED", ">DELETED", ">BYTES", ">GONE", ">UNKNOWN"];
        text.push_str(&table(&head, rows));
        if difference.rows.len() > ROWS_SHOWN {
            text.push_str(&format!("and {} more rows (see --json)\n", difference.rows.len() - ROWS_SHOWN));
        }
    }
    let tables = format!("{} ({})", human::count(difference.tables, "table"), human::bytes(difference.table_bytes));
    let rows = [
        ("compared", format!("{} in {}", tables, human::count(difference.engines, "engine"))),
        ("skipped", format!("{}, the same on both sides by their recipes", human::bytes(difference.skipped_bytes))),
        ("read", format!("{}, {}", human::bytes(difference.read_bytes), entries(difference.entries_read))),
    ];
    format!("{text}\n{}", facts(&rows))
}

fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

pub fn replicas(global: &Global, args: &Fsck, output: &Output) -> Outcome {
    let repository = open::open(global, output)?;
    let report = compare_replicas(&repository, args.backup.as_deref(), !args.no_remember, &job(global, output))?;
    if !report.protected {
        output.say("note: this check wrote no session, so it ran without protection from a prune");
    }
    output.result(&report, || replicas_text(&report));
    let undecided = report.partitions.iter().flat_map(|partition| &partition.divergences).map(|divergence| divergence.undecided).sum();
    warn_of(&report.not_compared, undecided, output);
    Ok(match report.is_diverged() {
        true => Exit::Damage,
        false => Exit::warned(report.is_incomplete() || !repository.warnings().is_empty()),
    })
}

fn replicas_text(report: &ReplicasReport) -> String {
    let mut text = String::new();
    for partition in &report.partitions {
        match partition.state {
            "equal" | "single" => {}
            "apart" => text.push_str(&format!(
                "notice {}: not compared, its replicas stand at different commit ids: {}\n",
                name(partition),
                positions(partition)
            )),
            _ => partition.divergences.iter().for_each(|divergence| text.push_str(&divergence_text(partition, divergence))),
        }
    }
    let outcome = match (report.is_diverged(), report.is_incomplete()) {
        (true, _) => "DIVERGED",
        (false, true) => "equal as far as can be told",
        (false, false) => "equal wherever replicas stand at one commit id",
    };
    let rows = [
        ("backup", format!("{} ({})", human::text(&report.backup), report.id.chars().take(8).collect::<String>())),
        ("outcome", outcome.to_owned()),
        (
            "partitions",
            format!(
                "{} equal, {} diverged, {} at different commit ids, {} with one replica, {} unknown",
                report.equal, report.diverged, report.apart, report.single, report.undecided
            ),
        ),
        ("skipped", format!("{} of {}, the same by their recipes", human::bytes(report.skipped_bytes), human::bytes(report.table_bytes))),
        ("read", format!("{}, {}", human::bytes(report.read_bytes), entries(report.entries_read))),
    ];
    text.push_str(&facts(&rows));
    text
}

fn name(partition: &PartitionReplicas) -> String {
    human::text(&format!("{}/{}", partition.space.as_deref().unwrap_or("-"), partition.partition))
}

fn positions(partition: &PartitionReplicas) -> String {
    let positions = partition.replicas.iter().map(|replica| format!("{} {} (term {})", replica.host, replica.commit_id, replica.term));
    human::text(&positions.collect::<Vec<_>>().join(", "))
}

fn divergence_text(partition: &PartitionReplicas, divergence: &Divergence) -> String {
    let (what, differ) = if divergence.differs() { ("DAMAGE", "differ") } else { ("unknown", "may differ") };
    let (first, second) = (human::text(&divergence.first), human::text(&divergence.second));
    let mut text = format!(
        "{what} {}: {first} and {second} {differ} at commit id {}: {} only on {first}, {} only on {second}, {} different",
        name(partition),
        divergence.commit_id,
        divergence.only_first,
        divergence.only_second,
        divergence.different
    );
    if divergence.undecided > 0 {
        text.push_str(&format!(", {} unknown", divergence.undecided));
    }
    if divergence.other_term {
        text.push_str(", of another term");
    }
    text.push('\n');
    divergence.keys.iter().for_each(|key| text.push_str(&format!("  key: {key}\n")));
    text.push_str(&format!("  positions: {}\n", positions(partition)));
    text
}

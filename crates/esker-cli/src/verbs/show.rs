//! `show`

use esker_ops::catalog::{BackupDetails, EngineDetails, show};
use esker_ops::time::iso;

use super::Outcome;
use crate::args::{Global, Named};
use crate::exit::Exit;
use crate::human;
use crate::open;
use crate::output::{Output, facts, table};

pub fn run(global: &Global, args: &Named, output: &Output) -> Outcome {
    let repository = open::open(global, output)?;
    let details = show(&repository, &args.backup)?;
    output.result(&details, || text(&details));
    Ok(Exit::warned(!repository.warnings().is_empty()))
}

fn text(details: &BackupDetails) -> String {
    let line = &details.line;
    let verified = match (line.verified_level, line.verified_ms) {
        (Some(level), Some(at_ms)) => format!("{level}, {}", iso(at_ms)),
        _ => "never".to_owned(),
    };
    let list = |items: &[String]| if items.is_empty() { "-".to_owned() } else { items.join(", ") };
    let mut rows = vec![
        ("label", line.label.clone()),
        ("id", line.id.clone()),
        ("cluster", line.cluster.clone()),
        ("status", if line.held { format!("{}, held", line.status) } else { line.status.to_owned() }),
        ("begun", format!("{} ({} ago)", iso(line.started_ms), human::duration_ms(line.age_s * 1000))),
        ("took", human::duration_ms(line.finished_ms.saturating_sub(line.started_ms))),
        ("verified", verified),
        ("files", format!("{} in {}, {}", line.files, human::count(line.engines, "engine"), human::bytes(line.bytes))),
        ("stored", format!("{} for this backup; esker stats tells what it shares", human::bytes(line.stored_bytes))),
        ("read", format!("{}, {} taken over unread", human::bytes(details.read_bytes), human::bytes(details.reused_bytes))),
        ("tags", list(&line.tags)),
        ("written by", format!("{}, session {}", details.written_by, details.session)),
        ("encoders", if details.encoders.is_empty() { "none needed".into() } else { format!("{:?}", details.encoders) }),
    ];
    rows.extend(details.origin.iter().map(|origin| ("copy of", format!("{}, made in repository {}", origin.id, origin.repository))));
    rows.extend(human::sorted(&details.sorted));
    rows.extend(details.warning_texts.iter().map(|warning| ("warning", warning.clone())));
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| (name, human::text(&value))).collect();
    let mut text = facts(&rows);
    for host in &details.tree {
        text.push_str(&format!("\n{}: {}, {}\n", human::text(&host.host), human::count(host.files, "file"), human::bytes(host.bytes)));
        host.engines.iter().for_each(|engine| text.push_str(&engine_text(engine)));
    }
    if !details.spread.is_empty() {
        let rows = details.spread.iter().map(|line| {
            let lag = line.commit_max - line.commit_min;
            vec![
                line.partition.clone(),
                line.replicas.to_string(),
                line.commit_min.to_string(),
                line.commit_max.to_string(),
                lag.to_string(),
            ]
        });
        text.push('\n');
        text.push_str(&table(&["PARTITION", ">REPLICAS", ">COMMIT MIN", ">COMMIT MAX", ">SPREAD"], rows.collect()));
    }
    text
}

fn engine_text(engine: &EngineDetails) -> String {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let head = format!(
        "  engine {} (space {}, data path {}): {}, {}",
        if engine.folder.is_empty() { "." } else { &engine.folder },
        or_dash(&engine.space),
        engine.data_path,
        human::count(engine.files, "file"),
        human::bytes(engine.bytes)
    );
    let needs = format!(
        "    comparator {}, merge operator {}, column families {}, format_version up to {}",
        or_dash(&engine.comparator),
        or_dash(&engine.merge_operator),
        engine.column_families.join(" "),
        engine.format_version_max
    );
    let mut text = format!("{}\n{}\n", human::text(&head), human::text(&needs));
    if !engine.replicas.is_empty() {
        let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let rows = engine.replicas.iter().map(|replica| {
            vec![
                format!("    {}", replica.partition),
                replica.commit_id.to_string(),
                replica.term.to_string(),
                number(replica.wal_last_id),
                number(replica.cut),
            ]
        });
        text.push_str(&table(&["    PART", ">COMMIT", ">TERM", ">LAST WAL", ">CUT"], rows.collect()));
    }
    text
}

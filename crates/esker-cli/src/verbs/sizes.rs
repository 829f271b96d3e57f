//! `stats` and `diff`

use esker_ops::diff::{Diff as Difference, diff as compare};
use esker_ops::stats::{Stats as Sizes, UsageLine, stats as add_up};

use super::{Outcome, job};
use crate::args::{Diff, Global, Stats};
use crate::exit::Exit;
use crate::human;
use crate::open;
use crate::output::{Output, facts, table};

/// Files of a difference that are printed; JSON has all.
const FILES_SHOWN: usize = 100;

pub fn stats(global: &Global, args: &Stats, output: &Output) -> Outcome {
    let repository = open::open(global, output)?;
    let sizes = add_up(&repository, args.backup.as_deref(), &job(global, output))?;
    output.result(&sizes, || stats_text(&sizes));
    Ok(Exit::warned(!repository.warnings().is_empty()))
}

fn stats_text(sizes: &Sizes) -> String {
    let mut rows = vec![
        ("backups", sizes.backups.to_string()),
        ("logical", human::bytes(sizes.logical_bytes)),
        (
            "stored",
            format!(
                "{} data, {} metadata in {}",
                human::bytes(sizes.data_pack_bytes),
                human::bytes(sizes.meta_bytes),
                human::count(sizes.packs, "pack")
            ),
        ),
        ("needed", format!("{} in {}", human::bytes(sizes.needed_bytes), human::count(sizes.chunks, "chunk"))),
        ("unneeded", format!("{}, indexes and pack overhead included", human::bytes(sizes.unneeded_bytes))),
    ];
    rows.extend(human::sorted(&sizes.sorted));
    format!("{}\n{}\n{}", facts(&rows), usage("BACKUP", &sizes.per_backup), usage("HOST", &sizes.per_host))
}

fn usage(name: &str, lines: &[UsageLine]) -> String {
    let rows = lines.iter().map(|line| {
        let sizes = [line.logical_bytes, line.stored_bytes, line.unique_bytes, line.shared_bytes].map(human::bytes);
        std::iter::once(line.name.clone()).chain(sizes).collect()
    });
    table(&[name, ">LOGICAL", ">STORED", ">UNIQUE", ">SHARED"], rows.collect())
}

pub fn diff(global: &Global, args: &Diff, output: &Output) -> Outcome {
    let repository = open::open(global, output)?;
    let difference = compare(&repository, &args.from, &args.to)?;
    output.result(&difference, || diff_text(&difference));
    Ok(Exit::warned(!repository.warnings().is_empty()))
}

fn diff_text(difference: &Difference) -> String {
    let mut text = format!("from {} to {}\n", human::text(&difference.from), human::text(&difference.to));
    if difference.files.is_empty() {
        text.push_str("no file differs\n");
        return text;
    }
    let rows = difference.engines.iter().map(|engine| {
        let counts = [engine.added, engine.removed, engine.changed, engine.equal].map(|count| count.to_string());
        let names = [engine.host.clone(), engine.engine.clone()];
        names.into_iter().chain(counts).chain([human::bytes(engine.bytes)]).collect()
    });
    text.push_str(&table(&["HOST", "ENGINE", ">ADDED", ">REMOVED", ">CHANGED", ">EQUAL", ">BYTES"], rows.collect()));
    text.push('\n');
    let rows = difference.files.iter().take(FILES_SHOWN).map(|file| {
        let path = format!("{} {} {}", file.host, file.engine, file.path);
        vec![file.change.to_owned(), path, human::bytes(file.bytes_from), human::bytes(file.bytes_to)]
    });
    text.push_str(&table(&["CHANGE", "FILE", ">FROM", ">TO"], rows.collect()));
    if difference.files.len() > FILES_SHOWN {
        text.push_str(&format!("and {} more (see --json)\n", difference.files.len() - FILES_SHOWN));
    }
    let rows = [
        ("chunks added", format!("{}, {}", difference.chunks_added, human::bytes(difference.chunk_bytes_added))),
        ("chunks removed", format!("{}, {}", difference.chunks_removed, human::bytes(difference.chunk_bytes_removed))),
    ];
    format!("{text}\n{}", facts(&rows))
}

//! `list`

use esker_ops::catalog::list;
use esker_ops::time::civil;

use super::Outcome;
use crate::args::Global;
use crate::exit::Exit;
use crate::human;
use crate::open;
use crate::output::{Output, table};

pub fn run(global: &Global, output: &Output) -> Outcome {
    let repository = open::open(global, output)?;
    let backups = list(&repository)?;
    backups.findings.iter().for_each(|finding| output.warn(finding));
    output.result(&backups, || {
        if backups.backups.is_empty() {
            return "no backups yet".to_owned();
        }
        let rows = backups.backups.iter().map(|line| {
            let mut status = line.status.to_owned();
            if line.lost_files > 0 {
                status.push_str(&format!(", {} lost ({})", human::count(line.lost_files, "file"), human::bytes(line.lost_bytes)));
            }
            if line.held {
                status.push_str(", held");
            }
            let verified = match (line.verified_level, line.verified_ms) {
                (Some(level), Some(at_ms)) => format!("{level}, {} ago", human::age(backups.now_ms.saturating_sub(at_ms))),
                _ => "never".to_owned(),
            };
            vec![
                line.label.clone(),
                line.id.chars().take(8).collect(),
                civil(line.started_ms).strftime("%Y-%m-%d %H:%M").to_string(),
                status,
                verified,
                human::bytes(line.bytes),
                human::bytes(line.stored_bytes),
            ]
        });
        table(&["LABEL", "ID", "BEGUN (UTC)", "STATUS", "VERIFIED", ">SIZE", ">STORED"], rows.collect())
    });
    Ok(if backups.findings.is_empty() { Exit::warned(!repository.warnings().is_empty()) } else { Exit::Damage })
}

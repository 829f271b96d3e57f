//! `list`

use esker_ops::catalog::list;

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
            if line.held {
                status.push_str(", held");
            }
            vec![
                line.label.clone(),
                line.id.chars().take(8).collect(),
                human::duration_ms(line.age_s * 1000),
                status,
                line.verified_level.unwrap_or("never").to_owned(),
                line.engines.to_string(),
                line.files.to_string(),
                human::bytes(line.bytes),
                human::bytes(line.stored_bytes),
            ]
        });
        table(&["LABEL", "ID", ">AGE", "STATUS", "VERIFIED", ">ENGINES", ">FILES", ">SIZE", ">STORED"], rows.collect())
    });
    Ok(if backups.findings.is_empty() { Exit::warned(!repository.warnings().is_empty()) } else { Exit::Damage })
}

//! `dump`: the bytes of one file of a backup, without restoring anything.

use std::io::Write;
use std::sync::Arc;

use esker_cluster::path::escaped;
use esker_format::file_table::{FileContent, Node};
use esker_repo::Repository;
use esker_repo::reader::{ChunkReader, ReadContext};

use crate::error::{OpsError, Result};
use crate::job::Job;
use crate::rebuild::rebuild;
use crate::rows::walk_rows;
use crate::select::{Selection, find_backup};

/// Writes one file of a backup to `out`. The file is named by `path` below its host's folder; `host` may be left out if
/// only one host has it.
///
/// # Errors
/// `Usage` if there is no such file, or several; `Damage` if what was written is not what was backed up.
pub fn dump(repository: &Arc<Repository>, backup: &str, host: Option<&str>, path: &[u8], out: &mut dyn Write, job: &Job) -> Result<u64> {
    let backup = find_backup(repository, backup)?;
    let reader = ChunkReader::glance(repository)?;
    let selection = Selection::new(host.map(str::to_owned).into_iter().collect(), Vec::new(), &[])?;
    let mut found: Vec<(String, FileContent)> = Vec::new();
    let context = &mut ReadContext::new()?;
    walk_rows(&reader, context, &backup.manifest, &selection, |place, row| {
        match row.node {
            Node::File(content) if row.path == path => found.push((place.host.name.clone(), content)),
            _ => {}
        }
        Ok(())
    })?;
    let content = match found.as_slice() {
        [(_, content)] => content,
        [] => return Err(OpsError::usage(format!("no file {} in {}: esker ls shows what there is", escaped(path), backup.manifest.label))),
        several => {
            let hosts: Vec<&str> = several.iter().map(|(host, _)| host.as_str()).collect();
            return Err(OpsError::usage(format!(
                "{} stands on several hosts: choose one with --host ({})",
                escaped(path),
                hosts.join(", ")
            )));
        }
    };
    rebuild(&reader, context, content, &escaped(path), &job.cancel, |bytes| {
        out.write_all(bytes).map_err(|source| OpsError::Local { action: "write", path: "standard output".into(), source })
    })?;
    Ok(content.size)
}

//! Walking the rows of a backup: every file, folder and link with the path it had below its host's folder.

use esker_cluster::path::join;
use esker_cluster::raft_wal_folder;
use esker_format::engine::{EngineRecord, ReplicaRow};
use esker_format::file_table::FileRow;
use esker_format::manifest::{HostRecord, Manifest};
use esker_repo::manifests::read_engine;
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::tables::read_table;

use crate::error::{OpsError, Result};
use crate::select::Selection;

/// Where a row stands.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The host.
    pub host: &'a HostRecord,
    /// The engine, if the row belongs to one.
    pub engine: Option<&'a EngineRecord>,
}

/// Visits every row that is chosen; the row's path is made relative to the host's folder.
///
/// # Errors
/// `ChunkLost`, `Object`, `Store`, and what `visit` returns.
pub fn walk_rows(
    reader: &ChunkReader,
    context: &mut ReadContext,
    manifest: &Manifest,
    selection: &Selection,
    mut visit: impl FnMut(Place<'_>, FileRow) -> Result<()>,
) -> Result<()> {
    for host in manifest.hosts.iter().filter(|host| selection.takes_host(&host.name)) {
        let mut engines = Vec::new();
        for id in &host.engines {
            let engine = read_engine(reader, context, id)?;
            if selection.takes_space(Some(&engine)) {
                engines.push(engine);
            }
        }
        // The Raft logs beside an engine's folder belong to its space, as its own files do.
        let logs: Vec<Vec<u8>> = engines.iter().map(|engine| raft_wal_folder(&engine.folder)).collect();
        let of_space = |path: &[u8]| selection.takes_space(None) || logs.iter().any(|folder| is_below(path, folder));
        read_table::<FileRow, OpsError>(reader, context, &host.tree, |row| match of_space(&row.path) && selection.takes_path(&row.path) {
            true => visit(Place { host, engine: None }, row),
            false => Ok(()),
        })?;
        for engine in &engines {
            read_table::<FileRow, OpsError>(reader, context, &engine.files, |mut row| {
                row.path = join(&engine.folder, &row.path);
                match selection.takes_path(&row.path) {
                    true => visit(Place { host, engine: Some(engine) }, row),
                    false => Ok(()),
                }
            })?;
        }
    }
    Ok(())
}

/// Whether a path is a folder or stands in it.
pub(crate) fn is_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// The replicas recorded for an engine.
///
/// # Errors
/// `ChunkLost`, `Object`, `Store`.
pub fn replicas_of(reader: &ChunkReader, context: &mut ReadContext, engine: &EngineRecord) -> Result<Vec<ReplicaRow>> {
    let mut replicas = Vec::new();
    read_table::<ReplicaRow, OpsError>(reader, context, &engine.replicas, |row| {
        replicas.push(row);
        Ok(())
    })?;
    Ok(replicas)
}

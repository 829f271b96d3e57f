//! Walking what is left of a backup: every row that can be read, and what of its tables cannot.

use esker_cluster::path::join;
use esker_cluster::raft_wal_folder;
use esker_format::ChunkId;
use esker_format::engine::EngineRecord;
use esker_format::file_table::FileRow;
use esker_format::manifest::{HostRecord, Manifest};
use esker_format::table::{TableRef, decode_piece};
use esker_repo::RepoError;
use esker_repo::manifests::read_engine;
use esker_repo::reader::{ChunkReader, ReadContext};

use crate::error::Result;
use crate::rows::{Place, is_below};
use crate::select::Selection;

/// Who hears what is there.
pub(crate) trait Visit {
    /// A piece of a table of files, or the record or a piece of the replicas of an engine (`is_rows` false). `fault` says
    /// that it cannot be read. Gives whether its rows are wanted.
    ///
    /// # Errors
    /// What stops the walk.
    fn table(&mut self, place: Place<'_>, id: &ChunkId, is_rows: bool, fault: Option<RepoError>) -> Result<bool>;

    /// A row that is chosen, its path relative to the host's folder, in the piece that `table` heard of last.
    ///
    /// # Errors
    /// What stops the walk.
    fn row(&mut self, place: Place<'_>, row: FileRow) -> Result<()>;
}

/// Visits what is left of the chosen part of a backup. Damage is told, not returned.
///
/// # Errors
/// `Store`, and what `visit` returns.
pub(crate) fn walk_left(
    reader: &ChunkReader,
    context: &mut ReadContext,
    manifest: &Manifest,
    selection: &Selection,
    visit: &mut dyn Visit,
) -> Result<()> {
    for host in manifest.hosts.iter().filter(|host| selection.takes_host(&host.name)) {
        let mut engines = Vec::new();
        for id in &host.engines {
            match read_engine(reader, context, id) {
                Ok(engine) => {
                    visit.table(Place { host, engine: Some(&engine) }, id, false, None)?;
                    engines.push(engine);
                }
                Err(error) if error.is_damage() => drop(visit.table(Place { host, engine: None }, id, false, Some(error))?),
                Err(error) => return Err(error.into()),
            }
        }
        engines.retain(|engine| selection.takes_space(Some(engine)));
        let mut left = Left { reader, context, selection, host, visit };
        left.loose(&engines)?;
        for engine in &engines {
            left.engine(engine)?;
        }
    }
    Ok(())
}

struct Left<'a> {
    reader: &'a ChunkReader,
    context: &'a mut ReadContext,
    selection: &'a Selection,
    host: &'a HostRecord,
    visit: &'a mut dyn Visit,
}

impl Left<'_> {
    /// Files of no engine. The Raft logs beside an engine's folder belong to its space.
    fn loose(&mut self, engines: &[EngineRecord]) -> Result<()> {
        let logs: Vec<Vec<u8>> = engines.iter().map(|engine| raft_wal_folder(&engine.folder)).collect();
        let selection = self.selection;
        let of_space = |path: &[u8]| selection.takes_space(None) || logs.iter().any(|folder| is_below(path, folder));
        self.rows(&self.host.tree, None, |row| of_space(&row.path) && selection.takes_path(&row.path))
    }

    fn engine(&mut self, engine: &EngineRecord) -> Result<()> {
        let place = Place { host: self.host, engine: Some(engine) };
        for piece in &engine.replicas.pieces {
            let fault = match self.reader.read(self.context, piece) {
                Ok(_) => None,
                Err(error) if error.is_damage() => Some(error),
                Err(error) => return Err(error.into()),
            };
            self.visit.table(place, piece, false, fault)?;
        }
        let selection = self.selection;
        self.rows(&engine.files, Some(engine), |row| {
            row.path = join(&engine.folder, &row.path);
            selection.takes_path(&row.path)
        })
    }

    fn rows(&mut self, table: &TableRef, engine: Option<&EngineRecord>, mut choose: impl FnMut(&mut FileRow) -> bool) -> Result<()> {
        let place = Place { host: self.host, engine };
        for piece in &table.pieces {
            let read = self.reader.read(self.context, piece);
            let rows = read.and_then(|bytes| decode_piece::<FileRow>(&bytes).map_err(RepoError::object(format!("table piece {piece}"))));
            match rows {
                Ok(rows) => {
                    if self.visit.table(place, piece, true, None)? {
                        for mut row in rows {
                            if choose(&mut row) {
                                self.visit.row(place, row)?;
                            }
                        }
                    }
                }
                Err(error) if error.is_damage() => {
                    self.visit.table(place, piece, true, Some(error))?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

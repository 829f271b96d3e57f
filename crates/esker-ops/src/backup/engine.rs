//! Taking one engine: its files, what it is, and where Raft stood in it.

use esker_cluster::path::{join, split};
use esker_cluster::{
    Engine, EngineFacts, Error, Freeze, OptionsFile, PartitionScheme, check_cut, last_wal_position, manifest_facts, positions,
};
use esker_format::ChunkId;
use esker_format::engine::{EngineRecord, ReplicaRow};
use esker_format::file_table::{FileContent, FileRow};
use esker_format::seal::ChunkKind;
use esker_format::table::{TableRef, TableType, encode_single};
use esker_repo::tables::TableWriter;
use esker_repo::{RepoError, Writer};

use super::base::BaseBackup;
use super::file::{FileTaker, NewTable, Taken};
use super::{Run, SurveyedHost};
use crate::error::Result;

/// An engine whose files were looked at; tables that are new are still to be stored.
pub(super) struct ScannedEngine<'h> {
    host: &'h SurveyedHost,
    pub(super) engine: &'h Engine,
    freeze: &'h Freeze<'h>,
    facts: EngineFacts,
    /// Rows in order; the content of a new table is filled in later.
    pub(super) rows: Vec<FileRow>,
    /// The new tables, each with the position of its row.
    pub(super) tables: Vec<(usize, NewTable<'h>)>,
    /// Tables of the base that this engine does not have any more.
    pub(super) gone: Vec<FileContent>,
    /// Those it still has.
    pub(super) kept: Vec<FileContent>,
    format_version_max: u32,
    pub(super) file_count: u64,
    pub(super) bytes: u64,
}

impl<'a> Run<'a> {
    /// Looks at the files of one engine; reads and stores all but new tables.
    pub(super) fn scan_engine<'h>(
        &mut self,
        writer: &Writer,
        host: &'h SurveyedHost,
        engine: &'h Engine,
        freeze: &'h Freeze<'h>,
        base: Option<&BaseBackup>,
    ) -> Result<ScannedEngine<'h>> {
        let facts = self.facts(host, engine)?;
        let known = match base {
            Some(base) => base.engine_files(writer.reader(), &host.name, &engine.identity, facts.db_id.as_deref())?,
            None => Default::default(),
        };
        let before = (self.totals.files, self.totals.bytes);
        let mut taker = FileTaker::new(self, writer, &host.root, &known);
        let (mut rows, mut tables) = (Vec::new(), Vec::new());
        for file in &engine.files {
            match taker.take(&file.entry, split(&file.entry.path).1, file.kind)? {
                Taken::Row(row) => rows.push(row),
                Taken::Table(taken) => {
                    let (row, table) = *taken;
                    tables.push((rows.len(), table));
                    rows.push(row);
                }
            }
        }
        let (format_version_max, taken_over) = (taker.format_version_max, taker.taken_over);
        let (kept, gone) = known
            .into_tables()
            .partition(|content| content.identity.as_ref().is_some_and(|identity| taken_over.contains(&identity.unique_id)));
        let (file_count, bytes) = (self.totals.files - before.0, self.totals.bytes - before.1);
        Ok(ScannedEngine { host, engine, freeze, facts, rows, tables, gone, kept, format_version_max, file_count, bytes })
    }

    /// Stores the record of an engine all of whose rows are complete, and gives its id.
    pub(super) fn finish_engine(&mut self, writer: &Writer, scanned: ScannedEngine<'_>) -> Result<ChunkId> {
        let ScannedEngine { host, engine, freeze, facts, rows, format_version_max, file_count, bytes, .. } = scanned;
        let mut files = TableWriter::default();
        for row in rows {
            files.push(writer, row)?;
        }
        let files = files.finish(writer)?;
        let replicas = self.replicas(writer, host, engine)?;
        freeze.check()?;
        let record = EngineRecord {
            space: engine.identity.space.clone(),
            data_path: engine.identity.data_path.clone(),
            folder: engine.path.clone(),
            files,
            replicas,
            scheme: match self.scheme_of(engine) {
                PartitionScheme::None => esker_format::engine::PartitionScheme::None,
                PartitionScheme::Nebula => esker_format::engine::PartitionScheme::Nebula,
            },
            comparator: facts.comparator,
            merge_operator: facts.merge_operator,
            column_families: facts.column_families.into_iter().map(|family| family.name).collect(),
            format_version_max,
            database_id: facts.db_id,
            file_count,
            bytes,
        };
        self.report.engines += 1;
        let bytes = encode_single(TableType::Engine, &record).map_err(RepoError::object("engine record"))?;
        Ok(writer.store(ChunkKind::Table, bytes)?)
    }

    fn facts(&mut self, host: &SurveyedHost, engine: &Engine) -> Result<EngineFacts> {
        let mut facts = manifest_facts(&host.root, engine)?;
        let options = OptionsFile::newest(&host.root, engine)?;
        for path in &options.foreign_paths {
            self.report.warn(format!("{}: {path}", host.name));
        }
        facts.add_options(&options);
        Ok(facts)
    }

    /// Reads where every replica in the engine stands and checks it against the cut that was given.
    fn replicas(&mut self, writer: &Writer, host: &SurveyedHost, engine: &Engine) -> Result<TableRef> {
        let folder = host.root.absolute(&engine.path);
        let mut table = TableWriter::default();
        let found = match self.scheme_of(engine) {
            PartitionScheme::None => Vec::new(),
            PartitionScheme::Nebula => match positions(&folder) {
                Ok(found) => found,
                Err(error @ (Error::NeedsComparator { .. } | Error::NeedsMergeOperator(_))) => {
                    self.report.warn(format!("{}: {error}", host.name));
                    Vec::new()
                }
                Err(error) => return Err(error.into()),
            },
        };
        for replica in found {
            let wal = join(&esker_cluster::raft_wal_folder(&engine.path), replica.partition.to_string().as_bytes());
            let wal_last_id = last_wal_position(&host.root.absolute(&wal))?.map(|position| position.log_id);
            let space = engine.identity.space.as_deref().unwrap_or_default();
            let cut = self.request.cluster.as_ref().and_then(|file| file.cut_for(space, replica.partition));
            if let Some(cut) = cut {
                check_cut(&replica, cut, wal_last_id).map_err(|violation| Error::Cut { path: folder.clone(), violation })?;
            }
            self.report.position(&format!("{space}/{}", replica.partition), replica.commit_id);
            let row =
                ReplicaRow { partition: replica.partition, commit_id: replica.commit_id, commit_term: replica.term, cut, wal_last_id };
            table.push(writer, row)?;
        }
        Ok(table.finish(writer)?)
    }

    /// What a backup would read, without a session and without writing anything.
    pub(super) fn dry_run(&mut self, hosts: &[SurveyedHost], backups: &esker_repo::manifests::Backups) -> Result<()> {
        let reader = esker_repo::reader::ChunkReader::open(self.repository)?;
        let base = BaseBackup::newest(&reader, backups, &self.report.cluster)?;
        for host in hosts {
            for engine in &host.survey.engines {
                let facts = self.facts(host, engine)?;
                let known = match &base {
                    Some(base) => base.engine_files(&reader, &host.name, &engine.identity, facts.db_id.as_deref())?,
                    None => Default::default(),
                };
                for file in &engine.files {
                    let name = split(&file.entry.path).1;
                    self.would_take(&host.root, &file.entry, name, file.kind, &known)?;
                }
                self.report.engines += 1;
            }
            let known = base.as_ref().map(|base| base.loose_files(&reader, &host.name)).transpose()?.unwrap_or_default();
            for entry in &host.survey.loose {
                self.would_take(&host.root, entry, &entry.path, esker_cluster::FileKind::Other, &known)?;
            }
        }
        let totals = self.totals;
        self.report.totals(&totals);
        Ok(())
    }
}

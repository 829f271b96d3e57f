//! The base of a backup: what earlier backups know of the same engines.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use esker_cluster::Entry;
use esker_cluster::path::components;
use esker_format::ChunkId;
use esker_format::engine::EngineRecord;
use esker_format::file_table::{FileContent, FileRow, Node, TableIdentity};
use esker_format::table::TableRef;
use esker_repo::RepoError;
use esker_repo::manifests::{Backups, read_engine};
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::tables::read_table;

use super::newest_first;
use crate::error::Result;

/// How many earlier backups are searched for an engine that the newest does not have.
const BACKUPS_SEARCHED: usize = 16;

/// Files that a base knows, by what makes them known.
#[derive(Default)]
pub(super) struct KnownFiles {
    by_id: HashMap<[u8; 24], FileContent>,
    /// By inode and path, checkpoints' names left out: a checkpoint's hard link is the same file under another folder, but a
    /// file of another mount may have the same inode, name, size and mtime.
    by_stamp: HashMap<(Vec<u8>, u64), (FileContent, i64, u32)>,
}

impl KnownFiles {
    /// What is known of an entry: a table by its identity; another file by its path, size, mtime and inode.
    pub(super) fn find(&self, entry: &Entry, path: &[u8], identity: Option<&TableIdentity>) -> Option<&FileContent> {
        let content = match identity {
            Some(identity) => self.by_id.get(&identity.unique_id).filter(|content| content.identity.as_ref() == Some(identity))?,
            None => {
                let stamp = (without_checkpoint(path), entry.stamp.inode);
                let (content, seconds, nanoseconds) = self.by_stamp.get(&stamp)?;
                let mtime = entry.attributes.mtime;
                ((*seconds, *nanoseconds) == (mtime.seconds, mtime.nanoseconds)).then_some(content)?
            }
        };
        (content.size == entry.size).then_some(content)
    }

    /// The known tables, in an order that is the same every time.
    pub(super) fn into_tables(self) -> impl Iterator<Item = FileContent> {
        self.by_id.into_iter().collect::<BTreeMap<_, _>>().into_values()
    }

    fn add(&mut self, row: FileRow) {
        let Node::File(content) = row.node else { return };
        match content.identity {
            Some(identity) => drop(self.by_id.insert(identity.unique_id, content)),
            None => {
                let stamp = (without_checkpoint(&row.path), content.inode);
                self.by_stamp.insert(stamp, (content, row.mtime_s, row.mtime_ns));
            }
        }
    }
}

/// A path without the name of the checkpoint in it.
pub(crate) fn without_checkpoint(path: &[u8]) -> Vec<u8> {
    let mut parts = components(path);
    let mut kept = Vec::new();
    while let Some(part) = parts.next() {
        kept.push(part);
        if part == b"checkpoints" {
            parts.next();
        }
    }
    kept.join(&b'/')
}

/// The earlier backups of a cluster, newest first.
pub(super) struct BaseBackup {
    engines: Vec<(String, ChunkId, EngineRecord)>,
    trees: HashMap<String, TableRef>,
    /// Encoders that they need.
    pub(super) encoders: BTreeSet<u32>,
    /// How many backups of the cluster there are; it turns the share of files that are read again.
    pub(super) generation: u64,
}

impl BaseBackup {
    /// Reads the engines of the newest backups; `None` if there is none.
    ///
    /// What cannot be read of them is no base, nothing worse: the files are then read and stored.
    pub(super) fn newest(reader: &ChunkReader, backups: &Backups, cluster: &str) -> Result<Option<Self>> {
        let context = &mut ReadContext::new()?;
        let mut base = Self { engines: Vec::new(), trees: HashMap::new(), encoders: BTreeSet::new(), generation: 0 };
        base.generation = newest_first(backups, cluster).count() as u64;
        for (_, manifest) in newest_first(backups, cluster).take(BACKUPS_SEARCHED) {
            base.encoders.extend(&manifest.encoders);
            for host in &manifest.hosts {
                base.trees.entry(host.name.clone()).or_insert_with(|| host.tree.clone());
                for id in &host.engines {
                    if base.engines.iter().any(|(_, known, _)| known == id) {
                        continue;
                    }
                    match read_engine(reader, context, id) {
                        Ok(engine) => base.engines.push((host.name.clone(), *id, engine)),
                        Err(error) if error.is_damage() => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
        Ok((base.generation > 0).then_some(base))
    }

    /// What is known of an engine's files: by space and data path first, else by the database id, so that a checkpoint
    /// folder of another name or place is still the same engine.
    pub(super) fn engine_files(
        &self,
        reader: &ChunkReader,
        host: &str,
        identity: &esker_cluster::Identity,
        database_id: Option<&str>,
    ) -> Result<KnownFiles> {
        let of_host = || self.engines.iter().filter(|(name, ..)| name == host).map(|(.., engine)| engine);
        let same = |engine: &&EngineRecord| engine.space == identity.space && engine.data_path == identity.data_path;
        let clone = |engine: &&EngineRecord| database_id.is_some() && engine.database_id.as_deref() == database_id;
        match of_host().find(same).or_else(|| of_host().find(clone)) {
            Some(engine) => known_files(reader, &engine.files),
            None => Ok(KnownFiles::default()),
        }
    }

    /// What is known of the files of a host that belong to no engine.
    pub(super) fn loose_files(&self, reader: &ChunkReader, host: &str) -> Result<KnownFiles> {
        self.trees.get(host).map_or_else(|| Ok(KnownFiles::default()), |tree| known_files(reader, tree))
    }
}

fn known_files(reader: &ChunkReader, table: &TableRef) -> Result<KnownFiles> {
    let mut known = KnownFiles::default();
    let read = read_table::<FileRow, RepoError>(reader, &mut ReadContext::new()?, table, |row| {
        known.add(row);
        Ok(())
    });
    match read {
        Ok(()) => Ok(known),
        Err(error) if error.is_damage() => Ok(known),
        Err(error) => Err(error.into()),
    }
}

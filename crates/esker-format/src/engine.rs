//! What a backup records of one engine and of the replicas in it (format-spec chapter 9).

use crate::error::{FormatError, Result};
use crate::limits::{NAME_MAX, PATH_MAX, TEXT_MAX, TEXTS_MAX};
use crate::table::{Row, TableRef, TableType};
use crate::wire::{Reader, Record, Writer};

/// How partitions are found in the keys of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PartitionScheme {
    /// Not at all.
    None = 0,
    /// NebulaGraph's storaged keys.
    Nebula = 1,
}

impl PartitionScheme {
    fn from_u8(value: u8) -> Result<Self> {
        match value {
            0 => Ok(Self::None),
            1 => Ok(Self::Nebula),
            other => Err(FormatError::BadValue { field: "partition scheme", found: other.to_string() }),
        }
    }
}

/// One engine of one host in one backup. A table piece of its own, so an unchanged engine costs its 32-byte id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineRecord {
    /// The space, if known.
    pub space: Option<String>,
    /// The data path, the part of the identity that no checkpoint's name is in.
    pub data_path: String,
    /// Where the engine's folder stands below the host's.
    pub folder: Vec<u8>,
    /// Its files, by paths below `folder`.
    pub files: TableRef,
    /// Positions of the replicas in it.
    pub replicas: TableRef,
    /// How those were read.
    pub scheme: PartitionScheme,
    /// The comparator's name, if any file tells it.
    pub comparator: Option<String>,
    /// The merge operator's name, if one is set.
    pub merge_operator: Option<String>,
    /// Names of the column families.
    pub column_families: Vec<String>,
    /// The highest `format_version` of its tables; 0 without tables.
    pub format_version_max: u32,
    /// RocksDB's database id, as its tables tell it.
    pub database_id: Option<String>,
    /// Files in it.
    pub file_count: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Record for EngineRecord {
    const NAME: &'static str = "engine record";

    fn write(&self, out: &mut Writer) {
        let text = |out: &mut Writer, text: &String| out.text(text);
        out.option(self.space.as_ref(), text);
        out.text(&self.data_path);
        out.bytes(&self.folder);
        self.files.write(out);
        self.replicas.write(out);
        out.u8(self.scheme as u8);
        out.option(self.comparator.as_ref(), text);
        out.option(self.merge_operator.as_ref(), text);
        out.list(&self.column_families, text);
        out.u32(self.format_version_max);
        out.option(self.database_id.as_ref(), text);
        out.varint(self.file_count);
        out.varint(self.bytes);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            space: input.option("space", |input| input.text("space", NAME_MAX))?,
            data_path: input.text("data path", PATH_MAX)?,
            folder: checked_folder(input.bytes("folder", PATH_MAX)?)?,
            files: TableRef::read(input)?,
            replicas: TableRef::read(input)?,
            scheme: PartitionScheme::from_u8(input.u8("partition scheme")?)?,
            comparator: input.option("comparator", |input| input.text("comparator", TEXT_MAX))?,
            merge_operator: input.option("merge operator", |input| input.text("merge operator", TEXT_MAX))?,
            column_families: input.list_max("column families", TEXTS_MAX, 1, |input| input.text("column family", TEXT_MAX))?,
            format_version_max: input.u32("format version")?,
            database_id: input.option("database id", |input| input.text("database id", TEXT_MAX))?,
            file_count: input.varint("file count")?,
            bytes: input.varint("bytes")?,
        })
    }
}

fn checked_folder(folder: &[u8]) -> Result<Vec<u8>> {
    crate::file_table::check_path(folder).map(|()| folder.to_vec())
}

/// The position of one replica of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaRow {
    /// The partition.
    pub partition: u32,
    /// Log id up to which the engine has applied, read from the engine with its WAL replayed.
    pub commit_id: u64,
    /// Term of that log entry.
    pub commit_term: u64,
    /// The cut that the cluster gave, if one was given.
    pub cut: Option<u64>,
    /// The last log id in the Raft WAL that was backed up, if there is one.
    pub wal_last_id: Option<u64>,
}

impl Record for ReplicaRow {
    const NAME: &'static str = "replica row";

    fn write(&self, out: &mut Writer) {
        out.u32(self.partition);
        out.u64(self.commit_id);
        out.u64(self.commit_term);
        out.option(self.cut, Writer::u64);
        out.option(self.wal_last_id, Writer::u64);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            partition: input.u32("partition")?,
            commit_id: input.u64("commit id")?,
            commit_term: input.u64("commit term")?,
            cut: input.option("cut", |input| input.u64("cut"))?,
            wal_last_id: input.option("last WAL id", |input| input.u64("last WAL id"))?,
        })
    }
}

impl Row for ReplicaRow {
    const TYPE: TableType = TableType::Replicas;
    const LEN_MIN: usize = 22;

    fn key(&self) -> Vec<u8> {
        self.partition.to_le_bytes().to_vec()
    }
}

//! One table of an engine, as far as a comparison must know it before it reads its entries.

use std::sync::Arc;

use esker_format::file_table::FileContent;
use esker_format::run::Run;
use esker_sst::{Entries, TableTail, range_deletions};

use super::family::{KeyForm, time_of};
use super::ranges::{KeyRange, Upper};
use super::store::Store;
use super::stored_file::StoredFile;
use super::tombstone::Tombstone;
use crate::error::{OpsError, Result};

/// The highest sequence number; in a table's last key it says that the table ends with a range deletion.
pub(super) const SEQUENCE_MAX: u64 = u64::MAX >> 8;

/// A table, or what a write-ahead log holds beyond the tables.
pub(super) struct Table {
    /// What people call it.
    pub(super) name: String,
    pub(super) content: Content,
    /// Tables with the same identity have the same entries.
    pub(super) identity: ([u8; 32], u64),
    pub(super) size: u64,
    pub(super) from: Vec<u8>,
    pub(super) upper: Upper,
    /// Sequence numbers of its first and last key.
    pub(super) bounds: (u64, u64),
}

/// Where its entries are.
pub(super) enum Content {
    /// In a file of the backup.
    Stored(FileContent),
    /// In memory.
    Logged { entries: Arc<Run>, deletions: Vec<Tombstone> },
}

/// What a table's end tells.
#[derive(Default)]
pub(super) struct Tail {
    /// The sequence number of all its entries, if it was ingested.
    pub(super) global_sequence: Option<u64>,
    pub(super) tombstones: Vec<Tombstone>,
}

impl Table {
    /// The keys that it may have.
    pub(super) fn range(&self) -> KeyRange {
        KeyRange { from: Some(self.from.clone()), upper: self.upper.clone() }
    }

    /// Reads what stands behind the index.
    ///
    /// # Errors
    /// `ChunkLost`, `Store`; `Unreadable` for what is no table.
    pub(super) fn tail(&self, store: &Store<'_>, form: KeyForm) -> Result<Tail> {
        let content = match &self.content {
            Content::Stored(content) => content,
            Content::Logged { deletions, .. } => return Ok(Tail { global_sequence: None, tombstones: deletions.clone() }),
        };
        let file = StoredFile::end_of_table(store, content)?;
        let tail = TableTail::read(&file).map_err(|error| store.fault(&self.name, error))?;
        let global_sequence = self.global_sequence(&tail);
        let deletions = range_deletions(&file, &tail).map_err(|error| store.fault(&self.name, error))?;
        let tombstones = (0..deletions.len()).map(|number| self.tombstone(&deletions, number, global_sequence, form));
        Ok(Tail { global_sequence, tombstones: tombstones.collect::<Result<_>>()? })
    }

    /// As `GetGlobalSequenceNumber` does, table/block_based/block_based_table_reader.cc, RocksDB 11.8.
    fn global_sequence(&self, tail: &TableTail) -> Option<u64> {
        let properties = &tail.properties;
        let is_ingested = properties.external_version.is_some_and(|version| version >= 2);
        let (_, largest) = self.identity;
        is_ingested.then(|| if largest < SEQUENCE_MAX { largest } else { properties.global_seqno.unwrap_or(0) })
    }

    fn tombstone(&self, deletions: &Entries, number: usize, global: Option<u64>, form: KeyForm) -> Result<Tombstone> {
        let short = || OpsError::Unreadable(format!("{}: a range deletion is too short", self.name));
        let start = form.split(deletions.key(number)).ok_or_else(short)?;
        let (end, _) = form.split_user(deletions.value(number)).ok_or_else(short)?;
        let time = if form.timestamp_size == 0 { u64::MAX } else { time_of(start.timestamp) };
        let mut tombstone = Tombstone {
            start: start.key.to_vec(),
            start_sequence_max: u64::MAX,
            end: end.to_vec(),
            end_sequence_min: None,
            sequence: global.unwrap_or(start.sequence),
            time,
        };
        if form.order.compare(&tombstone.start, &self.from).is_le() {
            tombstone.start.clone_from(&self.from);
            tombstone.start_sequence_max = self.bounds.0;
        }
        match &self.upper {
            Upper::To(last) if form.order.compare(&tombstone.end, last).is_gt() => {
                tombstone.end.clone_from(last);
                tombstone.end_sequence_min = Some(self.bounds.1);
            }
            Upper::Below(end) if form.order.compare(&tombstone.end, end).is_gt() => tombstone.end.clone_from(end),
            _ => {}
        }
        Ok(tombstone)
    }
}

//! The table properties that a backup needs.

use crate::cursor::Cursor;
use crate::error::{Error, MetaBlock};
use crate::global_seqno::GLOBAL_SEQNO_NAME;
use crate::meta_entries::MetaEntries;

/// What RocksDB wrote about a table. Names are bytes as stored, mostly ASCII; `None` where RocksDB wrote nothing or
/// "nullptr". Numbers that are missing are 0, as in RocksDB.
///
/// Sources: `TableProperties`, include/rocksdb/table_properties.h, names in table/table_properties.cc, encodings in
/// table/meta_blocks.cc, RocksDB 11.8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableProperties {
    /// Name of the comparator that orders the keys.
    pub comparator: Option<Vec<u8>>,
    /// Name of the merge operator.
    pub merge_operator: Option<Vec<u8>>,
    /// Name of the column family that the table was written for.
    pub column_family_name: Option<Vec<u8>>,
    /// Id of that column family in its database; `None` if unknown, as in tables of `SstFileWriter`.
    pub column_family_id: Option<u32>,
    /// Id of the database that wrote the table. Clones share it; `SstFileWriter` writes "SST Writer".
    pub db_id: Option<Vec<u8>>,
    /// Id of the process run and opening that wrote the table.
    pub db_session_id: Option<Vec<u8>>,
    /// Number of the file when it was written. A file that was ingested has another now. 0 if unknown.
    pub original_file_number: u64,
    /// Name of the host that wrote the table.
    pub host_id: Option<Vec<u8>>,
    /// When the oldest data of the table was written, in seconds since 1970; 0 if unknown.
    pub creation_time_s: u64,
    /// When the file was written, in seconds since 1970; 0 if unknown.
    pub file_creation_time_s: u64,
    /// Entries of any type in the data blocks, and range deletions.
    pub entries: u64,
    /// Deletions of any type, range deletions included.
    pub deletions: u64,
    /// Range deletions.
    pub range_deletions: u64,
    /// Merge operands.
    pub merge_operands: u64,
    /// Bytes of all internal keys before compression: user key and 8 bytes each.
    pub raw_key_size: u64,
    /// Bytes of all values before compression.
    pub raw_value_size: u64,
    /// Before format_version 7 the name of a built-in compression, "NoCompression" for none. In 7
    /// `<manager>;<types used, two hexadecimal digits each>;`, ";;" for none.
    pub compression: Option<Vec<u8>>,
    /// Version of `SstFileWriter`'s format; `None` for tables of a database.
    pub external_version: Option<u32>,
    /// Sequence number written into a table of `SstFileWriter` on ingestion, mostly 0: later versions keep it in the
    /// MANIFEST. `None` for tables of a database.
    pub global_seqno: Option<u64>,
    /// The format_version as a property; 0 from older writers. The footer's is the one that counts.
    pub format_version: u64,
    /// Name of the filter policy.
    pub filter_policy: Option<Vec<u8>>,
    /// Name of the prefix extractor.
    pub prefix_extractor: Option<Vec<u8>>,
    /// Whether filters hold whole user keys; `None` from older writers.
    pub whole_key_filtering: Option<bool>,
    /// Whether filters hold prefixes; `None` from older writers.
    pub prefix_filtering: Option<bool>,
    /// Keys and prefixes added to filters.
    pub filter_entries: u64,
    /// Bytes of the data blocks, compressed, with their trailers and padding.
    pub data_size: u64,
    /// Number of data blocks.
    pub data_blocks: u64,
    /// `BlockBasedTableOptions::IndexType` as a number.
    pub index_type: Option<u32>,
    /// Partitions of a partitioned index; 0 for other indexes.
    pub index_partitions: u64,
    /// Whether the keys of the index are user keys, without sequence number and type. User keys have their timestamp.
    pub index_key_is_user_key: bool,
    /// Whether the index leaves out what follows from the entry before.
    pub index_value_is_delta_encoded: bool,
    /// Whether the timestamps of user keys were left out of the file.
    pub timestamps_stripped: bool,
    /// Where the blocks behind the data blocks start; 0 from older writers, and RocksDB may be off by padding.
    pub tail_start: u64,
    /// Restart interval of data blocks that the writer was told; 0 from older writers.
    pub data_restart_interval: u64,
    /// Restart interval of index blocks that the writer was told; 0 from older writers.
    pub index_restart_interval: u64,
}

impl TableProperties {
    /// Reads the `contents` of a verified properties block. Unknown properties, those of user collectors among them, are
    /// skipped; a malformed value of a known one is an error.
    pub fn decode(contents: &[u8]) -> Result<Self, Error> {
        let mut properties = Self::default();
        let mut entries = MetaEntries::new(MetaBlock::Properties, contents)?;
        while let Some(entry) = entries.next_entry()? {
            if let Ok(name) = std::str::from_utf8(entry.key) {
                properties.set(name, entry.value)?;
            }
        }
        Ok(properties)
    }

    fn set(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        match name {
            "rocksdb.comparator" => self.comparator = text(value),
            "rocksdb.merge.operator" => self.merge_operator = text(value),
            "rocksdb.column.family.name" => self.column_family_name = text(value),
            "rocksdb.column.family.id" => {
                self.column_family_id = column_family_id(number("rocksdb.column.family.id", value)?)?;
            }
            "rocksdb.creating.db.identity" => self.db_id = text(value),
            "rocksdb.creating.session.identity" => self.db_session_id = text(value),
            "rocksdb.creating.host.identity" => self.host_id = text(value),
            "rocksdb.compression" => self.compression = text(value),
            "rocksdb.filter.policy" => self.filter_policy = text(value),
            "rocksdb.prefix.extractor.name" => self.prefix_extractor = text(value),
            "rocksdb.block.based.table.whole.key.filtering" => self.whole_key_filtering = Some(value == b"1"),
            "rocksdb.block.based.table.prefix.filtering" => self.prefix_filtering = Some(value == b"1"),
            "rocksdb.block.based.table.index.type" => {
                self.index_type = Some(whole("rocksdb.block.based.table.index.type", value, Cursor::fixed32)?);
            }
            "rocksdb.index.key.is.user.key" => {
                self.index_key_is_user_key = number("rocksdb.index.key.is.user.key", value)? != 0;
            }
            "rocksdb.index.value.is.delta.encoded" => {
                self.index_value_is_delta_encoded = number("rocksdb.index.value.is.delta.encoded", value)? != 0;
            }
            "rocksdb.user.defined.timestamps.persisted" => {
                self.timestamps_stripped = number("rocksdb.user.defined.timestamps.persisted", value)? == 0;
            }
            "rocksdb.external_sst_file.version" => {
                let version = whole("rocksdb.external_sst_file.version", value, Cursor::fixed32)?;
                self.external_version = Some(version);
            }
            GLOBAL_SEQNO_NAME => {
                self.global_seqno = Some(whole(GLOBAL_SEQNO_NAME, value, Cursor::fixed64)?);
            }
            _ => {
                if let Some((name, field)) = self.number_field(name) {
                    *field = number(name, value)?;
                }
            }
        }
        Ok(())
    }

    fn number_field(&mut self, name: &str) -> Option<(&'static str, &mut u64)> {
        Some(match name {
            "rocksdb.original.file.number" => ("rocksdb.original.file.number", &mut self.original_file_number),
            "rocksdb.creation.time" => ("rocksdb.creation.time", &mut self.creation_time_s),
            "rocksdb.file.creation.time" => ("rocksdb.file.creation.time", &mut self.file_creation_time_s),
            "rocksdb.num.entries" => ("rocksdb.num.entries", &mut self.entries),
            "rocksdb.deleted.keys" => ("rocksdb.deleted.keys", &mut self.deletions),
            "rocksdb.num.range-deletions" => ("rocksdb.num.range-deletions", &mut self.range_deletions),
            "rocksdb.merge.operands" => ("rocksdb.merge.operands", &mut self.merge_operands),
            "rocksdb.raw.key.size" => ("rocksdb.raw.key.size", &mut self.raw_key_size),
            "rocksdb.raw.value.size" => ("rocksdb.raw.value.size", &mut self.raw_value_size),
            "rocksdb.format.version" => ("rocksdb.format.version", &mut self.format_version),
            "rocksdb.num.filter_entries" => ("rocksdb.num.filter_entries", &mut self.filter_entries),
            "rocksdb.data.size" => ("rocksdb.data.size", &mut self.data_size),
            "rocksdb.num.data.blocks" => ("rocksdb.num.data.blocks", &mut self.data_blocks),
            "rocksdb.index.partitions" => ("rocksdb.index.partitions", &mut self.index_partitions),
            "rocksdb.tail.start.offset" => ("rocksdb.tail.start.offset", &mut self.tail_start),
            "rocksdb.data.block.restart.interval" => ("rocksdb.data.block.restart.interval", &mut self.data_restart_interval),
            "rocksdb.index.block.restart.interval" => ("rocksdb.index.block.restart.interval", &mut self.index_restart_interval),
            _ => return None,
        })
    }
}

/// `None` for what RocksDB writes if there is no such thing: nothing, or the word "nullptr" (`WritePropertiesBlock`,
/// table/block_based/block_based_table_builder.cc, RocksDB 11.8).
fn text(value: &[u8]) -> Option<Vec<u8>> {
    (!value.is_empty() && value != b"nullptr").then(|| value.to_vec())
}

fn number(name: &'static str, value: &[u8]) -> Result<u64, Error> {
    whole(name, value, Cursor::varint64)
}

/// Reads a value that must be used up by it.
fn whole<'a, T>(name: &'static str, value: &'a [u8], read: impl FnOnce(&mut Cursor<'a>) -> Option<T>) -> Result<T, Error> {
    let mut cursor = Cursor::new(value);
    read(&mut cursor).filter(|_| cursor.remaining() == 0).ok_or(Error::MalformedProperty { name })
}

/// `TablePropertiesCollectorFactory::Context::kUnknownColumnFamily` is the largest i32 (db/column_family.cc).
fn column_family_id(id: u64) -> Result<Option<u32>, Error> {
    const UNKNOWN: u32 = i32::MAX as u32;
    match u32::try_from(id) {
        Ok(UNKNOWN) => Ok(None),
        Ok(id) => Ok(Some(id)),
        Err(_) => Err(Error::MalformedProperty { name: "rocksdb.column.family.id" }),
    }
}

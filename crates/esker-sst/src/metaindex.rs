//! The metaindex block: names of meta blocks to their handles.

use crate::block_handle::BlockHandle;
use crate::cursor::Cursor;
use crate::error::{Error, MetaBlock};
use crate::meta_entries::MetaEntries;

/// `kPropertiesBlockName`, table/meta_blocks.cc, RocksDB 11.8.
const PROPERTIES_NAME: &[u8] = b"rocksdb.properties";

/// `kIndexBlockName`, table/meta_blocks.cc, RocksDB 11.8; only from format_version 6 on.
const INDEX_NAME: &[u8] = b"rocksdb.index";

/// The handles that this crate needs of a metaindex, as the file claims them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaIndex {
    /// The properties block, which every table has.
    pub properties: BlockHandle,
    /// The index block; `None` before format_version 6, where the footer names it.
    pub index: Option<BlockHandle>,
}

impl MetaIndex {
    /// Reads the `contents` of a verified metaindex block, all its entries. Other names are skipped.
    pub fn decode(contents: &[u8]) -> Result<Self, Error> {
        let mut properties = None;
        let mut index = None;
        let mut entries = MetaEntries::new(MetaBlock::MetaIndex, contents)?;
        while let Some(entry) = entries.next_entry()? {
            match entry.key {
                PROPERTIES_NAME => properties = Some(decode_handle(entry.value)?),
                INDEX_NAME => index = Some(decode_handle(entry.value)?),
                _ => {}
            }
        }
        let properties = properties.ok_or(Error::MissingMetaBlock { block: MetaBlock::Properties })?;
        Ok(Self { properties, index })
    }
}

/// Decodes the value of a metaindex entry: a block handle, not yet checked against the file.
pub fn decode_handle(value: &[u8]) -> Result<BlockHandle, Error> {
    BlockHandle::decode(&mut Cursor::new(value)).ok_or(Error::CorruptBlock { block: MetaBlock::MetaIndex, what: "bad block handle" })
}

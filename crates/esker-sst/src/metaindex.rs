//! The metaindex block: names of meta blocks to their handles.

use crate::block_handle::BlockHandle;
use crate::cursor::Cursor;
use crate::error::{Error, MetaBlock};
use crate::meta_entries::MetaEntries;

/// `kPropertiesBlockName`, table/meta_blocks.cc, RocksDB 11.8.
const PROPERTIES_NAME: &[u8] = b"rocksdb.properties";

/// `kIndexBlockName`, table/meta_blocks.cc, RocksDB 11.8; only from format_version 6 on.
const INDEX_NAME: &[u8] = b"rocksdb.index";

/// A meta block by name, as the file claims it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedBlock {
    /// The block's name; for filters it holds the policy's name too.
    pub name: Vec<u8>,
    /// Where it stands.
    pub handle: BlockHandle,
}

/// The handles of a metaindex, as the file claims them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaIndex {
    /// Every meta block that the metaindex names, by rising names.
    pub blocks: Vec<NamedBlock>,
    /// The properties block, which every table has.
    pub properties: BlockHandle,
    /// The index block; `None` before format_version 6, where the footer names it.
    pub index: Option<BlockHandle>,
}

impl MetaIndex {
    /// Reads the `contents` of a verified metaindex block, all its entries.
    pub fn decode(contents: &[u8]) -> Result<Self, Error> {
        let mut blocks = Vec::new();
        let mut properties = None;
        let mut index = None;
        let mut entries = MetaEntries::new(MetaBlock::MetaIndex, contents)?;
        while let Some(entry) = entries.next_entry()? {
            let handle = decode_handle(entry.value)?;
            match entry.key {
                PROPERTIES_NAME => properties = Some(handle),
                INDEX_NAME => index = Some(handle),
                _ => {}
            }
            blocks.push(NamedBlock { name: entry.key.to_vec(), handle });
        }
        let properties = properties.ok_or(Error::MissingMetaBlock { block: MetaBlock::Properties })?;
        Ok(Self { blocks, properties, index })
    }
}

/// Decodes the value of a metaindex entry: a block handle, not yet checked against the file.
pub fn decode_handle(value: &[u8]) -> Result<BlockHandle, Error> {
    BlockHandle::decode(&mut Cursor::new(value)).ok_or(Error::CorruptBlock { block: MetaBlock::MetaIndex, what: "bad block handle" })
}

//! The one place where RocksDB changes a table after it was written.
//!
//! A table made by `SstFileWriter` carries the property `rocksdb.external_sst_file.global_seqno`, 8 bytes of value 0. On
//! ingestion with `write_global_seqno` (deprecated, off by default) RocksDB overwrites those 8 bytes in the file and
//! leaves the block's checksum as it was. So such a block fails its check, rightly has the same unique id as before, and
//! matches once the 8 bytes are set back to 0.
//!
//! Source: `ReadTablePropertiesHelper`, table/meta_blocks.cc, and table/sst_file_writer_collectors.h, RocksDB 11.8.

use crate::error::MetaBlock;
use crate::meta_entries::MetaEntries;

/// Name of the property (`ExternalSstFilePropertyNames::kGlobalSeqno`, table/sst_file_writer.cc, RocksDB 11.8).
pub const GLOBAL_SEQNO_NAME: &str = "rocksdb.external_sst_file.global_seqno";

const GLOBAL_SEQNO_SIZE: usize = 8;

/// A copy of `checked`, which is a properties block of `contents_len` bytes and its type byte, with the global sequence
/// number set to 0. `None` if the block is damaged or has no such number.
pub(crate) fn without_global_seqno(checked: &[u8], contents_len: usize) -> Option<Vec<u8>> {
    let contents = checked.get(..contents_len)?;
    let start = value_offset(contents)?;
    let mut copy = checked.to_vec();
    copy.get_mut(start..start.checked_add(GLOBAL_SEQNO_SIZE)?)?.fill(0);
    Some(copy)
}

fn value_offset(contents: &[u8]) -> Option<usize> {
    let mut entries = MetaEntries::new(MetaBlock::Properties, contents).ok()?;
    while let Some(entry) = entries.next_entry().ok()? {
        if entry.key == GLOBAL_SEQNO_NAME.as_bytes() {
            return (entry.value.len() == GLOBAL_SEQNO_SIZE).then_some(entry.value_offset);
        }
    }
    None
}

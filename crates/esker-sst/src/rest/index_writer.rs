//! The content of an index block, entry by entry; its layout is described in `table_map::index_block`.
//!
//! Sources, RocksDB 11.8: `ShortenedIndexBuilder` and `PartitionedIndexBuilder`, table/block_based/index_builder.{h,cc};
//! `BlockBuilder`, table/block_based/block_builder.cc.

use crate::block::TRAILER_SIZE;
use crate::block_handle::BlockHandle;
use crate::rest::fault::RestFault;
use crate::rest::index_form::IndexForm;
use crate::rest::separator::common_len;
use crate::varint::{put_varint_signed64, put_varint32, put_varint64};

/// Flag of the last word: `kUniformKeysBit`, table/block_based/data_block_footer.cc, RocksDB 11.8.
const UNIFORM_KEYS: u32 = 1 << 29;

/// Appends an index block to a buffer.
pub(super) struct IndexWriter<'w> {
    form: &'w IndexForm,
    out: &'w mut Vec<u8>,
    start: usize,
    restarts: Vec<u32>,
    since_restart: u32,
    key: Vec<u8>,
    value: Vec<u8>,
    before: Option<BlockHandle>,
}

impl<'w> IndexWriter<'w> {
    pub(super) fn new(form: &'w IndexForm, out: &'w mut Vec<u8>) -> Self {
        let start = out.len();
        Self { form, out, start, restarts: vec![0], since_restart: 0, key: Vec::new(), value: Vec::new(), before: None }
    }

    /// Adds the entry that leads to `handle`; `first_key` is the first of that block, used only if the form asks for it.
    /// `behind_gap`: whether padding stands between that block and the one before.
    pub(super) fn push(&mut self, key: &[u8], handle: BlockHandle, first_key: &[u8], behind_gap: bool) -> Result<(), RestFault> {
        let mut shared = 0;
        if self.since_restart >= self.form.restart_interval {
            let offset = u32::try_from(self.out.len() - self.start).map_err(|_| RestFault::TooLarge)?;
            self.restarts.push(offset);
            self.since_restart = 0;
        } else if !(behind_gap && self.form.gaps_end_sharing) {
            shared = common_len(&self.key, key);
        }
        let suffix = key.get(shared..).unwrap_or_default();
        self.put_value(handle, first_key, shared > 0);
        put_varint32(length(shared)?, self.out);
        put_varint32(length(suffix.len())?, self.out);
        if !self.form.deltas {
            put_varint32(length(self.value.len())?, self.out);
        }
        self.out.extend_from_slice(suffix);
        self.out.extend_from_slice(&self.value);
        self.key.truncate(shared);
        self.key.extend_from_slice(suffix);
        self.before = Some(handle);
        self.since_restart += 1;
        Ok(())
    }

    fn put_value(&mut self, handle: BlockHandle, first_key: &[u8], shares: bool) {
        self.value.clear();
        match self.before {
            Some(before) if shares && self.form.deltas => {
                put_varint_signed64(handle.size.wrapping_sub(before.size) as i64, &mut self.value);
            }
            _ => {
                put_varint64(handle.offset, &mut self.value);
                put_varint64(handle.size, &mut self.value);
            }
        }
        if self.form.first_keys {
            put_varint64(first_key.len() as u64, &mut self.value);
            self.value.extend_from_slice(first_key);
        }
    }

    /// Ends the block.
    pub(super) fn finish(self) -> Result<(), RestFault> {
        // The upper bits are flags.
        let count = length(self.restarts.len())?;
        if count >= 1 << 28 {
            return Err(RestFault::TooLarge);
        }
        for restart in &self.restarts {
            self.out.extend_from_slice(&restart.to_le_bytes());
        }
        let word = if self.form.uniform_keys { count | UNIFORM_KEYS } else { count };
        self.out.extend_from_slice(&word.to_le_bytes());
        Ok(())
    }
}

/// Whether a block does not start where the one before ends.
pub(super) fn is_gap(before: Option<BlockHandle>, handle: BlockHandle) -> bool {
    before.is_some_and(|before| before.offset.wrapping_add(before.size).wrapping_add(TRAILER_SIZE) != handle.offset)
}

fn length(len: usize) -> Result<u32, RestFault> {
    u32::try_from(len).map_err(|_| RestFault::TooLarge)
}

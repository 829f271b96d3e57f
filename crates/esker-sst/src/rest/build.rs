//! Building the blocks behind the data blocks from their descriptions, in file order.

use crate::block::BlockChecksum;
use crate::block_handle::BlockHandle;
use crate::encoder::EncoderId;
use crate::rest::bloom::BloomForm;
use crate::rest::built_block::{BuiltBlock, FilterRange};
use crate::rest::encoders::Encoders;
use crate::rest::facts::TableFacts;
use crate::rest::fault::RestFault;
use crate::rest::filter_keys::FilterKeys;
use crate::rest::index_form::IndexForm;
use crate::rest::index_writer::{IndexWriter, is_gap};
use crate::rest::separator::Separators;

/// A block that was built, and what a block over it says of it.
#[derive(Clone, Copy, Debug)]
struct Partition {
    handle: BlockHandle,
    /// The data block behind whose keys it ends; `None` for a filter of keys.
    last_block: Option<usize>,
}

/// Builds the blocks of one table. They must be built in file order: blocks over partitions need those.
pub struct RestBuilder<'f> {
    facts: &'f TableFacts,
    checksum: BlockChecksum,
    index_partitions: Vec<Partition>,
    filter_partitions: Vec<Partition>,
    encoders: Encoders,
    key: Vec<u8>,
    plain: Vec<u8>,
}

impl<'f> RestBuilder<'f> {
    /// A builder for the table with these facts, of all its data blocks.
    pub fn new(facts: &'f TableFacts, checksum: BlockChecksum) -> Self {
        let (index_partitions, filter_partitions) = (Vec::new(), Vec::new());
        let (encoders, key, plain) = (Encoders::default(), Vec::new(), Vec::new());
        Self { facts, checksum, index_partitions, filter_partitions, encoders, key, plain }
    }

    /// Appends to `out` the block that `block` describes, with its trailer; `offset` is where it stands in the file.
    ///
    /// After an error `out` holds what it held before. Memory: at most 64 bytes for each hashed key of the facts, or twice
    /// the size of their keys.
    pub fn build(&mut self, block: &BuiltBlock, offset: u64, out: &mut Vec<u8>) -> Result<(), RestFault> {
        let start = out.len();
        let result = self.append(block, offset, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn append(&mut self, block: &BuiltBlock, offset: u64, out: &mut Vec<u8>) -> Result<(), RestFault> {
        let start = out.len();
        let last_block = match *block {
            BuiltBlock::Filter { keys, range, form } => self.filter(keys, range, &form, out)?,
            BuiltBlock::Index { first, count, form } => Some(self.index(first, count, &form, out)?),
            BuiltBlock::IndexTop { form } => self.top(false, &form, out)?,
            BuiltBlock::FilterTop { form } => self.top(true, &form, out)?,
        };
        let handle = BlockHandle { offset, size: (out.len() - start) as u64 };
        let compression_type = block.encoder().map_or(0, EncoderId::compression_type);
        self.checksum.seal(start, offset, compression_type, out);
        match block {
            BuiltBlock::Filter { .. } => self.filter_partitions.push(Partition { handle, last_block }),
            BuiltBlock::Index { .. } => self.index_partitions.push(Partition { handle, last_block }),
            BuiltBlock::IndexTop { .. } | BuiltBlock::FilterTop { .. } => {}
        }
        Ok(())
    }

    /// Takes back that `block`, the last one built, was built.
    pub(super) fn forget_last(&mut self, block: &BuiltBlock) {
        match block {
            BuiltBlock::Filter { .. } => _ = self.filter_partitions.pop(),
            BuiltBlock::Index { .. } => _ = self.index_partitions.pop(),
            BuiltBlock::IndexTop { .. } | BuiltBlock::FilterTop { .. } => {}
        }
    }

    fn filter(&self, keys: FilterKeys, range: FilterRange, form: &BloomForm, out: &mut Vec<u8>) -> Result<Option<usize>, RestFault> {
        if keys.hash.is_none() || keys != self.facts.filter_keys() {
            return Err(RestFault::OutOfRange { what: "keys are hashed otherwise" });
        }
        let no_such = || RestFault::OutOfRange { what: "a filter's keys" };
        let (hashes, last_block) = match range {
            FilterRange::Blocks { first, count } => {
                let blocks = span(first, count).ok_or_else(no_such)?;
                let last_block = blocks.end.checked_sub(1);
                (self.facts.hashes_of(blocks).ok_or_else(no_such)?, last_block)
            }
            FilterRange::Keys { first, count } => (span(first, count).ok_or_else(no_such)?, None),
        };
        let hashes = self.facts.hashes().get(hashes).ok_or_else(no_such)?;
        // RocksDB gives a key at most 100 bits, and a line has 256 or more; older filters have an odd number of lines.
        if form.lines as usize > hashes.len().saturating_add(1) {
            return Err(RestFault::OutOfRange { what: "a filter's size" });
        }
        form.build(hashes, out);
        Ok(last_block)
    }

    fn index(&mut self, first: u64, count: u64, form: &IndexForm, out: &mut Vec<u8>) -> Result<usize, RestFault> {
        let no_such = || RestFault::OutOfRange { what: "the blocks of an index" };
        let blocks = span(first, count).filter(|blocks| !blocks.is_empty() && blocks.end <= self.facts.len()).ok_or_else(no_such)?;
        let facts = self.facts;
        let separators = separators(facts, form);
        let last_block = blocks.end - 1;
        let Self { key, plain, encoders, .. } = self;
        compressed(form, encoders, plain, out, |content| {
            let mut writer = IndexWriter::new(form, content);
            let mut before = blocks.start.checked_sub(1).and_then(|before| facts.handle(before));
            for block in blocks {
                let handle = facts.handle(block).ok_or_else(no_such)?;
                separators.put(block, key);
                writer.push(key, handle, facts.first_key(block), is_gap(before, handle))?;
                before = Some(handle);
            }
            writer.finish()
        })?;
        Ok(last_block)
    }

    fn top(&mut self, of_filter: bool, form: &IndexForm, out: &mut Vec<u8>) -> Result<Option<usize>, RestFault> {
        let separators = separators(self.facts, form);
        let Self { key, plain, encoders, index_partitions, filter_partitions, .. } = self;
        let partitions = if of_filter { filter_partitions } else { index_partitions };
        compressed(form, encoders, plain, out, |content| {
            let mut writer = IndexWriter::new(form, content);
            for partition in partitions.iter() {
                let last_block = partition.last_block.ok_or(RestFault::OutOfRange { what: "a partition that ends inside a block" })?;
                separators.put(last_block, key);
                writer.push(key, partition.handle, b"", false)?;
            }
            writer.finish()
        })?;
        Ok(None)
    }
}

fn separators<'f>(facts: &'f TableFacts, form: &IndexForm) -> Separators<'f> {
    Separators { facts, rule: form.rule, user_keys: form.user_keys, seek_type: form.seek_type }
}

/// Appends what `content` makes, compressed if the form says so.
fn compressed(
    form: &IndexForm,
    encoders: &mut Encoders,
    plain: &mut Vec<u8>,
    out: &mut Vec<u8>,
    content: impl FnOnce(&mut Vec<u8>) -> Result<(), RestFault>,
) -> Result<(), RestFault> {
    let Some(encoder) = form.encoder else {
        return content(out);
    };
    plain.clear();
    content(plain)?;
    Ok(encoders.compress(encoder, plain, out)?)
}

fn span(first: u64, count: u64) -> Option<std::ops::Range<usize>> {
    let end = usize::try_from(first.checked_add(count)?).ok()?;
    Some(usize::try_from(first).ok()?..end)
}

//! The index: one block, or partitions and a block over them.

use crate::block_handle::BlockHandle;
use crate::rest::built_block::BuiltBlock;
use crate::rest::facts::TableFacts;
use crate::rest::index_form::IndexForm;
use crate::rest::index_writer::is_gap;
use crate::rest::proposal::Proposal;
use crate::rest::separator::{SeparatorRule, Separators, seek_type};
use crate::rest::stored_rest::StoredRest;
use crate::table_map::TableMap;
use crate::table_map::index_block::{IndexBlock, IndexLayout};

/// What index blocks of a table have in common.
#[derive(Clone, Copy)]
pub(in crate::rest) struct IndexKeys {
    pub rule: SeparatorRule,
    pub seek_type: u8,
}

/// What one index block shows of how it was built.
struct Look {
    handle: BlockHandle,
    entries: usize,
    compression_type: u8,
    restart_interval: Option<u32>,
    uniform_keys: bool,
}

/// Proposes how the index blocks were made. Returns how their keys were chosen, `None` if by no rule known here.
pub(in crate::rest) fn propose(
    map: &TableMap,
    stored: &StoredRest<'_>,
    facts: &TableFacts,
    proposals: &mut Vec<Proposal>,
) -> Option<IndexKeys> {
    let layout = IndexLayout::of(&map.tail.properties).ok()?;
    let only = [map.tail.index];
    let handles = if layout.partitioned { &map.index_partitions[..] } else { &only };
    let mut rules = Rules::new(facts, layout);
    let mut plain = Vec::new();
    let mut looks = Vec::with_capacity(handles.len());
    for handle in handles {
        looks.push(look(*handle, stored, layout, &mut plain, |key| rules.next_key(key))?);
    }
    let keys = rules.keys()?;
    let told = told_interval(map).max(longest_interval(&looks));
    let gaps = has_gaps(facts);
    let mut first = 0;
    for look in &looks {
        let count = look.entries as u64;
        let form = look.form(layout, keys, told);
        let way = |gaps_end_sharing| BuiltBlock::Index { first, count, form: IndexForm { gaps_end_sharing, ..form } };
        let ways = if gaps { vec![way(true), way(false)] } else { vec![way(false)] };
        proposals.push(Proposal { handle: look.handle, compression_type: look.compression_type, ways });
        first += count;
    }
    if layout.partitioned {
        let layout = IndexLayout { first_keys: false, ..layout };
        let look = look(map.tail.index, stored, layout, &mut plain, |_| {})?;
        let ways = vec![BuiltBlock::IndexTop { form: look.form(layout, keys, told) }];
        proposals.push(Proposal { handle: look.handle, compression_type: look.compression_type, ways });
    }
    Some(keys)
}

impl Look {
    fn form(&self, layout: IndexLayout, keys: IndexKeys, told: u32) -> IndexForm {
        let entries = u32::try_from(self.entries).unwrap_or(u32::MAX);
        IndexForm {
            rule: keys.rule,
            user_keys: layout.user_keys,
            deltas: layout.deltas,
            first_keys: layout.first_keys,
            gaps_end_sharing: false,
            uniform_keys: self.uniform_keys,
            // With one restart, any interval that is not too short; the same for all blocks, as that takes less to store.
            restart_interval: self.restart_interval.unwrap_or(told.max(entries).max(1)),
            seek_type: keys.seek_type,
            encoder: None,
        }
    }
}

/// Restart interval of index blocks that the writer was told; 0 if unknown.
pub(super) fn told_interval(map: &TableMap) -> u32 {
    u32::try_from(map.tail.properties.index_restart_interval).unwrap_or_default()
}

/// The restart interval of those blocks that show it, or how long it is at least.
fn longest_interval(looks: &[Look]) -> u32 {
    let interval = |look: &Look| look.restart_interval.unwrap_or(u32::try_from(look.entries).unwrap_or(u32::MAX));
    looks.iter().map(interval).max().unwrap_or_default()
}

/// Goes through an index block.
fn look(
    handle: BlockHandle,
    stored: &StoredRest<'_>,
    layout: IndexLayout,
    plain: &mut Vec<u8>,
    each_key: impl FnMut(&[u8]),
) -> Option<Look> {
    let (content, compression_type) = stored.index(handle, plain)?;
    look_at(content, handle, compression_type, layout, each_key)
}

/// How the block over the partitions of a filter was built, given its content.
pub(super) fn top_form(content: &[u8], handle: BlockHandle, layout: IndexLayout, keys: IndexKeys, told: u32) -> Option<IndexForm> {
    Some(look_at(content, handle, 0, layout, |_| {})?.form(layout, keys, told))
}

fn look_at(
    content: &[u8],
    handle: BlockHandle,
    compression_type: u8,
    layout: IndexLayout,
    mut each_key: impl FnMut(&[u8]),
) -> Option<Look> {
    let mut block = IndexBlock::new(content, layout).ok()?;
    let (second_restart, uniform_keys) = (block.second_restart(), block.uniform_keys());
    let mut entries = 0usize;
    let mut restart_interval = None;
    loop {
        if restart_interval.is_none() && entries > 0 && Some(block.position()) == second_restart {
            restart_interval = u32::try_from(entries).ok();
        }
        let Some(entry) = block.next_entry().ok()? else { break };
        each_key(entry.key);
        entries += 1;
    }
    Some(Look { handle, entries, compression_type, restart_interval, uniform_keys })
}

/// The rules by which all keys so far may have been chosen.
struct Rules<'f> {
    facts: &'f TableFacts,
    layout: IndexLayout,
    left: Vec<SeparatorRule>,
    seek_type: Option<u8>,
    block: usize,
    key: Vec<u8>,
}

impl<'f> Rules<'f> {
    fn new(facts: &'f TableFacts, layout: IndexLayout) -> Self {
        Self { facts, layout, left: SeparatorRule::ALL.to_vec(), seek_type: None, block: 0, key: Vec::new() }
    }

    fn next_key(&mut self, found: &[u8]) {
        let Self { facts, layout, left, seek_type: known, block, key } = self;
        if !layout.user_keys && known.is_none() {
            *known = seek_type(found);
        }
        left.retain(|rule| {
            let seek_type = known.unwrap_or_default();
            Separators { facts, rule: *rule, user_keys: layout.user_keys, seek_type }.put(*block, key);
            key == found
        });
        *block += 1;
    }

    fn keys(&self) -> Option<IndexKeys> {
        let rule = self.left.first().filter(|_| self.block == self.facts.len())?;
        Some(IndexKeys { rule: *rule, seek_type: self.seek_type.unwrap_or_default() })
    }
}

fn has_gaps(facts: &TableFacts) -> bool {
    (1..facts.len()).any(|block| facts.handle(block).is_some_and(|handle| is_gap(facts.handle(block - 1), handle)))
}

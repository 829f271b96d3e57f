//! Building what follows a table's data blocks again, as a backup and a restore do.

use esker_sst::compression::decompress;
use esker_sst::rest::{BuiltBlock, FilterKeys, RestBuilder, RestPart, TableFacts, plan};
use esker_sst::{Entries, TableMap, TableTail, data_block};

/// Blocks of a table, and how many of them were built.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub index: u64,
    pub index_built: u64,
    pub filter: u64,
    pub filter_built: u64,
    pub top: u64,
    pub top_built: u64,
    pub rest_bytes: u64,
    pub kept_bytes: u64,
    pub compressed: u64,
    pub descriptions: u64,
    pub tables: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.index += other.index;
        self.index_built += other.index_built;
        self.filter += other.filter;
        self.filter_built += other.filter_built;
        self.top += other.top;
        self.top_built += other.top_built;
        self.rest_bytes += other.rest_bytes;
        self.kept_bytes += other.kept_bytes;
        self.compressed += other.compressed;
        self.descriptions += other.descriptions;
        self.tables += other.tables;
    }
}

/// Where the blocks of a table stand, whose index may be compressed.
pub fn map(table: &[u8]) -> TableMap {
    let mut plain = |kind: u8, payload: &[u8], limit: usize, out: &mut Vec<u8>| decompress(kind, &[], payload, limit, out).is_ok();
    TableMap::read(table, TableTail::read(table).unwrap(), &mut plain).unwrap()
}

/// The facts of a table, gathered in three pieces.
pub fn facts(table: &[u8], map: &TableMap, keys: FilterKeys) -> TableFacts {
    let checksum = map.tail.footer.block_checksum();
    let mut facts = TableFacts::new(keys);
    let mut piece = TableFacts::new(keys);
    let mut entries = Entries::new();
    let mut plain = Vec::new();
    let dictionary = map.dictionary.as_deref().unwrap_or_default();
    for index in 0..map.len() {
        let handle = map.handle(index).unwrap();
        let stored = &table[handle.offset as usize..handle.end().unwrap() as usize];
        let block = checksum.open(stored, handle.offset).unwrap();
        decompress(block.compression_type, dictionary, block.payload, 1 << 20, &mut plain).unwrap();
        data_block::decode(&plain, &mut entries).unwrap();
        piece.push_block(handle, &entries);
        if index == map.len() / 3 || index == map.len() / 2 {
            facts.join(std::mem::replace(&mut piece, TableFacts::new(keys)));
        }
    }
    facts.join(piece);
    facts
}

/// Plans what follows the data blocks, builds it by the plan, and compares it with the table.
pub fn rebuilt(table: &[u8]) -> Counts {
    let map = map(table);
    let rest = &table[map.data_end as usize..];
    let keys = FilterKeys::of(&map, rest, map.data_end);
    let facts = facts(table, &map, keys);
    let parts = plan(&map, rest, map.data_end, &facts);

    let mut counts = counted(&map, rest);
    let mut builder = RestBuilder::new(&facts, map.tail.footer.block_checksum());
    let mut out = Vec::new();
    for part in &parts {
        match part {
            RestPart::Kept { len } => {
                out.extend_from_slice(&rest[out.len()..out.len() + *len as usize]);
                counts.kept_bytes += len;
            }
            RestPart::Built { block, .. } => {
                let (kind, numbers) = block.to_numbers();
                counts.descriptions += 1 + numbers.len() as u64;
                let block = BuiltBlock::from_numbers(kind, &numbers).unwrap();
                builder.build(&block, map.data_end + out.len() as u64, &mut out).unwrap();
                counts.compressed += u64::from(block.encoder().is_some());
                match block {
                    BuiltBlock::Filter { .. } => counts.filter_built += 1,
                    BuiltBlock::Index { .. } => counts.index_built += 1,
                    BuiltBlock::IndexTop { .. } | BuiltBlock::FilterTop { .. } => counts.top_built += 1,
                }
            }
        }
    }
    assert!(out == rest, "the plan does not give the table's bytes");
    counts
}

/// Blocks that there are to build.
fn counted(map: &TableMap, rest: &[u8]) -> Counts {
    let mut counts = Counts { rest_bytes: rest.len() as u64, tables: 1, ..Counts::default() };
    if map.is_empty() {
        return counts;
    }
    let properties = &map.tail.properties;
    let partitioned = properties.index_type == Some(2);
    counts.index = if partitioned { map.index_partitions.len() as u64 } else { 1 };
    counts.top = u64::from(partitioned);
    for block in &map.tail.meta_blocks {
        if block.name.starts_with(b"fullfilter.") {
            counts.filter = 1;
        } else if block.name.starts_with(b"partitionedfilter.") {
            counts.top += 1;
            let content = &rest[(block.handle.offset - map.data_end) as usize..][..block.handle.size as usize];
            counts.filter = entries_of_index(content, properties.index_value_is_delta_encoded);
        }
    }
    counts
}

/// Number of entries of an index block.
fn entries_of_index(content: &[u8], deltas: bool) -> u64 {
    let (rest, word) = content.split_last_chunk::<4>().unwrap();
    let restarts = (u32::from_le_bytes(*word) & 0x0fff_ffff) as usize;
    let mut rest = &rest[..rest.len() - 4 * restarts];
    let varint = |rest: &mut &[u8]| {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let byte = rest[0];
            *rest = &rest[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    };
    let mut entries = 0;
    while !rest.is_empty() {
        let shared = varint(&mut rest);
        let unshared = varint(&mut rest);
        if deltas {
            rest = &rest[unshared as usize..];
            varint(&mut rest);
            if shared == 0 {
                varint(&mut rest);
            }
        } else {
            let value = varint(&mut rest);
            rest = &rest[(unshared + value) as usize..];
        }
        entries += 1;
    }
    entries
}

/// The descriptions of the blocks of a table that can be built.
pub fn descriptions(table: &[u8]) -> Vec<BuiltBlock> {
    let map = map(table);
    let rest = &table[map.data_end as usize..];
    let facts = facts(table, &map, FilterKeys::of(&map, rest, map.data_end));
    let built = |part| match part {
        RestPart::Built { block, .. } => Some(block),
        RestPart::Kept { .. } => None,
    };
    plan(&map, rest, map.data_end, &facts).into_iter().filter_map(built).collect()
}

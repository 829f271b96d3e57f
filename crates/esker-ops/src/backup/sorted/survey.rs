//! A first look at every new table of a group: which can be merged, with which others, and where the keys are cut.

use std::collections::BTreeMap;

use esker_cluster::SourceFile;
use esker_dedup::sorted::{KeyRanges, Probe, Refusal, SortedError, plan, probe};
use esker_format::run::KeyOrder;
use esker_sst::{TableMap, compression};

use super::Pending;
use crate::backup::file::Source;
use crate::error::Result;

/// Tables that are merged together: same order of keys, same timestamps, same column family.
pub(super) struct Class {
    pub(super) order: KeyOrder,
    pub(super) timestamp_size: u8,
    pub(super) tables: Vec<Surveyed>,
    /// Keys between two merges.
    pub(super) boundaries: Vec<Vec<u8>>,
}

/// One table of a class.
pub(super) struct Surveyed {
    /// Its position in the group.
    pub(super) pending: usize,
    pub(super) probe: Probe,
    first_separator: Vec<u8>,
    last_separator: Vec<u8>,
}

impl Surveyed {
    /// Whether any of its blocks can belong to the range behind `low` up to `high`.
    pub(super) fn may_be_in(&self, order: KeyOrder, low: Option<&[u8]>, high: Option<&[u8]>) -> bool {
        low.is_none_or(|low| order.compare(&self.last_separator, low).is_ge())
            && high.is_none_or(|high| order.compare(&self.first_separator, high).is_lt())
    }
}

/// What tables that are merged together have in common: descending keys, bytes of timestamp, column family.
type Kinship = (bool, u8, Option<Vec<u8>>);

/// Reads where a table's blocks stand.
pub(super) fn read_map(source: &SourceFile<'_>, pending: &Pending<'_, '_>) -> std::result::Result<TableMap, esker_sst::Error> {
    let mut decompress =
        |kind: u8, payload: &[u8], limit: usize, out: &mut Vec<u8>| compression::decompress(kind, &[], payload, limit, out).is_ok();
    TableMap::read(&Source(source), pending.table.tail.clone(), &mut decompress)
}

/// Looks at every table and cuts their keys into ranges of about so many key and value bytes; `refuse` hears of those that
/// cannot be merged.
pub(super) fn survey(pending: &[Pending<'_, '_>], range_bytes: u64, mut refuse: impl FnMut(usize, Refusal)) -> Result<Vec<Class>> {
    let mut classes: BTreeMap<Kinship, (Vec<Surveyed>, KeyRanges)> = BTreeMap::new();
    for (number, table) in pending.iter().enumerate() {
        let source = SourceFile::open(table.table.root, table.table.entry)?;
        let map = match read_map(&source, table) {
            Ok(map) if !map.is_empty() => map,
            Ok(_) => {
                refuse(number, Refusal::Empty);
                continue;
            }
            Err(esker_sst::Error::Read { source, .. }) => return Err(SortedError::Read(source).into()),
            Err(_) => {
                refuse(number, Refusal::Damaged);
                continue;
            }
        };
        let probe = match probe(&Source(&source), &map)? {
            Ok(probe) => probe,
            Err(refusal) => {
                refuse(number, refusal);
                continue;
            }
        };
        source.finish()?;
        let family = map.tail.properties.column_family_name.clone();
        let key = (probe.order == KeyOrder::Descending, probe.timestamp_size, family);
        let (tables, ranges) = classes.entry(key).or_insert_with(|| (Vec::new(), KeyRanges::new(probe.order, probe.timestamp_size)));
        ranges.add(&map);
        let separator = |block| plan::separator(&map, block, probe.timestamp_size).to_vec();
        let (first_separator, last_separator) = (separator(0), separator(map.len() - 1));
        tables.push(Surveyed { pending: number, probe, first_separator, last_separator });
    }
    let class = |((descending, timestamp_size, _), (tables, ranges)): (_, (Vec<Surveyed>, KeyRanges))| {
        let order = if descending { KeyOrder::Descending } else { KeyOrder::Ascending };
        Class { order, timestamp_size, tables, boundaries: ranges.boundaries(range_bytes) }
    };
    Ok(classes.into_iter().map(class).collect())
}

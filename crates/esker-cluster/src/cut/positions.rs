//! Commit positions, as NebulaGraph keeps them inside the engine.
//!
//! NebulaGraph 3 (`src/common/utils/NebulaKeyUtils`): the key is `LE32(partition << 8 | 4)` and `LE32(1)`, the value
//! the committed log id and its term, two little-endian signed 64-bit integers, written in one batch with the log's
//! entries. Keys therefore sort by type byte first, and all positions lie under the prefix `04`.

use std::path::Path;

use crate::rocks::{OpenFiles, ReadOnlyEngine};
use crate::{Error, Result};

/// The type byte of system keys.
const SYSTEM: u8 = 4;
/// What follows the prefix in the key of a commit record.
const COMMIT: [u8; 4] = 1_u32.to_le_bytes();

/// One replica of a partition: how far its engine has applied the Raft log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Replica {
    /// The partition, below 2^24.
    pub partition: u32,
    /// Id of the last log entry applied, at most `i64::MAX`.
    pub commit_id: u64,
    /// The Raft term of that entry, at most `i64::MAX`.
    pub term: u64,
}

/// Reads all commit positions of the engine in `folder`, write-ahead log replayed, sorted by partition. The folder is
/// not written to. An engine without any gives an empty list.
///
/// # Errors
/// [`Error::NeedsComparator`], [`Error::NeedsMergeOperator`] if only the application could read them;
/// [`Error::NotNebula`] if its keys are in another order; [`Error::BadPosition`] if a record is malformed;
/// [`Error::RocksDb`].
pub fn positions(folder: &Path) -> Result<Vec<Replica>> {
    positions_in(&ReadOnlyEngine::open(folder, OpenFiles::AsNeeded)?)
}

/// Reads the positions of an engine that is open.
pub(crate) fn positions_in(engine: &ReadOnlyEngine) -> Result<Vec<Replica>> {
    if !engine.is_bytewise("default") {
        return Err(Error::NotNebula(engine.path().to_path_buf()));
    }
    let mut replicas = Vec::new();
    let mut iterator = engine.iterate("default", Some(&[SYSTEM.saturating_add(1)]))?;
    iterator.seek([SYSTEM]);
    while let Some(key) = iterator.key() {
        let Some((prefix, rest)) = key.split_first_chunk::<4>() else {
            iterator.next();
            continue;
        };
        let (prefix, order) = (*prefix, rest.cmp(&COMMIT));
        if order.is_eq() {
            let value = iterator.value().unwrap_or_default();
            replicas.push(read(engine, partition_of(prefix), value)?);
        }
        // The engine may hold much else under the prefix, so go to the record or, from there, to the next partition.
        match (order.is_lt(), next_prefix(prefix)) {
            (true, _) => iterator.seek([prefix, COMMIT].concat()),
            (false, Some(next)) => iterator.seek(next),
            (false, None) => break,
        }
    }
    iterator.status().map_err(|error| unreadable(engine, &error))?;
    replicas.sort_unstable();
    Ok(replicas)
}

fn partition_of([_, low, middle, high]: [u8; 4]) -> u32 {
    u32::from_le_bytes([low, middle, high, 0])
}

/// The first four bytes that sort behind all keys with this prefix; `None` at the end of the type.
fn next_prefix(prefix: [u8; 4]) -> Option<[u8; 4]> {
    let next = u32::from_be_bytes(prefix).checked_add(1)?.to_be_bytes();
    (next.first() == prefix.first()).then_some(next)
}

fn read(engine: &ReadOnlyEngine, partition: u32, value: &[u8]) -> Result<Replica> {
    let bad = |cause: String| Error::BadPosition { path: engine.path().to_path_buf(), partition, cause };
    let Some((commit_id, term)) =
        value.split_first_chunk::<8>().and_then(|(id, rest)| Some((i64::from_le_bytes(*id), i64::from_le_bytes(rest.try_into().ok()?))))
    else {
        return Err(bad(format!("it has {} bytes instead of 16", value.len())));
    };
    match (u64::try_from(commit_id), u64::try_from(term)) {
        (Ok(commit_id), Ok(term)) => Ok(Replica { partition, commit_id, term }),
        _ => Err(bad(format!("log id {commit_id} or term {term} is negative"))),
    }
}

fn unreadable(engine: &ReadOnlyEngine, error: &rocksdb::Error) -> Error {
    // The operator that stands in for the application's fails on purpose; RocksDB says so in words only.
    if error.to_string().to_lowercase().contains("merge") {
        return Error::NeedsMergeOperator(engine.path().to_path_buf());
    }
    engine.refused("read the commit positions of", error)
}

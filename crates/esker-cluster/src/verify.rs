//! Proving that a restored engine opens and that every entry in it can be read.

use std::path::Path;

use crate::cut::positions_in;
use crate::rocks::{OpenFiles, ReadOnlyEngine};
use crate::{PartitionScheme, Replica, Result};

/// What was read of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Entries that are visible, over all column families.
    pub entries: u64,
    /// Entries of each column family.
    pub column_families: Vec<(String, u64)>,
    /// Commit positions, empty unless the scheme has them.
    pub positions: Vec<Replica>,
}

/// Opens the engine in `folder` read-only, its write-ahead log replayed, and reads every entry of every column family
/// with its checksums; the folder is not written to.
///
/// All tables are opened at once, so that RocksDB compares each with the unique id in the MANIFEST, if the process may
/// have as many files open; otherwise as the reading comes to them. Merge operands are read, not merged.
///
/// # Errors
/// [`Error::RocksDb`](crate::Error::RocksDb) with RocksDB's words on anything damaged or missing, and the errors of
/// [`positions`](crate::positions).
pub fn verify(folder: &Path, scheme: PartitionScheme) -> Result<Verified> {
    let engine = ReadOnlyEngine::open(folder, OpenFiles::All)?;
    let mut entries = 0_u64;
    let mut column_families = Vec::new();
    for family in engine.families() {
        let count = count(&engine, family)?;
        entries = entries.saturating_add(count);
        column_families.push((family.to_owned(), count));
    }
    let positions = match scheme {
        PartitionScheme::None => Vec::new(),
        PartitionScheme::Nebula => positions_in(&engine)?,
    };
    Ok(Verified { entries, column_families, positions })
}

fn count(engine: &ReadOnlyEngine, family: &str) -> Result<u64> {
    let mut count = 0_u64;
    let mut iterator = engine.iterate(family, None)?;
    iterator.seek_to_first();
    while iterator.valid() {
        count = count.saturating_add(1);
        iterator.next();
    }
    iterator.status().map_err(|error| engine.refused("read", &error))?;
    Ok(count)
}

//! Sorted runs: tables stored as entries, each once.
//!
//! Compaction rewrites tables, not entries: an entry of a new table is either new or stood, byte for byte, in a table that
//! has gone since. So tables are opened as sorted streams of entries and merged with the runs that the gone tables were
//! made of. What a run holds already becomes a copy operation, what is new goes to new runs:
//!
//! ```text
//! new tables  ──► TableStream ─┐            ┌─► literals: new runs of about 1 MiB
//!                              ├─► merge ───┤
//! base runs   ──► BaseRuns ────┘            └─► PieceBuilder: recipe pieces of each table
//! ```
//!
//! A merge handles one key range ([`plan`](plan::KeyRanges) cuts them), so that ranges run in parallel and memory stays
//! bounded. Blocks are rebuilt from their entries by [`Rebuilder`]; nothing is taken for right before [`Rebuilder`] has
//! replayed the encoded recipe over the encoded runs and found the hash of the very bytes that were read.

pub mod base;
mod coder;
pub mod heap;
mod literals;
pub mod merge;
mod piece;
mod piece_entries;
pub mod plan;
pub mod probe;
pub mod rebuild;
pub mod recover;
pub mod rest;
mod sources;
mod stream;

pub use base::{BaseRun, Budget, MERGES_MAX};
pub use merge::{Merge, MergedBlocks, MergedTable, Outcome, Refusal};
pub use piece_entries::{PieceEntries, Segment, segments};
pub use plan::KeyRanges;
pub use probe::{Probe, probe};
pub use rebuild::Rebuilder;
pub use stream::TableInput;

use std::sync::Arc;

use esker_format::run::Run;
use esker_format::table_recipe::ChunkUse;
use esker_format::{ChunkId, FormatError};
use thiserror::Error;

/// Plain bytes of entries at which a run is closed.
pub const RUN_BYTES: usize = 1 << 20;
/// Bytes of a block, as stored and as plain, over which it is kept as it is.
pub const BLOCK_BYTES_MAX: usize = 8 << 20;
/// Bytes of a block, as stored, over which its table is refused: what a merge keeps stands in memory until its replay.
pub const BLOCK_KEPT_MAX: u64 = 48 << 20;
/// Entries of a block over which it is kept as it is.
pub const BLOCK_ENTRIES_MAX: usize = 1 << 16;

/// What is wrong with what a merge or a rebuild was given.
#[derive(Debug, Error)]
pub enum SortedError {
    /// The source cannot be read.
    #[error("cannot read the table: {0}")]
    Read(#[from] std::io::Error),
    /// A record cannot be stored or is damaged.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A recipe does not fit the runs it names.
    #[error("{0}")]
    Recipe(String),
    /// A recipe needs an encoder that this program does not have, or that failed its self-test.
    #[error("encoder {id:#010x} is not to be had: {why}")]
    Encoder {
        /// Which.
        id: u32,
        /// Why.
        why: String,
    },
}

/// Where runs and bytes are stored, and stored runs read.
pub trait ChunkStore {
    /// What storing or reading fails with.
    type Error: From<SortedError>;

    /// A run of an earlier backup, or `None` if it cannot be had; then its entries are stored again.
    ///
    /// # Errors
    /// What stops the backup.
    fn load_run(&mut self, id: &ChunkId) -> Result<Option<Arc<Run>>, Self::Error>;

    /// Several runs at once, each as `load_run` gives it.
    ///
    /// # Errors
    /// What stops the backup.
    fn load_runs(&mut self, ids: &[ChunkId]) -> Result<Vec<Option<Arc<Run>>>, Self::Error> {
        ids.iter().map(|id| self.load_run(id)).collect()
    }

    /// Stores a new run.
    ///
    /// # Errors
    /// What stops the backup.
    fn store_run(&mut self, bytes: Vec<u8>) -> Result<ChunkId, Self::Error>;

    /// Stores bytes.
    ///
    /// # Errors
    /// What stops the backup.
    fn store_bytes(&mut self, bytes: &[u8]) -> Result<ChunkUse, Self::Error>;
}

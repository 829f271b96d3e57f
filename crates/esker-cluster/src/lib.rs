//! Sources and targets of a backup: folders of RocksDB engines on a host.
//!
//! The way through this crate for a backup of one host:
//!
//! 1. [`Root::open`] and [`walk`] list everything under the host's folder, special files refused.
//! 2. [`survey`] splits the listing into engines and loose entries, and names what is left out.
//! 3. [`Freeze::begin`] refuses an engine that a database has open, and remembers its MANIFEST.
//! 4. [`SourceFile`] reads each file and proves at its end that it did not change meanwhile.
//! 5. [`manifest_facts`], [`OptionsFile`] and [`positions`] say what the engine is and where Raft stood in it.
//! 6. [`Freeze::check`] proves that the engine was still the same one at the end.
//!
//! And for a restore: [`Target::prepare`], [`Target::create_file`] and [`TargetFile::write_at`] from many threads,
//! [`Target::finish`]; then [`verify`] opens an engine and reads every entry.
//!
//! Nothing here knows how bytes are stored. Sources are opened read-only; RocksDB, which writes a `LOG` even into a
//! folder it opens read-only, only ever sees a scratch folder of symbolic links ([`rocks`]).

#![deny(clippy::indexing_slicing)]

pub mod attributes;
mod beneath;
pub mod config;
pub mod cut;
pub mod engine;
mod error;
pub mod facts;
mod fields;
pub mod live;
mod live_tables;
mod log_reader;
mod manifest_facts;
mod options;
pub mod path;
pub mod rocks;
mod root;
mod scheme;
mod source_file;
pub mod target;
mod tree;
mod verify;
mod write_ahead_log;

pub use attributes::{Attributes, Stamp, Timestamp};
pub use config::ClusterFile;
pub use cut::{CutViolation, LogPosition, Replica, check_cut, last_wal_position, positions, raft_wal_folder};
pub use engine::{Engine, EngineFile, FileKind, Identity, LeftOut, LeftOutReason, Survey, Warning, survey};
pub use error::{Error, Result};
pub use facts::{ColumnFamily, EngineFacts};
pub use live::Freeze;
pub use live_tables::{LiveFamily, LiveTable, LiveTables, live_tables};
pub use manifest_facts::manifest_facts;
pub use options::{ForeignPath, OptionsFile};
pub use root::Root;
pub use scheme::PartitionScheme;
pub use source_file::{Segment, SegmentKind, Segments, SourceFile};
pub use target::{Finished, Node, Target, TargetFile, TargetOptions};
pub use tree::{Entry, Kind, walk};
pub use verify::{Verified, verify};
pub use write_ahead_log::{Logged, read_log};

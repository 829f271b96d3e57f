//! A repository on an object store: packs, index, keys, sessions, manifests.
//!
//! The way of a chunk in: `Writer::claim` asks whether it is there already, `Writer::submit` hands it to workers that
//! compress it into a pack; a full pack is opened again, uploaded, and only then counted; `Writer::commit` writes the
//! index segment and the manifest. The way out: `Repository::reader` finds the chunk's packs in the local index, fetches
//! neighbouring frames in one request and checks every chunk against its id.
//!
//! Nothing here knows what an SST is.

#![deny(clippy::indexing_slicing)]

pub mod audit;
pub mod environment;
pub mod error;
mod frame_cache;
pub mod index;
pub mod keyring;
pub mod known;
pub mod listing;
pub mod manifests;
pub mod notes;
mod pack_pipeline;
pub mod prune;
mod read_many;
pub mod reader;
pub mod repository;
pub mod scratch;
mod segment_levels;
pub mod session;
pub mod store;
pub mod tables;
pub mod view;
pub mod writer;

pub use environment::{Environment, SystemEnvironment};
pub use error::{RepoError, Result};
pub use frame_cache::RUN_CACHE_BYTES;
pub use index::INDEX_CACHE_BYTES;
pub use repository::{InitOptions, OpenOptions, Repository};
pub use store::{RequestCounter, RequestCounts, Store, StoreOpening, StoreOptions, Variables};
pub use writer::{Claim, Effort, Writer, WriterOptions};

//! Every byte Esker stores, as types with an encoder and a decoder.
//!
//! One module mirrors one chapter of `format-spec/`; whoever looks for the code of a chapter finds it in the file of the
//! same name. Nothing here reads or writes a file or a socket. Every decoder takes hostile input: it returns an error
//! that says what is wrong and where, it never panics, and it never allocates more than a small multiple of the bytes
//! it was given (or of a length that was authenticated before).

#![deny(clippy::indexing_slicing)]

pub mod audit;
pub mod config;
pub mod doomed;
pub mod engine;
pub mod entry_set;
pub mod error;
pub mod file_table;
pub mod formats;
pub mod ids;
pub mod index_segment;
pub mod key;
pub mod layout;
pub mod limits;
pub mod manifest;
pub mod note;
pub mod pack;
pub mod recipe;
pub mod run;
pub mod seal;
pub mod sealed_object;
pub mod session;
pub mod signing;
pub mod sorted_totals;
pub mod sparse_run;
pub mod table;
pub mod table_recipe;
mod trailers;
pub mod verification;
pub mod wire;

pub use error::{FormatError, Result};
pub use ids::{ChunkId, ObjectId, RepositoryId, SessionId};

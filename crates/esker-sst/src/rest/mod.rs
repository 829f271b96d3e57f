//! What follows the data blocks of a table: built again from the entries where that gives the same bytes, kept as bytes
//! where not.
//!
//! ```text
//! data blocks | filter (partitions, top) | index (partitions, top) | dictionary, range deletions, properties … footer
//!               built                      built                     kept
//! ```
//!
//! Filters are random bits and would be a few percent of everything stored; an index repeats keys and offsets. Both follow
//! from the keys and from where the blocks stand: [`TableFacts`], gathered while the data blocks are read or rebuilt.
//! [`plan`] proposes how each block was made, builds it, and describes it by a [`BuiltBlock`] only if that gave the very
//! bytes of the file. [`RestBuilder`] builds from these descriptions.
//!
//! Kept: ribbon filters, filters with prefixes, blocks by a comparator whose separators are none of [`SeparatorRule`], the
//! top of a filter that is cut inside data blocks, and whatever else does not come out equal.

mod bloom;
mod build;
mod built_block;
mod encoders;
mod facts;
mod fault;
mod filter_keys;
mod index_form;
mod index_writer;
mod plan;
mod proposal;
mod separator;
mod stored_rest;
mod xxph3;

pub use bloom::BloomForm;
pub use build::RestBuilder;
pub use built_block::{BuiltBlock, FilterRange};
pub use facts::TableFacts;
pub use fault::RestFault;
pub use filter_keys::{FilterKeys, KeyHash};
pub use index_form::IndexForm;
pub use plan::{RestPart, plan};
pub use separator::SeparatorRule;

//! From a file to its recipe and back, without I/O.
//!
//! `RecipeBuilder` is fed a file's segments in order and says what to store; `Operation`s carried out in order give the
//! file back. Files are cut by content (FastCDC), so an insertion moves no cut but those around it.

#![deny(clippy::indexing_slicing)]

pub mod chunker;
pub mod recipe_builder;
pub mod sorted;

pub use chunker::Chunker;
pub use recipe_builder::RecipeBuilder;

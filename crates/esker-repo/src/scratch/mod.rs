//! What must not grow in memory with the repository: a small amount stays there, more goes to this machine's disk.
//!
//! [`ScratchMap`] is asked and changed at any time; [`ScratchRows`] are written first and read once then, in the order of
//! their keys, which costs a fraction of it.

mod folder;
mod map;
mod rows;

pub use map::ScratchMap;
pub use rows::{ScratchRows, SortedRows};

//! The verbs of Esker, for any front end: each takes a request, reports progress, and returns a report that serializes.
//!
//! Nothing here parses an SST, lays out a pack or prints a line.

pub mod audit;
pub mod backup;
pub mod catalog;
pub mod copy;
pub mod diff;
pub mod dump;
pub mod error;
pub mod forget;
pub mod fsck;
pub mod job;
pub mod keys;
pub mod prune;
mod rebuild;
pub mod repair;
pub mod restore;
pub mod rows;
mod run_cache;
pub mod select;
pub mod sorted_report;
pub mod stats;
mod sweep;
pub mod thaw;
pub mod time;
mod walk_left;

pub use error::{OpsError, Result};
pub use job::{Cancel, Job, Progress, Silent};

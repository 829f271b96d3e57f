//! Engines in a host's listing: found, named, and split from what is taken as bytes.
//!
//! A folder is an engine if it holds `CURRENT` and a `MANIFEST-n` (or tables, in which case the missing MANIFEST is
//! named as damage). Only files directly in that folder are the engine's; everything else is loose.

mod current;
mod folders;
mod identity;
mod kind;
mod left_out;
mod naming;
mod survey;
mod warning;

pub use identity::Identity;
pub use kind::FileKind;
pub use left_out::{Count, LeftOut, LeftOutReason};
pub use survey::{Engine, EngineFile, Survey, survey};
pub use warning::Warning;

pub(crate) use current::manifest_named_in;

//! What a backup or restore of one host does, told on real RocksDB folders. One binary, as each links RocksDB.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail as loudly as the tests do")]

mod cluster_file;
mod cut;
mod live_engine;
mod restore;
mod samples;
mod source_file;
mod survey;
mod verify;
mod walk;

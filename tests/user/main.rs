//! Esker as the people who run it meet it: the binary with its exit codes and its words, and where no user could bring a
//! moment about (a store that fails at its n-th request, a clock of another century), the verbs behind it.
// A test's panic is its report.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kit;

mod at_random;
mod audit;
mod cache;
mod cold;
mod copied_over;
mod copy;
mod damage;
mod finding;
mod flipped;
mod golden;
mod guard_rails;
mod interrupted;
mod key_diff;
mod keys;
mod main_job;
mod names;
mod object_lock;
mod outages;
mod output;
mod power_cut;
mod prune;
mod repair;
mod replica_check;
mod replicas;
mod retention;
mod run_cache;
mod sorted;
mod sources;
mod sparse;
mod store_credentials;
mod stores;
mod together;
mod troubled_line;
mod twins;

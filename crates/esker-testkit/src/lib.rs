//! What Esker's tests, demo and benches run against: engines that churn, sample clusters, a store
//! that fails on demand, and clocks and randomness that can be replayed from a seed.
//!
//! * [`workload`]: one RocksDB engine with NebulaGraph-like content, its churn and its checkpoints.
//! * [`cluster`]: hosts that each hold engines of several spaces, replicas fed the same writes.
//! * [`faulty_store`]: an object store that fails, lies or refuses as a test has planned.
//! * [`server`]: object stores to talk to, real and made up, and lines to them that fail.
//! * [`scheduler`]: actors over one store that take turns as a seed says.
//! * [`seeded`]: randomness from a seed and a clock that only moves when told to.
//! * [`tree`]: whether two directory trees are the same, down to modes and nanoseconds.
//!
//! Nothing here is linked into the `esker` binary.
// Test code: a panic is its error report.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod cluster;
pub mod faulty_store;
pub mod scheduler;
pub mod seeded;
pub mod server;
pub mod tree;
pub mod workload;

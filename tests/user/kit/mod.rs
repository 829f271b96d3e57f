//! What the stories are told with: the binary, sample hosts, and repositories in memory.

mod esker;
mod hosts;
mod service;
mod shelf;

pub use esker::{Esker, Run, hex, hex_name, id_of, names, number};
pub use hosts::{Host, assert_restored, checkpoint_of, comes_back, host, noise, quick_folder, small_engine};
pub use service::{SMALL_PACKS, Service, backup_of, noisy_days};
pub use shelf::{Moment, Shelf, TestEnvironment, doom, job, job_during, request};

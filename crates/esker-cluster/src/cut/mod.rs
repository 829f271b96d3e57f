//! The cut: where Raft stood, per replica of a partition. Checked, not believed.

mod check;
mod positions;
mod raft_wal;

pub use check::{CutViolation, check_cut};
pub use positions::{Replica, positions};
pub use raft_wal::{LogPosition, last_wal_position, raft_wal_folder};

pub(crate) use positions::positions_in;

//! engine commit <= cut <= last id of the Raft log.

use crate::Replica;

/// Why a given cut does not hold for a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CutViolation {
    /// The engine holds writes behind the cut; nothing takes them back.
    #[error("the engine of partition {partition} is at commit id {commit_id}, behind which the cut {cut} stands")]
    EnginePastCut {
        /// The partition.
        partition: u32,
        /// What the engine has applied.
        commit_id: u64,
        /// The cut asked for.
        cut: u64,
    },
    /// The log ends before the cut; the entries up to it are nowhere.
    #[error("the cut {cut} of partition {partition} lies past {last_log_id}, the last id of its log")]
    CutPastLog {
        /// The partition.
        partition: u32,
        /// The cut asked for.
        cut: u64,
        /// The last id that can be reached.
        last_log_id: u64,
    },
}

impl CutViolation {
    /// The partition concerned.
    pub fn partition(&self) -> u32 {
        match *self {
            Self::EnginePastCut { partition, .. } | Self::CutPastLog { partition, .. } => partition,
        }
    }
}

/// Checks a given cut against a replica. Without a Raft log (`last_log_id` is `None`) only the engine's own commit id
/// can be reached.
///
/// # Errors
/// The bound that is broken.
pub fn check_cut(replica: &Replica, cut: u64, last_log_id: Option<u64>) -> Result<(), CutViolation> {
    let Replica { partition, commit_id, .. } = *replica;
    let last_log_id = last_log_id.unwrap_or(commit_id);
    if cut < commit_id {
        Err(CutViolation::EnginePastCut { partition, commit_id, cut })
    } else if cut > last_log_id {
        Err(CutViolation::CutPastLog { partition, cut, last_log_id })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_are_inclusive_and_typed() {
        let replica = Replica { partition: 3, commit_id: 10, term: 2 };
        assert_eq!(check_cut(&replica, 10, Some(12)), Ok(()));
        assert_eq!(check_cut(&replica, 12, Some(12)), Ok(()));
        assert_eq!(check_cut(&replica, 10, None), Ok(()));
        let past = CutViolation::EnginePastCut { partition: 3, commit_id: 10, cut: 9 };
        assert_eq!(check_cut(&replica, 9, Some(12)), Err(past));
        let beyond = |cut, last_log_id| Err(CutViolation::CutPastLog { partition: 3, cut, last_log_id });
        assert_eq!(check_cut(&replica, 13, Some(12)), beyond(13, 12));
        assert_eq!(check_cut(&replica, 11, None), beyond(11, 10));
    }
}

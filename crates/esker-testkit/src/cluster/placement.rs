//! Which hosts hold the replicas of a partition.

use std::collections::BTreeSet;

use super::ClusterSpec;
use crate::seeded::{SplitMix64, mix64};

/// The hosts of every partition of one space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// By partition, from partition 1; the first host is the leader's.
    hosts: Vec<Vec<u32>>,
}

impl Placement {
    /// Replicas stand on neighbouring hosts; the first is drawn with a bias towards host 0, as
    /// balancing that was never run leaves it.
    pub(super) fn of_space(spec: &ClusterSpec, space: u32) -> Self {
        let mut random = SplitMix64::new(mix64(spec.workload.seed ^ u64::from(space)));
        let hosts = (0..spec.workload.partitions)
            .map(|_| {
                let first = (random.unit().powi(2) * f64::from(spec.hosts)) as u32;
                (first..first + spec.replication).map(|host| host % spec.hosts).collect()
            })
            .collect();
        Self { hosts }
    }

    /// The hosts of a partition (from 1), the leader's first.
    #[must_use]
    pub fn hosts_of(&self, partition: u32) -> &[u32] {
        &self.hosts[partition as usize - 1]
    }

    /// The partitions with a replica on a host.
    #[must_use]
    pub fn partitions_on(&self, host: u32) -> BTreeSet<u32> {
        (1..).zip(&self.hosts).filter(|(_, hosts)| hosts.contains(&host)).map(|(partition, _)| partition).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_hosts_hold_three_replicas_unevenly() {
        let spec = ClusterSpec { hosts: 5, ..ClusterSpec::default() };
        let placement = Placement::of_space(&spec, 1);
        for partition in 1..=16 {
            let distinct: BTreeSet<u32> = placement.hosts_of(partition).iter().copied().collect();
            assert_eq!(distinct.len(), 3);
        }
        let held: BTreeSet<usize> = (0..5).map(|host| placement.partitions_on(host).len()).collect();
        assert!(held.len() > 1, "{held:?}");
    }
}

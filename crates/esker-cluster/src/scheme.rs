//! How an engine's keys are cut into partitions.

use serde::Deserialize;

/// A cluster's partition scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartitionScheme {
    /// Engines are not partitioned, or nothing is known of it: no cut is recorded.
    #[default]
    None,
    /// NebulaGraph 3: each partition keeps its commit id and term in the engine.
    Nebula,
}

impl PartitionScheme {
    /// The name in cluster files and manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Nebula => "nebula",
        }
    }
}

//! Exit codes, the same for every verb.

use std::process::ExitCode;

use esker_ops::OpsError;
use esker_repo::RepoError;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed; nothing that was stored is lost.
    Failed = 1,
    /// Called wrongly.
    Usage = 2,
    /// Damage was found.
    Damage = 3,
    /// Done, with named warnings.
    Warnings = 4,
    /// Somebody asked to stop.
    Cancelled = 130,
}

impl Exit {
    /// The code for an error.
    pub fn of(error: &OpsError) -> Self {
        match error {
            OpsError::Usage(_) | OpsError::Repository(RepoError::Setting(_)) => Self::Usage,
            OpsError::In { error, .. } => Self::of(error),
            OpsError::Cancelled | OpsError::Repository(RepoError::Cancelled) => Self::Cancelled,
            OpsError::Cluster(esker_cluster::Error::ClusterFile { .. } | esker_cluster::Error::TargetNotEmpty(_)) => Self::Usage,
            OpsError::Repository(error) if error.is_too_new() => Self::Failed,
            OpsError::Repository(RepoError::PruneStopped(_)) => Self::Damage,
            error if error.is_damage() => Self::Damage,
            _ => Self::Failed,
        }
    }

    /// Done, with or without warnings.
    pub fn warned(warned: bool) -> Self {
        if warned { Self::Warnings } else { Self::Done }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

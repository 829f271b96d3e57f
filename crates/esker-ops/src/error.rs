//! What a verb can end with other than its report.

use esker_dedup::sorted::SortedError;
use esker_repo::{RepoError, Repository};
use thiserror::Error;

/// The result of every verb.
pub type Result<T> = std::result::Result<T, OpsError>;

/// Why a verb did not do what was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpsError {
    /// The repository.
    #[error(transparent)]
    Repository(#[from] RepoError),
    /// One of the two repositories that a verb works with.
    #[error("{repository}: {error}")]
    In {
        /// Where it is.
        repository: String,
        /// What went wrong there.
        error: Box<OpsError>,
    },
    /// A source or target.
    #[error(transparent)]
    Cluster(#[from] esker_cluster::Error),
    /// The request makes no sense or names what is not there.
    #[error("{0}")]
    Usage(String),
    /// What was read back is not what the manifest promises.
    #[error("{0}")]
    Damage(String),
    /// A file cannot be rebuilt because this program lacks a compressor that RocksDB made it with.
    #[error("{0}; use the esker that made the backup, or a newer one")]
    Encoder(String),
    /// What is stored may be whole, but this program cannot make sense of it.
    #[error("{0}")]
    Unreadable(String),
    /// Packs were asked for that must thaw before they can be read.
    #[error(
        "{packs} packs ({} MiB) are in cold storage and thawing now: run the same command again when they can be read, or with \
         --wait-for-thaw; what was restored stays",
        .bytes >> 20
    )]
    Thawing {
        /// How many.
        packs: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// A check wanted to read packs that are in cold storage.
    #[error("{packs} packs are in cold storage, {first} is the first: --level structure is as deep as fsck can look until they are thawed")]
    ColdPacks {
        /// How many.
        packs: u64,
        /// The path of one.
        first: String,
    },
    /// A prune did not wait for a reader that gave no sign of life.
    #[error("a prune took this {0} for dead and deleted packs meanwhile: what it found says nothing, run it again")]
    Overtaken(&'static str),
    /// The backup that was being read is no more.
    #[error("backup {0} was forgotten meanwhile, and a prune deleted what it needs")]
    Forgotten(String),
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The manifest was sent, but whether it arrived is not known.
    #[error("{error}; whether the backup was committed is not known: see esker list (session {session})")]
    Uncertain {
        /// The session that sent it.
        session: esker_format::SessionId,
        /// What went wrong.
        error: Box<RepoError>,
    },
    /// A local file could not be used.
    #[error("cannot {action} {path}: {source}")]
    Local {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl From<SortedError> for OpsError {
    fn from(error: SortedError) -> Self {
        match error {
            SortedError::Read(source) => match source.downcast::<esker_cluster::Error>() {
                Ok(error) => Self::Cluster(error),
                Err(source) => Self::Local { action: "read", path: "a table".into(), source },
            },
            SortedError::Encoder { .. } => Self::Encoder(error.to_string()),
            SortedError::Format(_) | SortedError::Recipe(_) => Self::Damage(error.to_string()),
        }
    }
}

impl OpsError {
    /// Whether stored bytes are lost or wrong.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Repository(error) => error.is_damage(),
            Self::Damage(_) => true,
            Self::In { error, .. } => error.is_damage(),
            _ => false,
        }
    }

    /// Whether a local cache was found damaged and removed: the verb may simply begin again.
    pub fn is_damaged_cache(&self) -> bool {
        match self {
            Self::Repository(error) => matches!(error, RepoError::CacheDamaged { .. }),
            Self::In { error, .. } => error.is_damaged_cache(),
            _ => false,
        }
    }

    /// Says in which of two repositories it happened.
    pub(crate) fn within<E: Into<Self>>(repository: &Repository) -> impl FnOnce(E) -> Self {
        move |error| match error.into() {
            Self::Cancelled => Self::Cancelled,
            error => Self::In { repository: repository.store().location().to_owned(), error: Box::new(error) },
        }
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }
}

//! What can go wrong with a repository, each naming the object.

use esker_format::layout::ObjectKind;
use esker_format::{ChunkId, FormatError, SessionId};
use thiserror::Error;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, RepoError>;

/// Why a repository could not be used as asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RepoError {
    /// The store has no such object.
    #[error("{path} is missing")]
    Missing {
        /// Path of the object in the repository.
        path: String,
    },
    /// The store failed.
    #[error("cannot {action} {path}: {why}")]
    Store {
        /// `read`, `write`, `list` or `delete`.
        action: &'static str,
        /// Path of the object in the repository.
        path: String,
        /// The store's own words.
        why: String,
        /// Whether it ran out of room.
        full: bool,
        /// Whether it understood and would not: by its rights, or because the object is locked.
        refused: bool,
    },
    /// An object is in a storage class that cannot be read at once.
    #[error("{path} is in cold storage and cannot be read before it is thawed; esker restore asks for the packs it needs")]
    Cold {
        /// Path of the object in the repository.
        path: String,
    },
    /// An object is there but its bytes are wrong.
    #[error("{path}: {source}")]
    Object {
        /// Path of the object in the repository.
        path: String,
        /// What is wrong.
        source: FormatError,
    },
    /// An object's bytes do not hash to its name.
    #[error("{path} is damaged: its bytes do not hash to its name")]
    WrongName {
        /// Path of the object in the repository.
        path: String,
    },
    /// No pack that can be read holds a chunk.
    #[error("chunk {chunk} is lost: {why}")]
    ChunkLost {
        /// The chunk.
        chunk: ChunkId,
        /// Every place that was tried, with its fault.
        why: String,
    },
    /// Location, options or credentials of a store do not fit.
    #[error("{0}")]
    Setting(String),
    /// The location holds no repository.
    #[error("{location} is not an Esker repository: {why}")]
    NotARepository {
        /// The location as given.
        location: String,
        /// What was found instead.
        why: String,
    },
    /// `init` found something there.
    #[error("{location} already holds {found}: init needs an empty place")]
    NotEmpty {
        /// The location as given.
        location: String,
        /// The first thing found.
        found: String,
    },
    /// The store lacks what a repository cannot do without.
    #[error("{location} cannot hold a repository: {why}")]
    Unfit {
        /// The location.
        location: String,
        /// What is lacking.
        why: &'static str,
    },
    /// The repository is encrypted and no secret was given.
    #[error("the repository is encrypted: give its passphrase with --passphrase-file, ESKER_PASSPHRASE or at the prompt")]
    NoPassphrase,
    /// No key object opens.
    #[error("wrong passphrase or recovery key{detail}")]
    WrongPassphrase {
        /// Damaged key objects, if there are any.
        detail: String,
    },
    /// The config says that the repository is not encrypted, which this client has reason not to believe.
    #[error("refused: {location} says that it is not encrypted, but {why}: its config may have been swapped")]
    EncryptionVanished {
        /// The location as given.
        location: String,
        /// Why it should be encrypted.
        why: &'static str,
    },
    /// The config is not the one that the key was made for.
    #[error("refused: the config of {location} is not the one its keys were made for: it was changed or swapped")]
    ConfigSwapped {
        /// The location as given.
        location: String,
    },
    /// The last key may not go.
    #[error("{0} is the only key: without it nobody could open the repository again; add another first")]
    LastKey(String),
    /// The session was declared dead by a prune.
    #[error("session {0} was fenced: a prune took this writer for dead, so its backup may not count; run it again")]
    Fenced(SessionId),
    /// A prune saw something that it must not pass over.
    #[error("prune stopped and deleted nothing: {0}")]
    PruneStopped(String),
    /// A prune waited as long as it may.
    #[error("prune gave up and deleted nothing: {0}")]
    PruneGaveUp(String),
    /// A local file of the cache could not be used.
    #[error("cannot use the cache at {path}: {why}")]
    Cache {
        /// The file or folder.
        path: String,
        /// Why not.
        why: String,
    },
    /// A local index was damaged, and is removed.
    #[error("the cache at {path} was damaged ({why}) and is removed: run the command again, and it is made anew")]
    CacheDamaged {
        /// The folder that was removed.
        path: String,
        /// What was wrong.
        why: String,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Randomness(String),
    /// The work was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// A worker thread ended without saying why.
    #[error("internal: {0}")]
    Internal(String),
}

impl RepoError {
    /// Puts an object's path to a format error.
    pub fn object(path: impl Into<String>) -> impl FnOnce(FormatError) -> Self {
        let path = path.into();
        move |source| Self::Object { path, source }
    }

    /// Whether a newer Esker wrote the object, which no repair can mend.
    pub fn is_too_new(&self) -> bool {
        matches!(self, Self::Object { source, .. } if source.is_too_new())
    }

    /// Whether stored bytes are lost, wrong or in a format that this version does not know, as opposed to out of reach for
    /// now. What else can be read is read all the same.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::WrongName { .. } | Self::ChunkLost { .. } | Self::Object { .. })
    }

    /// Whether the store understood and would not.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Store { refused: true, .. })
    }

    /// Shorthand for a sealed object that could not be opened.
    pub(crate) fn kind(kind: ObjectKind, source: FormatError) -> Self {
        Self::Object { path: kind.name().to_owned(), source }
    }
}

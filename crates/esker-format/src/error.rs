//! What can be wrong with stored bytes.

use thiserror::Error;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, FormatError>;

/// Why bytes could not be decoded, opened or produced.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The bytes end before the named field does.
    #[error("cut short: {field} needs {needed} bytes at offset {offset}, {left} are left")]
    CutShort {
        /// The field being read.
        field: &'static str,
        /// Where it starts, in bytes from the start of the payload.
        offset: usize,
        /// How many bytes it needs.
        needed: u64,
        /// How many there are.
        left: usize,
    },
    /// Bytes follow the last field.
    #[error("{extra} bytes follow the end of the {what}")]
    TrailingBytes {
        /// The record that ended too early.
        what: &'static str,
        /// How many bytes follow it.
        extra: usize,
    },
    /// A field holds a value that the format does not allow.
    #[error("{field} holds {found}, which the format does not allow")]
    BadValue {
        /// The field.
        field: &'static str,
        /// What it holds.
        found: String,
    },
    /// A length or count is over its named limit.
    #[error("{field} is {found}, over its limit of {limit}")]
    OverLimit {
        /// The field.
        field: &'static str,
        /// The value found.
        found: u64,
        /// The limit, see `limits`.
        limit: u64,
    },
    /// The object is not Esker's, or of another kind.
    #[error("not an Esker {expected}: {found}")]
    WrongKind {
        /// The kind that was asked for.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A newer Esker wrote this.
    #[error("written in format {found} of the {what}, this esker reads up to format {known}: use a newer esker")]
    TooNew {
        /// The kind of object.
        what: &'static str,
        /// The format it is in.
        found: u16,
        /// The newest format known here.
        known: u16,
    },
    /// Authentication or checksum failed: the bytes are not those that were written.
    #[error("{what} is damaged: its authentication tag or checksum does not match")]
    Damaged {
        /// What was being opened.
        what: &'static str,
    },
    /// The bytes decode, but not to the content that their id promises.
    #[error("chunk {id} is damaged: its content does not hash to its id")]
    WrongContent {
        /// The id asked for.
        id: crate::ChunkId,
    },
    /// Sealed in another mode than the repository's.
    #[error("{what} is {found} but the repository is {expected}")]
    WrongMode {
        /// The kind of object.
        what: &'static str,
        /// How the object is sealed.
        found: &'static str,
        /// How the repository seals.
        expected: &'static str,
    },
    /// A passphrase or recovery key does not open this key object.
    #[error("wrong passphrase or recovery key")]
    WrongPassphrase,
    /// A compressor, cipher or derivation refused its input.
    #[error("{what} failed: {why}")]
    Codec {
        /// The step that failed.
        what: &'static str,
        /// The library's own words.
        why: String,
    },
}

impl FormatError {
    /// Whether the fault is that this program is older than the data, which no repair can mend.
    pub fn is_too_new(&self) -> bool {
        matches!(self, Self::TooNew { .. })
    }
}

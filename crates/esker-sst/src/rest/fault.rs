//! Why a block behind the data blocks cannot be built.

use crate::encoder::EncoderFault;

/// What is wrong with a description of a block, or with what it is built from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestFault {
    /// The numbers are none that a description was turned into.
    #[error("the description of a block is malformed")]
    Malformed,

    /// The description speaks of blocks or keys that the table does not have, or hashes keys otherwise than its facts.
    #[error("the description of a block does not fit the table: {what}")]
    OutOfRange {
        /// What does not fit.
        what: &'static str,
    },

    /// The block would exceed what offsets of 32 bits can address.
    #[error("a block is larger than 4 GiB")]
    TooLarge,

    /// The block's encoder is not to be had, or failed.
    #[error(transparent)]
    Encoder(#[from] EncoderFault),
}

//! Objects served with other bytes than those stored.

use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt};
use object_store::path::Path;
use object_store::{Error, GetOptions, GetResult, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt, Result};

use super::STORE_NAME;

/// How the bytes served differ from the bytes stored. The object's size follows the bytes served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alteration {
    /// Only the first `bytes` of the object.
    Truncated {
        /// How many are left.
        bytes: u64,
    },
    /// One bit inverted: bit 0 is the lowest of the first byte. Beyond the end nothing changes.
    FlippedBit {
        /// Which bit.
        bit: u64,
    },
    /// Another object's bytes.
    Other(Path),
}

impl Alteration {
    /// The bytes served for `path`.
    pub(super) async fn bytes(&self, store: &dyn ObjectStore, path: &Path) -> Result<Bytes> {
        let source = match self {
            Self::Other(other) => other,
            _ => path,
        };
        let stored = store.get(source).await?.bytes().await?;
        Ok(match self {
            Self::Truncated { bytes } => stored.slice(..stored.len().min(*bytes as usize)),
            Self::FlippedBit { bit } => flip(stored, *bit),
            Self::Other(_) => stored,
        })
    }

    /// Answers a read of `path`, whole or in part, from the bytes served.
    pub(super) async fn get(&self, store: &dyn ObjectStore, path: &Path, options: GetOptions) -> Result<GetResult> {
        let bytes = self.bytes(store, path).await?;
        let meta = ObjectMeta { size: bytes.len() as u64, ..store.head(path).await? };
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            None => 0..meta.size,
            Some(range) => range.as_range(meta.size).map_err(out_of_range)?,
        };
        let part = bytes.slice(range.start as usize..range.end as usize);
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::once(async { Ok(part) }).boxed()),
            meta,
            range,
            attributes: Default::default(),
            extensions: Default::default(),
        })
    }
}

fn flip(stored: Bytes, bit: u64) -> Bytes {
    let mut bytes = BytesMut::from(&stored[..]);
    if let Some(byte) = bytes.get_mut((bit / 8) as usize) {
        *byte ^= 1 << (bit % 8);
    }
    bytes.freeze()
}

fn out_of_range(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic { store: STORE_NAME, source: Box::new(source) }
}

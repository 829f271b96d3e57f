//! The hash index of a data block: from a user key to the restart behind which it stands.
//!
//! Source: table/block_based/data_block_hash_index.{h,cc}, RocksDB 11.8.

use crate::block_fault::BlockFault;
use crate::internal_key::user_key;
use crate::murmur::murmur;

/// Seed of `GetSliceHash`, util/hash.h.
const SEED: u32 = 397;
/// `kNoEntry`: no key falls into the bucket.
const NO_ENTRY: u8 = 255;
/// `kCollision`: keys of several restarts do.
const COLLISION: u8 = 254;
/// `kMaxRestartSupportedByHashIndex`: a block with more restarts gets no hash index.
const MAX_RESTART: usize = 253;

/// Empties the hash index of a block of so many buckets.
pub(super) fn clear(buckets: &mut Vec<u8>, count: u16) {
    buckets.clear();
    buckets.resize(usize::from(count), NO_ENTRY);
}

/// Adds an entry that stands behind a restart of this number. There is at least one bucket.
pub(super) fn add(buckets: &mut [u8], key: &[u8], restart: usize) -> Result<(), BlockFault> {
    let restart = match restart {
        restart @ ..=MAX_RESTART => restart as u8,
        _ => return Err(BlockFault::NotExpressible { what: "too many restarts for a hash index" }),
    };
    let user_key = user_key(key).ok_or(BlockFault::corrupt("a key is shorter than its trailer"))?;
    let bucket = (murmur(SEED, user_key) as usize).checked_rem(buckets.len());
    if let Some(slot) = bucket.and_then(|bucket| buckets.get_mut(bucket)) {
        *slot = if *slot == NO_ENTRY || *slot == restart { restart } else { COLLISION };
    }
    Ok(())
}

//! The hash index of a data block: from a user key to the restart behind which it stands.
//!
//! Source: table/block_based/data_block_hash_index.{h,cc}, RocksDB 11.8.

use std::ops::Range;

use crate::block_fault::BlockFault;
use crate::entries::Entries;
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

/// Appends the hash index of the entries in `range`, of which every `interval` share a restart: `buckets` bytes, then their
/// number. `buckets` is not 0.
pub(super) fn append(entries: &Entries, range: Range<usize>, interval: usize, buckets: u16, out: &mut Vec<u8>) -> Result<(), BlockFault> {
    let start = out.len();
    out.resize(start + usize::from(buckets), NO_ENTRY);
    let table = out.get_mut(start..).unwrap_or_default();
    for (place, index) in range.enumerate() {
        let restart = match place.checked_div(interval) {
            Some(restart @ ..=MAX_RESTART) => restart as u8,
            _ => return Err(BlockFault::NotExpressible { what: "too many restarts for a hash index" }),
        };
        let user_key = user_key(entries.key(index)).ok_or(BlockFault::corrupt("a key is shorter than its trailer"))?;
        let bucket = murmur(SEED, user_key) % u32::from(buckets);
        if let Some(slot) = table.get_mut(bucket as usize) {
            *slot = if *slot == NO_ENTRY || *slot == restart { restart } else { COLLISION };
        }
    }
    out.extend_from_slice(&buckets.to_le_bytes());
    Ok(())
}

//! Which partition a key of NebulaGraph belongs to.
//!
//! A key begins with `LE32(partition << 8 | type)`: one byte of type, three of partition (src/common/utils/NebulaKeyUtils,
//! NebulaGraph 3). Types go from 1 to 9; 4 is what a replica keeps for itself: how far it has applied the Raft log, that it
//! has the partition, and its peers.

use super::ranges::KeyRange;

/// The highest type that a key of a partition may have, with room for a few more than there are.
const TYPE_MAX: u8 = 15;
/// The type of what a replica keeps for itself.
const SYSTEM: u8 = 4;

/// The partition of a key; `None` if the key belongs to none.
pub(super) fn partition_of(key: &[u8]) -> Option<u32> {
    let (&[kind, low, middle, high], _) = key.split_first_chunk::<4>()?;
    (1..=TYPE_MAX).contains(&kind).then_some(u32::from_le_bytes([low, middle, high, 0]))
}

/// Whether a replica keeps the entry for itself.
pub(super) fn is_of_replica(key: &[u8]) -> bool {
    key.first() == Some(&SYSTEM)
}

/// The keys that partitions may have. Nothing else stands between them.
pub(super) fn ranges_of(partitions: impl Iterator<Item = u32> + Clone) -> Vec<KeyRange> {
    let prefixes = (1..=TYPE_MAX).flat_map(|kind| {
        partitions.clone().map(move |partition| {
            let [low, middle, high, _] = partition.to_le_bytes();
            [kind, low, middle, high]
        })
    });
    prefixes.map(|prefix| KeyRange::of_prefix(&prefix)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_partition() {
        assert_eq!(partition_of(&[1, 7, 0, 0, b'v']), Some(7));
        assert_eq!(partition_of(&[9, 0, 1, 0]), Some(256));
        assert_eq!(partition_of(&[0xff; 4]), None);
        assert_eq!(partition_of(&[1, 7, 0]), None);
        assert!(is_of_replica(&[4, 1, 0, 0, 1, 0, 0, 0]));
        assert_eq!(ranges_of([7, 300].into_iter()).len(), 30);
    }
}

//! RocksDB's old 32-bit hash.

/// MurmurHash1, except that the last one to three bytes are added as signed numbers, and only the lower 32 bits of the length
/// count.
///
/// Source: `Hash`, util/hash.cc, RocksDB 11.8.
pub(crate) fn murmur(seed: u32, key: &[u8]) -> u32 {
    const MULTIPLIER: u32 = 0xc6a4_a793;
    let (words, last) = key.as_chunks::<4>();
    let mut hash = seed ^ (key.len() as u32).wrapping_mul(MULTIPLIER);
    for word in words {
        hash = hash.wrapping_add(u32::from_le_bytes(*word)).wrapping_mul(MULTIPLIER);
        hash ^= hash >> 16;
    }
    if !last.is_empty() {
        for (place, byte) in last.iter().enumerate() {
            hash = hash.wrapping_add((i32::from(*byte as i8) as u32) << (8 * place));
        }
        hash = hash.wrapping_mul(MULTIPLIER);
        hash ^= hash >> 24;
    }
    hash
}

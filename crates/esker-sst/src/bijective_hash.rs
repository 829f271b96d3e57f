//! A mixing of 128 bits that loses nothing.

/// Mixes (`high`, `low`) into (high, low), one to one.
///
/// Source: `BijectiveHash2x64` with seed 0, util/hash.cc, RocksDB 11.8, which adapts `XXH3_len_9to16_128b` of xxHash. The
/// constants are its secret, its primes and `(16 - 1) << 54`.
pub(crate) fn bijective_hash(high: u64, low: u64) -> (u64, u64) {
    const SECRET_LOW: u64 = 0x5997_3f00_3336_2349;
    const SECRET_HIGH: u64 = 0xc202_7976_92d6_3d58;
    const PRIME64_1: u64 = 0x9e37_79b1_85eb_ca87;
    const PRIME64_2: u64 = 0xc2b2_ae3d_27d4_eb4f;
    const PRIME32_2_LESS_1: u64 = 0x85eb_ca76;

    let (product_high, product_low) = multiply(low ^ high ^ SECRET_LOW, PRIME64_1);
    let mut low = product_low.wrapping_add(0x03c0_0000_0000_0000);
    let flipped = high ^ SECRET_HIGH;
    let spread = (flipped & u64::from(u32::MAX)).wrapping_mul(PRIME32_2_LESS_1);
    let mut high = product_high.wrapping_add(flipped).wrapping_add(spread);
    low ^= high.swap_bytes();
    let (product_high, product_low) = multiply(low, PRIME64_2);
    high = product_high.wrapping_add(high.wrapping_mul(PRIME64_2));
    (avalanche(high), avalanche(product_low))
}

/// Upper and lower half of the full product.
fn multiply(a: u64, b: u64) -> (u64, u64) {
    let product = u128::from(a) * u128::from(b);
    ((product >> 64) as u64, product as u64)
}

/// Source: `XXH3_avalanche`, util/hash.cc, RocksDB 11.8.
fn avalanche(mut value: u64) -> u64 {
    value ^= value >> 37;
    value = value.wrapping_mul(0x1656_6791_9e37_79f9);
    value ^ (value >> 32)
}

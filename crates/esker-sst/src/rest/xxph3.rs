//! XXPH3, the 64-bit hash of RocksDB's filters: a preview of XXH3, unlike the released one.
//!
//! Source: `XXPH3_64bits`, util/xxph3.h, and `Hash64`, util/hash.cc, RocksDB 11.8; seed 0, 192 bytes of secret.

const PRIME32_1: u64 = 0x9e37_79b1;
const PRIME32_2: u64 = 0x85eb_ca77;
const PRIME32_3: u64 = 0xc2b2_ae3d;
const PRIME64_1: u64 = 0x9e37_79b1_85eb_ca87;
const PRIME64_2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const PRIME64_3: u64 = 0x1656_67b1_9e37_79f9;
const PRIME64_4: u64 = 0x85eb_ca77_c2b2_ae63;
const PRIME64_5: u64 = 0x27d4_eb2f_1656_67c5;

/// `kSecret`, 24 words as they are read, little-endian.
const SECRET: [u64; 24] = [
    0xbe4b_a423_396c_feb8,
    0x1cad_21f7_2c81_017c,
    0xdb97_9083_e96d_d4de,
    0x1f67_b3b7_a4a4_4072,
    0x78e5_c0cc_4ee6_79cb,
    0x2172_ffcc_7dd0_5a82,
    0x8e24_43f7_7446_08b8,
    0x4c26_3a81_e690_35e0,
    0xcb00_c391_bb52_283c,
    0xa32e_531b_8b65_d088,
    0x4ef9_0da2_9748_6471,
    0xd8ac_dea9_46ef_1938,
    0x3f34_9ce3_3f76_faa8,
    0x1d4f_0bc7_c7bb_dcf9,
    0x3159_b4cd_4be0_518a,
    0x6473_78d9_c97e_9fc8,
    0xc3eb_d334_83ac_c5ea,
    0xeb63_13fa_ffa0_81c5,
    0x49da_f0b7_51dd_0d17,
    0x9e68_d429_2655_16d3,
    0xfca1_477d_58be_162b,
    0xce31_d07a_d1b8_f88f,
    0x2804_1695_8f3a_cb45,
    0x7e40_4bbb_cafb_d7af,
];

/// Bytes taken in at once where the input is long.
const STRIPE: usize = 64;
/// Stripes between two scrambles: one for each 8 bytes of the secret but the last 64.
const STRIPES: usize = 16;

/// The hash of `key`.
#[inline]
pub(super) fn xxph3(key: &[u8]) -> u64 {
    match key.len() {
        17..=128 => hash_17_to_128(key),
        9..=16 => hash_9_to_16(key),
        4..=8 => hash_4_to_8(key),
        1..=3 => hash_1_to_3(key),
        0 => fold(SECRET[0], PRIME64_2),
        129..=240 => hash_129_to_240(key),
        _ => hash_long(key),
    }
}

fn hash_1_to_3(key: &[u8]) -> u64 {
    let byte = |at: usize| u64::from(key.get(at).copied().unwrap_or_default());
    let len = key.len();
    let combined = byte(0) | byte(len >> 1) << 8 | byte(len - 1) << 16 | (len as u64) << 24;
    avalanche((combined ^ (SECRET[0] & 0xffff_ffff)).wrapping_mul(PRIME64_1))
}

fn hash_4_to_8(key: &[u8]) -> u64 {
    let first = key.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let last = key.last_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let keyed = (u64::from(first) | u64::from(last) << 32) ^ SECRET[0];
    let mixed = (key.len() as u64).wrapping_add((keyed ^ keyed >> 51).wrapping_mul(PRIME32_1));
    avalanche((mixed ^ mixed >> 47).wrapping_mul(PRIME64_2))
}

#[inline]
fn hash_9_to_16(key: &[u8]) -> u64 {
    let first = key.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)) ^ SECRET[0];
    let last = key.last_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)) ^ SECRET[1];
    avalanche((key.len() as u64).wrapping_add(first.wrapping_add(last)).wrapping_add(fold(first, last)))
}

/// From both ends towards the middle, 16 bytes each, which may overlap.
#[inline]
fn hash_17_to_128(key: &[u8]) -> u64 {
    let len = key.len();
    let mut hash = (len as u64).wrapping_mul(PRIME64_1);
    let mut mix = |at: usize, secret: [u64; 2]| hash = hash.wrapping_add(mix16(key, at, secret));
    mix(0, [SECRET[0], SECRET[1]]);
    mix(len - 16, [SECRET[2], SECRET[3]]);
    if len > 32 {
        mix(16, [SECRET[4], SECRET[5]]);
        mix(len - 32, [SECRET[6], SECRET[7]]);
    }
    if len > 64 {
        mix(32, [SECRET[8], SECRET[9]]);
        mix(len - 48, [SECRET[10], SECRET[11]]);
    }
    if len > 96 {
        mix(48, [SECRET[12], SECRET[13]]);
        mix(len - 64, [SECRET[14], SECRET[15]]);
    }
    avalanche(hash)
}

fn hash_129_to_240(key: &[u8]) -> u64 {
    let mut hash = (key.len() as u64).wrapping_mul(PRIME64_1);
    let (pairs, _) = SECRET.as_chunks::<2>();
    let (first, later) = pairs.split_at(8);
    debug_assert_eq!(later.len(), 4);
    for (round, secret) in first.iter().enumerate() {
        hash = hash.wrapping_add(mix16(key, 16 * round, *secret));
    }
    hash = avalanche(hash);
    for round in 8..key.len() / 16 {
        let at = 16 * (round - 8) + 3;
        hash = hash.wrapping_add(mix16(key, 16 * round, [secret_at(at), secret_at(at + 8)]));
    }
    // 119: the smallest secret allowed, 136 bytes, less 17.
    avalanche(hash.wrapping_add(mix16(key, key.len() - 16, [secret_at(119), secret_at(127)])))
}

fn hash_long(key: &[u8]) -> u64 {
    let mut lanes = [PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1];
    let (stripes, rest) = key.as_chunks::<STRIPE>();
    for block in stripes.chunks(STRIPES) {
        for (stripe, secret) in block.iter().zip(SECRET.windows(8)) {
            accumulate(&mut lanes, stripe, secret.iter().copied());
        }
        if block.len() == STRIPES {
            for (lane, secret) in lanes.iter_mut().zip(SECRET.iter().skip(16)) {
                *lane = (*lane ^ *lane >> 47 ^ secret).wrapping_mul(PRIME32_1);
            }
        }
    }
    if let (false, Some(last)) = (rest.is_empty(), key.last_chunk::<STRIPE>()) {
        accumulate(&mut lanes, last, (0..8).map(|lane| secret_at(121 + 8 * lane)));
    }
    let mut hash = (key.len() as u64).wrapping_mul(PRIME64_1);
    for (pair, [first, second]) in lanes.as_chunks::<2>().0.iter().enumerate() {
        let at = 11 + 16 * pair;
        hash = hash.wrapping_add(fold(first ^ secret_at(at), second ^ secret_at(at + 8)));
    }
    avalanche(hash)
}

fn accumulate(lanes: &mut [u64; 8], stripe: &[u8; STRIPE], secret: impl Iterator<Item = u64>) {
    for ((lane, bytes), secret) in lanes.iter_mut().zip(stripe.as_chunks::<8>().0).zip(secret) {
        let value = u64::from_le_bytes(*bytes);
        let keyed = value ^ secret;
        *lane = lane.wrapping_add(value).wrapping_add((keyed & 0xffff_ffff).wrapping_mul(keyed >> 32));
    }
}

#[inline]
fn mix16(key: &[u8], at: usize, secret: [u64; 2]) -> u64 {
    let Some(bytes) = key.get(at..).and_then(<[u8]>::first_chunk::<16>) else {
        return 0;
    };
    let both = u128::from_le_bytes(*bytes);
    fold(both as u64 ^ secret[0], (both >> 64) as u64 ^ secret[1])
}

/// 8 bytes of the secret that do not stand at a multiple of 8.
fn secret_at(at: usize) -> u64 {
    let (word, shift) = (at / 8, at % 8 * 8);
    let low = SECRET.get(word).copied().unwrap_or_default();
    let high = SECRET.get(word + 1).copied().unwrap_or_default();
    ((u128::from(high) << 64 | u128::from(low)) >> shift) as u64
}

/// Both halves of the product, xored.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[inline]
fn avalanche(hash: u64) -> u64 {
    let hash = (hash ^ hash >> 37).wrapping_mul(PRIME64_3);
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use super::xxph3;

    const VECTORS: &str = include_str!("../../../../format-spec/vectors/16-table-rest.txt");

    #[test]
    fn the_hashes_of_the_vectors_are_found() {
        let bytes: Vec<u8> = (0..4096).map(|place| (place % 251) as u8).collect();
        let hashes = VECTORS.lines().filter_map(|line| line.strip_prefix("hashes.")?.split_once(" = "));
        let mut seen = 0;
        for (len, hash) in hashes {
            let hash = u64::from_str_radix(hash, 16).unwrap();
            assert_eq!(xxph3(&bytes[..len.parse().unwrap()]), hash, "{len} bytes");
            seen += 1;
        }
        assert_eq!(seen, 24);
    }

    #[test]
    fn inputs_of_every_length_hash_as_in_rocksdb() {
        // A linear congruential generator; the sum over all hashes was taken with RocksDB's own code.
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let bytes: Vec<u8> = (0..4096).map(|_| next()).collect();
        let sum = (0..=4096).fold(0u64, |sum, len| sum.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(xxph3(&bytes[..len])));
        assert_eq!(sum, 0x1842_14e1_7573_9e93);
    }
}

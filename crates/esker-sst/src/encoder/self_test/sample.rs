//! Bytes that look like a data block and bring out what encoders do differently.

/// `len` bytes by `seed`: repeated words, counters, runs, noise, and keys that share most of their bytes.
pub(in crate::encoder) fn sample(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut bytes = Vec::with_capacity(len + 64);
    let mut counter = 0u64;
    while bytes.len() < len {
        counter += 1 + random.below(3);
        match random.below(8) {
            0..=2 => {
                bytes.extend_from_slice(b"\x01\x18vertex");
                bytes.extend_from_slice(&counter.to_be_bytes());
            }
            3 | 4 => {
                let from = random.below(bytes.len() as u64 + 1) as usize;
                let to = bytes.len().min(from + 4 + random.below(60) as usize);
                bytes.extend_from_within(from..to);
            }
            5 => bytes.extend(std::iter::repeat_n(counter as u8, random.below(40) as usize)),
            6 => bytes.extend((0..random.below(90)).map(|_| random.next() as u8)),
            _ => bytes.extend((0..random.below(50)).map(|_| b'a' + random.below(6) as u8)),
        }
    }
    bytes.truncate(len);
    bytes
}

/// Xorshift (Marsaglia 2003, the triple 13, 7, 17).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 24
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

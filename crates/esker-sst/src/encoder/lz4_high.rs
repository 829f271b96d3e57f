//! LZ4HC by the library that this build pins.
//!
//! RocksDB calls `LZ4_compress_HC_continue` on a stream that knows nothing yet (`BuiltinLZ4HCCompressorV2`, util/compression.cc,
//! RocksDB 11.8; `LZ4HC_Compress`, util/compression.h, 7.8). Without dictionary `LZ4_compress_HC` gives the same bytes, and
//! from level 3 on those of LZ4 1.9.4 and 1.10.0 are the same too.

use lz4::block::{CompressionMode, compress_to_buffer};

/// The library's version as `LZ4_versionNumber` gives it: 1.10.0.
const PINNED_VERSION: i32 = 11_000;

/// One thread's LZ4HC encoder.
#[derive(Debug)]
pub(super) struct Lz4High {
    level: i32,
    output: Vec<u8>,
}

impl Lz4High {
    /// None if the library is of another version than its ids say.
    pub(super) fn new(level: u16) -> Option<Self> {
        (lz4::version() == PINNED_VERSION).then(|| Self { level: i32::from(level), output: Vec::new() })
    }

    /// The LZ4 block of `plain`; none if the library fails, which means that it has no memory.
    pub(super) fn compress(&mut self, plain: &[u8]) -> Option<&[u8]> {
        let bound = plain.len() + plain.len() / 255 + 16;
        if self.output.len() < bound {
            self.output.resize(bound, 0);
        }
        let written = compress_to_buffer(plain, Some(CompressionMode::HIGHCOMPRESSION(self.level)), false, &mut self.output).ok()?;
        self.output.get(..written)
    }
}

//! ZSTD by the library that this build pins, called as RocksDB calls it.
//!
//! `ZSTD_compress2` with the level, the frame checksum if wanted, and a digested dictionary (`BuiltinZSTDCompressorV2`,
//! util/compression.cc, RocksDB 11.8; `ZSTD_Compress`, util/compression.h, 7.8).

use zstd::zstd_safe::{self, CCtx, CParameter};

/// The library's version as `ZSTD_versionNumber` gives it: 1.5.7.
pub(super) const PINNED_VERSION: u32 = 10_507;

/// One thread's context, with the dictionary digested.
pub(super) struct Zstd {
    context: CCtx<'static>,
    output: Vec<u8>,
}

impl Zstd {
    /// None if the library refuses a parameter or is of another version than its ids say.
    pub(super) fn new(level: i16, frame_checksum: bool, dictionary: &[u8]) -> Option<Self> {
        if zstd_safe::version_number() != PINNED_VERSION {
            return None;
        }
        let mut context = CCtx::try_create()?;
        context.set_parameter(CParameter::CompressionLevel(i32::from(level))).ok()?;
        context.set_parameter(CParameter::ChecksumFlag(frame_checksum)).ok()?;
        context.load_dictionary(dictionary).ok()?;
        Some(Self { context, output: Vec::new() })
    }

    /// The frame of `plain`; none if the library fails, which means that it has no memory.
    pub(super) fn compress(&mut self, plain: &[u8]) -> Option<&[u8]> {
        self.output.clear();
        self.output.reserve(zstd_safe::compress_bound(plain.len()));
        self.context.compress2(&mut self.output, plain).ok()?;
        Some(&self.output)
    }
}

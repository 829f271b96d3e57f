//! ZSTD by the library that this build pins, called as RocksDB calls it.
//!
//! `ZSTD_compress2` with the level, the frame checksum if wanted, and a dictionary digested by `ZSTD_createCDict`
//! (`BuiltinZSTDCompressorV2`, util/compression.cc, RocksDB 11.8; `ZSTD_Compress`, util/compression.h, 7.8).

use zstd::zstd_safe::{self, CCtx, CDict, CParameter};

/// The library's version as `ZSTD_versionNumber` gives it: 1.5.7.
pub(super) const PINNED_VERSION: u32 = 10_507;

/// Below it a dictionary that the context digests itself gives the same frames as one from `ZSTD_createCDict`; from it on the
/// library may choose its parameters by the block, for a dictionary of which it knows the level
/// (`ZSTD_USE_CDICT_PARAMS_SRCSIZE_CUTOFF`, lib/compress/zstd_compress.c, zstd 1.5.7).
const OWN_DIGEST_LEN: usize = 128 << 10;

/// One thread's context, with the dictionary digested.
pub(super) struct Zstd {
    context: CCtx<'static>,
    level: i16,
    frame_checksum: bool,
    dictionary: Option<CDict<'static>>,
    output: Vec<u8>,
}

impl Zstd {
    /// None if the library refuses a parameter or is of another version than its ids say.
    pub(super) fn new(level: i16, frame_checksum: bool, dictionary: &[u8]) -> Option<Self> {
        if zstd_safe::version_number() != PINNED_VERSION {
            return None;
        }
        let mut context = context(level, frame_checksum)?;
        context.load_dictionary(dictionary).ok()?;
        let dictionary = if dictionary.is_empty() { None } else { Some(CDict::try_create(dictionary, i32::from(level))?) };
        Some(Self { context, level, frame_checksum, dictionary, output: Vec::new() })
    }

    /// The frame of `plain`; none if the library fails, which means that it has no memory.
    pub(super) fn compress(&mut self, plain: &[u8]) -> Option<&[u8]> {
        self.output.clear();
        self.output.reserve(zstd_safe::compress_bound(plain.len()));
        match self.dictionary.as_ref().filter(|_| plain.len() >= OWN_DIGEST_LEN) {
            Some(dictionary) => {
                let mut context = context(self.level, self.frame_checksum)?;
                context.ref_cdict(dictionary).ok()?;
                context.compress2(&mut self.output, plain).ok()?;
            }
            None => drop(self.context.compress2(&mut self.output, plain).ok()?),
        }
        Some(&self.output)
    }
}

fn context<'d>(level: i16, frame_checksum: bool) -> Option<CCtx<'d>> {
    let mut context = CCtx::try_create()?;
    context.set_parameter(CParameter::CompressionLevel(i32::from(level))).ok()?;
    context.set_parameter(CParameter::ChecksumFlag(frame_checksum)).ok()?;
    Some(context)
}

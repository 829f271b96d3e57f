//! ZSTD by the releases that this build pins, called as RocksDB calls it.
//!
//! `ZSTD_compress2` with the level, the frame checksum if wanted, and the dictionary (`BuiltinZSTDCompressorV2`,
//! util/compression.cc, RocksDB 11.8). RocksDB digests the dictionary beforehand, which gives the same bytes; 7.8 calls
//! `ZSTD_compress_usingCDict` or `ZSTD_compress_usingDict` (`ZSTD_Compress`, util/compression.h), the same again, but for some
//! blocks with a dictionary at levels from 15 on.
//! `ZSTD_compress2` with the level, the frame checksum if wanted, and a dictionary digested by `ZSTD_createCDict`
//! (`BuiltinZSTDCompressorV2`, util/compression.cc, RocksDB 11.8; `ZSTD_Compress`, util/compression.h, 7.8).

use zstd::zstd_safe::{self, CCtx, CDict, CParameter};

/// A release that is linked. 1.5.2 to 1.5.6 write what 1.5.4 does at levels 1 and 3; from 1.5.5 on level 6 is that of 1.5.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Release {
    /// 1.5.4, of esker-zstd.
    V1_5_4,
    /// 1.5.7, of the crate zstd; checked, since a newer one may come to be linked.
    V1_5_7,
}

/// What `ZSTD_versionNumber` says of [`Release::V1_5_7`].
const VERSION_1_5_7: u32 = 10_507;

/// One thread's context.
pub(super) struct Zstd {
    context: Context,
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

enum Context {
    V1_5_4(esker_zstd::Context),
    V1_5_7(CCtx<'static>),
}

impl Zstd {
    /// None if the library refuses a parameter, has no memory, or is of another release than its ids say.
    pub(super) fn new(release: Release, level: i16, frame_checksum: bool, dictionary: &[u8]) -> Option<Self> {
        let level = i32::from(level);
        let context = match release {
            Release::V1_5_4 => Context::V1_5_4(esker_zstd::Context::new(level, frame_checksum, dictionary)?),
            Release::V1_5_7 => Context::V1_5_7(context_1_5_7(level, frame_checksum, dictionary)?),
        };
        Some(Self { context, output: Vec::new() })
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
        match &mut self.context {
            Context::V1_5_4(context) => context.compress(plain, &mut self.output)?,
            Context::V1_5_7(context) => {
                self.output.clear();
                self.output.reserve(zstd_safe::compress_bound(plain.len()));
                context.compress2(&mut self.output, plain).ok()?;
            }
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

fn context_1_5_7(level: i32, frame_checksum: bool, dictionary: &[u8]) -> Option<CCtx<'static>> {
    if zstd_safe::version_number() != VERSION_1_5_7 {
        return None;
    }
    let mut context = CCtx::try_create()?;
    context.set_parameter(CParameter::CompressionLevel(level)).ok()?;
    context.set_parameter(CParameter::ChecksumFlag(frame_checksum)).ok()?;
    context.load_dictionary(dictionary).ok()?;
fn context<'d>(level: i16, frame_checksum: bool) -> Option<CCtx<'d>> {
    let mut context = CCtx::try_create()?;
    context.set_parameter(CParameter::CompressionLevel(i32::from(level))).ok()?;
    context.set_parameter(CParameter::ChecksumFlag(frame_checksum)).ok()?;
    Some(context)
}

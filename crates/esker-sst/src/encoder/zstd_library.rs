//! ZSTD frames as RocksDB makes them, by the release of the library that made them.
//!
//! `ZSTD_compress2` with the level, the frame checksum if wanted, and the dictionary (`BuiltinZSTDCompressorV2`,
//! util/compression.cc, RocksDB 11.8). RocksDB digests the dictionary by `ZSTD_createCDict`; 7.8 calls
//! `ZSTD_compress_usingCDict` or `ZSTD_compress_usingDict` (`ZSTD_Compress`, util/compression.h), the same again, but for some
//! blocks with a dictionary at levels from 15 on.

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

/// Below it a dictionary that the context digests itself gives the same frames as one from `ZSTD_createCDict`; from it on the
/// library may choose its parameters by the block, for a dictionary of which it knows the level
/// (`ZSTD_USE_CDICT_PARAMS_SRCSIZE_CUTOFF`, lib/compress/zstd_compress.c, zstd 1.5.7).
const OWN_DIGEST_LEN: usize = 128 << 10;

/// One thread's context.
pub(super) struct Zstd {
    context: Context,
    output: Vec<u8>,
}

enum Context {
    V1_5_4(esker_zstd::Context),
    V1_5_7(Box<Context157>),
}

/// A context of release 1.5.7.
struct Context157 {
    context: CCtx<'static>,
    level: i32,
    frame_checksum: bool,
    /// For blocks of `OWN_DIGEST_LEN` and more.
    dictionary: Option<CDict<'static>>,
}

impl Zstd {
    /// None if the library refuses a parameter, has no memory, or is of another release than its ids say.
    pub(super) fn new(release: Release, level: i16, frame_checksum: bool, dictionary: &[u8]) -> Option<Self> {
        let level = i32::from(level);
        let context = match release {
            Release::V1_5_4 => Context::V1_5_4(esker_zstd::Context::new(level, frame_checksum, dictionary)?),
            Release::V1_5_7 => Context::V1_5_7(Box::new(Context157::new(level, frame_checksum, dictionary)?)),
        };
        Some(Self { context, output: Vec::new() })
    }

    /// The frame of `plain`; none if the library fails, which means that it has no memory.
    pub(super) fn compress(&mut self, plain: &[u8]) -> Option<&[u8]> {
        match &mut self.context {
            Context::V1_5_4(context) => context.compress(plain, &mut self.output)?,
            Context::V1_5_7(context) => context.compress(plain, &mut self.output)?,
        }
        Some(&self.output)
    }
}

impl Context157 {
    fn new(level: i32, frame_checksum: bool, dictionary: &[u8]) -> Option<Self> {
        if zstd_safe::version_number() != VERSION_1_5_7 {
            return None;
        }
        let mut context = with_parameters(level, frame_checksum)?;
        context.load_dictionary(dictionary).ok()?;
        let dictionary = if dictionary.is_empty() { None } else { Some(CDict::try_create(dictionary, level)?) };
        Some(Self { context, level, frame_checksum, dictionary })
    }

    fn compress(&mut self, plain: &[u8], output: &mut Vec<u8>) -> Option<()> {
        output.clear();
        output.reserve(zstd_safe::compress_bound(plain.len()));
        match self.dictionary.as_ref().filter(|_| plain.len() >= OWN_DIGEST_LEN) {
            Some(dictionary) => {
                let mut context = with_parameters(self.level, self.frame_checksum)?;
                context.ref_cdict(dictionary).ok()?;
                context.compress2(output, plain).ok()?;
            }
            None => drop(self.context.compress2(output, plain).ok()?),
        }
        Some(())
    }
}

fn with_parameters<'d>(level: i32, frame_checksum: bool) -> Option<CCtx<'d>> {
    let mut context = CCtx::try_create()?;
    context.set_parameter(CParameter::CompressionLevel(level)).ok()?;
    context.set_parameter(CParameter::ChecksumFlag(frame_checksum)).ok()?;
    Some(context)
}

//! Encoders: compressors whose output a recipe relies on, byte for byte.
//!
//! A rebuilt block is right only if the compressor takes the very decisions of the one that wrote it, and those follow its
//! version. So an encoder has an id that fixes algorithm, level, table sizes and library version
//! (format-spec/15-encoders.md), and it proves itself before its first use in a process: see [`Encoder::new`]. What an
//! encoder gives is a function of its id, the dictionary and the plain block alone, whatever it has compressed before.

mod bytes;
mod id;
mod lz4;
mod lz4_dictionary;
mod lz4_high;
mod lz4_sequence;
mod lz4_table;
mod self_test;
mod snappy;
mod snappy_hash;
mod zstd_library;

pub use id::{EncoderId, candidates};

use self::id::Meaning;
use self::lz4::Lz4;
use self::lz4_high::Lz4High;
use self::snappy::Snappy;
use self::zstd_library::Zstd;

/// The largest plain block: LZ4 takes no more (`LZ4_MAX_INPUT_SIZE`, lib/lz4.h, LZ4 1.10.0).
const MAX_PLAIN_LEN: u32 = 0x7e00_0000;

/// Why an encoder is not to be had, or gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncoderFault {
    /// The id is not assigned in this version.
    #[error("encoder {0} is not known: a newer version of Esker has it")]
    Unknown(EncoderId),

    /// The encoder does not give the bytes that its id stands for, so it must not be used.
    #[error("encoder {0} failed its self-test")]
    SelfTestFailed(EncoderId),

    /// The encoder takes no dictionary.
    #[error("encoder {0} takes no dictionary")]
    TakesNoDictionary(EncoderId),

    /// The library could not be set up or failed, for lack of memory or because it is of another version.
    #[error("the library of encoder {0} failed")]
    Library(EncoderId),

    /// The block is larger than compressors take.
    #[error("a block of {len} bytes is more than {MAX_PLAIN_LEN}")]
    TooLarge {
        /// Bytes of the plain block.
        len: usize,
    },
}

/// One thread's encoder: its tables and contexts, made once and used for block after block.
pub struct Encoder {
    id: EncoderId,
    algorithm: Algorithm,
}

enum Algorithm {
    Snappy(Snappy),
    Lz4(Lz4),
    Lz4High(Lz4High),
    Zstd(Zstd),
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Encoder").field(&self.id).finish()
    }
}

impl Encoder {
    /// An encoder for blocks of a table with this compression dictionary (empty: none). The first call for an id in a process
    /// compresses a built-in block and compares the payload's hash; if it differs, that call and all later ones fail.
    pub fn new(id: EncoderId, dictionary: &[u8]) -> Result<Self, EncoderFault> {
        self_test::pass_once(id)?;
        Self::untested(id, dictionary)
    }

    fn untested(id: EncoderId, dictionary: &[u8]) -> Result<Self, EncoderFault> {
        let algorithm = match id.meaning().ok_or(EncoderFault::Unknown(id))? {
            Meaning::Snappy(version) => Algorithm::Snappy(Snappy::new(version)),
            Meaning::Lz4Continue { acceleration } => Algorithm::Lz4(Lz4::continued(acceleration, dictionary)),
            Meaning::Lz4Fast { .. } | Meaning::Lz4High { .. } if !dictionary.is_empty() => return Err(EncoderFault::TakesNoDictionary(id)),
            Meaning::Lz4Fast { acceleration } => Algorithm::Lz4(Lz4::fast(acceleration)),
            Meaning::Lz4High { level } => Algorithm::Lz4High(Lz4High::new(level).ok_or(EncoderFault::Library(id))?),
            Meaning::Zstd { release, level, frame_checksum } => {
                Algorithm::Zstd(Zstd::new(release, level, frame_checksum, dictionary).ok_or(EncoderFault::Library(id))?)
            }
        };
        Ok(Self { id, algorithm })
    }

    /// The id it was made for.
    pub fn id(&self) -> EncoderId {
        self.id
    }

    /// The compression type byte of its blocks.
    pub fn compression_type(&self) -> u8 {
        self.id.compression_type()
    }

    /// Appends to `out` the payload of `plain` as RocksDB stores it, the size in front included. After an error `out` is as it was.
    pub fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), EncoderFault> {
        let len = u32::try_from(plain.len()).ok().filter(|len| *len <= MAX_PLAIN_LEN);
        let len = len.ok_or(EncoderFault::TooLarge { len: plain.len() })?;
        let body = match &mut self.algorithm {
            Algorithm::Snappy(snappy) => snappy.compress(plain),
            Algorithm::Lz4(lz4) => lz4.compress(plain, len),
            Algorithm::Lz4High(lz4) => lz4.compress(plain).ok_or(EncoderFault::Library(self.id))?,
            Algorithm::Zstd(zstd) => zstd.compress(plain).ok_or(EncoderFault::Library(self.id))?,
        };
        put_varint32(out, len);
        out.extend_from_slice(body);
        Ok(())
    }
}

fn put_varint32(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

//! How a chunk becomes the bytes of a frame: compressed, or as it is.

use crate::error::{FormatError, Result};
use crate::limits::CHUNK_PLAIN_MAX;
use crate::sealed_object::check_one_frame;

/// zstd's level of [`FrameEncoder::fast`].
const FAST_LEVEL: i32 = -40;
const OUT_OF_MEMORY: &str = "no memory for a context";

/// How a frame's bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// As they are.
    Raw = 0,
    /// One zstd frame (RFC 8878).
    Zstd = 1,
}

impl Codec {
    /// From its stored number.
    ///
    /// # Errors
    /// `BadValue`.
    pub fn from_u8(value: u8) -> Result<Self> {
        match value {
            0 => Ok(Self::Raw),
            1 => Ok(Self::Zstd),
            other => Err(FormatError::BadValue { field: "codec", found: other.to_string() }),
        }
    }
}

/// Compresses chunks; keeps its context between them.
pub struct FrameEncoder(Context);

enum Context {
    Level(zstd::bulk::Compressor<'static>),
    /// At a negative level, but with literals compressed, which only zstd's experimental parameters can ask for.
    Fast(esker_zstd::Context),
}

impl FrameEncoder {
    /// At this zstd level.
    ///
    /// # Errors
    /// `Codec` for a level that zstd does not have.
    pub fn new(level: i32) -> Result<Self> {
        let context = zstd::bulk::Compressor::new(level).map_err(|error| compression(&error))?;
        Ok(Self(Context::Level(context)))
    }

    /// Faster than any level, for columns: few matches are looked for, what is left is compressed by its frequencies.
    ///
    /// # Errors
    /// `Codec` if zstd cannot be set up.
    pub fn fast() -> Result<Self> {
        let context = esker_zstd::Context::with_literals(FAST_LEVEL);
        Ok(Self(Context::Fast(context.ok_or(FormatError::Codec { what: "zstd", why: OUT_OF_MEMORY.into() })?)))
    }

    /// The chunk's bytes as a frame holds them: compressed, or as they are when that is shorter.
    ///
    /// # Errors
    /// `OverLimit` for a chunk over `CHUNK_PLAIN_MAX`, `Codec`.
    pub fn encode(&mut self, plain: &[u8]) -> Result<(Codec, Vec<u8>)> {
        if plain.len() > CHUNK_PLAIN_MAX {
            return Err(FormatError::OverLimit { field: "chunk", found: plain.len() as u64, limit: CHUNK_PLAIN_MAX as u64 });
        }
        let packed = match &mut self.0 {
            Context::Level(context) => context.compress(plain).map_err(|error| compression(&error))?,
            Context::Fast(context) => {
                let mut packed = Vec::new();
                context.compress(plain, &mut packed).ok_or(FormatError::Codec { what: "zstd", why: OUT_OF_MEMORY.into() })?;
                packed
            }
        };
        Ok(if packed.len() < plain.len() { (Codec::Zstd, packed) } else { (Codec::Raw, plain.to_vec()) })
    }
}

/// Decompresses chunks; keeps its context and its output between them, so that a chunk costs no allocation.
pub struct FrameDecoder {
    context: zstd::bulk::Decompressor<'static>,
    plain: Vec<u8>,
}

impl FrameDecoder {
    /// A new context.
    ///
    /// # Errors
    /// `Codec` if zstd cannot be set up.
    pub fn new() -> Result<Self> {
        let context = zstd::bulk::Decompressor::new().map_err(|error| compression(&error))?;
        Ok(Self { context, plain: Vec::new() })
    }

    /// The plain bytes of a body that a frame held.
    ///
    /// # Errors
    /// `Codec`, `Damaged`.
    pub fn decode<'a>(&'a mut self, codec: Codec, body: &'a [u8], plain_len: usize) -> Result<&'a [u8]> {
        let plain = match codec {
            Codec::Raw => body,
            Codec::Zstd => {
                check_one_frame(body)?;
                self.plain.clear();
                self.plain.reserve(plain_len.min(CHUNK_PLAIN_MAX));
                self.context.decompress_to_buffer(body, &mut self.plain).map_err(|error| compression(&error))?;
                &self.plain
            }
        };
        if plain.len() == plain_len { Ok(plain) } else { Err(FormatError::Damaged { what: "frame" }) }
    }
}

fn compression(error: &std::io::Error) -> FormatError {
    FormatError::Codec { what: "zstd", why: error.to_string() }
}

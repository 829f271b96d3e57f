//! How a chunk becomes the bytes of a frame: compressed, or as it is.

use crate::error::{FormatError, Result};
use crate::limits::CHUNK_PLAIN_MAX;
use crate::sealed_object::check_one_frame;

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
pub struct FrameEncoder(zstd::bulk::Compressor<'static>);

impl FrameEncoder {
    /// At this zstd level.
    ///
    /// # Errors
    /// `Codec` for a level that zstd does not have.
    pub fn new(level: i32) -> Result<Self> {
        zstd::bulk::Compressor::new(level).map(Self).map_err(|error| compression(&error))
    }

    /// The chunk's bytes as a frame holds them: compressed, or as they are when that is shorter.
    ///
    /// # Errors
    /// `OverLimit` for a chunk over `CHUNK_PLAIN_MAX`, `Codec`.
    pub fn encode(&mut self, plain: &[u8]) -> Result<(Codec, Vec<u8>)> {
        if plain.len() > CHUNK_PLAIN_MAX {
            return Err(FormatError::OverLimit { field: "chunk", found: plain.len() as u64, limit: CHUNK_PLAIN_MAX as u64 });
        }
        let packed = self.0.compress(plain).map_err(|error| compression(&error))?;
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

    pub(super) fn decode<'a>(&'a mut self, codec: Codec, body: &'a [u8], plain_len: usize) -> Result<&'a [u8]> {
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

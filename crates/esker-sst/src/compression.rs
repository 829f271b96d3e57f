//! Compressed blocks: what the type byte of a block means, and decompression.
//!
//! A payload is what stands before a block's trailer. LZ4, LZ4HC and ZSTD payloads begin with the size of the plain block as
//! a varint32 (`StartCompressBlockV2`, util/compression.cc, RocksDB 11.8; `PutDecompressedSizeInfo`, util/compression.h, 7.8;
//! tables of format_version 2 and newer). Snappy's own format begins the same way.

use std::cell::RefCell;

use zstd::zstd_safe::{self, DCtx};

use crate::cursor::Cursor;

/// Stored as it is (`kNoCompression`, include/rocksdb/compression_type.h, RocksDB 11.8; so the types below).
pub const NONE: u8 = 0;
/// Snappy.
pub const SNAPPY: u8 = 1;
/// LZ4.
pub const LZ4: u8 = 4;
/// LZ4 by its slow encoder; for a reader the same as [`LZ4`].
pub const LZ4HC: u8 = 5;
/// ZSTD.
pub const ZSTD: u8 = 7;

/// What one byte of an LZ4 payload can become at most: a length byte of 255 copies 255 bytes.
const LZ4_MAX_RATIO: usize = 255;
/// What one byte of a Snappy payload can become at most: a copy takes 2 bytes or more and gives 64 bytes or fewer.
const SNAPPY_MAX_RATIO: usize = 32;

/// Why a payload does not decompress.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecompressFault {
    /// A type that this crate does not read: zlib, bzip2, XPRESS, or one of a plug-in.
    #[error("compression type {0} is not read")]
    UnknownType(u8),

    /// The size in front of the payload is missing or malformed.
    #[error("the payload states no plain size")]
    NoSize,

    /// The payload states a size beyond the caller's limit, or beyond what its bytes can hold.
    #[error("a plain size of {stated} bytes is more than {limit}")]
    TooLarge {
        /// Bytes that the payload states.
        stated: u64,
        /// Bytes allowed.
        limit: usize,
    },

    /// The payload does not decode, or to another size than it states.
    #[error("the {0} payload is damaged")]
    Damaged(&'static str),
}

/// Replaces `out` by the plain block of `payload`.
///
/// `dictionary` is the table's compression dictionary, empty if it has none; Snappy ignores it, as RocksDB does. `limit` is the
/// most bytes that the plain block may have; no more are allocated. After an error the content of `out` is unspecified.
pub fn decompress(compression_type: u8, dictionary: &[u8], payload: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), DecompressFault> {
    match compression_type {
        NONE => {
            checked_size(payload.len() as u64, limit)?;
            out.clear();
            out.extend_from_slice(payload);
            Ok(())
        }
        SNAPPY => {
            let (size, _) = sized(payload, limit, SNAPPY_MAX_RATIO)?;
            set_len(out, size);
            let written = snap::raw::Decoder::new().decompress(payload, out).map_err(|_| DecompressFault::Damaged("Snappy"))?;
            same(written, size, "Snappy")
        }
        LZ4 | LZ4HC => {
            let (size, body) = sized(payload, limit, LZ4_MAX_RATIO)?;
            set_len(out, size);
            let written = lz4_flex::block::decompress_into_with_dict(body, out, dictionary).map_err(|_| DecompressFault::Damaged("LZ4"))?;
            same(written, size, "LZ4")
        }
        ZSTD => {
            let (size, body) = sized(payload, limit, usize::MAX)?;
            out.clear();
            out.reserve_exact(size);
            let written = decompress_zstd(dictionary, body, out).map_err(|_| DecompressFault::Damaged("ZSTD"))?;
            same(written, size, "ZSTD")
        }
        other => Err(DecompressFault::UnknownType(other)),
    }
}

/// The size in front of a payload, within both limits, and the rest.
fn sized(payload: &[u8], limit: usize, max_ratio: usize) -> Result<(usize, &[u8]), DecompressFault> {
    let mut cursor = Cursor::new(payload);
    let stated = cursor.varint32().ok_or(DecompressFault::NoSize)?;
    let body = cursor.take(cursor.remaining()).unwrap_or_default();
    let size = checked_size(u64::from(stated), limit.min(body.len().saturating_mul(max_ratio)))?;
    Ok((size, body))
}

fn checked_size(stated: u64, limit: usize) -> Result<usize, DecompressFault> {
    usize::try_from(stated).ok().filter(|size| *size <= limit).ok_or(DecompressFault::TooLarge { stated, limit })
}

/// Makes room for `size` bytes; what stands there is overwritten, so a vector used again is not cleared first.
fn set_len(out: &mut Vec<u8>, size: usize) {
    out.truncate(size);
    out.reserve_exact(size - out.len());
    out.resize(size, 0);
}

fn same(written: usize, size: usize, what: &'static str) -> Result<(), DecompressFault> {
    if written == size { Ok(()) } else { Err(DecompressFault::Damaged(what)) }
}

/// Decodes with this thread's context: making one for each block would cost more than the block.
fn decompress_zstd(dictionary: &[u8], body: &[u8], out: &mut Vec<u8>) -> zstd_safe::SafeResult {
    thread_local! {
        static CONTEXT: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
    }
    CONTEXT.with(|context| context.borrow_mut().decompress_using_dict(out, body, dictionary))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_size(size: u8, body: &[u8]) -> Vec<u8> {
        [&[size], body].concat()
    }

    #[test]
    fn a_type_of_a_plug_in_is_refused_by_its_number() {
        for compression_type in [2, 3, 6, 8, 0x80, 0xff] {
            assert_eq!(decompress(compression_type, &[], &[0], 10, &mut Vec::new()), Err(DecompressFault::UnknownType(compression_type)));
        }
    }

    #[test]
    fn a_stated_size_beyond_the_limit_allocates_nothing() {
        let stated_4_gib = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
        for compression_type in [SNAPPY, LZ4, LZ4HC, ZSTD] {
            let mut out = Vec::new();
            let fault = decompress(compression_type, &[], &stated_4_gib, 1 << 20, &mut out);
            assert!(matches!(fault, Err(DecompressFault::TooLarge { stated: 0xffff_ffff, .. })), "{compression_type}: {fault:?}");
            assert_eq!(out.capacity(), 0);
        }
        assert_eq!(decompress(NONE, &[], &[1, 2, 3], 2, &mut Vec::new()), Err(DecompressFault::TooLarge { stated: 3, limit: 2 }));
    }

    #[test]
    fn a_size_that_so_few_bytes_cannot_hold_is_refused_whatever_the_limit() {
        let fault = decompress(LZ4, &[], &[0xff, 0xff, 0x03, 0x00], usize::MAX, &mut Vec::new());
        assert_eq!(fault, Err(DecompressFault::TooLarge { stated: 0xffff, limit: 255 }));
    }

    #[test]
    fn a_payload_of_another_size_than_stated_is_damage() {
        let literals = [0x30, b'a', b'b', b'c'];
        let mut out = vec![7; 100];
        assert_eq!(decompress(LZ4, &[], &with_size(3, &literals), 10, &mut out), Ok(()));
        assert_eq!(out, b"abc");
        assert_eq!(decompress(LZ4, &[], &with_size(4, &literals), 10, &mut out), Err(DecompressFault::Damaged("LZ4")));
        assert_eq!(decompress(LZ4, &[], &with_size(2, &literals), 10, &mut out), Err(DecompressFault::Damaged("LZ4")));
        assert_eq!(decompress(LZ4, &[], &[0x80], 10, &mut out), Err(DecompressFault::NoSize));
    }

    #[test]
    fn a_match_before_the_block_needs_the_dictionary() {
        let copy_from_8_back = with_size(9, &[0x00, 8, 0, 0x50, b'1', b'2', b'3', b'4', b'5']);
        let mut out = Vec::new();
        assert_eq!(decompress(LZ4, b"abcdefgh", &copy_from_8_back, 100, &mut out), Ok(()));
        assert_eq!(out, b"abcd12345");
        assert_eq!(decompress(LZ4, &[], &copy_from_8_back, 100, &mut out), Err(DecompressFault::Damaged("LZ4")));
    }
}

//! The encoder of ZSTD 1.5.4, beside the newer ZSTD that the program links.
//!
//! Blocks of RocksDB tables are rebuilt by the very encoder that wrote them, and a ZSTD release gives other bytes than the next
//! (1.5.7 changed level 3). Debian 12 has 1.5.4; 1.5.2 to 1.5.6 give the same bytes at the default level.
//!
//! The C sources come from the crate zstd-sys 2.0.7; build.rs renames what they define. The calls into them are the only unsafe
//! code, each with its proof.

#![allow(unsafe_code, reason = "calls into C; see the proofs")]

use std::ffi::{c_int, c_uint, c_void};
use std::ptr::NonNull;

/// The version of the library as its `ZSTD_versionNumber` gives it.
pub const VERSION: u32 = 10_504;

/// `ZSTD_c_compressionLevel`, `ZSTD_c_checksumFlag`, and `ZSTD_c_literalCompressionMode` with its `ZSTD_ps_enable`, lib/zstd.h,
/// ZSTD 1.5.4.
const COMPRESSION_LEVEL: c_int = 100;
const CHECKSUM_FLAG: c_int = 201;
const LITERAL_COMPRESSION_MODE: c_int = 1002;
const ENABLED: c_int = 1;

/// `ZSTD_CCtx`.
#[repr(C)]
struct RawContext {
    opaque: [u8; 0],
}

// Signatures as in lib/zstd.h, ZSTD 1.5.4; its two enums are passed as int.
unsafe extern "C" {
    fn esker_1_5_4_ZSTD_versionNumber() -> c_uint;
    fn esker_1_5_4_ZSTD_isError(code: usize) -> c_uint;
    fn esker_1_5_4_ZSTD_compressBound(len: usize) -> usize;
    fn esker_1_5_4_ZSTD_createCCtx() -> *mut RawContext;
    fn esker_1_5_4_ZSTD_freeCCtx(context: *mut RawContext) -> usize;
    fn esker_1_5_4_ZSTD_CCtx_setParameter(context: *mut RawContext, parameter: c_int, value: c_int) -> usize;
    fn esker_1_5_4_ZSTD_CCtx_loadDictionary(context: *mut RawContext, dictionary: *const c_void, len: usize) -> usize;
    fn esker_1_5_4_ZSTD_compress2(context: *mut RawContext, to: *mut c_void, room: usize, from: *const c_void, len: usize) -> usize;
}

/// A compression context of one thread.
#[derive(Debug)]
pub struct Context {
    /// Made by `ZSTD_createCCtx`, freed once, by `drop`.
    raw: NonNull<RawContext>,
}

// SAFETY: a context holds heap memory of its own and nothing of the thread that made it; without `Sync`, and since calls
// that change it take `&mut self`, one thread uses it at a time, which is all that lib/zstd.h asks for.
unsafe impl Send for Context {}

impl Context {
    /// A context with a level, frames with or without checksum, and a dictionary, empty for none. None if the library refuses a
    /// parameter, has no memory, or is not [`VERSION`].
    pub fn new(level: i32, frame_checksum: bool, dictionary: &[u8]) -> Option<Self> {
        // SAFETY: takes nothing, reads a constant.
        if unsafe { esker_1_5_4_ZSTD_versionNumber() } != VERSION {
            return None;
        }
        // SAFETY: takes nothing; gives null or a context that is ours to free.
        let mut context = Self { raw: NonNull::new(unsafe { esker_1_5_4_ZSTD_createCCtx() })? };
        context.set(COMPRESSION_LEVEL, level)?;
        context.set(CHECKSUM_FLAG, c_int::from(frame_checksum))?;
        // SAFETY: the context is live and used by nobody else; pointer and length are those of a slice, which is copied.
        let code = unsafe { esker_1_5_4_ZSTD_CCtx_loadDictionary(context.raw.as_ptr(), dictionary.as_ptr().cast(), dictionary.len()) };
        succeeded(code)?;
        Some(context)
    }

    /// A context that compresses literals at a negative level too, where the library leaves them as they are by default. None as
    /// for [`Self::new`].
    pub fn with_literals(level: i32) -> Option<Self> {
        let mut context = Self::new(level, false, &[])?;
        context.set(LITERAL_COMPRESSION_MODE, ENABLED)?;
        Some(context)
    }

    fn set(&mut self, parameter: c_int, value: c_int) -> Option<usize> {
        // SAFETY: the context is live and used by nobody else; unknown parameters and values are answered by an error code.
        succeeded(unsafe { esker_1_5_4_ZSTD_CCtx_setParameter(self.raw.as_ptr(), parameter, value) })
    }

    /// Replaces `frame` by one frame with all of `plain`. None if the library fails, which means that it has no memory.
    pub fn compress(&mut self, plain: &[u8], frame: &mut Vec<u8>) -> Option<()> {
        // SAFETY: a function of a number.
        let room = succeeded(unsafe { esker_1_5_4_ZSTD_compressBound(plain.len()) })?;
        frame.clear();
        frame.reserve(room);
        // SAFETY: the context is live and used by nobody else; the vector has room for the bytes it is said to have room for;
        // pointer and length of the source are those of a slice, and a vector borrowed mutably does not overlap it.
        let written = unsafe {
            esker_1_5_4_ZSTD_compress2(self.raw.as_ptr(), frame.as_mut_ptr().cast(), frame.capacity(), plain.as_ptr().cast(), plain.len())
        };
        let written = succeeded(written)?;
        // SAFETY: the library wrote that many bytes at the start of the room that it was given.
        unsafe { frame.set_len(written) };
        Some(())
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made by `ZSTD_createCCtx` and not freed before.
        unsafe { esker_1_5_4_ZSTD_freeCCtx(self.raw.as_ptr()) };
    }
}

/// The library's result, unless it is an error code.
fn succeeded(code: usize) -> Option<usize> {
    // SAFETY: a function of a number.
    (unsafe { esker_1_5_4_ZSTD_isError(code) } == 0).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::Context;

    fn text() -> Vec<u8> {
        (0..2000u32).flat_map(|line| format!("vertex {:x} follows {:x}\n", line * line % 7919, line % 97).into_bytes()).collect()
    }

    #[test]
    fn another_release_in_the_same_program_reads_the_frames() {
        let mut frame = b"what was there before".to_vec();
        for (level, dictionary) in [(3, &b""[..]), (3, b"vertex follows"), (-5, b""), (19, b"")] {
            for frame_checksum in [false, true] {
                let mut context = Context::new(level, frame_checksum, dictionary).unwrap();
                for plain in [&text()[..], b"", &text()[..100]] {
                    context.compress(plain, &mut frame).unwrap();
                    let mut decompressor = zstd::bulk::Decompressor::with_dictionary(dictionary).unwrap();
                    assert_eq!(decompressor.decompress(&frame, plain.len()).unwrap(), plain);
                    assert_eq!(frame[4] & 4 != 0, frame_checksum);
                }
            }
        }
    }

    #[test]
    fn literals_are_compressed_at_a_negative_level_if_asked_for() {
        let (mut plainly, mut with_literals) = (Vec::new(), Vec::new());
        Context::new(-5, false, b"").unwrap().compress(&text(), &mut plainly).unwrap();
        Context::with_literals(-5).unwrap().compress(&text(), &mut with_literals).unwrap();
        assert!(with_literals.len() < plainly.len(), "{} {}", with_literals.len(), plainly.len());
        assert_eq!(zstd::bulk::decompress(&with_literals, text().len()).unwrap(), text());
    }

    #[test]
    fn the_newer_release_compresses_otherwise() {
        let mut frame = Vec::new();
        Context::new(3, false, b"").unwrap().compress(&text(), &mut frame).unwrap();
        assert_ne!(zstd::bulk::compress(&text(), 3).unwrap(), frame);
    }

    #[test]
    fn a_context_works_on_the_thread_it_is_moved_to() {
        let mut here = Vec::new();
        let mut context = Context::new(3, false, b"").unwrap();
        context.compress(&text(), &mut here).unwrap();
        let there = std::thread::spawn(move || {
            let mut there = Vec::new();
            context.compress(&text(), &mut there).map(|()| there)
        });
        assert_eq!(there.join().unwrap(), Some(here));
    }
}

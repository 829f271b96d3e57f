//! What this folder needs of compression: index blocks may be compressed.

/// Decompresses index blocks, and compresses them byte for byte as RocksDB did. No dictionary: RocksDB uses them for data
/// blocks only.
pub trait BlockCodec {
    /// Decompresses the payload of a block into `out`, which it clears. `limit`: most bytes it may become. Returns false if
    /// the type is not supported, the payload is damaged, or the limit is exceeded.
    fn decompress(&mut self, compression_type: u8, payload: &[u8], limit: usize, out: &mut Vec<u8>) -> bool;

    /// The encoders that may have made blocks of a compression type, the likeliest first. None of them is 0.
    fn encoders(&self, compression_type: u8) -> Vec<u32>;

    /// Appends to `out` what an encoder makes of `plain`: the payload as it is stored. Returns false if there is no such
    /// encoder, if it is not of this compression type, or if it fails.
    fn compress(&mut self, compression_type: u8, encoder: u32, plain: &[u8], out: &mut Vec<u8>) -> bool;
}

/// Handles blocks that are not compressed, and no others.
#[derive(Clone, Copy, Debug)]
pub struct NoCodec;

impl BlockCodec for NoCodec {
    fn decompress(&mut self, _: u8, _: &[u8], _: usize, _: &mut Vec<u8>) -> bool {
        false
    }

    fn encoders(&self, _: u8) -> Vec<u32> {
        Vec::new()
    }

    fn compress(&mut self, _: u8, _: u32, _: &[u8], _: &mut Vec<u8>) -> bool {
        false
    }
}

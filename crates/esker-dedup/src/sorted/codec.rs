//! Encoders that were set up, by id.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use esker_sst::compression;
use esker_sst::encoder::{self, Encoder, EncoderId};
use esker_sst::rest::BlockCodec;

use super::SortedError;

/// Encoders without a dictionary, for the blocks behind the data blocks.
#[derive(Default)]
pub(super) struct Codec {
    encoders: HashMap<u32, Encoder>,
    /// The first encoder that was asked for in vain.
    pub(super) missing: Option<SortedError>,
}

impl BlockCodec for Codec {
    fn decompress(&mut self, compression_type: u8, payload: &[u8], limit: usize, out: &mut Vec<u8>) -> bool {
        compression::decompress(compression_type, &[], payload, limit, out).is_ok()
    }

    fn encoders(&self, compression_type: u8) -> Vec<u32> {
        encoder::candidates(compression_type, false).iter().map(|id| id.0).collect()
    }

    fn compress(&mut self, compression_type: u8, id: u32, plain: &[u8], out: &mut Vec<u8>) -> bool {
        let encoder = match self.encoders.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => match Encoder::new(EncoderId(id), &[]) {
                Ok(encoder) => unknown.insert(encoder),
                Err(fault) => {
                    self.missing.get_or_insert(SortedError::Encoder { id, why: fault.to_string() });
                    return false;
                }
            },
        };
        encoder.compression_type() == compression_type && encoder.compress(plain, out).is_ok()
    }
}

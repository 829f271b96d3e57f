//! The encoders of compressed index blocks, each made when it is first needed.

use crate::encoder::{Encoder, EncoderFault, EncoderId};

/// Encoders in use, without dictionary: RocksDB has dictionaries for data blocks only (`BlockBasedTableBuilder::WriteBlock`,
/// table/block_based/block_based_table_builder.cc, RocksDB 11.8).
#[derive(Default)]
pub(super) struct Encoders(Vec<Encoder>);

impl Encoders {
    /// Appends to `out` what an encoder makes of `plain`.
    pub(super) fn compress(&mut self, id: EncoderId, plain: &[u8], out: &mut Vec<u8>) -> Result<(), EncoderFault> {
        if !self.0.iter().any(|encoder| encoder.id() == id) {
            self.0.push(Encoder::new(id, &[])?);
        }
        match self.0.iter_mut().find(|encoder| encoder.id() == id) {
            Some(encoder) => encoder.compress(plain, out),
            None => Err(EncoderFault::Unknown(id)),
        }
    }
}

//! The proof that an encoder gives, once per process, before it is used.

mod expected;
mod sample;

use std::collections::BTreeMap;
use std::sync::Mutex;

use twox_hash::XxHash3_64;

use self::expected::EXPECTED;
use self::sample::sample;
use super::{Encoder, EncoderFault, EncoderId};

/// Bytes of the built-in block and of the built-in dictionary.
const BLOCK_LEN: usize = 20_000;
const DICTIONARY_LEN: usize = 3_000;

/// Fails unless the encoder's payloads of the built-in block, with and without dictionary, are those that its id stands for.
pub(super) fn pass_once(id: EncoderId) -> Result<(), EncoderFault> {
    static OUTCOMES: Mutex<BTreeMap<EncoderId, Result<(), EncoderFault>>> = Mutex::new(BTreeMap::new());
    let mut outcomes = OUTCOMES.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    outcomes.entry(id).or_insert_with(|| pass(id)).clone()
}

fn pass(id: EncoderId) -> Result<(), EncoderFault> {
    if !id.is_assigned() {
        return Err(EncoderFault::Unknown(id));
    }
    let expected = EXPECTED.binary_search_by_key(&id.0, |(id, _)| *id).ok().and_then(|row| EXPECTED.get(row));
    if expected.is_some_and(|(_, hash)| Ok(*hash) == proof(id)) { Ok(()) } else { Err(EncoderFault::SelfTestFailed(id)) }
}

/// XXH3 of the payloads of the built-in block: without dictionary, then, if the encoder takes one, with it, then without again.
fn proof(id: EncoderId) -> Result<u64, EncoderFault> {
    let (block, dictionary) = (sample(1, BLOCK_LEN), sample(2, DICTIONARY_LEN));
    let mut payloads = Vec::new();
    let mut encoder = Encoder::untested(id, &[])?;
    encoder.compress(&block, &mut payloads)?;
    match Encoder::untested(id, &dictionary) {
        Ok(mut with_dictionary) => with_dictionary.compress(&block, &mut payloads)?,
        Err(EncoderFault::TakesNoDictionary(_)) => {}
        Err(fault) => return Err(fault),
    }
    encoder.compress(&block, &mut payloads)?;
    Ok(XxHash3_64::oneshot(&payloads))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_assigned_encoder_passes_its_test() {
        let assigned = (1..=8).flat_map(|kind: u32| (0..=0xff).map(move |variant: u32| kind << 24 | variant << 16));
        let assigned = assigned.flat_map(|high| (0..=0xffff).map(move |low| EncoderId(high | low))).filter(|id| id.is_assigned());
        let proofs: Vec<_> = assigned.map(|id| (id.0, proof(id).unwrap())).collect();
        let rows: String = proofs.iter().map(|(id, hash)| format!("    ({id:#010x}, {hash:#018x}),\n")).collect();
        assert!(proofs == EXPECTED, "the encoders give\n{rows}");
    }

    #[test]
    fn an_id_of_a_newer_version_is_unknown_not_failed() {
        for id in [0, 1, 0x0401_0000, 0x0401_0011, 0x0757_0000, 0x0457_0003, u32::MAX] {
            assert_eq!(pass_once(EncoderId(id)), Err(EncoderFault::Unknown(EncoderId(id))));
        }
    }
}

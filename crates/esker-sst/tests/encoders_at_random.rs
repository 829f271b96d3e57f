//! What an encoder promises for any bytes: they come back, and what was compressed before leaves no trace.

#![allow(clippy::unwrap_used)]

use esker_sst::compression::{LZ4, LZ4HC, SNAPPY, ZSTD, decompress};
use esker_sst::encoder::{Encoder, EncoderId, candidates};
use proptest::collection::vec;
use proptest::prelude::*;

fn every_candidate(dictionary: &[u8]) -> Vec<EncoderId> {
    [SNAPPY, LZ4, LZ4HC, ZSTD].iter().flat_map(|kind| candidates(*kind, !dictionary.is_empty())).copied().collect()
}

/// Blocks of every kind that encoders treat apart: noise, runs, few letters, repeats from afar; up to `max_len` bytes.
fn block(max_len: usize) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        vec(any::<u8>(), 0..40),
        vec(b'a'..=b'c', 0..80),
        (any::<u8>(), 0..600usize).prop_map(|(byte, len)| vec![byte; len]),
        Just(b"vertex \x00\x01 follows".to_vec()),
    ];
    vec((piece, any::<prop::sample::Index>(), 0..300usize), 0..60).prop_map(move |pieces| {
        let mut block: Vec<u8> = Vec::new();
        for (piece, from, len) in pieces {
            block.extend_from_slice(&piece);
            if !block.is_empty() {
                let from = from.index(block.len());
                block.extend_from_within(from..block.len().min(from + len));
            }
        }
        block.truncate(max_len);
        block
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_block_comes_back(plain in block(100_000), dictionary in prop_oneof![Just(Vec::new()), block(300)]) {
        let (mut payload, mut back) = (Vec::new(), Vec::new());
        for id in every_candidate(&dictionary) {
            payload.clear();
            Encoder::new(id, &dictionary).unwrap().compress(&plain, &mut payload).unwrap();
            decompress(id.compression_type(), &dictionary, &payload, plain.len(), &mut back).unwrap();
            prop_assert!(back == plain, "{}", id);
        }
    }

    #[test]
    fn a_payload_depends_on_its_block_alone(blocks in vec(block(30_000), 2..6), dictionary in prop_oneof![Just(Vec::new()), block(300)]) {
        for id in every_candidate(&dictionary) {
            let mut used = Encoder::new(id, &dictionary).unwrap();
            for plain in &blocks {
                let (mut from_used, mut from_new) = (Vec::new(), Vec::new());
                used.compress(plain, &mut from_used).unwrap();
                Encoder::new(id, &dictionary).unwrap().compress(plain, &mut from_new).unwrap();
                prop_assert!(from_used == from_new, "{}", id);
            }
        }
    }

    #[test]
    fn any_bytes_decompress_to_an_error_or_a_block_within_the_limit(payload in vec(any::<u8>(), 0..200), dictionary in vec(any::<u8>(), 0..50)) {
        let mut out = Vec::new();
        for kind in 0..=8 {
            if decompress(kind, &dictionary, &payload, 5_000, &mut out).is_ok() {
                prop_assert!(out.len() <= 5_000);
            }
        }
    }
}

//! Any bytes as the payload of a block, with any dictionary: an error or a block within the limit. And as a plain block: each of
//! our own encoders gives a payload from which it comes back.

#![no_main]

use esker_sst::compression::{LZ4, SNAPPY, decompress};
use esker_sst::encoder::{Encoder, candidates};

const LIMIT: usize = 1 << 16;

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8], &[u8])| {
    let (kind, dictionary, bytes) = input;
    let mut block = Vec::new();
    if decompress(kind % 9, dictionary, bytes, LIMIT, &mut block).is_ok() {
        assert!(block.len() <= LIMIT);
    }
    for kind in [SNAPPY, LZ4] {
        for id in candidates(kind, !dictionary.is_empty()) {
            let mut payload = Vec::new();
            Encoder::new(*id, dictionary).unwrap().compress(bytes, &mut payload).unwrap();
            decompress(kind, dictionary, &payload, bytes.len(), &mut block).unwrap();
            assert_eq!(block, bytes);
        }
    }
});

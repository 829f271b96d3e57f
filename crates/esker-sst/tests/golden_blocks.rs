//! The encoders against payloads that RocksDB and the libraries wrote: see golden/encoders/README.md.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use esker_sst::compression::decompress;
use esker_sst::encoder::{Encoder, EncoderId};

struct Golden {
    id: EncoderId,
    plain: Vec<u8>,
    dictionary: Vec<u8>,
    payload: Vec<u8>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/encoders")
}

/// The block `long`, which is made rather than stored.
fn long() -> Vec<u8> {
    let lines = (0u64..).map(|line| format!("vertex {:x} follows {:x}\n", line * line % 251, line % 97));
    lines.flat_map(String::into_bytes).take(72_000).collect()
}

fn golden_blocks() -> Vec<Golden> {
    let names = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let payloads = names.filter(|name| name.ends_with(".payload"));
    let golden = payloads.map(|name| {
        let mut parts: Vec<&str> = name.split('.').rev().skip(1).collect();
        let block = parts.pop().unwrap();
        let id = EncoderId(u32::from_str_radix(parts[0], 16).unwrap());
        let dictionary = if parts.len() == 2 { fs::read(folder().join(format!("{block}.dictionary"))).unwrap() } else { Vec::new() };
        let plain = if block == "long" { long() } else { fs::read(folder().join(format!("{block}.plain"))).unwrap() };
        Golden { id, plain, dictionary, payload: fs::read(folder().join(&name)).unwrap() }
    });
    golden.collect()
}

#[test]
fn every_encoder_gives_the_payloads_of_the_library_it_stands_for() {
    let golden = golden_blocks();
    for block in &golden {
        let mut encoder = Encoder::new(block.id, &block.dictionary).unwrap();
        let mut payload = b"before".to_vec();
        encoder.compress(&block.plain, &mut payload).unwrap();
        assert!(payload == [b"before", &block.payload[..]].concat(), "{}, {} bytes", block.id, block.plain.len());
    }
    let variants: BTreeSet<u32> = golden.iter().map(|block| block.id.0 >> 16).collect();
    assert_eq!(variants, BTreeSet::from([0x0108, 0x0109, 0x010a, 0x010b, 0x0401, 0x0402, 0x050a, 0x0754, 0x0757]));
}

#[test]
fn every_golden_payload_decompresses() {
    for block in golden_blocks() {
        let mut plain = vec![1; 10];
        let kind = block.id.compression_type();
        decompress(kind, &block.dictionary, &block.payload, block.plain.len(), &mut plain).unwrap();
        assert!(plain == block.plain, "{}", block.id);
        assert!(decompress(kind, &block.dictionary, &block.payload, block.plain.len() - 1, &mut plain).is_err());
    }
}

#[test]
fn a_cut_or_changed_payload_is_an_error_or_another_block_but_never_a_panic() {
    for block in golden_blocks().iter().filter(|block| block.plain.len() < 5_000) {
        let kind = block.id.compression_type();
        let mut plain = Vec::new();
        for cut in 0..block.payload.len() {
            assert!(decompress(kind, &block.dictionary, &block.payload[..cut], 1 << 16, &mut plain).is_err(), "{} cut to {cut}", block.id);
        }
        for at in 0..block.payload.len() {
            let mut changed = block.payload.clone();
            changed[at] ^= 1 << (at % 8);
            if decompress(kind, &block.dictionary, &changed, 1 << 16, &mut plain).is_ok() {
                assert!(plain.len() <= 1 << 16);
            }
        }
    }
}

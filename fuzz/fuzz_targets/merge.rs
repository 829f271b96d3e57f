//! Any bytes as a table that is stored as sorted runs, first alone and then against a base: refused, or rebuilt to the byte.
#![no_main]

use esker_fuzz::tables::Chunks;
use libfuzzer_sys::fuzz_target;

/// An honest table, as the base.
const OTHER: &[u8] = include_bytes!("../../crates/esker-sst/tests/golden/rest_lz4.sst");

fuzz_target!(|table: &[u8]| {
    let mut chunks = Chunks::default();
    let Some(alone) = chunks.store(table, &[]) else { return };
    assert!(chunks.rebuild(&alone).unwrap() == table);
    let other = chunks.store(OTHER, &alone).unwrap();
    assert!(chunks.rebuild(&other).unwrap() == OTHER);
    let again = chunks.store(table, &other).unwrap();
    assert!(chunks.rebuild(&again).unwrap() == table);
});

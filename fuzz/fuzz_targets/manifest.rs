//! Manifests (format-spec chapter 9).
#![no_main]

use esker_format::manifest::Manifest;
use esker_fuzz::one_encoding;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    one_encoding::<Manifest>(data);
});

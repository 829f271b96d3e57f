//! Verification records (format-spec chapter 12).
#![no_main]

use esker_format::verification::Verification;
use esker_fuzz::one_encoding;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    one_encoding::<Verification>(data);
});

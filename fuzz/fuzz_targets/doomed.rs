//! Doomed lists and forgotten records (format-spec chapter 11).
#![no_main]

use esker_format::doomed::{DoomedList, Forgotten};
use esker_fuzz::one_encoding;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    one_encoding::<DoomedList>(data);
    one_encoding::<Forgotten>(data);
});

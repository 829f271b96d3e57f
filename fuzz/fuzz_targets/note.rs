//! Notes (format-spec chapter 13).
#![no_main]

use esker_format::note::Note;
use esker_fuzz::one_encoding;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    one_encoding::<Note>(data);
});

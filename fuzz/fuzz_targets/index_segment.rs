//! Index segments (format-spec chapter 6).
#![no_main]

use esker_format::index_segment::IndexSegment;
use esker_fuzz::one_encoding;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    one_encoding::<IndexSegment>(data);
});

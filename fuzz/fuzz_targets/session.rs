//! Session records and fences (format-spec chapter 10).
#![no_main]

use esker_format::session::{Fence, SessionBeat, SessionEnd, SessionOpen};
use esker_fuzz::one_encoding;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    one_encoding::<SessionOpen>(data);
    one_encoding::<SessionBeat>(data);
    one_encoding::<SessionEnd>(data);
    one_encoding::<Fence>(data);
});

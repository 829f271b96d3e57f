//! The printed form of a recovery key (format-spec chapter 3).
#![no_main]

use esker_format::key::{parse_recovery, print_recovery};
use esker_fuzz as _;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(bits) = std::str::from_utf8(data).ok().and_then(parse_recovery) {
        assert_eq!(parse_recovery(&print_recovery(&bits)), Some(bits));
    }
    if let Some(bits) = data.first_chunk::<32>() {
        assert_eq!(parse_recovery(&print_recovery(bits)).as_deref(), Some(bits));
    }
});

//! Runs (format-spec chapter 17).
#![no_main]

use esker_format::run::Run;
use esker_fuzz as _;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(run) = Run::decode(data) {
        assert_eq!(run.encode().unwrap(), data);
        let last = run.len() - 1;
        let (place, key) = (run.seek(0, run.key(last)), run.key(last));
        assert!(run.key(place) == key && (place == 0 || run.order().compare(run.key(place - 1), key).is_lt()));
    }
});

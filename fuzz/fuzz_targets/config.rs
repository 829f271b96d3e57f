//! `config` (format-spec chapter 2), as it is and with its hash made right.
#![no_main]

use esker_format::config::Config;
use esker_fuzz as _;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    decode(data);
    let body = data.split_at(data.len().saturating_sub(32)).0;
    decode(&[body, blake3::hash(body).as_bytes()].concat());
});

fn decode(bytes: &[u8]) {
    if let Ok(config) = Config::decode(bytes) {
        assert_eq!(config.encode(), bytes);
    }
}

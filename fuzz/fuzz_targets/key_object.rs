//! Key objects (format-spec chapter 3), as they are and with their hash made right. Only cheap ones are opened.
#![no_main]

use esker_format::key::{KeyKind, KeyObject, Secret};
use esker_fuzz as _;
use libfuzzer_sys::fuzz_target;
use zeroize::Zeroizing;

fuzz_target!(|data: &[u8]| {
    decode(data);
    let body = data.split_at(data.len().saturating_sub(32)).0;
    decode(&[body, blake3::hash(body).as_bytes()].concat());
});

fn decode(bytes: &[u8]) {
    let Ok(key) = KeyObject::decode(bytes) else { return };
    assert_eq!(key.encode(), bytes);
    let cheap = match key.kind {
        KeyKind::Passphrase(cost) => cost.memory_kib <= 64 && cost.passes <= 2,
        KeyKind::Recovery => true,
    };
    if cheap {
        let _ = key.unwrap_with(&Secret::Passphrase(Zeroizing::new(b"correct horse b\xc3\xa4ttery staple".to_vec())));
        let _ = key.unwrap_with(&Secret::Recovery(Zeroizing::new([7; 32])));
    }
}

//! Recipe pieces (format-spec chapter 8).
#![no_main]

use esker_format::recipe::RecipePiece;
use esker_fuzz as _;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(piece) = RecipePiece::decode(data) {
        assert_eq!(piece.encode().unwrap(), data);
    }
});

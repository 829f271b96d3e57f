//! Recipe pieces of all kinds (format-spec chapter 8).
#![no_main]

use esker_format::recipe::{Piece, RecipePiece};
use esker_fuzz as _;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let of_bytes = RecipePiece::decode(data).ok();
    match Piece::decode(data) {
        Ok(piece) => {
            assert_eq!(piece.encode().unwrap(), data);
            assert_eq!(of_bytes.is_some(), matches!(piece, Piece::Bytes(_)));
            assert!(piece.chunks().count() <= data.len());
        }
        Err(_) => assert!(of_bytes.is_none()),
    }
});

//! Pieces of file and seen tables (format-spec chapter 7).
#![no_main]

use esker_format::file_table::FileRow;
use esker_format::table::{SeenManifest, decode_piece, encode_piece};
use esker_fuzz as _;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(rows) = decode_piece::<FileRow>(data) {
        assert_eq!(encode_piece(&rows).unwrap(), data);
    }
    if let Ok(rows) = decode_piece::<SeenManifest>(data) {
        assert_eq!(encode_piece(&rows).unwrap(), data);
    }
});

//! Engine records and replica tables (format-spec chapter 9).
#![no_main]

use esker_format::engine::{EngineRecord, ReplicaRow};
use esker_format::table::{TableType, decode_piece, decode_single, encode_piece, encode_single};
use esker_fuzz as _;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(engine) = decode_single::<EngineRecord>(TableType::Engine, data) {
        assert_eq!(encode_single(TableType::Engine, &engine).unwrap(), data);
    }
    if let Ok(rows) = decode_piece::<ReplicaRow>(data) {
        assert_eq!(encode_piece(&rows).unwrap(), data);
    }
});

//! Any bytes as a table file whose index is read: an error, or data blocks in order inside the file, never a panic.

#![no_main]

use esker_sst::{TableMap, TableTail};

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    let Ok(tail) = TableTail::read(file) else { return };
    let decompress = &mut |_, payload: &[u8], limit, out: &mut Vec<u8>| {
        out.extend_from_slice(payload);
        payload.len() <= limit
    };
    if let Ok(map) = TableMap::read(file, tail, decompress) {
        let mut end = 0;
        for index in 0..map.len() {
            let handle = map.handle(index).expect("there are that many blocks");
            assert!(handle.offset >= end);
            end = handle.end().expect("it was checked");
            let _ = map.separator(index);
        }
        assert_eq!(end, map.data_end);
        assert!(end <= file.len() as u64);
    }
});

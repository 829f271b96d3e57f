//! Any bytes as a table file: an error or an identity within the file, never a panic.

#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    if let Ok(identity) = esker_sst::identify(file) {
        assert_eq!(identity.size, file.len() as u64);
        assert!(identity.tail_offset < identity.size);
        assert!(identity.tail_size() <= esker_sst::MAX_TAIL_SIZE);
    }
});

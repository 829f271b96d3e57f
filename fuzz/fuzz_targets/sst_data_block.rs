//! Any bytes as a data block of a table: a fault, or entries and a form that build a block with the same entries and form.

#![no_main]

use esker_sst::{ENTRIES_BYTES_MAX, Entries, data_block};

libfuzzer_sys::fuzz_target!(|content: &[u8]| {
    let mut entries = Entries::new();
    if let Ok(form) = data_block::decode(content, &mut entries) {
        assert!(entries.key_bytes() + entries.value_bytes() <= ENTRIES_BYTES_MAX);
        let mut built = Vec::new();
        // A hash index may have more restarts than it can tell apart.
        if data_block::encode(&form, &entries, 0..entries.len(), &mut built).is_ok() {
            let mut again = Entries::new();
            assert_eq!(data_block::decode(&built, &mut again), Ok(form));
            assert_eq!(again, entries);
        }
    }
});

//! Audit records (format-spec chapter 18).
#![no_main]

use esker_format::audit::AuditRecord;
use esker_fuzz::one_encoding;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    one_encoding::<AuditRecord>(data);
});

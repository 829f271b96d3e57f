//! Sparse forms of runs (format-spec chapter 19).
#![no_main]

use esker_format::sparse_run::{decode, encode, run_of};
use esker_fuzz as _;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(run) = run_of(data) else { return };
    if let Ok(form) = decode(&run, data) {
        assert_eq!(encode(&run, &form).unwrap(), data);
        let held = form.held();
        for range in held.ranges() {
            let found = form.positions(range.start, range.end - range.start).unwrap();
            assert_eq!(form.number(found.start), range.start);
        }
        // Half of it and the other half are all of it.
        let half = held.iter().step_by(2).collect();
        let (some, others) = (form.keep(&half), form.keep(&held.without(&half)));
        assert_eq!(some.join(&others).unwrap(), form);
    }
});

//! The envelope of control objects (format-spec chapter 4) in plain mode, as it is and sealed anew.
#![no_main]

use esker_format::doomed::{DoomedList, Forgotten};
use esker_format::index_segment::IndexSegment;
use esker_format::layout::ObjectKind;
use esker_format::manifest::Manifest;
use esker_format::note::Note;
use esker_format::seal::{Part, Sealing, TAG_LEN};
use esker_format::sealed_object::{OVERHEAD, open_object};
use esker_format::session::{Fence, SessionBeat, SessionEnd, SessionOpen};
use esker_format::verification::Verification;
use esker_format::wire::Record;
use esker_fuzz as _;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    open_as_its_kind(data);
    let envelope = OVERHEAD - TAG_LEN;
    if let (Some(head), Some(body)) = (data.get(..envelope), data.get(envelope..data.len().saturating_sub(TAG_LEN))) {
        let salt = data.get(14..46).and_then(|salt| salt.try_into().ok()).unwrap_or([0; 32]);
        let mut sealed = body.to_vec();
        Sealing::Plain.control_sealer(&salt).unwrap().seal(Part { number: 0, role: 0 }, head, &mut sealed).unwrap();
        open_as_its_kind(&[head, &sealed].concat());
    }
});

fn open_as_its_kind(object: &[u8]) {
    match object.get(5) {
        Some(5) => open::<IndexSegment>(ObjectKind::IndexSegment, object),
        Some(6) => open::<Manifest>(ObjectKind::Manifest, object),
        Some(7) => open::<SessionOpen>(ObjectKind::SessionOpen, object),
        Some(8) => open::<SessionBeat>(ObjectKind::SessionBeat, object),
        Some(9) => open::<SessionEnd>(ObjectKind::SessionEnd, object),
        Some(10) => open::<Fence>(ObjectKind::Fence, object),
        Some(11) => open::<DoomedList>(ObjectKind::DoomedList, object),
        Some(12) => open::<Forgotten>(ObjectKind::Forgotten, object),
        Some(13) => open::<Verification>(ObjectKind::Verification, object),
        _ => open::<Note>(ObjectKind::Note, object),
    }
}

fn open<R: Record>(kind: ObjectKind, object: &[u8]) {
    let _ = open_object::<R>(&Sealing::Plain, kind, "", object);
}

//! Packs (format-spec chapter 5) in plain mode: as they are, and with table and frames sealed anew.
#![no_main]

use esker_format::layout::PackKind;
use esker_format::pack::{Codec, Frame, FrameDecoder, FrameOpener, FrameTable, HEAD_LEN, TAIL_LEN, slice_of};
use esker_format::seal::{ChunkKind, Part, SALT_LEN, Sealing, TAG_LEN};
use esker_fuzz as _;
use libfuzzer_sys::fuzz_target;

const KIND: PackKind = PackKind::Data;
const FRAMES_MAX: usize = 8;

fuzz_target!(|data: &[u8]| {
    open(data);
    if let Some(pack) = sealed_anew(data) {
        open(&pack);
    }
    if let Some((head, body)) = data.split_first_chunk::<5>() {
        open_one_frame(*head, body);
    }
});

fn open(pack: &[u8]) {
    let Ok(table) = FrameTable::of_pack(&Sealing::Plain, KIND, pack) else { return };
    let end = table.frames().last().map_or(HEAD_LEN, |frame| (frame.offset + frame.entry.stored_len) as usize);
    assert!(end + TAG_LEN + TAIL_LEN <= pack.len());
    let opener = FrameOpener::new(&Sealing::Plain, KIND, table.format, table.salt).unwrap();
    let mut decoder = FrameDecoder::new().unwrap();
    for frame in table.frames().take(FRAMES_MAX) {
        let mut sealed = slice_of(pack, &frame).unwrap().to_vec();
        let _ = opener.open(&Sealing::Plain, &frame, &mut sealed, &mut decoder);
    }
}

/// The pack with the tag of its table made right.
fn sealed_anew(pack: &[u8]) -> Option<Vec<u8>> {
    let (body, tail) = pack.split_at_checked(pack.len().checked_sub(TAIL_LEN)?)?;
    let table_len = u32::from_le_bytes(tail.get(..4)?.try_into().ok()?) as usize;
    let (frames, table) = body.split_at_checked(body.len().checked_sub(table_len)?)?;
    let head = frames.get(..HEAD_LEN)?;
    let mut table = table.get(..table_len.checked_sub(TAG_LEN)?)?.to_vec();
    let sealer = Sealing::Plain.pack_sealer(head.get(HEAD_LEN - SALT_LEN..)?.try_into().ok()?).ok()?;
    sealer.seal(Part { number: 0, role: 1 }, &[head, tail].concat(), &mut table).ok()?;
    Some([frames, &table, tail].concat())
}

/// A frame whose tag is right, whatever its body and its claims.
fn open_one_frame(head: [u8; 5], body: &[u8]) {
    let [codec, plain_len @ ..] = head;
    let codec = if codec & 1 == 0 { Codec::Raw } else { Codec::Zstd };
    let plain_len = u32::from_le_bytes(plain_len) % (1 << 25);
    let stored_len = (body.len() + TAG_LEN) as u32;
    let chunk = Sealing::Plain.chunk_id(ChunkKind::Bytes, body);
    let entry = esker_format::pack::FrameEntry { chunk, kind: ChunkKind::Bytes, codec, stored_len, plain_len, form: None };
    let lengths = [stored_len.to_le_bytes(), plain_len.to_le_bytes()].concat();
    let aad = [b"ESKER\x03\x01\x00\x00", &[9; 32][..], &[0; 4], &[1, codec as u8], &lengths, &[1]].concat();
    let mut sealed = body.to_vec();
    let sealer = Sealing::Plain.pack_sealer(&[9; 32]).unwrap();
    sealer.seal(Part { number: 0, role: 0 }, &aad, &mut sealed).unwrap();
    let frame = Frame { entry, number: 0, offset: HEAD_LEN as u32, last: true };
    let opener = FrameOpener::new(&Sealing::Plain, KIND, 1, [9; 32]).unwrap();
    if let Ok(plain) = opener.open(&Sealing::Plain, &frame, &mut sealed, &mut FrameDecoder::new().unwrap()) {
        assert_eq!(plain, body);
    }
}

//! The bounds of format-spec, each at its edge: what stands on it is taken, what is over it is refused, by decoders and
//! by encoders alike.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[allow(dead_code, reason = "shared; each test file needs a part of it")]
#[path = "golden/samples.rs"]
mod samples;

use esker_format::config::Config;
use esker_format::engine::EngineRecord;
use esker_format::file_table::{FileRow, Node};
use esker_format::formats;
use esker_format::index_segment::{IndexSegment, IndexedPack};
use esker_format::key::{Argon2Cost, KeyObject, Secret, Unwrapped};
use esker_format::layout::{ObjectKind, PackKind, PackName, SessionRecord, session_from_path};
use esker_format::limits::{CHUNK_PLAIN_MAX, HOSTS_MAX, INLINE_MAX, NAME_MAX, RECIPE_OPS_MAX, TABLE_PIECE_MAX, TEXTS_MAX};
use esker_format::manifest::{HostRecord, Manifest};
use esker_format::note::Note;
use esker_format::pack::{Codec, FrameEntry, FrameOpener, FrameTable, HEAD_LEN, PackBuilder, TAIL_LEN};
use esker_format::recipe::{Operation, RecipePiece};
use esker_format::seal::{ChunkKind, Part, Sealing, TAG_LEN};
use esker_format::sealed_object::{open_object, seal_object};
use esker_format::sorted_totals::{Fallback, SortedTotals};
use esker_format::table::{PieceBuilder, TableType, decode_piece, encode_piece, encode_single};
use esker_format::wire::Record;
use esker_format::{ChunkId, FormatError, Result};
use samples::{encrypted, plain};

fn is_over<T>(outcome: Result<T>) -> bool {
    matches!(outcome, Err(FormatError::OverLimit { .. }))
}

fn is_bad<T>(outcome: Result<T>) -> bool {
    matches!(outcome, Err(FormatError::BadValue { .. }))
}

fn sealed<R: Record>(kind: ObjectKind, record: &R) -> Result<Vec<u8>> {
    seal_object(&plain(), kind, "", [1; 32], record)
}

/// `value` with its hash made right.
fn rehashed(value: &[u8]) -> Vec<u8> {
    let body = &value[..value.len() - 32];
    [body, blake3::hash(body).as_bytes()].concat()
}

#[test]
fn a_backup_of_100_hosts_without_a_name_or_a_file_comes_back() {
    let host = HostRecord { name: String::new(), tree: samples::table(0, &[]), engines: Vec::new(), files: 0, bytes: 0 };
    assert_eq!(host.to_bytes().len(), 6, "the least a host takes");
    let mut manifest = Manifest { hosts: vec![host; 100], ..samples::manifest() };
    assert_eq!(Manifest::from_bytes(&manifest.to_bytes()).unwrap(), manifest);
    manifest.hosts.resize(HOSTS_MAX as usize, manifest.hosts[0].clone());
    assert!(sealed(ObjectKind::Manifest, &manifest).is_ok());
    manifest.hosts.push(manifest.hosts[0].clone());
    assert!(is_over(sealed(ObjectKind::Manifest, &manifest)));
    assert!(is_over(Manifest::from_bytes(&manifest.to_bytes())));
}

#[test]
fn tags_warnings_fallbacks_and_column_families_are_counted() {
    let texts = |over: u64| vec![String::new(); (TEXTS_MAX + over) as usize];
    let note = |over| sealed(ObjectKind::Note, &Note { tags: texts(over), ..samples::note() });
    let tags = |over| sealed(ObjectKind::Manifest, &Manifest { tags: texts(over), ..samples::manifest() });
    let warnings = |over| sealed(ObjectKind::Manifest, &Manifest { warnings: texts(over), ..samples::manifest() });
    let families = |over| {
        let engine = EngineRecord { column_families: texts(over), ..samples::engines()[1].clone() };
        encode_single(TableType::Engine, &engine)
    };
    let fallbacks = |over: u64| {
        let none = Fallback { reason: String::new(), files: 0, bytes: 0 };
        let sorted = SortedTotals { fallbacks: vec![none; (TEXTS_MAX + over) as usize], ..SortedTotals::default() };
        sealed(ObjectKind::Manifest, &Manifest { sorted: Some(sorted), ..samples::manifest() })
    };
    for encode in [&note as &dyn Fn(u64) -> Result<Vec<u8>>, &tags, &warnings, &families, &fallbacks] {
        assert!(encode(0).is_ok());
        assert!(is_over(encode(1)));
    }
}

#[test]
fn an_encoder_refuses_what_a_decoder_would_refuse() {
    let long = "n".repeat(NAME_MAX + 1);
    assert!(is_over(sealed(ObjectKind::Note, &Note { tags: vec![long.clone()], ..samples::note() })));
    let row = |path: &[u8]| FileRow { path: path.to_vec(), node: Node::Folder, ..samples::file_rows()[0].clone() };
    assert!(encode_piece(&[row(b"a/b")]).is_ok());
    for path in [b"../a".as_slice(), b"/a", b"a//b", b"a\0"] {
        assert!(encode_piece(&[row(path)]).is_err());
        let mut builder = PieceBuilder::default();
        assert!(builder.push(row(path)).is_err() || builder.finish().is_err());
    }
    let piece = |operation| RecipePiece { operations: vec![operation] }.encode();
    assert!(is_bad(piece(Operation::Hole { len: 0 })));
    assert!(is_over(piece(Operation::Chunk { id: ChunkId([1; 32]), len: CHUNK_PLAIN_MAX as u32 + 1 })));
    assert!(is_over(piece(Operation::Literal(vec![1; INLINE_MAX + 1]))));
    let operations = vec![Operation::Hole { len: 1 }; RECIPE_OPS_MAX + 1];
    assert!(is_over(RecipePiece { operations }.encode()));
    let label = Unwrapped { master: samples::master(), config_hash: [0; 32], created_ms: 0, label: long };
    assert!(is_over(KeyObject::wrap(&Secret::Recovery([1; 32].into()), Argon2Cost::CHEAP, [1; 32], &label)));
}

#[test]
fn a_piece_has_at_most_4_mib() {
    let row = |target: usize| FileRow { node: Node::Link(vec![b'x'; target]), ..samples::file_rows()[0].clone() };
    let mut rows = vec![row(4096); TABLE_PIECE_MAX / row(4096).to_bytes().len()];
    let left = TABLE_PIECE_MAX - encode_piece(&rows).unwrap().len();
    // The longest link that still fits, and one byte more.
    let next = (0..=4096).rev().find(|target| row(*target).to_bytes().len() <= left).unwrap();
    rows.push(row(next));
    let piece = encode_piece(&rows).unwrap();
    assert_eq!(piece.len(), TABLE_PIECE_MAX);
    assert_eq!(decode_piece::<FileRow>(&piece).unwrap(), rows);
    rows.pop();
    rows.push(row(next + 1));
    assert!(is_over(encode_piece(&rows)));
    assert!(is_over(decode_piece::<FileRow>(&[piece, vec![0]].concat())));
}

#[test]
fn a_config_keeps_to_its_bounds() {
    let decode = |pack_target, zstd_level| Config::decode(&Config { pack_target, zstd_level, ..samples::config(true) }.encode());
    for (pack_target, zstd_level) in [(64 << 10, 1), (64 << 20, 22)] {
        assert!(decode(pack_target, zstd_level).is_ok());
    }
    for (pack_target, zstd_level) in [((64 << 10) - 1, 3), ((64 << 20) + 1, 3), (32 << 20, 0), (32 << 20, 23), (32 << 20, -1)] {
        assert!(is_bad(decode(pack_target, zstd_level)), "{pack_target} {zstd_level}");
    }
}

#[test]
fn a_key_object_asks_for_a_cost_that_argon2_has() {
    let content = Unwrapped { master: samples::master(), config_hash: [0; 32], created_ms: 0, label: String::new() };
    let passphrase = Secret::Passphrase(b"p".to_vec().into());
    let key = KeyObject::wrap(&passphrase, Argon2Cost::CHEAP, [1; 32], &content).unwrap().encode();
    let recovery = KeyObject::wrap(&Secret::Recovery([1; 32].into()), Argon2Cost::CHEAP, [1; 32], &content).unwrap().encode();
    let with_cost = |key: &[u8], cost: [u32; 3]| {
        let cost: Vec<u8> = cost.iter().flat_map(|value| value.to_le_bytes()).collect();
        KeyObject::decode(&rehashed(&[&key[..9], &cost, &key[21..]].concat()))
    };
    for cost in [[8, 1, 1], [128, 16, 16], [262_144, 1, 1]] {
        assert!(with_cost(&key, cost).is_ok(), "{cost:?}");
    }
    for cost in [[8, 0, 1], [8, 1, 0], [7, 1, 1], [127, 1, 16], [0, 0, 0]] {
        assert!(is_bad(with_cost(&key, cost)), "{cost:?}");
    }
    for cost in [[262_145, 1, 1], [8, 17, 1], [1024, 1, 17]] {
        assert!(is_over(with_cost(&key, cost)), "{cost:?}");
    }
    assert!(with_cost(&recovery, [0; 3]).is_ok());
    assert!(is_bad(with_cost(&recovery, [8, 1, 1])));
    let cost = Argon2Cost { memory_kib: 8, passes: 0, lanes: 1 };
    assert!(is_bad(KeyObject::wrap(&passphrase, cost, [1; 32], &content)));
}

#[test]
fn beats_count_from_one_in_eight_digits() {
    let session = samples::SESSION;
    let beat = |number: &str| session_from_path(&format!("sessions/{session}/beat-{number}")).map(|(_, record)| record);
    assert_eq!(beat("00000001"), Some(SessionRecord::Beat(1)));
    assert_eq!(beat("99999999"), Some(SessionRecord::Beat(99_999_999)));
    for none in ["00000000", "1", "000000001", "100000000", "+0000001"] {
        assert_eq!(beat(none), None, "{none}");
    }
}

#[test]
fn a_pack_says_how_it_is_sealed() {
    for (ours, theirs, mode) in [(plain(), encrypted(), 1), (encrypted(), plain(), 0)] {
        let pack = PackBuilder::new(&theirs, PackKind::Data, 1, [3; 32]).unwrap().finish().unwrap();
        assert_eq!(pack.bytes[8], mode);
        assert!(matches!(FrameTable::of_pack(&ours, PackKind::Data, &pack.bytes), Err(FormatError::WrongMode { .. })));
        let mut unknown = pack.bytes;
        unknown[8] = 2;
        assert!(matches!(FrameTable::of_pack(&ours, PackKind::Data, &unknown), Err(FormatError::WrongMode { .. })));
    }
}

#[test]
fn a_pack_of_a_newer_format_is_named_as_such_whatever_else_is_wrong() {
    let mut pack = PackBuilder::new(&plain(), PackKind::Data, 1, [3; 32]).unwrap().finish().unwrap().bytes;
    (pack[6], pack[8]) = (3, 9);
    assert!(matches!(FrameTable::of_pack(&plain(), PackKind::Data, &pack), Err(FormatError::TooNew { found: 3, known: 2, .. })));
    assert!(matches!(PackBuilder::new(&plain(), PackKind::Data, 3, [3; 32]), Err(FormatError::TooNew { .. })));
    assert!(is_bad(PackBuilder::new(&plain(), PackKind::Data, 0, [3; 32])));
}

#[test]
fn each_kind_of_control_object_has_formats_of_its_own() {
    // The same object with another format in its header.
    let stated = |kind, object: &[u8], format: u8| {
        let object = [&object[..6], &[format], &object[7..]].concat();
        match kind {
            ObjectKind::Manifest => open_object::<Manifest>(&plain(), kind, "", &object).map(drop),
            ObjectKind::IndexSegment => open_object::<IndexSegment>(&plain(), kind, "", &object).map(drop),
            _ => open_object::<Note>(&plain(), kind, "", &object).map(drop),
        }
    };
    let kinds = [
        (ObjectKind::Manifest, sealed(ObjectKind::Manifest, &samples::manifest()), 2),
        (ObjectKind::IndexSegment, sealed(ObjectKind::IndexSegment, &samples::index_segment()), 2),
        (ObjectKind::Note, sealed(ObjectKind::Note, &samples::note()), 1),
    ];
    for (kind, object, newest) in kinds {
        let object = object.unwrap();
        assert_eq!((object[6], formats::newest(kind)), (1, newest), "what the first format can express is written in it");
        assert!(is_bad(stated(kind, &object, 0)));
        assert_eq!(stated(kind, &object, 1), Ok(()));
        for other in 2..=3 {
            let outcome = stated(kind, &object, other as u8);
            if other <= newest {
                assert!(matches!(outcome, Err(FormatError::Damaged { .. })), "the header is authenticated as it stands");
            } else {
                assert!(matches!(outcome, Err(FormatError::TooNew { found, known, .. }) if (found, known) == (other, newest)));
            }
        }
    }
}

#[test]
fn a_manifest_has_totals_of_sorted_runs_from_its_second_format_on() {
    let (first, second) = (samples::manifest(), samples::sorted_manifest());
    assert_eq!((first.format(), second.format()), (1, 2));
    assert_eq!(sealed(ObjectKind::Manifest, &second).unwrap()[6], 2);
    assert!(matches!(Manifest::from_bytes_in(1, &second.to_bytes()), Err(FormatError::TrailingBytes { .. })));
    assert!(matches!(Manifest::from_bytes_in(2, &first.to_bytes()), Err(FormatError::CutShort { .. })));
}

#[test]
fn frames_are_bound_to_the_format_of_their_pack() {
    let mut builder = PackBuilder::new(&plain(), PackKind::Data, 1, [3; 32]).unwrap();
    builder.add(plain().chunk_id(ChunkKind::Bytes, b"x"), ChunkKind::Bytes, Codec::Raw, 1, b"x".to_vec()).unwrap();
    let pack = builder.finish().unwrap();
    let frame = pack.table.frames().next().unwrap();
    assert_eq!((pack.table.format, frame.offset as usize), (1, HEAD_LEN));
    let open = |format| {
        let opener = FrameOpener::new(&plain(), PackKind::Data, format, pack.table.salt).unwrap();
        let mut sealed = pack.bytes[HEAD_LEN..][..1 + TAG_LEN].to_vec();
        opener.open(&plain(), &frame, &mut sealed, &mut esker_format::pack::FrameDecoder::new().unwrap()).map(<[u8]>::to_vec)
    };
    assert_eq!(open(1).unwrap(), b"x");
    assert!(matches!(open(2), Err(FormatError::Damaged { .. })));
}

#[test]
fn a_pack_holds_chunks_of_its_own_kind() {
    let chunk = |kind| plain().chunk_id(kind, b"x");
    // Kind and format of the pack, kind of the chunk, and whether it may stand there.
    for (pack, format, kind, may_stand) in [
        (PackKind::Data, 1, ChunkKind::Bytes, true),
        (PackKind::Data, 1, ChunkKind::Table, false),
        (PackKind::Data, 1, ChunkKind::Run, false),
        (PackKind::Data, 2, ChunkKind::Bytes, true),
        (PackKind::Data, 2, ChunkKind::Table, false),
        (PackKind::Data, 2, ChunkKind::Run, true),
        (PackKind::Meta, 1, ChunkKind::Bytes, false),
        (PackKind::Meta, 2, ChunkKind::Run, false),
        (PackKind::Meta, 2, ChunkKind::Table, true),
    ] {
        let mut builder = PackBuilder::new(&plain(), pack, format, [3; 32]).unwrap();
        let added = builder.add(chunk(kind), kind, Codec::Raw, 1, b"x".to_vec());
        let entry = FrameEntry { chunk: chunk(kind), kind, codec: Codec::Raw, stored_len: 17, plain_len: 1 };
        let read = FrameTable::of_pack(&plain(), pack, &pack_with(pack, format, &entry));
        assert_eq!((added.is_ok(), read.is_ok()), (may_stand, may_stand), "{kind:?} in a {pack:?} pack of format {format}");
        assert!(may_stand || is_bad(added) && is_bad(read));
    }
    assert!(ChunkKind::from_u8(4).is_err());
}

#[test]
fn a_segment_names_runs_only_in_packs_and_segments_of_the_second_format() {
    let run = FrameEntry { chunk: ChunkId([1; 32]), kind: ChunkKind::Run, codec: Codec::Raw, stored_len: 17, plain_len: 1 };
    let named = |format| {
        let name = PackName { kind: PackKind::Data, session: samples::SESSION, id: samples::object(1) };
        let table = FrameTable { format, salt: [3; 32], frames: vec![run] };
        IndexSegment { replaces: Vec::new(), packs: vec![IndexedPack { name, table }] }
    };
    assert_eq!(IndexSegment::from_bytes_in(2, &named(2).to_bytes()).unwrap(), named(2));
    assert!(is_bad(IndexSegment::from_bytes_in(1, &named(2).to_bytes())));
    assert!(is_bad(IndexSegment::from_bytes_in(2, &named(1).to_bytes())));
    assert!(is_bad(sealed(ObjectKind::IndexSegment, &named(1))));
    // The segment's format follows from the packs it names.
    let object =
        |format| sealed(ObjectKind::IndexSegment, &IndexSegment { packs: without_frames(&named(format)), ..named(format) }).unwrap();
    assert_eq!((object(1)[6], object(2)[6]), (1, 2));
}

fn without_frames(segment: &IndexSegment) -> Vec<IndexedPack> {
    let empty = |pack: &IndexedPack| IndexedPack { table: FrameTable { frames: Vec::new(), ..pack.table.clone() }, ..pack.clone() };
    segment.packs.iter().map(empty).collect()
}

/// A pack with a sealed table of one entry, and zeros where its frame would stand.
fn pack_with(kind: PackKind, format: u16, entry: &FrameEntry) -> Vec<u8> {
    let empty = PackBuilder::new(&plain(), kind, format, [3; 32]).unwrap().finish().unwrap().bytes;
    let head = &empty[..HEAD_LEN];
    let mut table = [&[1], entry.to_bytes().as_slice()].concat();
    let tail = [&(table.len() as u32 + 16).to_le_bytes(), &1u32.to_le_bytes(), &empty[empty.len() - TAIL_LEN + 8..]].concat();
    let sealer = plain().pack_sealer(&[3; 32]).unwrap();
    sealer.seal(Part { number: 0, role: 1 }, &[head, &tail].concat(), &mut table).unwrap();
    [head, &vec![0; entry.stored_len as usize], &table, &tail].concat()
}

#[test]
fn compressed_bytes_are_exactly_one_zstd_frame() {
    let record = samples::note().to_bytes();
    let open = |body: Vec<u8>| {
        let len = (record.len() as u32).to_le_bytes();
        let head = [b"ESKER\x0e\x01\x00\x00\x01", &len[..], &[1; 32]].concat();
        let mut sealed = body;
        plain().control_sealer(&[1; 32]).unwrap().seal(Part { number: 0, role: 0 }, &head, &mut sealed).unwrap();
        open_object::<Note>(&Sealing::Plain, ObjectKind::Note, "", &[head, sealed].concat())
    };
    let frame = |bytes: &[u8]| zstd::bulk::compress(bytes, 3).unwrap();
    assert_eq!(open(frame(&record)).unwrap(), samples::note());
    let (front, back) = record.split_at(10);
    let skippable = b"\x50\x2a\x4d\x18\x01\x00\x00\x00x";
    for body in [
        [frame(front), frame(back)].concat(),
        [frame(&record), frame(b"")].concat(),
        [frame(&record), skippable.to_vec()].concat(),
        [skippable.to_vec(), frame(&record)].concat(),
        [frame(&record), vec![0]].concat(),
        Vec::new(),
    ] {
        assert!(matches!(open(body), Err(FormatError::Codec { .. })));
    }
}

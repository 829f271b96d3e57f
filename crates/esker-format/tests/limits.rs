//! The bounds of format-spec, each at its edge: what stands on it is taken, what is over it is refused, by decoders and
//! by encoders alike.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[allow(dead_code, reason = "shared; each test file needs a part of it")]
#[path = "golden/samples.rs"]
mod samples;

use esker_format::audit::AuditRecord;
use esker_format::config::Config;
use esker_format::engine::EngineRecord;
use esker_format::file_table::{FileRow, Node};
use esker_format::formats;
use esker_format::index_segment::{IndexSegment, IndexedPack};
use esker_format::key::{Argon2Cost, KeyObject, Secret, Unwrapped};
use esker_format::layout::{ObjectKind, PackKind, PackName, SessionRecord, session_from_path};
use esker_format::limits::{
    AUDIT_HEADS_MAX, BUILT_NUMBERS_MAX, CHUNK_PLAIN_MAX, DICTIONARY_MAX, HOSTS_MAX, INLINE_MAX, NAME_MAX, PIECE_FORMS_MAX, RECIPE_OPS_MAX,
    RUN_ENTRIES_MAX, RUN_KEYS_MAX, TABLE_PIECE_MAX, TABLE_REST_MAX, TEXTS_MAX, TIMESTAMP_MAX,
};
use esker_format::manifest::{HostRecord, Manifest};
use esker_format::note::Note;
use esker_format::pack::{Codec, FormOf, FrameEntry, FrameOpener, FrameTable, HEAD_LEN, PackBuilder, TAIL_LEN};
use esker_format::recipe::{Operation, Piece, RecipePiece};
use esker_format::run::{KeyOrder, Run};
use esker_format::seal::{ChunkKind, Part, Sealing, TAG_LEN};
use esker_format::sealed_object::{open_object, seal_object};
use esker_format::sorted_totals::{Fallback, SortedTotals};
use esker_format::table::{PieceBuilder, TableType, decode_piece, encode_piece, encode_single};
use esker_format::table_recipe::{Block, BlockForm, Checksums, ChunkUse, Copy, RestPart, TableBlocks, TableRest, TrailerSource};
use esker_format::verification::Verification;
use esker_format::wire::{Record, Writer};
use esker_format::{ChunkId, FormatError, ObjectId, Result};
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
fn heads_of_an_audit_record_are_counted_and_ascend() {
    let record = |count: u64| {
        let heads = (0..count).map(|number| ObjectId(std::array::from_fn(|at| if at < 2 { number.to_be_bytes()[6 + at] } else { 0 })));
        AuditRecord { heads: heads.collect(), ..samples::audit_records()[1].clone() }
    };
    assert!(sealed(ObjectKind::Audit, &record(AUDIT_HEADS_MAX)).is_ok());
    assert!(is_over(sealed(ObjectKind::Audit, &record(AUDIT_HEADS_MAX + 1))));
    let mut twice = record(2);
    twice.heads[1] = twice.heads[0];
    assert!(is_bad(sealed(ObjectKind::Audit, &twice)));
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
    let label = Unwrapped { master: samples::master(), config_hash: [0; 32], created_ms: 0, label: long, signing: None };
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
    let content = Unwrapped { master: samples::master(), config_hash: [0; 32], created_ms: 0, label: String::new(), signing: None };
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
    (pack[6], pack[8]) = (4, 9);
    assert!(matches!(FrameTable::of_pack(&plain(), PackKind::Data, &pack), Err(FormatError::TooNew { found: 4, known: 3, .. })));
    assert!(matches!(PackBuilder::new(&plain(), PackKind::Data, 4, [3; 32]), Err(FormatError::TooNew { .. })));
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
            ObjectKind::Verification => open_object::<Verification>(&plain(), kind, "", &object).map(drop),
            _ => open_object::<Note>(&plain(), kind, "", &object).map(drop),
        }
    };
    let kinds = [
        (ObjectKind::Manifest, sealed(ObjectKind::Manifest, &samples::manifest()), 3),
        (ObjectKind::IndexSegment, sealed(ObjectKind::IndexSegment, &samples::index_segment()), 3),
        (ObjectKind::Verification, sealed(ObjectKind::Verification, &samples::verification()), 2),
        (ObjectKind::Note, sealed(ObjectKind::Note, &samples::note()), 1),
    ];
    for (kind, object, newest) in kinds {
        let object = object.unwrap();
        assert_eq!((object[6], formats::newest(kind)), (1, newest), "what the first format can express is written in it");
        assert!(is_bad(stated(kind, &object, 0)));
        assert_eq!(stated(kind, &object, 1), Ok(()));
        for other in 2..=4 {
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
fn a_verification_record_says_what_is_lost_from_its_second_format_on() {
    let record = samples::verification_with_losses();
    let object = sealed(ObjectKind::Verification, &record).unwrap();
    assert_eq!(object[6], 2);
    assert_eq!(open_object::<Verification>(&plain(), ObjectKind::Verification, "", &object).unwrap(), record);
    assert!(Verification::from_bytes(&record.to_bytes()).is_err(), "the first format has no losses");
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
fn a_manifest_says_of_what_it_is_a_copy_from_its_third_format_on() {
    for copy in samples::copied_manifests() {
        assert_eq!((copy.format(), sealed(ObjectKind::Manifest, &copy).unwrap()[6]), (3, 3));
        assert_eq!(Manifest::from_bytes_in(3, &copy.to_bytes()).unwrap(), copy);
        assert!(Manifest::from_bytes_in(2, &copy.to_bytes()).is_err() && Manifest::from_bytes_in(1, &copy.to_bytes()).is_err());
    }
    let made_here = samples::sorted_manifest();
    assert!(Manifest::from_bytes_in(3, &made_here.to_bytes()).is_err(), "a format holds what only it can say");
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
        (PackKind::Data, 2, ChunkKind::SparseRun, false),
        (PackKind::Data, 3, ChunkKind::SparseRun, true),
        (PackKind::Data, 3, ChunkKind::Run, true),
    ] {
        let mut builder = PackBuilder::new(&plain(), pack, format, [3; 32]).unwrap();
        let form = (kind == ChunkKind::SparseRun).then_some(FormOf { run: ChunkId([9; 32]), entries: 1 });
        let entry = FrameEntry { chunk: chunk(kind), kind, codec: Codec::Raw, stored_len: 17, plain_len: 1, form };
        let added = builder.push(entry, b"x".to_vec());
        let read = FrameTable::of_pack(&plain(), pack, &pack_with(pack, format, &entry));
        assert_eq!((added.is_ok(), read.is_ok()), (may_stand, may_stand), "{kind:?} in a {pack:?} pack of format {format}");
        assert!(may_stand || is_bad(added) && is_bad(read));
    }
    assert!(ChunkKind::from_u8(5).is_err());
    // A form says of which run it is, and nothing else does.
    for (kind, form) in [(ChunkKind::SparseRun, None), (ChunkKind::Run, Some(FormOf { run: ChunkId([9; 32]), entries: 1 }))] {
        let mut builder = PackBuilder::new(&plain(), PackKind::Data, 3, [3; 32]).unwrap();
        let entry = FrameEntry { chunk: chunk(kind), kind, codec: Codec::Raw, stored_len: 17, plain_len: 1, form };
        assert!(is_bad(builder.push(entry, b"x".to_vec())));
    }
}

#[test]
fn a_segment_names_runs_only_in_packs_and_segments_of_the_second_format() {
    let run = FrameEntry { chunk: ChunkId([1; 32]), kind: ChunkKind::Run, codec: Codec::Raw, stored_len: 17, plain_len: 1, form: None };
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

/// A run as an honest writer would not write it: the columns as they are.
fn run_of(entries: usize, timestamp_size: u8, columns: [&[u8]; 5], trailers: &[u8]) -> Vec<u8> {
    let mut out = Writer::default();
    out.raw(&[0, timestamp_size]);
    out.varint(entries as u64);
    columns.iter().for_each(|column| out.bytes(column));
    out.raw(trailers);
    out.into_bytes()
}

#[test]
fn a_run_has_entries_and_not_too_many() {
    let run = |entries: usize| {
        let mut run = Run::new(KeyOrder::Ascending, 0);
        (0..entries).for_each(|_| run.push(b"", b"", 1, &[]));
        run
    };
    let stored =
        |entries: usize| run_of(entries, 0, [&vec![0; entries], &vec![0; entries], b"", &vec![0; entries], b""], &vec![0; entries + 2]);
    assert!(is_bad(run(0).encode()) && is_bad(Run::decode(&stored(0))));
    assert_eq!(Run::decode(&run(RUN_ENTRIES_MAX).encode().unwrap()).unwrap().len(), RUN_ENTRIES_MAX);
    assert_eq!(Run::decode(&stored(RUN_ENTRIES_MAX)).unwrap().len(), RUN_ENTRIES_MAX);
    assert!(is_over(run(RUN_ENTRIES_MAX + 1).encode()) && is_over(Run::decode(&stored(RUN_ENTRIES_MAX + 1))));
}

#[test]
fn the_keys_of_a_run_are_bounded_as_they_are_written_out() {
    let key = vec![b'k'; 1 << 20];
    let run = |keys: usize, more: usize| {
        let mut run = Run::new(KeyOrder::Ascending, 0);
        (0..keys).for_each(|_| run.push(&key, b"", 1, &[]));
        run.push(&vec![b'l'; more], b"", 1, &[]);
        run
    };
    let whole = RUN_KEYS_MAX >> 20;
    assert_eq!(Run::decode(&run(whole - 1, 1 << 20).encode().unwrap()).unwrap().key(whole - 1).len(), 1 << 20);
    assert!(is_over(run(whole, 1).encode()));
    // All the keys but the first in three bytes each.
    let mut shared = Writer::default();
    (0..whole + 1).for_each(|number| shared.varint(if number == 0 { 0 } else { 1 << 20 }));
    let mut lens = Writer::default();
    (0..whole + 1).for_each(|number| lens.varint(if number == 0 { 1 << 20 } else { 0 }));
    let zeros = vec![0; whole + 1];
    let stored = run_of(whole + 1, 0, [&shared.into_bytes(), &lens.into_bytes(), &key, &zeros, b""], &vec![0; whole + 3]);
    assert!(is_over(Run::decode(&stored)));
}

#[test]
fn a_run_fits_in_a_chunk_and_its_timestamps_have_at_most_64_bytes() {
    let run = |value: usize, timestamp_size: u8| {
        let mut run = Run::new(KeyOrder::Ascending, timestamp_size);
        run.push(b"", &vec![0; value], 1, &[]);
        run
    };
    // A long value has a long length, in two places.
    let over = run(0, 0).encode().unwrap().len() + 2 * 3;
    assert_eq!(run(CHUNK_PLAIN_MAX - over, 0).encode().unwrap().len(), CHUNK_PLAIN_MAX);
    assert!(is_over(run(CHUNK_PLAIN_MAX - over + 1, 0).encode()));
    let most = TIMESTAMP_MAX as u8;
    assert!(Run::decode(&run(0, most).encode().unwrap()).is_ok());
    assert!(is_over(run(0, most + 1).encode()));
    assert!(is_over(Run::decode(&run_of(1, most + 1, [&[0], &[0], b"", &[0], b""], &[0; 68]))));
}

#[test]
fn a_run_has_nothing_over_and_nothing_that_could_be_shorter() {
    let entry = |columns: [&[u8]; 5], trailers: &[u8]| Run::decode(&run_of(1, 0, columns, trailers));
    assert!(entry([&[0], &[1], b"k", &[1], b"v"], &[1, 0, 0]).is_ok());
    for columns in [
        [&[0, 0][..], &[1], b"k", &[1], b"v"],
        [&[0], &[1, 0], b"k", &[1], b"v"],
        [&[0], &[1], b"kk", &[1], b"v"],
        [&[0], &[1], b"k", &[1, 0], b"v"],
        [&[0], &[1], b"k", &[1], b"vv"],
        [&[0], &[2], b"k", &[1], b"v"],
        [&[0], &[1], b"k", &[2], b"v"],
        [&[1], &[0], b"", &[1], b"v"],
        [&[], &[1], b"k", &[1], b"v"],
    ] {
        assert!(entry(columns, &[1, 0, 0]).is_err(), "{columns:?}");
    }
    // A width of 1 where 0 would do, a width of 8, a number that is not there, and one byte more.
    for trailers in [&[1, 0, 1, 0][..], &[1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0], &[1, 0, 1, 1], &[1, 0, 0, 0]] {
        assert!(entry([&[0], &[1], b"k", &[1], b"v"], trailers).is_err(), "{trailers:?}");
    }
    // 56 bits are all there are.
    let mut trailers = Writer::default();
    trailers.raw(&[1, 1]);
    trailers.varint((1 << 56) - 1);
    trailers.raw(&[1, 0, 1]);
    let two = |trailers: &[u8]| Run::decode(&run_of(2, 0, [&[0, 0], &[0, 0], b"", &[0, 0], b""], trailers));
    assert!(is_bad(two(&trailers.into_bytes())));
    assert!(two(&[1, 1, 0, 0]).is_ok());
}

fn blocks(change: impl FnOnce(&mut TableBlocks)) -> Result<Vec<u8>> {
    let mut blocks = samples::table_blocks();
    change(&mut blocks);
    Piece::Blocks(Box::new(blocks)).encode()
}

fn rest(change: impl FnOnce(&mut TableRest)) -> Result<Vec<u8>> {
    let mut rest = samples::table_rest();
    change(&mut rest);
    Piece::Rest(rest).encode()
}

#[test]
fn the_lists_of_a_piece_over_runs_keep_to_their_limits() {
    assert!(blocks(|_| ()).is_ok() && rest(|_| ()).is_ok());
    let forms = |count: u64| blocks(|piece| piece.forms = vec![BlockForm::default(); count as usize]);
    assert!(forms(PIECE_FORMS_MAX).is_ok() && is_over(forms(PIECE_FORMS_MAX + 1)));
    let dictionary = |len: u64| blocks(|piece| piece.dictionary = vec![ChunkUse { id: ChunkId([1; 32]), len: len as u32 }]);
    assert!(dictionary(DICTIONARY_MAX).is_ok() && is_over(dictionary(DICTIONARY_MAX + 1)));
    let first_key = |len: usize| blocks(|piece| piece.runs[0].first_key = vec![1; len]);
    assert!(first_key(3 << 20).is_ok() && is_over(first_key(TABLE_PIECE_MAX)));
    // Keys that begin alike are short as they are stored, but not in memory.
    let alike = |runs: usize| {
        blocks(|piece| {
            let long = |run: &mut esker_format::table_recipe::RunUse| run.first_key = vec![1; 1 << 20];
            let run = piece.runs[0].clone();
            piece.runs.resize(runs, run);
            piece.runs.iter_mut().for_each(long);
            piece.copies = (0..runs as u32).map(|run| Copy { run, start: 0, count: 1 }).collect();
            piece.blocks.retain(|block| !matches!(block, Block::Built { .. }));
            piece.blocks.push(Block::Built { form: 0, entries: runs as u32 });
            piece.trailers = vec![(TrailerSource::Home, runs as u32)];
            (piece.own_trailers, piece.own_timestamps) = (Vec::new(), Vec::new());
        })
    };
    assert!(alike(RUN_KEYS_MAX >> 20).is_ok() && is_over(alike((RUN_KEYS_MAX >> 20) + 1)));
    assert!(is_over(blocks(|piece| piece.timestamp_size = TIMESTAMP_MAX as u8 + 1)));
    let parts = |count: usize| {
        rest(|piece| {
            piece.parts = vec![RestPart::Literal(b"x".to_vec()); count];
            (piece.len, piece.filter_keys) = (count as u64, None);
        })
    };
    assert!(parts(RECIPE_OPS_MAX).is_ok() && is_over(parts(RECIPE_OPS_MAX + 1)));
    let numbers = |count: u64| rest(|piece| piece.parts[0] = RestPart::Built { kind: 1, numbers: vec![1; count as usize] });
    assert!(numbers(BUILT_NUMBERS_MAX).is_ok() && is_over(numbers(BUILT_NUMBERS_MAX + 1)));
    let literal = |len: usize| rest(|piece| piece.parts[2] = RestPart::Literal(vec![1; len]));
    assert!(literal(INLINE_MAX).is_ok() && is_over(literal(INLINE_MAX + 1)) && is_bad(literal(0)));
    let len = |len: u64| rest(|piece| piece.len = len);
    assert!(len(TABLE_REST_MAX).is_ok() && is_over(len(TABLE_REST_MAX + 1)));
}

#[test]
fn the_counts_of_a_piece_over_runs_agree() {
    let changes: [fn(&mut TableBlocks); 17] = [
        |piece| piece.len = 4095,
        |piece| piece.blocks[0] = Block::Built { form: 3, entries: 100 },
        |piece| piece.blocks[0] = Block::Built { form: 0, entries: 99 },
        |piece| piece.blocks[1] = Block::Kept(999),
        |piece| piece.blocks[1] = Block::Kept(0),
        |piece| piece.blocks[2] = Block::Zeros(0),
        |piece| piece.blocks.push(Block::Kept(1)),
        |piece| piece.copies[0].count = 101,
        |piece| piece.copies[0].run = 1,
        |piece| piece.copies[4].run = 3,
        |piece| piece.copies.push(Copy { run: 0, start: 0, count: 0 }),
        |piece| piece.trailers[0].1 = 201,
        |piece| piece.trailers.push((TrailerSource::Home, 0)),
        |piece| {
            piece.own_trailers.push(0);
            piece.own_timestamps.extend([0; 8]);
        },
        |piece| piece.trailers[1] = (TrailerSource::Own, 101),
        |piece| piece.runs.push(piece.runs[0].clone()),
        |piece| piece.kept.push(ChunkUse { id: ChunkId([1; 32]), len: 1 }),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert!(is_bad(blocks(change)), "change {number}");
    }
    let run_end = u32::try_from(RUN_ENTRIES_MAX).unwrap();
    assert!(is_over(blocks(|piece| piece.copies[0].start = run_end)), "an entry that no run can have");
    assert!(is_over(blocks(|piece| piece.copies[0].start = u32::MAX)));
    assert!(is_bad(blocks(|piece| piece.forms[0].compression = 1)), "a compression type without an encoder");
    assert!(is_bad(blocks(|piece| piece.forms[1].compression = 0)), "an encoder without a compression type");
    assert!(is_bad(blocks(|piece| piece.checksums = Checksums { kind: 5, base_context: 0 })));
    assert!(is_bad(rest(|piece| piece.filter_keys = None)));
    assert!(is_bad(rest(|piece| piece.len = 9009)), "less than the parts that are given");
    assert!(is_bad(rest(|piece| drop(piece.parts.drain(..2)))), "filter keys, and nothing built");
    let given_only = |len: u64| {
        rest(|piece| {
            piece.parts.drain(..2);
            (piece.len, piece.filter_keys) = (len, None);
        })
    };
    assert!(given_only(9010).is_ok() && is_bad(given_only(9011)));
}

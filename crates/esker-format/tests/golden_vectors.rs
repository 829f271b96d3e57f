//! The golden vectors of `format-spec/vectors`, one test for each chapter: what is built here is what is committed, and
//! what is committed opens as what is built here. `ESKER_WRITE_VECTORS=1` writes them anew.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod golden;

use esker_format::config::Config;
use esker_format::key::{Argon2Cost, KeyObject, Secret, Unwrapped, parse_recovery, print_recovery};
use esker_format::layout::{self, ObjectKind, PackKind, SessionRecord};
use esker_format::pack::{Codec, FormOf, FrameDecoder, FrameEncoder, FrameEntry, FrameOpener, FrameTable, PackBuilder, slice_of};
use esker_format::recipe::{Piece, RecipePiece};
use esker_format::run::Run;
use esker_format::seal::{ChunkKind, Part};
use esker_format::sealed_object::{open_object, seal_object};
use esker_format::table::{TableType, decode_piece, decode_single, encode_piece, encode_single};
use esker_format::wire::Record;
use esker_format::{ChunkId, sparse_run};
use golden::block::{Block, compare};
use golden::fields::{Fields, file_row, replica_row};
use golden::repository::Repository;
use golden::samples::{self, NOW_MS, SESSION, encrypted, master, plain};

const SALT: [u8; 32] = [0x2a; 32];

#[test]
fn chapter_02_config() {
    let block = |name, config: Config| Block::named(name).and(|block| config.list_in(block)).hex("bytes", config.encode());
    let configs = [samples::config(true), samples::config(false)];
    let blocks = [block("encrypted", configs[0].clone()), block("not encrypted", configs[1].clone())];
    for (committed, config) in compare("02-config.txt", &blocks, |_| false).iter().zip(configs) {
        assert_eq!(Config::decode(&committed.get("bytes")).unwrap(), config);
    }
}

#[test]
fn chapter_03_keys() {
    let config_hash = *blake3::hash(&samples::config(true).encode()).as_bytes();
    let content = Unwrapped { master: master(), config_hash, created_ms: NOW_MS, label: "ops \u{2744}".into(), signing: None };
    let signing = Unwrapped { signing: Some(samples::signing()), ..content.clone() };
    let wrap_signing = |secret: &Secret| KeyObject::wrap(secret, Argon2Cost::CHEAP, SALT, &signing).unwrap().encode();
    let wrap = |secret: &Secret| KeyObject::wrap(secret, Argon2Cost::CHEAP, SALT, &content).unwrap().encode();
    let rest = |block: Block, memory_kib, passes, lanes| {
        let block = block.number("memory_kib", memory_kib).number("passes", passes).number("lanes", lanes).hex("salt", SALT);
        let block = block.hex("master", content.master.0.as_slice()).hex("config_hash", config_hash);
        block.number("created_ms", NOW_MS).text("label", &content.label)
    };
    let bits: [u8; 32] = std::array::from_fn(|at| 255 - 7 * at as u8);
    let words = "correct horse b\u{e4}ttery staple";
    let secrets = [Secret::Passphrase(words.as_bytes().to_vec().into()), Secret::Recovery(bits.into())];
    let cost = Argon2Cost::CHEAP;
    let passphrase = Block::named("passphrase").number("kind", 1).text("passphrase", words);
    let recovery = Block::named("recovery key").number("kind", 2).hex("recovery_bits", bits).text("printed", &print_recovery(&bits));
    let blocks = [
        rest(passphrase, cost.memory_kib, cost.passes, cost.lanes).hex("bytes", wrap(&secrets[0])),
        rest(recovery.clone(), 0, 0, 0).hex("bytes", wrap(&secrets[1])),
        rest(recovery.format(2), 0, 0, 0).hex("signing", samples::signing().0.as_slice()).hex("bytes", wrap_signing(&secrets[1])),
    ];
    let secrets = [secrets[0].clone(), secrets[1].clone(), secrets[1].clone()];
    for (committed, secret) in compare("03-keys.txt", &blocks, |_| false).iter().zip(&secrets) {
        let opened = KeyObject::decode(&committed.get("bytes")).unwrap().unwrap_with(secret).unwrap();
        assert_eq!((*opened.master.0, opened.label), (*master().0, content.label.clone()));
    }
    assert_eq!(*parse_recovery(&print_recovery(&bits)).unwrap(), bits);
}

#[test]
fn chapter_04_sealing() {
    let mut blocks: Vec<Block> = [
        (ChunkKind::Bytes, ""),
        (ChunkKind::Bytes, "entries"),
        (ChunkKind::Table, "entries"),
        (ChunkKind::Run, "entries"),
        (ChunkKind::SparseRun, "entries"),
    ]
    .into_iter()
    .map(|(kind, content)| {
        let block = Block::named("chunk id").number("kind", kind as u8).text("content", content);
        block.hex("plain", plain().chunk_id(kind, content.as_bytes()).0).hex("encrypted", encrypted().chunk_id(kind, content.as_bytes()).0)
    })
    .collect();
    for (context, in_pack) in [("pack", true), ("control object", false)] {
        for (part, body) in [(Part { number: 0, role: 0 }, ""), (Part { number: 0x0102_0304_0506_0708, role: 1 }, "entries")] {
            let seal = |sealing: esker_format::seal::Sealing| {
                let sealer = if in_pack { sealing.pack_sealer(&SALT) } else { sealing.control_sealer(&SALT) }.unwrap();
                let mut sealed = body.as_bytes().to_vec();
                sealer.seal(part, b"associated", &mut sealed).unwrap();
                sealed
            };
            let block =
                Block::named("part").text("context", context).hex("salt", SALT).number("number", part.number).number("role", part.role);
            let block = block.hex("associated_data", b"associated").text("body", body);
            blocks.push(block.hex("plain", seal(plain())).hex("encrypted", seal(encrypted())));
        }
    }
    compare("04-sealing.txt", &blocks, |_| false);
}

/// Name, format, kind, chunks with their kinds.
type PackVector<'a> = (&'a str, u16, PackKind, &'a [(ChunkKind, &'a str)]);

#[test]
fn chapter_05_pack() {
    let long = "the same words, the same words, the same words, the same words";
    let (bytes, table, run) = (ChunkKind::Bytes, ChunkKind::Table, ChunkKind::Run);
    let packs: [PackVector<'_>; 6] = [
        ("data pack", 1, PackKind::Data, &[(bytes, "first"), (bytes, ""), (bytes, "third"), (bytes, "first")]),
        ("metadata pack", 1, PackKind::Meta, &[(table, "\u{5}\u{1}\u{0}")]),
        ("empty pack", 1, PackKind::Data, &[]),
        ("compressed pack", 1, PackKind::Data, &[(bytes, long), (bytes, "last")]),
        ("data pack with runs", 2, PackKind::Data, &[(run, "first"), (bytes, "first"), (run, "")]),
        ("metadata pack beside runs", 2, PackKind::Meta, &[(table, "\u{5}\u{1}\u{0}")]),
    ];
    let blocks = packs.map(|(name, format, kind, chunks)| {
        let build = |sealing: esker_format::seal::Sealing| {
            let mut builder = PackBuilder::new(&sealing, kind, format, SALT).unwrap();
            let mut encoder = FrameEncoder::new(3).unwrap();
            for (chunk_kind, chunk) in chunks {
                let (codec, body) = encoder.encode(chunk.as_bytes()).unwrap();
                let id = sealing.chunk_id(*chunk_kind, chunk.as_bytes());
                builder.add(id, *chunk_kind, codec, chunk.len() as u32, body).unwrap();
            }
            builder.finish().unwrap()
        };
        let zstd = build(plain()).table.frames.iter().any(|frame| frame.codec == Codec::Zstd);
        let block = Block::named(name).number("zstd", u8::from(zstd)).number("kind", kind as u8).format(format).hex("salt", SALT);
        let block = block.list("chunks", chunks, |block, field, (_, chunk)| block.hex(field, chunk));
        let kinds = |block: Block| block.list("chunk_kinds", chunks, |block, field, (kind, _)| block.number(field, *kind as u8));
        let block = if format == 1 { block } else { kinds(block) };
        block.hex("plain", build(plain()).bytes).hex("encrypted", build(encrypted()).bytes)
    });
    let committed = compare("05-pack.txt", &blocks, |field| field == "plain" || field == "encrypted");
    for ((_, format, kind, chunks), block) in packs.iter().zip(committed) {
        for (field, sealing) in [("plain", plain()), ("encrypted", encrypted())] {
            let pack = block.get(field);
            let table = FrameTable::of_pack(&sealing, *kind, &pack).unwrap();
            assert_eq!(table.format, *format);
            let opener = FrameOpener::new(&sealing, *kind, table.format, table.salt).unwrap();
            let mut decoder = FrameDecoder::new().unwrap();
            let opened: Vec<Vec<u8>> = table
                .frames()
                .map(|frame| opener.open(&sealing, &frame, &mut slice_of(&pack, &frame).unwrap().to_vec(), &mut decoder).unwrap().to_vec())
                .collect();
            assert_eq!(opened, chunks.iter().map(|(_, chunk)| chunk.as_bytes().to_vec()).collect::<Vec<_>>());
        }
    }
}

/// A control object in both modes, with its plain record.
fn control<R: Record + Fields + PartialEq + std::fmt::Debug>(kind: ObjectKind, place: &str, record: &R) -> Block {
    let seal = |sealing| seal_object(&sealing, kind, place, SALT, record).unwrap();
    let sealed = [seal(plain()), seal(encrypted())];
    let block = Block::named(kind.name()).number("zstd", sealed[0][9]).number("object_kind", kind as u8).format(record.format());
    let block = block.text("place", place).hex("salt", SALT).and(|block| record.list_in(block)).hex("record", record.to_bytes());
    block.hex("plain", &sealed[0]).hex("encrypted", &sealed[1])
}

fn opens<R: Record + PartialEq + std::fmt::Debug>(kind: ObjectKind, place: &str, record: &R, block: &Block) {
    for (field, sealing) in [("plain", plain()), ("encrypted", encrypted())] {
        assert_eq!(open_object::<R>(&sealing, kind, place, &block.get(field)).unwrap(), *record);
    }
}

fn is_sealed(field: &str) -> bool {
    field == "plain" || field == "encrypted"
}

/// A chapter of one kind of control object.
fn chapter<R: Record + Fields + PartialEq + std::fmt::Debug>(file: &str, kind: ObjectKind, records: &[R]) {
    let blocks: Vec<Block> = records.iter().map(|record| control(kind, "", record)).collect();
    let committed = compare(file, &blocks, is_sealed);
    records.iter().zip(&committed).for_each(|(record, block)| opens(kind, "", record, block));
}

#[test]
fn chapter_06_index_segment() {
    chapter(
        "06-index-segment.txt",
        ObjectKind::IndexSegment,
        &[samples::index_segment(), samples::sorted_index_segment(), samples::sparse_index_segment()],
    );
}

#[test]
fn chapter_07_tables() {
    let (files, seen) = (samples::file_rows(), samples::seen());
    let blocks = [
        Block::named("files").number("type", 1).list("rows", &files, file_row).hex("bytes", encode_piece(&files).unwrap()),
        Block::named("seen")
            .number("type", 3)
            .list("rows", &seen, |block, field, id| block.hex(field, id.0.0))
            .hex("bytes", encode_piece(&seen).unwrap()),
    ];
    let committed = compare("07-tables.txt", &blocks, |_| false);
    assert_eq!(decode_piece::<esker_format::file_table::FileRow>(&committed[0].get("bytes")).unwrap(), files);
    assert_eq!(decode_piece::<esker_format::table::SeenManifest>(&committed[1].get("bytes")).unwrap(), seen);
}

#[test]
fn chapter_08_recipe() {
    let mut pieces = vec![("operations", Piece::Bytes(samples::recipe())), ("none", Piece::Bytes(RecipePiece::default()))];
    pieces.extend(samples::table_pieces());
    let block = |(name, piece): &(&str, Piece)| Block::named(name).and(|block| piece.list_in(block)).hex("bytes", piece.encode().unwrap());
    let blocks: Vec<Block> = pieces.iter().map(block).collect();
    for (block, (_, piece)) in compare("08-recipe.txt", &blocks, |_| false).iter().zip(&pieces) {
        assert_eq!(Piece::decode(&block.get("bytes")).unwrap(), *piece);
    }
}

#[test]
fn chapter_09_manifest() {
    let (manifest, sorted, copied) = (samples::manifest(), samples::sorted_manifest(), samples::copied_manifests());
    let (engines, replicas) = (samples::engines(), samples::replicas());
    let engine = |name, engine: &esker_format::engine::EngineRecord| {
        let bytes = encode_single(TableType::Engine, engine).unwrap();
        // The record has a field of this name, so the encoding goes by another.
        Block::named(name).number("type", 4).and(|block| engine.list_in(block)).hex("chunk", bytes)
    };
    let blocks = [
        control(ObjectKind::Manifest, "", &manifest),
        engine("engine", &engines[0]),
        engine("bare engine", &engines[1]),
        Block::named("replicas").number("type", 2).list("rows", &replicas, replica_row).hex("bytes", encode_piece(&replicas).unwrap()),
        control(ObjectKind::Manifest, "", &sorted),
        control(ObjectKind::Manifest, "", &copied[0]),
        control(ObjectKind::Manifest, "", &copied[1]),
    ];
    let committed = compare("09-manifest.txt", &blocks, is_sealed);
    opens(ObjectKind::Manifest, "", &manifest, &committed[0]);
    opens(ObjectKind::Manifest, "", &sorted, &committed[4]);
    copied.iter().zip(&committed[5..]).for_each(|(copy, block)| opens(ObjectKind::Manifest, "", copy, block));
    for (block, engine) in committed[1..3].iter().zip(engines) {
        assert_eq!(decode_single::<esker_format::engine::EngineRecord>(TableType::Engine, &block.get("chunk")).unwrap(), engine);
    }
    assert_eq!(decode_piece::<esker_format::engine::ReplicaRow>(&committed[3].get("bytes")).unwrap(), replicas);
}

#[test]
fn chapter_10_session() {
    let place = |record| layout::session_path(&SESSION, record);
    let (begin, beat) = (place(SessionRecord::Open), place(SessionRecord::Beat(2)));
    let (end, fence) = (place(SessionRecord::End), layout::fence_path(&SESSION));
    let ends = samples::ends();
    let blocks = [
        control(ObjectKind::SessionOpen, &begin, &samples::open()),
        control(ObjectKind::SessionBeat, &beat, &samples::beat()),
        control(ObjectKind::SessionEnd, &end, &ends[0]),
        control(ObjectKind::SessionEnd, &end, &ends[1]),
        control(ObjectKind::Fence, &fence, &samples::fence()),
    ];
    let committed = compare("10-session.txt", &blocks, is_sealed);
    opens(ObjectKind::SessionOpen, &begin, &samples::open(), &committed[0]);
    opens(ObjectKind::SessionBeat, &beat, &samples::beat(), &committed[1]);
    opens(ObjectKind::SessionEnd, &end, &ends[0], &committed[2]);
    opens(ObjectKind::SessionEnd, &end, &ends[1], &committed[3]);
    opens(ObjectKind::Fence, &fence, &samples::fence(), &committed[4]);
}

#[test]
fn chapter_11_doomed() {
    let blocks = [
        control(ObjectKind::DoomedList, "", &samples::doomed()),
        control(ObjectKind::Forgotten, "", &samples::forgotten()),
        control(ObjectKind::Forgotten, "", &samples::forgotten_packs()),
    ];
    let committed = compare("11-doomed.txt", &blocks, is_sealed);
    opens(ObjectKind::DoomedList, "", &samples::doomed(), &committed[0]);
    opens(ObjectKind::Forgotten, "", &samples::forgotten(), &committed[1]);
    opens(ObjectKind::Forgotten, "", &samples::forgotten_packs(), &committed[2]);
}

#[test]
fn chapter_12_verification() {
    chapter("12-verification.txt", ObjectKind::Verification, &[samples::verification(), samples::verification_with_losses()]);
}

#[test]
fn chapter_13_note() {
    chapter("13-note.txt", ObjectKind::Note, &[samples::note()]);
}

#[test]
fn chapter_17_run() {
    let block = |(name, run): (&str, &Run)| Block::named(name).and(|block| run.list_in(block)).hex("bytes", run.encode().unwrap());
    let runs = samples::runs();
    let blocks: Vec<Block> = ["ascending", "descending, with timestamps", "one entry"].into_iter().zip(&runs).map(block).collect();
    for (block, run) in compare("17-run.txt", &blocks, |_| false).iter().zip(&runs) {
        assert_eq!(Run::decode(&block.get("bytes")).unwrap(), *run);
    }
}

#[test]
fn chapter_18_audit() {
    let records = samples::audit_records();
    chapter("18-audit.txt", ObjectKind::Audit, &records);
    let public = samples::signing().public().unwrap();
    assert_eq!(records.map(|record| record.is_signed_by(&public)), [true, false, true]);
}

#[test]
fn chapter_19_sparse_run() {
    let forms = samples::forms();
    let block = |(name, (id, form)): (&str, &(ChunkId, Run))| {
        let kept = form.held().iter().collect::<Vec<_>>();
        let block = Block::named(name).hex("run", id.0).number("entries", form.whole_len().unwrap());
        let block = block.list("kept", &kept, |block, field, entry| block.number(field, *entry));
        block.and(|block| form.list_in(block)).hex("bytes", sparse_run::encode(id, form).unwrap())
    };
    let names = ["two of five", "all, descending, with timestamps", "one of one"];
    let blocks: Vec<Block> = names.into_iter().zip(&forms).map(block).collect();
    for (block, (id, form)) in compare("19-sparse-run.txt", &blocks, |_| false).iter().zip(&forms) {
        assert_eq!(sparse_run::decode(id, &block.get("bytes")).unwrap(), *form);
    }
}

/// A data pack with a run and a form of it; the run's id is another in each mode, so the forms are as well.
#[test]
fn chapter_05_pack_with_forms() {
    let run = &samples::runs()[0];
    let build = |sealing: &esker_format::seal::Sealing| {
        let mut builder = PackBuilder::new(sealing, PackKind::Data, 3, SALT).unwrap();
        let plain = run.encode().unwrap();
        let id = sealing.chunk_id(ChunkKind::Run, &plain);
        let form = sparse_run::encode(&id, &run.keep(&[1, 3].into_iter().collect())).unwrap();
        builder.add(id, ChunkKind::Run, Codec::Raw, plain.len() as u32, plain.clone()).unwrap();
        let (chunk, of) = (sealing.chunk_id(ChunkKind::SparseRun, &form), FormOf { run: id, entries: 2 });
        let (kind, codec, plain_len) = (ChunkKind::SparseRun, Codec::Raw, form.len() as u32);
        builder.push(FrameEntry { chunk, kind, codec, stored_len: 0, plain_len, form: Some(of) }, form.clone()).unwrap();
        (builder.finish().unwrap(), [plain, form])
    };
    let blocks = [plain(), encrypted()].map(|sealing| {
        let (pack, chunks) = build(&sealing);
        let mode = if sealing.mode() == 0 { "plain" } else { "encrypted" };
        let block = Block::named("data pack with a sparse form").number("zstd", 0).number("kind", 1).format(3).hex("salt", SALT);
        let block = block.list("chunks", &chunks, |block, field, chunk| block.hex(field, chunk));
        let block = block.list("chunk_kinds", &[3, 4], |block, field, kind| block.number(field, *kind));
        block.text("mode", mode).hex("bytes", pack.bytes)
    });
    for (block, sealing) in compare("19-pack-with-forms.txt", &blocks, |_| false).iter().zip([plain(), encrypted()]) {
        let table = FrameTable::of_pack(&sealing, PackKind::Data, &block.get("bytes")).unwrap();
        assert_eq!(table.frames[1].stands_for(), table.frames[0].chunk);
        assert_eq!(table, build(&sealing).0.table);
    }
}

#[test]
fn a_whole_repository() {
    let blocks = [Repository::build(false).block("plain"), Repository::build(true).block("encrypted")];
    compare("repository.txt", &blocks, |field| field.starts_with("object."));
}

//! Every record comes back as it was written, whatever it holds; every decoder meets whatever bytes with a record or an
//! error. That decoders allocate little follows from the limits: a count is refused without bytes behind it.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "golden/samples.rs"]
mod samples;

use esker_format::audit::AuditRecord;
use esker_format::config::{ChunkerParameters, Config};
use esker_format::doomed::{DoomedList, Forgotten, ForgottenKind};
use esker_format::engine::{EngineRecord, PartitionScheme, ReplicaRow};
use esker_format::file_table::{FileContent, FileRole, FileRow, Node, TableIdentity, check_path};
use esker_format::formats::{FIRST, newest};
use esker_format::index_segment::{IndexSegment, IndexedPack};
use esker_format::key::{KeyObject, parse_recovery, print_recovery};
use esker_format::layout::{ObjectKind, PackKind, PackName};
use esker_format::limits::{PACK_TARGET_MAX, PACK_TARGET_MIN, RUN_ENTRIES_MAX};
use esker_format::manifest::{HostRecord, Manifest, Origin, Totals};
use esker_format::note::Note;
use esker_format::pack::{Codec, FormOf, FrameDecoder, FrameEncoder, FrameEntry, FrameOpener, FrameTable, PackBuilder, slice_of};
use esker_format::recipe::{Operation, Piece, RecipePiece};
use esker_format::run::{KeyOrder, Run};
use esker_format::seal::{ChunkKind, Sealing};
use esker_format::sealed_object::{open_object, seal_object};
use esker_format::session::{Fence, SessionBeat, SessionEnd, SessionOpen};
use esker_format::sorted_totals::{Fallback, SortedTotals};
use esker_format::table::{SeenManifest, TableRef, TableType, decode_piece, decode_single, encode_piece, encode_single};
use esker_format::table_recipe::{Block, BlockForm, Checksums, ChunkUse, Copy, RestPart, RunUse, TableBlocks, TableRest, TrailerSource};
use esker_format::verification::{BackupVerdict, Level, Loss, Verification};
use esker_format::wire::Record;
use esker_format::{ChunkId, ObjectId, RepositoryId, SessionId, sparse_run};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

fn object() -> impl Strategy<Value = ObjectId> {
    any::<[u8; 32]>().prop_map(ObjectId)
}

fn objects() -> impl Strategy<Value = Vec<ObjectId>> {
    vec(object(), 0..4)
}

fn session() -> impl Strategy<Value = SessionId> {
    any::<[u8; 16]>().prop_map(SessionId)
}

fn chunks() -> impl Strategy<Value = Vec<ChunkId>> {
    vec(any::<[u8; 32]>().prop_map(ChunkId), 0..4)
}

fn table() -> impl Strategy<Value = TableRef> {
    (any::<u64>(), chunks()).prop_map(|(rows, pieces)| TableRef { rows, pieces })
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    vec(vec(any::<u8>(), 1..8), 0..4).prop_map(|parts| parts.join(&b'/')).prop_filter("stays below", |path| check_path(path).is_ok())
}

fn frame_entry() -> impl Strategy<Value = FrameEntry> {
    (any::<bool>(), any::<bool>(), any::<[u8; 32]>(), 16..=(16u32 << 20) + 64, 0..=16u32 << 20).prop_map(
        |(bytes, raw, chunk, stored_len, plain_len)| FrameEntry {
            chunk: ChunkId(chunk),
            kind: if bytes { ChunkKind::Bytes } else { ChunkKind::Table },
            codec: if raw { Codec::Raw } else { Codec::Zstd },
            stored_len,
            plain_len,
            form: None,
        },
    )
}

fn index_segment() -> impl Strategy<Value = IndexSegment> {
    let table = (prop_oneof![Just(1), Just(2), 3..=u16::MAX], any::<[u8; 32]>(), vec(frame_entry(), 0..4));
    let table = table.prop_map(|(format, salt, frames)| FrameTable { format, salt, frames });
    let pack = (any::<bool>(), session(), object(), table).prop_map(|(data, session, id, mut table)| {
        let kind = if data { PackKind::Data } else { PackKind::Meta };
        let of_data = [ChunkKind::Bytes, ChunkKind::Run, ChunkKind::SparseRun][usize::from(table.format).clamp(1, 3) - 1];
        for frame in &mut table.frames {
            frame.kind = if data { of_data } else { ChunkKind::Table };
            frame.form =
                (frame.kind == ChunkKind::SparseRun).then_some(FormOf { run: ChunkId([9; 32]), entries: frame.stored_len % 9 + 1 });
        }
        IndexedPack { name: PackName { kind, session, id }, table }
    });
    (objects(), vec(pack, 0..4)).prop_map(|(replaces, packs)| IndexSegment { replaces, packs })
}

fn file_content() -> impl Strategy<Value = FileContent> {
    let roles = [FileRole::Other, FileRole::Table, FileRole::Blob, FileRole::Wal, FileRole::Manifest, FileRole::Options, FileRole::Current];
    let identity = option::of((any::<[u8; 24]>(), any::<u64>(), any::<[u8; 32]>()));
    (0..=1u64 << 60, any::<[u8; 32]>(), prop::sample::select(roles.to_vec()), any::<(u64, u64)>(), identity, chunks()).prop_map(
        |(size, hash, role, (inode, chunks), identity, recipe)| {
            let identity =
                identity.map(|(unique_id, offset, tail_hash)| TableIdentity { unique_id, tail_offset: offset % (size + 1), tail_hash });
            FileContent { size, hash, role, inode, identity, chunks, recipe }
        },
    )
}

fn file_row() -> impl Strategy<Value = FileRow> {
    let node = prop_oneof![file_content().prop_map(Node::File), Just(Node::Folder), vec(any::<u8>(), 0..40).prop_map(Node::Link),];
    (path(), 0..=0o7777u32, any::<u32>(), any::<u32>(), any::<i64>(), 0..1_000_000_000u32, node)
        .prop_map(|(path, mode, uid, gid, mtime_s, mtime_ns, node)| FileRow { path, mode, uid, gid, mtime_s, mtime_ns, node })
}

fn recipe() -> impl Strategy<Value = RecipePiece> {
    let operation = prop_oneof![
        (any::<[u8; 32]>(), 1..=16u32 << 20).prop_map(|(id, len)| Operation::Chunk { id: ChunkId(id), len }),
        (1..=1u64 << 60).prop_map(|len| Operation::Hole { len }),
        vec(any::<u8>(), 1..40).prop_map(Operation::Literal),
    ];
    vec(operation, 0..6).prop_map(|operations| RecipePiece { operations })
}

fn order() -> impl Strategy<Value = KeyOrder> {
    prop_oneof![Just(KeyOrder::Ascending), Just(KeyOrder::Descending)]
}

fn run() -> impl Strategy<Value = Run> {
    let entry = (vec(0..3u8, 0..5), vec(any::<u8>(), 0..20), any::<u64>(), any::<[u8; 8]>());
    (order(), prop_oneof![Just(0), Just(8), 0..=64u8], vec(entry, 1..20)).prop_map(|(order, timestamp_size, mut entries)| {
        entries.sort_by(|left, right| order.compare(&left.0, &right.0));
        let mut run = Run::new(order, timestamp_size);
        entries.iter().for_each(|(key, value, trailer, timestamp)| run.push(key, value, *trailer, timestamp));
        run
    })
}

fn chunk_use() -> impl Strategy<Value = ChunkUse> {
    (any::<[u8; 32]>(), 1..=16u32 << 20).prop_map(|(id, len)| ChunkUse { id: ChunkId(id), len })
}

fn checksums() -> impl Strategy<Value = Checksums> {
    (0..=4u8, any::<u32>()).prop_map(|(kind, base_context)| Checksums { kind, base_context })
}

fn block_form() -> impl Strategy<Value = BlockForm> {
    let flags = any::<[bool; 3]>();
    (prop_oneof![Just((0, 0)), (1..=u8::MAX, 1..=u32::MAX)], any::<u32>(), any::<u16>(), flags).prop_map(
        |((compression, encoder), restart_interval, hash_buckets, [shares_prefixes, separate_values, uniform_keys])| BlockForm {
            compression,
            encoder,
            restart_interval,
            hash_buckets,
            shares_prefixes,
            separate_values,
            uniform_keys,
        },
    )
}

/// Blocks of a table whose counts and positions agree.
fn table_blocks() -> impl Strategy<Value = TableBlocks> {
    let heads = (any::<[u8; 32]>(), 0..=1u64 << 60, order(), 0..=4u8, checksums());
    let lists = (vec(block_form(), 1..4), vec(chunk_use(), 0..3), vec((any::<[u8; 32]>(), vec(0..3u8, 0..6)), 1..4));
    let copies = vec((any::<prop::sample::Index>(), 0..RUN_ENTRIES_MAX as u32 - 1000, 1..1000u32, 0..3u8, any::<u64>()), 0..8);
    (heads, lists, copies, vec(1..1000u32, 0..4)).prop_map(|((hash, offset, order, timestamp_size, checksums), lists, rows, zeros)| {
        let (forms, kept, runs) = lists;
        let mut piece = TableBlocks { hash, offset, order, timestamp_size, checksums, forms, ..TableBlocks::default() };
        for (number, (at, start, count, source, trailer)) in rows.into_iter().enumerate() {
            let run = at.index(runs.len()).min(piece.runs.len());
            if let (true, Some((id, first_key))) = (run == piece.runs.len(), runs.get(run)) {
                piece.runs.push(RunUse { id: ChunkId(*id), first_key: first_key.clone() });
            }
            piece.copies.push(Copy { run: run as u32, start, count });
            let source = [TrailerSource::Home, TrailerSource::Cleared, TrailerSource::Own][usize::from(source)];
            piece.trailers.push((source, count));
            if source == TrailerSource::Own {
                piece.own_trailers.extend((0..u64::from(count)).map(|add| trailer.wrapping_add(add << 8)));
                piece.own_timestamps.extend(vec![7; count as usize * usize::from(timestamp_size)]);
            }
            piece.blocks.push(Block::Built { form: (number % piece.forms.len()) as u32, entries: count });
        }
        piece.blocks.extend(zeros.into_iter().map(Block::Zeros));
        piece.blocks.extend(kept.iter().map(|chunk| Block::Kept(chunk.len)));
        (piece.kept, piece.len) = (kept, 1 << 40);
        piece
    })
}

fn table_rest() -> impl Strategy<Value = TableRest> {
    let part = prop_oneof![
        chunk_use().prop_map(RestPart::Chunk),
        vec(any::<u8>(), 1..40).prop_map(RestPart::Literal),
        (any::<u8>(), vec(any::<u64>(), 0..8)).prop_map(|(kind, numbers)| RestPart::Built { kind, numbers }),
    ];
    (any::<[u8; 32]>(), 0..=1u64 << 60, checksums(), any::<u64>(), vec(part, 0..6)).prop_map(|(hash, offset, checksums, keys, parts)| {
        let has_built = parts.iter().any(|part| matches!(part, RestPart::Built { .. }));
        let given = |part: &RestPart| match part {
            RestPart::Chunk(chunk) => u64::from(chunk.len),
            RestPart::Literal(bytes) => bytes.len() as u64,
            RestPart::Built { .. } => 100,
        };
        TableRest { len: parts.iter().map(given).sum(), hash, offset, checksums, filter_keys: has_built.then_some(keys), parts }
    })
}

fn replica() -> impl Strategy<Value = ReplicaRow> {
    (any::<u32>(), any::<u64>(), any::<u64>(), any::<Option<u64>>(), any::<Option<u64>>()).prop_map(
        |(partition, commit_id, commit_term, cut, wal_last_id)| ReplicaRow { partition, commit_id, commit_term, cut, wal_last_id },
    )
}

fn engine() -> impl Strategy<Value = EngineRecord> {
    let names = (option::of(text()), text(), option::of(text()), option::of(text()), vec(text(), 0..4), option::of(text()));
    (names, path(), table(), table(), any::<bool>(), any::<(u32, u64, u64)>()).prop_map(
        |((space, data_path, comparator, merge_operator, column_families, database_id), folder, files, replicas, nebula, numbers)| {
            EngineRecord {
                space,
                data_path,
                folder,
                files,
                replicas,
                scheme: if nebula { PartitionScheme::Nebula } else { PartitionScheme::None },
                comparator,
                merge_operator,
                column_families,
                format_version_max: numbers.0,
                database_id,
                file_count: numbers.1,
                bytes: numbers.2,
            }
        },
    )
}

fn host() -> impl Strategy<Value = HostRecord> {
    (text(), table(), chunks(), any::<(u64, u64)>()).prop_map(|(name, tree, engines, (files, bytes))| HostRecord {
        name,
        tree,
        engines,
        files,
        bytes,
    })
}

fn totals() -> impl Strategy<Value = Totals> {
    any::<[u64; 12]>().prop_map(|[a, b, c, d, e, f, g, h, i, j, k, l]| Totals {
        files: a,
        bytes: b,
        chunks: c,
        reused_files: d,
        reused_bytes: e,
        read_bytes: f,
        new_chunks: g,
        new_bytes: h,
        stored_data: i,
        stored_meta: j,
        left_out_files: k,
        left_out_bytes: l,
    })
}

fn sorted_totals() -> impl Strategy<Value = SortedTotals> {
    let fallback = (text(), any::<(u64, u64)>()).prop_map(|(reason, (files, bytes))| Fallback { reason, files, bytes });
    (any::<[u64; 5]>(), vec(fallback, 0..4)).prop_map(|([files, bytes, copied_bytes, literal_bytes, kept_bytes], fallbacks)| SortedTotals {
        files,
        bytes,
        copied_bytes,
        literal_bytes,
        kept_bytes,
        fallbacks,
    })
}

fn manifest() -> impl Strategy<Value = Manifest> {
    let names = (text(), text(), text(), vec(text(), 0..4), vec(text(), 0..4));
    let ids = (session(), objects(), objects(), objects(), vec(any::<u32>(), 0..4));
    let origin = any::<([u8; 16], [u8; 32])>()
        .prop_map(|(repository, manifest)| Origin { repository: RepositoryId(repository), manifest: ObjectId(manifest) });
    let totals = (totals(), option::of(sorted_totals()), option::of(origin));
    (names, ids, any::<(u64, u64)>(), vec(host(), 0..4), table(), totals).prop_map(
        |(
            (label, cluster, written_by, tags, warnings),
            (session, keys, segments, packs, encoders),
            times,
            hosts,
            seen,
            (totals, sorted, origin),
        )| Manifest {
            label,
            cluster,
            session,
            started_ms: times.0,
            finished_ms: times.1,
            written_by,
            tags,
            warnings,
            hosts,
            seen,
            keys,
            segments,
            packs,
            encoders,
            totals,
            sorted,
            origin,
        },
    )
}

fn verification() -> impl Strategy<Value = Verification> {
    let verdict = (object(), prop::sample::select(Level::ALL.to_vec()), any::<bool>(), any::<u64>())
        .prop_map(|(manifest, level, complete, findings)| BackupVerdict { manifest, level, complete, findings });
    let loss = (object(), any::<u64>(), any::<u64>()).prop_map(|(manifest, files, bytes)| Loss { manifest, files, bytes });
    (any::<u64>(), text(), vec(verdict, 0..4), objects(), vec(loss, 0..3))
        .prop_map(|(at_ms, written_by, backups, packs, losses)| Verification { at_ms, written_by, backups, packs, losses })
}

fn forgotten() -> impl Strategy<Value = Forgotten> {
    let kind = prop::sample::select(vec![ForgottenKind::Manifest, ForgottenKind::Key, ForgottenKind::Pack]);
    (session(), any::<u64>(), kind, vec((object(), text()), 0..4), text()).prop_map(|(session, at_ms, kind, objects, reason)| Forgotten {
        session,
        at_ms,
        kind,
        objects,
        reason,
    })
}

/// The record comes back from its bytes, and through both seals.
fn comes_back<R: Record + PartialEq + std::fmt::Debug>(kind: ObjectKind, record: &R) {
    assert_eq!(R::from_bytes_in(record.format(), &record.to_bytes()).as_ref(), Ok(record));
    for sealing in [samples::plain(), samples::encrypted()] {
        let object = seal_object(&sealing, kind, "place", [7; 32], record).unwrap();
        assert_eq!(open_object(&sealing, kind, "place", &object).as_ref(), Ok(record));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn control_objects_come_back(
        segment in index_segment(),
        manifest in manifest(),
        verification in verification(),
        forgotten in forgotten(),
        (id, sessions, number, at_ms, texts) in (object(), (session(), session()), any::<u32>(), any::<u64>(), (text(), text(), text())),
        (ids, flag, tags) in (objects(), any::<bool>(), vec(text(), 0..4)),
    ) {
        comes_back(ObjectKind::IndexSegment, &segment);
        comes_back(ObjectKind::Manifest, &manifest);
        comes_back(ObjectKind::Verification, &verification);
        comes_back(ObjectKind::Forgotten, &forgotten);
        let (job, host, written_by) = texts;
        comes_back(ObjectKind::SessionOpen, &SessionOpen { job, host, process: number, written_by, started_ms: at_ms });
        comes_back(ObjectKind::SessionBeat, &SessionBeat { at_ms });
        comes_back(ObjectKind::SessionEnd, &SessionEnd { at_ms, beats: number, manifest: flag.then_some(id) });
        comes_back(ObjectKind::Fence, &Fence { by: sessions.0, at_ms });
        comes_back(ObjectKind::DoomedList, &DoomedList { session: sessions.1, at_ms, packs: ids.clone() });
        comes_back(ObjectKind::Note, &Note { manifest: id, at_ms, hold: flag, tags: tags.clone(), supersedes: ids.clone() });
        let objects = ids.iter().copied().zip(tags).collect();
        let mut record = AuditRecord { at_ms, session: flag.then_some(sessions.0), ..samples::audit_records()[usize::from(flag)].clone() };
        (record.heads, record.deed.objects, record.deed.count) = (ids, objects, u64::from(number));
        record.heads.sort_unstable();
        record.heads.dedup();
        comes_back(ObjectKind::Audit, &record);
    }

    #[test]
    fn table_pieces_come_back(files in vec(file_row(), 0..6), replicas in vec(replica(), 0..6), seen in objects(), engine in engine(), recipe in recipe()) {
        prop_assert_eq!(decode_piece::<FileRow>(&encode_piece(&files).unwrap()).unwrap(), files);
        prop_assert_eq!(decode_piece::<ReplicaRow>(&encode_piece(&replicas).unwrap()).unwrap(), replicas);
        let seen: Vec<SeenManifest> = seen.into_iter().map(SeenManifest).collect();
        prop_assert_eq!(decode_piece::<SeenManifest>(&encode_piece(&seen).unwrap()).unwrap(), seen);
        prop_assert_eq!(decode_single::<EngineRecord>(TableType::Engine, &encode_single(TableType::Engine, &engine).unwrap()).unwrap(), engine);
        prop_assert_eq!(RecipePiece::decode(&recipe.encode().unwrap()).unwrap(), recipe);
    }

    #[test]
    fn runs_and_recipes_over_them_come_back(run in run(), blocks in table_blocks(), rest in table_rest()) {
        prop_assert_eq!(Run::decode(&run.encode().unwrap()).unwrap(), run);
        for piece in [Piece::Blocks(Box::new(blocks)), Piece::Rest(rest)] {
            prop_assert_eq!(Piece::decode(&piece.encode().unwrap()).unwrap(), piece);
        }
    }

    #[test]
    fn configs_and_recovery_keys_come_back(repository: [u8; 16], encrypted: bool, pack_target in PACK_TARGET_MIN..=PACK_TARGET_MAX, zstd_level in 1..=22i8, created_ms: u64, bits: [u8; 32]) {
        let chunker = ChunkerParameters::DEFAULT;
        let config = Config { repository: RepositoryId(repository), encrypted, chunker, pack_target, zstd_level, created_ms };
        prop_assert_eq!(Config::decode(&config.encode()).unwrap(), config);
        prop_assert_eq!(*parse_recovery(&print_recovery(&bits)).unwrap(), bits);
    }

    #[test]
    fn packs_come_back(chunks in vec(vec(0..4u8, 0..300), 0..6), encrypted: bool, sorted: bool) {
        let sealing = if encrypted { samples::encrypted() } else { samples::plain() };
        let mut builder = PackBuilder::new(&sealing, PackKind::Data, if sorted { 2 } else { 1 }, [3; 32]).unwrap();
        let mut encoder = FrameEncoder::new(3).unwrap();
        let kind = if sorted { ChunkKind::Run } else { ChunkKind::Bytes };
        for chunk in &chunks {
            let (codec, body) = encoder.encode(chunk).unwrap();
            builder.add(sealing.chunk_id(kind, chunk), kind, codec, chunk.len() as u32, body).unwrap();
        }
        let pack = builder.finish().unwrap();
        let table = FrameTable::of_pack(&sealing, PackKind::Data, &pack.bytes).unwrap();
        let opener = FrameOpener::new(&sealing, PackKind::Data, table.format, table.salt).unwrap();
        let mut decoder = FrameDecoder::new().unwrap();
        for (frame, chunk) in table.frames().zip(&chunks) {
            let mut sealed = slice_of(&pack.bytes, &frame).unwrap().to_vec();
            prop_assert_eq!(&opener.open(&sealing, &frame, &mut sealed, &mut decoder).unwrap(), chunk);
        }
        prop_assert_eq!(table.frames.len(), chunks.len());
    }

    #[test]
    fn any_bytes_meet_a_record_or_an_error(bytes in vec(any::<u8>(), 0..400)) {
        decode_as_everything(&bytes);
    }

    #[test]
    fn changed_bytes_meet_a_record_or_an_error(pick: prop::sample::Index, changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut: Option<prop::sample::Index>) {
        let valid = valid_bytes();
        let mut bytes = pick.get(&valid).clone();
        for (at, byte) in changes {
            *at.get_mut(&mut bytes) = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        decode_as_everything(&bytes);
    }
}

/// One encoding of each kind of record.
fn valid_bytes() -> Vec<Vec<u8>> {
    let runs = samples::runs().into_iter().map(|run| run.encode().unwrap());
    let pieces = samples::table_pieces().into_iter().map(|(_, piece)| piece.encode().unwrap());
    let records = vec![
        samples::config(true).encode(),
        samples::index_segment().to_bytes(),
        samples::sorted_index_segment().to_bytes(),
        samples::sparse_index_segment().to_bytes(),
        encode_piece(&samples::file_rows()).unwrap(),
        encode_piece(&samples::seen()).unwrap(),
        samples::recipe().encode().unwrap(),
        encode_single(TableType::Engine, &samples::engines()[0]).unwrap(),
        encode_piece(&samples::replicas()).unwrap(),
        samples::manifest().to_bytes(),
        samples::sorted_manifest().to_bytes(),
        samples::copied_manifests()[1].to_bytes(),
        samples::open().to_bytes(),
        samples::beat().to_bytes(),
        samples::fence().to_bytes(),
        samples::ends()[0].to_bytes(),
        samples::doomed().to_bytes(),
        samples::forgotten().to_bytes(),
        samples::forgotten_packs().to_bytes(),
        samples::verification().to_bytes(),
        samples::verification_with_losses().to_bytes(),
        samples::note().to_bytes(),
        samples::audit_records()[0].to_bytes(),
        samples::audit_records()[2].to_bytes(),
        seal_object(&Sealing::Plain, ObjectKind::Note, "", [1; 32], &samples::note()).unwrap(),
        print_recovery(&[9; 32]).into_bytes(),
    ];
    let forms = samples::forms().into_iter().map(|(run, form)| sparse_run::encode(&run, &form).unwrap());
    records.into_iter().chain(runs).chain(forms).chain(pieces).collect()
}

fn decode_as_everything(bytes: &[u8]) {
    record::<IndexSegment>(ObjectKind::IndexSegment, bytes);
    record::<Manifest>(ObjectKind::Manifest, bytes);
    record::<SessionOpen>(ObjectKind::SessionOpen, bytes);
    record::<SessionBeat>(ObjectKind::SessionBeat, bytes);
    record::<SessionEnd>(ObjectKind::SessionEnd, bytes);
    record::<Fence>(ObjectKind::Fence, bytes);
    record::<DoomedList>(ObjectKind::DoomedList, bytes);
    record::<Forgotten>(ObjectKind::Forgotten, bytes);
    record::<Verification>(ObjectKind::Verification, bytes);
    record::<Note>(ObjectKind::Note, bytes);
    record::<AuditRecord>(ObjectKind::Audit, bytes);
    let _ = decode_piece::<FileRow>(bytes).map(|rows| assert_eq!(encode_piece(&rows).unwrap(), bytes));
    let _ = decode_piece::<ReplicaRow>(bytes).map(|rows| assert_eq!(encode_piece(&rows).unwrap(), bytes));
    let _ = decode_piece::<SeenManifest>(bytes).map(|rows| assert_eq!(encode_piece(&rows).unwrap(), bytes));
    let _ = decode_single::<EngineRecord>(TableType::Engine, bytes);
    let _ = RecipePiece::decode(bytes).map(|piece| assert_eq!(piece.encode().unwrap(), bytes));
    let _ = Piece::decode(bytes).map(|piece| assert_eq!(piece.encode().unwrap(), bytes));
    let _ = Run::decode(bytes).map(|run| assert_eq!(run.encode().unwrap(), bytes));
    if let Ok(of) = sparse_run::run_of(bytes) {
        let _ = sparse_run::decode(&of, bytes).map(|form| assert_eq!(sparse_run::encode(&of, &form).unwrap(), bytes));
    }
    let _ = Config::decode(bytes);
    let _ = KeyObject::decode(bytes);
    let _ = FrameTable::of_pack(&Sealing::Plain, PackKind::Data, bytes);
    let _ = std::str::from_utf8(bytes).map(parse_recovery);
}

/// A record has one encoding, so what decodes encodes to the same bytes.
fn record<R: Record>(kind: ObjectKind, bytes: &[u8]) {
    for format in FIRST..=newest(kind) {
        let _ = R::from_bytes_in(format, bytes).map(|record| assert_eq!(record.to_bytes(), bytes));
    }
    let _ = open_object::<R>(&Sealing::Plain, kind, "", bytes);
}

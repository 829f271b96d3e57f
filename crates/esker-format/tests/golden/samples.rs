//! The records of the vectors.

use esker_format::audit::{AuditRecord, Deed, Event, KeyFact};
use esker_format::config::{ChunkerParameters, Config};
use esker_format::doomed::{DoomedList, Forgotten, ForgottenKind};
use esker_format::engine::{EngineRecord, PartitionScheme, ReplicaRow};
use esker_format::file_table::{FileContent, FileRole, FileRow, Node, TableIdentity};
use esker_format::index_segment::{IndexSegment, IndexedPack};
use esker_format::layout::{PackKind, PackName};
use esker_format::manifest::{HostRecord, Manifest, Origin, Totals};
use esker_format::note::Note;
use esker_format::pack::{Codec, FormOf, FrameEntry, FrameTable};
use esker_format::recipe::{Operation, Piece, RecipePiece};
use esker_format::run::{KeyOrder, Run};
use esker_format::seal::{ChunkKind, MasterKey, Sealing};
use esker_format::session::{Fence, SessionBeat, SessionEnd, SessionOpen};
use esker_format::signing::SigningKey;
use esker_format::sorted_totals::{Fallback, SortedTotals};
use esker_format::table::{SeenManifest, TableRef};
use esker_format::table_recipe::{Block, BlockForm, Checksums, ChunkUse, Copy, RestPart, RunUse, TableBlocks, TableRest, TrailerSource};
use esker_format::verification::{BackupVerdict, Level, Loss, Verification};
use esker_format::{ChunkId, ObjectId, RepositoryId, SessionId};

pub const SESSION: SessionId = SessionId([0x11; 16]);
pub const NOW_MS: u64 = 1_790_000_000_000;

pub fn master() -> MasterKey {
    MasterKey(std::array::from_fn(|at| at as u8).into())
}

pub fn plain() -> Sealing {
    Sealing::Plain
}

pub fn encrypted() -> Sealing {
    Sealing::encrypted(master())
}

pub fn config(encrypted: bool) -> Config {
    Config {
        repository: RepositoryId([5; 16]),
        encrypted,
        chunker: ChunkerParameters::DEFAULT,
        pack_target: if encrypted { 32 << 20 } else { 64 << 10 },
        zstd_level: if encrypted { 22 } else { 3 },
        created_ms: NOW_MS,
    }
}

pub fn object(number: u8) -> ObjectId {
    ObjectId([number; 32])
}

pub fn table(rows: u64, pieces: &[u8]) -> TableRef {
    TableRef { rows, pieces: pieces.iter().map(|number| ChunkId([*number; 32])).collect() }
}

fn entry(kind: ChunkKind, codec: Codec, chunk: u8, stored_len: u32, plain_len: u32) -> FrameEntry {
    FrameEntry { kind, codec, chunk: ChunkId([chunk; 32]), stored_len, plain_len, form: None }
}

fn indexed_pack(kind: PackKind, id: u8, format: u16, frames: Vec<FrameEntry>) -> IndexedPack {
    let name = PackName { kind, session: SESSION, id: object(id) };
    IndexedPack { name, table: FrameTable { format, salt: [id ^ 0xff; 32], frames } }
}

/// A segment of format 2: of a session with sorted runs, and of an older one's pack that no segment named.
pub fn sorted_index_segment() -> IndexSegment {
    let data = vec![entry(ChunkKind::Run, Codec::Zstd, 4, 300, 1 << 20), entry(ChunkKind::Bytes, Codec::Raw, 5, 17, 1)];
    IndexSegment {
        replaces: Vec::new(),
        packs: vec![
            indexed_pack(PackKind::Data, 0x35, 2, data),
            indexed_pack(PackKind::Meta, 0x36, 2, vec![entry(ChunkKind::Table, Codec::Raw, 6, 18, 2)]),
            indexed_pack(PackKind::Data, 0x37, 1, vec![entry(ChunkKind::Bytes, Codec::Raw, 5, 17, 1)]),
        ],
    }
}

/// A segment of format 3: of a prune that made sparse forms.
pub fn sparse_index_segment() -> IndexSegment {
    let form = FrameEntry {
        form: Some(FormOf { run: ChunkId([4; 32]), entries: 1 << 20 }),
        ..entry(ChunkKind::SparseRun, Codec::Zstd, 7, 200, 1 << 20)
    };
    let small =
        FrameEntry { form: Some(FormOf { run: ChunkId([8; 32]), entries: 1 }), ..entry(ChunkKind::SparseRun, Codec::Raw, 9, 90, 74) };
    IndexSegment {
        replaces: vec![object(0x31), object(0x38)],
        packs: vec![
            indexed_pack(PackKind::Data, 0x39, 3, vec![form, entry(ChunkKind::Run, Codec::Raw, 4, 17, 1), small]),
            indexed_pack(PackKind::Meta, 0x3a, 2, vec![entry(ChunkKind::Table, Codec::Raw, 6, 18, 2)]),
        ],
    }
}

/// What is kept of each of `runs`.
pub fn forms() -> Vec<(ChunkId, Run)> {
    let kept: [&[u32]; 3] = [&[1, 3], &[0, 1, 2, 3], &[0]];
    let keep = |(number, (run, kept)): (usize, (&Run, &[u32]))| (ChunkId([number as u8; 32]), run.keep(&kept.iter().copied().collect()));
    runs().iter().zip(kept).enumerate().map(keep).collect()
}

pub fn index_segment() -> IndexSegment {
    let pack = |kind, id, frames| indexed_pack(kind, id, 1, frames);
    let data =
        vec![entry(ChunkKind::Bytes, Codec::Zstd, 1, 300, 1 << 20), entry(ChunkKind::Bytes, Codec::Raw, 2, (16 << 20) + 16, 16 << 20)];
    IndexSegment {
        replaces: vec![object(0x31)],
        packs: vec![
            pack(PackKind::Data, 0x32, data),
            pack(PackKind::Meta, 0x33, vec![entry(ChunkKind::Table, Codec::Raw, 3, 16, 0)]),
            pack(PackKind::Meta, 0x34, vec![]),
        ],
    }
}

pub fn file_rows() -> Vec<FileRow> {
    let row = |path: &[u8], mode, mtime_s, node| FileRow {
        path: path.into(),
        mode,
        uid: 1000,
        gid: 4_294_967_295,
        mtime_s,
        mtime_ns: 999_999_999,
        node,
    };
    let file = |size, role, identity, recipe: &[u8]| {
        let recipe = recipe.iter().map(|number| ChunkId([*number; 32])).collect();
        Node::File(FileContent { size, hash: [0x41; 32], role, inode: 77, identity, chunks: 300, recipe })
    };
    let identity = TableIdentity { unique_id: [0x42; 24], tail_offset: 9_000, tail_hash: [0x43; 32] };
    vec![
        row(b"", 0o755, 0, Node::Folder),
        row(b"000012.sst", 0o640, 1_790_000_000, file(10_000, FileRole::Table, Some(identity), &[0x44, 0x45])),
        row(b"CURRENT", 0o7777, -1, file(16, FileRole::Current, None, &[0x46])),
        row(b"empty", 0, i64::MIN, file(0, FileRole::Other, None, &[])),
        row("li\u{df}k \u{1f9ca}".as_bytes(), 0o777, i64::MAX, Node::Link(b"../\xff elsewhere".to_vec())),
        row(b"x.blob", 0o600, 1, file(1 << 60, FileRole::Blob, None, &[0x47])),
    ]
}

pub fn seen() -> Vec<SeenManifest> {
    vec![SeenManifest(object(0x51)), SeenManifest(object(0x52))]
}

pub fn recipe() -> RecipePiece {
    RecipePiece {
        operations: vec![
            Operation::Chunk { id: ChunkId([0x61; 32]), len: 16 << 20 },
            Operation::Hole { len: 1 << 60 },
            Operation::Literal(b"tail".to_vec()),
            Operation::Chunk { id: ChunkId([0x62; 32]), len: 1 },
        ],
    }
}

/// Runs in both orders: versions of one key, keys that begin with others, an empty key; with timestamps, without numbers.
pub fn runs() -> Vec<Run> {
    let mut ascending = Run::new(KeyOrder::Ascending, 0);
    for (key, value, sequence, kind) in [
        (b"".as_slice(), b"of no key".as_slice(), 70_000u64, 1u64),
        (b"apple", b"newer", 70_300, 1),
        (b"apple", b"", 70_299, 0),
        (b"apple pie", b"older", 4_000_000, 2),
        (b"b\xff", &[0xee; 200], 70_001, 1),
    ] {
        ascending.push(key, value, sequence << 8 | kind, &[]);
    }
    let mut descending = Run::new(KeyOrder::Descending, 8);
    for (key, time) in [(b"b\xff".as_slice(), 9u64), (b"b", 8), (b"b", 7), (b"", 1 << 60)] {
        descending.push(key, b"value", 1, &time.to_le_bytes());
    }
    let mut single = Run::new(KeyOrder::Ascending, 64);
    single.push(b"", b"", u64::MAX, &[7; 64]);
    vec![ascending, descending, single]
}

fn chunk_use(number: u8, len: u32) -> ChunkUse {
    ChunkUse { id: ChunkId([number; 32]), len }
}

/// Blocks of all kinds, of entries that stand in three runs.
pub fn table_blocks() -> TableBlocks {
    let run = |number: u8, first_key: &[u8]| RunUse { id: ChunkId([number; 32]), first_key: first_key.to_vec() };
    let plain = BlockForm { restart_interval: 16, shares_prefixes: true, ..BlockForm::default() };
    let packed = BlockForm { compression: 4, encoder: 0x0402_0001, restart_interval: 1, hash_buckets: 300, ..plain };
    TableBlocks {
        len: 30_000,
        hash: [0x63; 32],
        offset: 1 << 33,
        order: KeyOrder::Ascending,
        timestamp_size: 8,
        checksums: Checksums { kind: 4, base_context: 0xdead_beef },
        dictionary: vec![chunk_use(0x64, 4 << 20)],
        forms: vec![plain, packed, BlockForm { shares_prefixes: false, separate_values: true, uniform_keys: true, ..packed }],
        runs: vec![run(0x65, b"apple"), run(0x66, b"apple pie"), run(0x67, b"b\xff")],
        kept: vec![chunk_use(0x68, 1000), chunk_use(0x69, 24)],
        blocks: vec![
            Block::Built { form: 0, entries: 100 },
            Block::Kept(1000),
            Block::Zeros(3072),
            Block::Built { form: 2, entries: 0 },
            Block::Built { form: 1, entries: 203 },
            Block::Kept(24),
        ],
        copies: vec![
            Copy { run: 0, start: 500, count: 100 },
            Copy { run: 1, start: 0, count: 1 },
            Copy { run: 0, start: 600, count: 100 },
            Copy { run: 1, start: 20, count: 1 },
            Copy { run: 2, start: 1_048_575, count: 1 },
            Copy { run: 0, start: 500, count: 100 },
        ],
        trailers: vec![(TrailerSource::Home, 200), (TrailerSource::Cleared, 101), (TrailerSource::Own, 2)],
        own_trailers: vec![0x0123_4567_89ab_cd01, 0x0123_4567_89ab_0207],
        own_timestamps: (0..16).collect(),
    }
}

/// Parts of all kinds.
pub fn table_rest() -> TableRest {
    TableRest {
        len: 1 << 20,
        hash: [0x6a; 32],
        offset: (1 << 33) + 30_000,
        checksums: Checksums { kind: 3, base_context: 0 },
        filter_keys: Some(33),
        parts: vec![
            RestPart::Built { kind: 1, numbers: vec![0, 3, 33, 0, 2000, 6] },
            RestPart::Built { kind: 3, numbers: vec![0, 3, 0x101, 1, 22, 0x0402_0001] },
            RestPart::Literal(b"properties".to_vec()),
            RestPart::Chunk(chunk_use(0x6b, 9000)),
        ],
    }
}

/// Pieces that rebuild a table, and the least of each kind.
pub fn table_pieces() -> Vec<(&'static str, Piece)> {
    let only = RestPart::Literal(b"whole".to_vec());
    vec![
        ("blocks of a table", Piece::Blocks(Box::new(table_blocks()))),
        ("no blocks of a table", Piece::Blocks(Box::default())),
        ("rest of a table", Piece::Rest(table_rest())),
        ("kept rest of a table", Piece::Rest(TableRest { len: 5, parts: vec![only], ..TableRest::default() })),
    ]
}

pub fn replicas() -> Vec<ReplicaRow> {
    vec![
        ReplicaRow { partition: 1, commit_id: 900, commit_term: 7, cut: Some(905), wal_last_id: Some(910) },
        ReplicaRow { partition: u32::MAX, commit_id: u64::MAX, commit_term: 0, cut: None, wal_last_id: None },
    ]
}

pub fn engines() -> Vec<EngineRecord> {
    let full = EngineRecord {
        space: Some("social".into()),
        data_path: "/data/storage/nebula/1".into(),
        folder: b"data/storage/nebula/1/checkpoints/b1/data".to_vec(),
        files: table(3, &[0x71]),
        replicas: table(2, &[0x72]),
        scheme: PartitionScheme::Nebula,
        comparator: Some("leveldb.BytewiseComparator".into()),
        merge_operator: Some("NebulaMergeOperator".into()),
        column_families: vec!["default".into(), String::new()],
        format_version_max: 6,
        database_id: Some("2b4f3f2c".into()),
        file_count: 3,
        bytes: 1 << 40,
    };
    let bare = EngineRecord {
        space: None,
        data_path: String::new(),
        folder: Vec::new(),
        files: table(0, &[]),
        replicas: table(0, &[]),
        scheme: PartitionScheme::None,
        comparator: None,
        merge_operator: None,
        column_families: Vec::new(),
        format_version_max: 0,
        database_id: None,
        file_count: 0,
        bytes: 0,
    };
    vec![full, bare]
}

pub fn manifest() -> Manifest {
    let host = |name: &str, engines: &[u8]| HostRecord {
        name: name.into(),
        tree: table(130, &[0x81, 0x82]),
        engines: engines.iter().map(|number| ChunkId([*number; 32])).collect(),
        files: 120,
        bytes: u64::MAX,
    };
    Manifest {
        label: "BACKUP_2026_09_21_14_13_20".into(),
        cluster: "prod \u{2744}".into(),
        session: SESSION,
        started_ms: NOW_MS,
        finished_ms: NOW_MS + 61_000,
        written_by: "esker 0.1.0".into(),
        tags: vec!["weekly".into(), "before-upgrade".into()],
        warnings: vec!["host db-2: 1 file left out".into()],
        hosts: vec![host("db-1", &[0x83]), host("db-2:9779", &[])],
        seen: table(1, &[0x84]),
        keys: vec![object(0x85)],
        segments: vec![object(0x86)],
        packs: vec![object(0x87), object(0x88)],
        encoders: vec![1, u32::MAX],
        totals: Totals {
            files: 240,
            bytes: 2,
            chunks: 3,
            reused_files: 4,
            reused_bytes: 5,
            read_bytes: 6,
            new_chunks: 7,
            new_bytes: 8,
            stored_data: 300,
            stored_meta: 10,
            left_out_files: 11,
            left_out_bytes: u64::MAX,
        },
        sorted: None,
        origin: None,
    }
}

/// A manifest of format 2.
pub fn sorted_manifest() -> Manifest {
    let fallback = |reason: &str, files, bytes| Fallback { reason: reason.into(), files, bytes };
    let sorted = SortedTotals {
        files: 12,
        bytes: 300,
        copied_bytes: 1 << 40,
        literal_bytes: 0,
        kept_bytes: u64::MAX,
        fallbacks: vec![fallback("keys in no bytewise order", 3, 200), fallback("", 0, u64::MAX)],
    };
    Manifest { encoders: Vec::new(), hosts: Vec::new(), sorted: Some(sorted), ..manifest() }
}

/// Manifests of format 3: copies of backups without and with sorted runs.
pub fn copied_manifests() -> [Manifest; 2] {
    let origin = Some(Origin { repository: RepositoryId([0x0b; 16]), manifest: object(0x92) });
    [Manifest { origin, hosts: Vec::new(), ..manifest() }, Manifest { origin, ..sorted_manifest() }]
}

pub fn open() -> SessionOpen {
    SessionOpen { job: "backup".into(), host: "db-1".into(), process: 4711, written_by: "esker 0.1.0".into(), started_ms: NOW_MS }
}

pub fn beat() -> SessionBeat {
    SessionBeat { at_ms: NOW_MS + 30_000 }
}

pub fn ends() -> [SessionEnd; 2] {
    [SessionEnd { at_ms: NOW_MS, beats: 2, manifest: Some(object(0x91)) }, SessionEnd { at_ms: 0, beats: 0, manifest: None }]
}

pub fn fence() -> Fence {
    Fence { by: SessionId([0x92; 16]), at_ms: NOW_MS }
}

pub fn doomed() -> DoomedList {
    DoomedList { session: SESSION, at_ms: NOW_MS, packs: vec![object(0xa1), object(0xa2)] }
}

pub fn forgotten() -> Forgotten {
    Forgotten {
        session: SESSION,
        at_ms: NOW_MS,
        kind: ForgottenKind::Manifest,
        objects: vec![(object(0xa3), "BACKUP_2026_09_20_14_13_20".into()), (object(0xa4), String::new())],
        reason: "--keep-daily 7".into(),
    }
}

pub fn forgotten_packs() -> Forgotten {
    let objects = vec![(object(0xa5), "data".into()), (object(0xa6), "meta".into())];
    Forgotten { kind: ForgottenKind::Pack, objects, reason: "prune".into(), ..forgotten() }
}

pub fn verification() -> Verification {
    let verdict = |number, level, complete, findings| BackupVerdict { manifest: object(number), level, complete, findings };
    Verification {
        at_ms: NOW_MS,
        written_by: "esker 0.1.0".into(),
        backups: vec![verdict(0xb1, Level::Engine, true, 0), verdict(0xb2, Level::Existence, false, 1 << 33)],
        packs: vec![object(0xb3)],
        losses: Vec::new(),
    }
}

/// A record of format 2: of a check that found what a backup has lost.
pub fn verification_with_losses() -> Verification {
    let losses = vec![Loss { manifest: object(0xb2), files: 3, bytes: 1 << 40 }];
    Verification { losses, ..verification() }
}

/// Records of the log: the first, signed; one that a job without a key wrote; one of everything.
pub fn audit_records() -> [AuditRecord; 3] {
    let public = signing().public().unwrap();
    let record = |heads: &[u8], deed| AuditRecord {
        repository: RepositoryId([5; 16]),
        heads: heads.iter().map(|number| object(*number)).collect(),
        at_ms: NOW_MS,
        user: "root".into(),
        host: "db-1".into(),
        written_by: "esker 0.1.0".into(),
        session: None,
        key: None,
        deed,
        signature: None,
    };
    let first_key = KeyFact { id: object(0xf1), public: Some(public) };
    let mut init = AuditRecord { key: Some(object(0xf1)), ..record(&[], Deed { keys: vec![first_key], ..Deed::done(Event::Init) }) };
    init.sign(&signing()).unwrap();
    let backup = Deed { objects: vec![(object(0xf2), "one".into())], count: 7, bytes: 1 << 40, ..Deed::done(Event::Backup) };
    let backup = AuditRecord { session: Some(SESSION), ..record(&[0xf3], backup) };
    let keys = vec![KeyFact { id: object(0xf4), public: None }, first_key];
    let objects = vec![(object(0xf4), "ops \u{2744}".into()), (object(0xf1), String::new())];
    let everything = Deed { keys, objects, count: u64::MAX, bytes: 1, detail: "all of it".into(), ..Deed::intended(Event::Acknowledge) };
    let mut everything = AuditRecord { session: Some(SESSION), key: Some(object(0xf1)), ..record(&[0xf5, 0xf6, 0xf7], everything) };
    everything.sign(&signing()).unwrap();
    [init, backup, everything]
}

pub fn signing() -> SigningKey {
    SigningKey(std::array::from_fn(|at| 0xff - at as u8).into())
}

pub fn note() -> Note {
    Note { manifest: object(0xc1), at_ms: NOW_MS, hold: true, tags: vec!["audit".into()], supersedes: vec![object(0xc2)] }
}

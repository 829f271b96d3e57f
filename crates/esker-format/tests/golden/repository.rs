//! A whole small repository: two hosts, an engine, a hole, a link, a fence and a note. Raw frames only, so that its bytes
//! are one.

use std::collections::BTreeMap;

use esker_format::config::Config;
use esker_format::engine::{EngineRecord, PartitionScheme, ReplicaRow};
use esker_format::file_table::{FileContent, FileRole, FileRow, Node};
use esker_format::index_segment::{IndexSegment, IndexedPack};
use esker_format::key::{Argon2Cost, KeyObject, Secret, Unwrapped};
use esker_format::layout::{self, ObjectKind, PackKind, PackName, SessionRecord};
use esker_format::manifest::{HostRecord, Manifest, Totals};
use esker_format::note::Note;
use esker_format::pack::{Codec, PackBuilder};
use esker_format::recipe::{Operation, RecipePiece};
use esker_format::seal::{ChunkKind, Sealing};
use esker_format::sealed_object::seal_object;
use esker_format::session::{Fence, SessionEnd};
use esker_format::table::{Row, SeenManifest, TableRef, TableType, encode_piece, encode_single};
use esker_format::wire::Record;
use esker_format::{ChunkId, ObjectId};

use super::block::Block;
use super::samples::{NOW_MS, SESSION, config, encrypted, fence, master, open, plain, table};

pub const PASSPHRASE: &str = "golden repository";

/// The repository's objects by path, and what a restore must make of its one backup.
pub struct Repository {
    sealing: Sealing,
    pub objects: BTreeMap<String, Vec<u8>>,
    restored: Vec<(String, Vec<u8>)>,
    data: Option<PackBuilder>,
    meta: Option<PackBuilder>,
    salt: u8,
}

impl Repository {
    pub fn build(is_encrypted: bool) -> Self {
        let sealing = if is_encrypted { encrypted() } else { plain() };
        let pack = |kind, salt| Some(PackBuilder::new(&sealing, kind, 1, [salt; 32]).unwrap());
        let (data, meta) = (pack(PackKind::Data, 0xd1), pack(PackKind::Meta, 0xd2));
        let mut repository = Self { sealing, objects: BTreeMap::new(), restored: Vec::new(), data, meta, salt: 0xe0 };
        repository.open(is_encrypted);
        repository.back_up();
        repository
    }

    /// As a vector.
    pub fn block(&self, name: &str) -> Block {
        let block = Block::named(name).number("zstd", 1).text("passphrase", PASSPHRASE);
        let block = self.objects.iter().fold(block, |block, (path, bytes)| block.hex(format!("object.{path}"), bytes));
        self.restored.iter().fold(block, |block, (path, bytes)| block.hex(path, bytes))
    }

    fn open(&mut self, is_encrypted: bool) {
        let config: Config = config(is_encrypted);
        let bytes = config.encode();
        if is_encrypted {
            let secret = Secret::Passphrase(PASSPHRASE.as_bytes().to_vec().into());
            let config_hash = *blake3::hash(&bytes).as_bytes();
            let content = Unwrapped { master: master(), config_hash, created_ms: NOW_MS, label: "golden".into(), signing: None };
            let key = KeyObject::wrap(&secret, Argon2Cost::CHEAP, [0xd0; 32], &content).unwrap().encode();
            self.objects.insert(layout::object_path(ObjectKind::Key, &ObjectId::of(&key)), key);
        }
        self.objects.insert(layout::CONFIG.into(), bytes.clone());
        self.objects.insert(layout::CONFIG_COPY.into(), bytes);
        self.place(ObjectKind::SessionOpen, &layout::session_path(&SESSION, SessionRecord::Open), &open());
    }

    fn back_up(&mut self) {
        let hosts = vec![self.database_host(), self.bare_host()];
        let totals = Totals { files: 5, chunks: 3, bytes: hosts.iter().map(|host| host.bytes).sum(), ..Totals::default() };
        let seen = self.table(&[SeenManifest(ObjectId([0xcc; 32]))]);
        // A segment names the data pack; the metadata pack is found by its own table.
        let named = [self.finish(PackKind::Data), self.finish(PackKind::Meta)];
        let packs: Vec<ObjectId> = named.iter().map(|pack| pack.name.id).collect();
        let segment = IndexSegment { replaces: Vec::new(), packs: named[..1].to_vec() };
        let segment = self.named(ObjectKind::IndexSegment, &segment);
        let manifest = Manifest {
            label: "golden".into(),
            cluster: "two hosts".into(),
            session: SESSION,
            started_ms: NOW_MS,
            finished_ms: NOW_MS + 1,
            written_by: "esker-format tests".into(),
            tags: vec!["old".into()],
            warnings: Vec::new(),
            hosts,
            seen,
            keys: Vec::new(),
            segments: vec![segment],
            packs,
            encoders: Vec::new(),
            totals,
            sorted: None,
            origin: None,
        };
        let manifest = self.named(ObjectKind::Manifest, &manifest);
        let note = |hold, supersedes| Note { manifest, at_ms: NOW_MS, hold, tags: vec!["new".into()], supersedes };
        let first = self.named(ObjectKind::Note, &note(false, vec![]));
        self.named(ObjectKind::Note, &note(true, vec![first]));
        let end = SessionEnd { at_ms: NOW_MS, beats: 0, manifest: Some(manifest) };
        self.place(ObjectKind::SessionEnd, &layout::session_path(&SESSION, SessionRecord::End), &end);
        let dead = esker_format::SessionId([0x99; 16]);
        self.place::<Fence>(ObjectKind::Fence, &layout::fence_path(&dead), &fence());
    }

    fn database_host(&mut self) -> HostRecord {
        let tree = vec![
            folder(b"", 0o750),
            folder(b"data", 0o755),
            folder(b"data/engine", 0o700),
            self.file(b"notes \xff.txt", "db-1", FileRole::Other, &[Operation::Literal(b"a small file".to_vec())], 0o640),
            FileRow { node: Node::Link(b"engine/CURRENT".to_vec()), ..folder(b"data/now", 0o777) },
        ];
        for row in &tree {
            match &row.node {
                Node::Folder => {
                    self.restored.push((format!("folder.{}", shown("db-1", &row.path)), (row.mode as u16).to_be_bytes().to_vec()))
                }
                Node::Link(target) => self.restored.push((format!("link.{}", shown("db-1", &row.path)), target.clone())),
                Node::File(_) => {}
            }
        }
        let chunks = [self.chunk(b"first chunk of a table, "), self.chunk(b"second chunk of a table.")];
        let sst = [chunks[0].clone(), Operation::Hole { len: 12_288 }, chunks[1].clone(), chunks[0].clone()];
        let files = vec![
            self.file(b"000001.sst", "db-1/data/engine", FileRole::Table, &sst, 0o600),
            self.file(b"CURRENT", "db-1/data/engine", FileRole::Current, &[Operation::Literal(b"MANIFEST-000002\n".to_vec())], 0o644),
            self.file(b"empty", "db-1/data/engine", FileRole::Other, &[], 0o400),
        ];
        let replica = ReplicaRow { partition: 3, commit_id: 10, commit_term: 2, cut: Some(11), wal_last_id: Some(12) };
        let engine = EngineRecord {
            space: Some("social".into()),
            data_path: "data".into(),
            folder: b"data/engine".to_vec(),
            files: self.table(&files),
            replicas: self.table(&[replica]),
            scheme: PartitionScheme::Nebula,
            comparator: None,
            merge_operator: None,
            column_families: vec!["default".into()],
            format_version_max: 5,
            database_id: None,
            file_count: 3,
            bytes: files.iter().map(size).sum(),
        };
        let engine = self.table_chunk(&encode_single(TableType::Engine, &engine).unwrap());
        let bytes = files.iter().chain(&tree).map(size).sum();
        HostRecord { name: "db-1".into(), tree: self.table(&tree), engines: vec![engine], files: 4, bytes }
    }

    fn bare_host(&mut self) -> HostRecord {
        let only = self.file(b"only", "db-2", FileRole::Other, &[Operation::Hole { len: 5 }], 0o644);
        self.restored.push((format!("folder.{}", shown("db-2", b"")), 0o755u16.to_be_bytes().to_vec()));
        HostRecord { name: "db-2".into(), tree: self.table(&[folder(b"", 0o755), only]), engines: Vec::new(), files: 1, bytes: 5 }
    }

    fn file(&mut self, name: &[u8], below: &str, role: FileRole, operations: &[Operation], mode: u32) -> FileRow {
        let mut content = Vec::new();
        for operation in operations {
            match operation {
                Operation::Chunk { id, .. } if *id == self.sealing.chunk_id(ChunkKind::Bytes, b"first chunk of a table, ") => {
                    content.extend_from_slice(b"first chunk of a table, ");
                }
                Operation::Chunk { .. } => content.extend_from_slice(b"second chunk of a table."),
                Operation::Hole { len } => content.resize(content.len() + *len as usize, 0),
                Operation::Literal(bytes) => content.extend_from_slice(bytes),
            }
        }
        let recipe = if operations.is_empty() {
            Vec::new()
        } else {
            let (head, tail) = operations.split_at(1);
            let pieces = [head, tail].into_iter().filter(|piece| !piece.is_empty());
            pieces.map(|piece| self.table_chunk(&RecipePiece { operations: piece.to_vec() }.encode().unwrap())).collect()
        };
        let chunks = operations.iter().filter(|operation| matches!(operation, Operation::Chunk { .. })).count() as u64;
        let hash = *blake3::hash(&content).as_bytes();
        let node = Node::File(FileContent { size: content.len() as u64, hash, role, inode: 1, identity: None, chunks, recipe });
        self.restored.push((format!("file.{}", shown(below, name)), content));
        FileRow { path: name.to_vec(), mode, uid: 0, gid: 0, mtime_s: 1_000_000_000, mtime_ns: 5, node }
    }

    fn chunk(&mut self, content: &[u8]) -> Operation {
        let id = self.sealing.chunk_id(ChunkKind::Bytes, content);
        let len = content.len() as u32;
        self.data.as_mut().unwrap().add(id, ChunkKind::Bytes, Codec::Raw, len, content.to_vec()).unwrap();
        Operation::Chunk { id, len }
    }

    fn table_chunk(&mut self, content: &[u8]) -> ChunkId {
        let id = self.sealing.chunk_id(ChunkKind::Table, content);
        self.meta.as_mut().unwrap().add(id, ChunkKind::Table, Codec::Raw, content.len() as u32, content.to_vec()).unwrap();
        id
    }

    fn table<R: Row + Clone>(&mut self, rows: &[R]) -> TableRef {
        let pieces = rows.chunks(2).map(|rows| self.table_chunk(&encode_piece(rows).unwrap())).collect();
        TableRef { pieces, ..table(rows.len() as u64, &[]) }
    }

    fn finish(&mut self, kind: PackKind) -> IndexedPack {
        let builder = if kind == PackKind::Data { self.data.take() } else { self.meta.take() };
        let pack = builder.unwrap().finish().unwrap();
        pack.verify(&self.sealing).unwrap();
        let name = PackName { kind, session: SESSION, id: pack.id };
        self.objects.insert(name.path(), pack.bytes);
        IndexedPack { name, table: pack.table }
    }

    fn named<R: Record>(&mut self, kind: ObjectKind, record: &R) -> ObjectId {
        let bytes = self.seal(kind, "", record);
        let id = ObjectId::of(&bytes);
        self.objects.insert(layout::object_path(kind, &id), bytes);
        id
    }

    fn place<R: Record>(&mut self, kind: ObjectKind, path: &str, record: &R) {
        let bytes = self.seal(kind, path, record);
        self.objects.insert(path.into(), bytes);
    }

    fn seal<R: Record>(&mut self, kind: ObjectKind, place: &str, record: &R) -> Vec<u8> {
        self.salt += 1;
        seal_object(&self.sealing, kind, place, [self.salt; 32], record).unwrap()
    }
}

fn folder(path: &[u8], mode: u32) -> FileRow {
    FileRow { path: path.to_vec(), mode, uid: 0, gid: 0, mtime_s: 1_000_000_001, mtime_ns: 6, node: Node::Folder }
}

fn size(row: &FileRow) -> u64 {
    match &row.node {
        Node::File(content) => content.size,
        _ => 0,
    }
}

/// A path in hexadecimal, because it may be any bytes.
fn shown(below: &str, path: &[u8]) -> String {
    let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
    super::block::hex(&[below.as_bytes(), slash, path].concat())
}

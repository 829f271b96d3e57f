//! A repository that no host was ever backed up into: packs, segments and tables as a writer would have left them, made of
//! tiny chunks, with the format's own encoders and without its pipeline.
//!
//! Each backup has the same files but for one in ten, which is new. A chunk is a few bytes, so that the repository has as many
//! as one of many terabytes; packs hold as many of them as they would at half a MiB each.

use std::fs;
use std::path::Path;

use esker_format::file_table::{FileContent, FileRole, FileRow, Node};
use esker_format::index_segment::{IndexSegment, IndexedPack};
use esker_format::layout::{self, ObjectKind, PackKind, PackName, SessionRecord};
use esker_format::manifest::{HostRecord, Manifest, Totals};
use esker_format::pack::{Codec, PackBuilder};
use esker_format::recipe::{Operation, RecipePiece};
use esker_format::seal::{ChunkKind, Sealing};
use esker_format::sealed_object::seal_object;
use esker_format::session::{SessionEnd, SessionOpen};
use esker_format::table::{PieceBuilder, SeenManifest, TableRef};
use esker_format::wire::Record;
use esker_format::{ChunkId, ObjectId, SessionId};
use esker_testkit::seeded::SplitMix64;

use crate::fault::Fault;

/// Bytes of a chunk.
const CHUNK_BYTES: usize = 24;
/// Chunks of a pack: 32 MiB of half a MiB each.
const PACK_FRAMES: usize = 64;
/// Frames of a pack of tables and recipes.
const META_PACK_FRAMES: usize = 1024;
/// Frames after which a writer writes an index segment.
const SEGMENT_FRAMES: usize = 16_384;
/// One file in so many is new in each backup.
const CHURN: u64 = 10;
const BEGUN_MS: u64 = 1_790_000_000_000;
const DAY_MS: u64 = 86_400_000;

/// How large the repository is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Chunks of files.
    pub chunks: u64,
    /// Rows of files of all backups.
    pub files: u64,
    /// Backups.
    pub backups: u64,
}

impl Size {
    fn files_of_each(&self) -> u64 {
        (self.files / self.backups).max(1)
    }

    /// Files that differ from each other.
    fn distinct(&self) -> u64 {
        self.files_of_each() + (self.backups - 1) * self.files_of_each().div_ceil(CHURN)
    }

    fn chunks_of_a_file(&self) -> u64 {
        (self.chunks / self.distinct()).max(1)
    }
}

/// Fills the repository in this folder, which `esker init --no-encryption` has just made.
///
/// # Errors
/// If a file cannot be written.
pub fn fill(repo: &Path, size: &Size) -> Result<(), Fault> {
    let mut made = Made {
        repo,
        session: SessionId([0; 16]),
        random: SplitMix64::new(1),
        packs: [None, None],
        written: Vec::new(),
        ids: Ids::default(),
    };
    let mut files: Vec<FileContent> = Vec::new();
    let mut manifests = Vec::new();
    for number in 0..size.backups {
        made.random.fill(&mut made.session.0);
        let started_ms = BEGUN_MS + number * DAY_MS;
        let open = SessionOpen { job: "backup".into(), host: "bench".into(), process: 1, written_by: "esker-bench".into(), started_ms };
        made.place(ObjectKind::SessionOpen, &layout::session_path(&made.session, SessionRecord::Open), &open)?;
        let count = size.files_of_each();
        if number == 0 {
            for _ in 0..count {
                files.push(made.file(size.chunks_of_a_file())?);
            }
        } else {
            for at in 0..count.div_ceil(CHURN) {
                let place = (at * CHURN + number % CHURN) % count;
                let file = made.file(size.chunks_of_a_file())?;
                if let Some(old) = files.get_mut(usize::try_from(place).unwrap_or(0)) {
                    *old = file;
                }
            }
        }
        let id = made.backup(number, &files, &manifests)?;
        manifests.push(SeenManifest(id));
        manifests.sort();
        let end = SessionEnd { at_ms: started_ms + 1, beats: 0, manifest: Some(id) };
        made.place(ObjectKind::SessionEnd, &layout::session_path(&made.session, SessionRecord::End), &end)?;
    }
    Ok(())
}

/// What the backup at work has written.
#[derive(Default)]
struct Ids {
    segments: Vec<ObjectId>,
    packs: Vec<ObjectId>,
    data_bytes: u64,
    meta_bytes: u64,
}

struct Made<'a> {
    repo: &'a Path,
    session: SessionId,
    random: SplitMix64,
    packs: [Option<PackBuilder>; 2],
    written: Vec<IndexedPack>,
    ids: Ids,
}

impl Made<'_> {
    /// A file of new chunks; its recipe is stored.
    fn file(&mut self, chunks: u64) -> Result<FileContent, Fault> {
        let mut hasher = blake3::Hasher::new();
        let mut operations = Vec::new();
        for _ in 0..chunks {
            let mut plain = vec![0; CHUNK_BYTES];
            self.random.fill(&mut plain);
            hasher.update(&plain);
            let id = self.chunk(PackKind::Data, ChunkKind::Bytes, plain)?;
            operations.push(Operation::Chunk { id, len: CHUNK_BYTES as u32 });
        }
        let recipe = self.table(RecipePiece { operations }.encode().map_err(wrong)?)?;
        Ok(FileContent {
            size: chunks * CHUNK_BYTES as u64,
            hash: *hasher.finalize().as_bytes(),
            role: FileRole::Other,
            inode: 0,
            identity: None,
            chunks,
            recipe: vec![recipe],
        })
    }

    fn backup(&mut self, number: u64, files: &[FileContent], seen: &[SeenManifest]) -> Result<ObjectId, Fault> {
        let mut rows = vec![row(Vec::new(), 0o755, Node::Folder)];
        rows.extend((0u64..).zip(files).map(|(at, file)| row(format!("{at:08}.table").into_bytes(), 0o644, Node::File(file.clone()))));
        let tree = self.rows(rows)?;
        let seen = self.rows(seen.to_vec())?;
        self.finish(PackKind::Data)?;
        self.finish(PackKind::Meta)?;
        self.segment()?;
        let count = files.len() as u64;
        let bytes = files.iter().map(|file| file.size).sum();
        let chunks = files.iter().map(|file| file.chunks).sum();
        let ids = std::mem::take(&mut self.ids);
        let (started_ms, totals) = (BEGUN_MS + number * DAY_MS, Totals { files: count, bytes, chunks, ..Totals::default() });
        let manifest = Manifest {
            label: format!("day{number:05}"),
            cluster: "bench".into(),
            session: self.session,
            started_ms,
            finished_ms: started_ms + 1,
            written_by: "esker-bench".into(),
            tags: Vec::new(),
            warnings: Vec::new(),
            hosts: vec![HostRecord { name: "h".into(), tree, engines: Vec::new(), files: count, bytes }],
            seen,
            keys: Vec::new(),
            segments: ids.segments,
            packs: ids.packs,
            encoders: Vec::new(),
            totals: Totals { stored_data: ids.data_bytes, stored_meta: ids.meta_bytes, ..totals },
            sorted: None,
            origin: None,
        };
        self.named(ObjectKind::Manifest, &manifest)
    }

    fn rows<R: esker_format::table::Row>(&mut self, rows: Vec<R>) -> Result<TableRef, Fault> {
        let mut table = TableRef { rows: rows.len() as u64, pieces: Vec::new() };
        let mut builder = PieceBuilder::default();
        for row in rows {
            if let Some(piece) = builder.push(row).map_err(wrong)? {
                table.pieces.push(self.table(piece)?);
            }
        }
        if let Some(piece) = builder.finish().map_err(wrong)? {
            table.pieces.push(self.table(piece)?);
        }
        Ok(table)
    }

    fn table(&mut self, plain: Vec<u8>) -> Result<ChunkId, Fault> {
        self.chunk(PackKind::Meta, ChunkKind::Table, plain)
    }

    /// A chunk goes to the open pack of its kind. Pieces that an earlier backup has are stored again: a few per cent.
    fn chunk(&mut self, pack: PackKind, kind: ChunkKind, plain: Vec<u8>) -> Result<ChunkId, Fault> {
        let id = Sealing::Plain.chunk_id(kind, &plain);
        let limit = if pack == PackKind::Data { PACK_FRAMES } else { META_PACK_FRAMES };
        let mut builder = match self.slot(pack).take() {
            Some(builder) => builder,
            None => {
                let mut salt = [0; 32];
                self.random.fill(&mut salt);
                PackBuilder::new(&Sealing::Plain, pack, 1, salt).map_err(wrong)?
            }
        };
        let plain_len = u32::try_from(plain.len()).unwrap_or(u32::MAX);
        builder.add(id, kind, Codec::Raw, plain_len, plain).map_err(wrong)?;
        let is_full = builder.frames() >= limit;
        *self.slot(pack) = Some(builder);
        if is_full { self.finish(pack).map(|()| id) } else { Ok(id) }
    }

    fn slot(&mut self, pack: PackKind) -> &mut Option<PackBuilder> {
        let [data, meta] = &mut self.packs;
        if pack == PackKind::Data { data } else { meta }
    }

    fn finish(&mut self, pack: PackKind) -> Result<(), Fault> {
        let Some(builder) = self.slot(pack).take() else { return Ok(()) };
        let built = builder.finish().map_err(wrong)?;
        let name = PackName { kind: pack, session: self.session, id: built.id };
        self.write(&name.path(), &built.bytes)?;
        let bytes = if pack == PackKind::Data { &mut self.ids.data_bytes } else { &mut self.ids.meta_bytes };
        *bytes += built.bytes.len() as u64;
        self.ids.packs.push(built.id);
        self.written.push(IndexedPack { name, table: built.table });
        let frames: usize = self.written.iter().map(|pack| pack.table.frames.len()).sum();
        if frames >= SEGMENT_FRAMES { self.segment() } else { Ok(()) }
    }

    fn segment(&mut self) -> Result<(), Fault> {
        let packs = std::mem::take(&mut self.written);
        if packs.is_empty() {
            return Ok(());
        }
        let id = self.named(ObjectKind::IndexSegment, &IndexSegment { replaces: Vec::new(), packs })?;
        self.ids.segments.push(id);
        Ok(())
    }

    fn named<R: Record>(&mut self, kind: ObjectKind, record: &R) -> Result<ObjectId, Fault> {
        let bytes = self.sealed(kind, "", record)?;
        let id = ObjectId::of(&bytes);
        self.write(&layout::object_path(kind, &id), &bytes).map(|()| id)
    }

    fn place<R: Record>(&mut self, kind: ObjectKind, path: &str, record: &R) -> Result<(), Fault> {
        let bytes = self.sealed(kind, path, record)?;
        self.write(path, &bytes)
    }

    fn sealed<R: Record>(&mut self, kind: ObjectKind, path: &str, record: &R) -> Result<Vec<u8>, Fault> {
        let mut salt = [0; 32];
        self.random.fill(&mut salt);
        seal_object(&Sealing::Plain, kind, path, salt, record).map_err(wrong)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), Fault> {
        let path = self.repo.join(path);
        match fs::write(&path, bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let folder = path.parent().unwrap_or(self.repo);
                fs::create_dir_all(folder).map_err(Fault::at(folder))?;
                fs::write(&path, bytes).map_err(Fault::at(&path))
            }
            outcome => outcome.map_err(Fault::at(&path)),
        }
    }
}

fn row(path: Vec<u8>, mode: u32, node: Node) -> FileRow {
    FileRow { path, mode, uid: 0, gid: 0, mtime_s: 1_790_000_000, mtime_ns: 0, node }
}

fn wrong(error: esker_format::FormatError) -> Fault {
    Fault::Synthetic(error.to_string())
}

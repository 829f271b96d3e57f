//! The local index: where every chunk stands, on this machine's disk, rebuilt from the store whenever in doubt.
//!
//! A **generation** is a RocksDB folder that holds exactly the index segments (and unindexed packs) that one listing
//! showed; its name is the hash of their names. It is built in a private folder from the nearest older generation (hard
//! links) plus what is new, renamed into place, and never written again. So any number of processes open it read-only at
//! once, nobody waits for a lock, and a cache that was deleted or damaged costs one rebuild.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use esker_format::index_segment::{IndexSegment, IndexedPack};
use esker_format::layout::{ObjectKind, PackKind, PackName};
use esker_format::pack::{Codec, Frame, FrameEntry};
use esker_format::seal::{ChunkKind, SALT_LEN};
use esker_format::wire::{Reader, Writer};
use esker_format::{ChunkId, FormatError, ObjectId, SessionId};
use rocksdb::{BlockBasedOptions, Cache, DB, DBCompressionType, InfoLogger, IteratorMode, LogLevel, Options, WriteBatch, WriteOptions};
use rustix::fs::{FlockOperation, flock};

use crate::error::{RepoError, Result};
use crate::listing::Listing;
use crate::repository::Repository;

const CHUNK: u8 = 1;
const PACK: u8 = 2;
const PACK_NUMBER: u8 = 3;
const SOURCE: u8 = 4;
const BLOCK_CACHE_BYTES: usize = 32 << 20;
const WRITE_BUFFER_BYTES: usize = 16 << 20;
const BATCH_ENTRIES: usize = 4096;
const GENERATIONS_KEPT: usize = 2;
const USE_FILE: &str = "in-use";

/// A pack as the index knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackEntry {
    /// Its name.
    pub name: PackName,
    /// The format it was written in.
    pub format: u16,
    /// The salt of its key.
    pub salt: [u8; SALT_LEN],
    /// Its number in this generation.
    pub number: u32,
    /// How many frames it has.
    pub frames: u32,
}

/// One place where a chunk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// Number of the pack in this generation.
    pub pack: u32,
    /// The frame.
    pub frame: Frame,
}

/// One generation, opened for reading.
pub struct Index {
    db: DB,
    /// Packs that are named but not listed, or that stand in a doomed list: what they hold does not exist for a writer.
    absent: BTreeSet<u32>,
    orphans: BTreeSet<u32>,
    _in_use: std::fs::File,
}

/// What a generation was brought to.
pub struct Synced {
    /// The generation.
    pub index: Index,
    /// Packs that no segment names, with their tables: a writer indexes them.
    pub orphans: Vec<IndexedPack>,
    /// Orphan packs and segments that could not be read.
    pub damaged: Vec<RepoError>,
}

impl Repository {
    /// Brings the local index to exactly this listing. With `doomed`, what stands in those packs does not count.
    ///
    /// # Errors
    /// `Cache`, `Store`. Segments and packs that are damaged are reported in the result: their chunks do not exist.
    pub fn sync_index(&self, listing: &Listing, doomed: &BTreeSet<ObjectId>) -> Result<Synced> {
        let root = self.cache.join(format!("index-{}", self.config.repository));
        create_folder(&root)?;
        sweep_abandoned(&root, "build-");
        let segments: BTreeSet<ObjectId> = listing.segments.keys().copied().collect();
        let mut build = Build { repository: self, root, segments, orphans: Vec::new(), damaged: Vec::new() };
        let db_folder = build.generation(listing)?;
        let in_use = share(&db_folder)?;
        let mut index = Index { db: open_read_only(&db_folder)?, absent: BTreeSet::new(), orphans: BTreeSet::new(), _in_use: in_use };
        drop_old_generations(&build.root, &db_folder);
        index.mark(listing, doomed, &build.orphans)?;
        Ok(Synced { index, orphans: build.orphans, damaged: build.damaged })
    }
}

/// Builds one generation.
struct Build<'a> {
    repository: &'a Repository,
    root: PathBuf,
    segments: BTreeSet<ObjectId>,
    orphans: Vec<IndexedPack>,
    damaged: Vec<RepoError>,
}

impl Build<'_> {
    /// The folder of the generation for this listing, built if need be.
    fn generation(&mut self, listing: &Listing) -> Result<PathBuf> {
        // Which packs no segment names is known only from the segments: first a generation of those alone.
        let of_segments = self.generation_of(&[])?;
        let named = named_packs(&of_segments)?;
        let unnamed: Vec<(PackName, u64)> =
            listing.packs.iter().filter(|(pack, _)| !named.contains(&pack.id)).map(|(pack, size)| (*pack, *size)).collect();
        if unnamed.is_empty() {
            return Ok(of_segments);
        }
        for (name, size) in unnamed {
            match self.repository.read_frame_table(&name, size) {
                Ok(table) => self.orphans.push(IndexedPack { name, table }),
                Err(error @ RepoError::Store { .. }) => return Err(error),
                Err(error) => self.damaged.push(error),
            }
        }
        let orphans = std::mem::take(&mut self.orphans);
        let folder = self.generation_of(&orphans);
        self.orphans = orphans;
        folder
    }

    /// The generation of the readable segments and these packs. A damaged segment is no part of it, nor of its name.
    fn generation_of(&mut self, orphans: &[IndexedPack]) -> Result<PathBuf> {
        let mut sources = self.segments.clone();
        sources.extend(orphans.iter().map(|pack| pack.name.id));
        let folder = self.folder_of(&sources);
        if open_read_only(&folder).is_ok() {
            return Ok(folder);
        }
        if folder.exists() {
            // A generation that does not open is damaged; it is only a cache.
            remove_folder(&folder);
        }
        let private = tempfile::Builder::new().prefix("build-").tempdir_in(&self.root).map_err(|error| cache_error(&self.root, &error))?;
        let held = share(private.path())?;
        let have = self.link_nearest(&sources, private.path());
        let db = open_private(private.path())?;
        let have = match have {
            true => sources_of(&db)?,
            false => BTreeSet::new(),
        };
        let mut filler = Filler::new(&db)?;
        for id in self.segments.clone().difference(&have) {
            match self.repository.read_object::<IndexSegment>(ObjectKind::IndexSegment, id) {
                Ok(segment) => {
                    segment.packs.iter().try_for_each(|pack| filler.add(pack))?;
                    filler.source(id)?;
                }
                Err(error @ RepoError::Store { .. }) => return Err(error),
                Err(error) => {
                    // Its packs are now packs that no segment names, and are indexed from their own tables.
                    self.damaged.push(error);
                    self.segments.remove(id);
                    sources.remove(id);
                }
            }
        }
        for pack in orphans.iter().filter(|pack| !have.contains(&pack.name.id)) {
            filler.add(pack)?;
            filler.source(&pack.name.id)?;
        }
        filler.finish()?;
        db.flush().map_err(|error| cache_error(private.path(), &error))?;
        drop(db);
        drop(held);
        let folder = self.folder_of(&sources);
        let finished = private.keep();
        match std::fs::rename(&finished, &folder) {
            Ok(()) => Ok(folder),
            // Another process built the same generation first.
            Err(_) if folder.exists() => {
                remove_folder(&finished);
                Ok(folder)
            }
            Err(error) => Err(cache_error(&folder, &error)),
        }
    }

    fn folder_of(&self, sources: &BTreeSet<ObjectId>) -> PathBuf {
        self.root.join(format!("gen-{}", generation_name(sources)))
    }

    /// Links the largest generation whose sources are all wanted into `target`; whether there was one.
    fn link_nearest(&self, wanted: &BTreeSet<ObjectId>, target: &Path) -> bool {
        let usable = |folder: &PathBuf| {
            let sources = open_read_only(folder).and_then(|db| sources_of(&db)).ok()?;
            sources.is_subset(wanted).then_some(sources.len())
        };
        let nearest = generations(&self.root).into_iter().filter_map(|folder| Some((usable(&folder)?, folder))).max();
        match nearest {
            Some((_, folder)) if link_files(&folder, target).is_ok() => true,
            _ => {
                // What was linked before a failure must not be taken for a database.
                if let Ok(entries) = std::fs::read_dir(target) {
                    entries
                        .flatten()
                        .filter(|entry| entry.file_name() != USE_FILE)
                        .for_each(|entry| drop(std::fs::remove_file(entry.path())));
                }
                false
            }
        }
    }
}

/// Adds packs to a database that is being built.
struct Filler<'a> {
    db: &'a DB,
    batch: WriteBatch,
    next: u32,
}

impl<'a> Filler<'a> {
    fn new(db: &'a DB) -> Result<Self> {
        let mut last = db.iterator(IteratorMode::From(&[PACK_NUMBER], rocksdb::Direction::Reverse));
        let next = match last.next().transpose().map_err(|error| cache_error(db.path(), &error))? {
            Some((key, _)) if key.first() == Some(&PACK) => pack_number(&key).map_or(0, |number| number + 1),
            _ => 0,
        };
        Ok(Self { db, batch: WriteBatch::default(), next })
    }

    fn add(&mut self, pack: &IndexedPack) -> Result<()> {
        let key = [&[PACK_NUMBER][..], &pack.name.id.0].concat();
        if self.db.get_pinned(&key).map_err(|error| cache_error(self.db.path(), &error))?.is_some() {
            return Ok(());
        }
        let number = self.next;
        self.next += 1;
        self.batch.put(key, number.to_be_bytes());
        self.batch.put([&[PACK][..], &number.to_be_bytes()].concat(), encode_pack(pack));
        for frame in pack.table.frames() {
            self.batch.put([&[CHUNK][..], &frame.entry.chunk.0, &number.to_be_bytes()].concat(), encode_frame(&frame));
            if self.batch.len() >= BATCH_ENTRIES {
                self.write()?;
            }
        }
        // The pack's own row must be found by the next `add`.
        self.write()
    }

    fn source(&mut self, id: &ObjectId) -> Result<()> {
        self.batch.put([&[SOURCE][..], &id.0].concat(), []);
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        let batch = std::mem::take(&mut self.batch);
        self.db.write_opt(batch, &options).map_err(|error| cache_error(self.db.path(), &error))
    }

    fn finish(mut self) -> Result<()> {
        self.write()
    }
}

impl Index {
    /// Every place where a chunk stands that counts, oldest pack first.
    ///
    /// # Errors
    /// `Cache`.
    pub fn locate(&self, chunk: &ChunkId) -> Result<Vec<Location>> {
        let start = [&[CHUNK][..], &chunk.0].concat();
        let mut places = Vec::new();
        let mut rows = self.db.raw_iterator();
        rows.seek(&start);
        while let Some((key, value)) = rows.item().filter(|(key, _)| key.starts_with(&start)) {
            let pack = pack_number(key).ok_or_else(|| self.damaged())?;
            if !self.absent.contains(&pack) {
                places.push(Location { pack, frame: decode_frame(*chunk, value).map_err(|_| self.damaged())? });
            }
            rows.next();
        }
        rows.status().map_err(|error| cache_error(self.db.path(), &error))?;
        Ok(places)
    }

    /// The pack with this number.
    ///
    /// # Errors
    /// `Cache`.
    pub fn pack(&self, number: u32) -> Result<PackEntry> {
        let key = [&[PACK][..], &number.to_be_bytes()].concat();
        let row = self.db.get_pinned(key).map_err(|error| cache_error(self.db.path(), &error))?;
        row.and_then(|row| decode_pack(number, &row).ok()).ok_or_else(|| self.damaged())
    }

    /// All packs that the index names, those that are absent included.
    ///
    /// # Errors
    /// `Cache`.
    pub fn packs(&self) -> Result<Vec<PackEntry>> {
        let mut packs = Vec::new();
        for row in self.db.iterator(IteratorMode::From(&[PACK], rocksdb::Direction::Forward)) {
            let (key, value) = row.map_err(|error| cache_error(self.db.path(), &error))?;
            if key.first() != Some(&PACK) {
                break;
            }
            let number = pack_number(&key).ok_or_else(|| self.damaged())?;
            packs.push(decode_pack(number, &value).map_err(|_| self.damaged())?);
        }
        Ok(packs)
    }

    /// Whether a pack is named by a segment but not in the store (or doomed).
    pub fn is_absent(&self, number: u32) -> bool {
        self.absent.contains(&number)
    }

    /// How many packs are named by a segment but not in the store (or doomed).
    pub fn absent(&self) -> usize {
        self.absent.len()
    }

    /// Whether no segment names the pack: an interrupted job left it.
    pub fn is_orphan(&self, number: u32) -> bool {
        self.orphans.contains(&number)
    }

    fn mark(&mut self, listing: &Listing, doomed: &BTreeSet<ObjectId>, orphans: &[IndexedPack]) -> Result<()> {
        let listed: BTreeSet<ObjectId> = listing.packs.keys().map(|pack| pack.id).collect();
        let orphans: BTreeSet<ObjectId> = orphans.iter().map(|pack| pack.name.id).collect();
        for row in self.db.iterator(IteratorMode::From(&[PACK_NUMBER], rocksdb::Direction::Forward)) {
            let (key, value) = row.map_err(|error| cache_error(self.db.path(), &error))?;
            let Some((PACK_NUMBER, id)) = key.split_first().map(|(kind, id)| (*kind, id)) else { break };
            let id = ObjectId(id.try_into().map_err(|_| self.damaged())?);
            let number = u32::from_be_bytes(value.as_ref().try_into().map_err(|_| self.damaged())?);
            if !listed.contains(&id) || doomed.contains(&id) {
                self.absent.insert(number);
            }
            if orphans.contains(&id) {
                self.orphans.insert(number);
            }
        }
        Ok(())
    }

    fn damaged(&self) -> RepoError {
        cache_error(self.db.path(), &"it is damaged; delete it, it will be made anew")
    }
}

fn options() -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_bloom_filter(10.0, false);
    table.set_block_cache(&Cache::new_lru_cache(BLOCK_CACHE_BYTES));
    table.set_cache_index_and_filter_blocks(true);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::None);
    options.set_prefix_extractor(rocksdb::SliceTransform::create_fixed_prefix(33));
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(2);
    options.set_max_open_files(256);
    // RocksDB's own log would be written into folders that other processes read.
    options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Fatal, |_, _| ()));
    options
}

fn open_read_only(folder: &Path) -> Result<DB> {
    // RocksDB would make a folder that is not there in order to log that it is not there.
    if !folder.join("CURRENT").exists() {
        return Err(cache_error(folder, &"there is no database"));
    }
    DB::open_for_read_only(&options(), folder, false).map_err(|error| cache_error(folder, &error))
}

pub(crate) fn open_private(folder: &Path) -> Result<DB> {
    let mut options = options();
    options.create_if_missing(true);
    DB::open(&options, folder).map_err(|error| cache_error(folder, &error))
}

fn sources_of(db: &DB) -> Result<BTreeSet<ObjectId>> {
    let mut sources = BTreeSet::new();
    for row in db.iterator(IteratorMode::From(&[SOURCE], rocksdb::Direction::Forward)) {
        let (key, _) = row.map_err(|error| cache_error(db.path(), &error))?;
        let id = key.strip_prefix(&[SOURCE]).and_then(|id| id.try_into().ok());
        sources.insert(ObjectId(id.ok_or_else(|| cache_error(db.path(), &"it is damaged"))?));
    }
    Ok(sources)
}

fn named_packs(folder: &Path) -> Result<BTreeSet<ObjectId>> {
    let db = open_read_only(folder)?;
    let mut named = BTreeSet::new();
    for row in db.iterator(IteratorMode::From(&[PACK_NUMBER], rocksdb::Direction::Forward)) {
        let (key, _) = row.map_err(|error| cache_error(folder, &error))?;
        match key.strip_prefix(&[PACK_NUMBER]).and_then(|id| id.try_into().ok()) {
            Some(id) => named.insert(ObjectId(id)),
            None => break,
        };
    }
    Ok(named)
}

fn generation_name(sources: &BTreeSet<ObjectId>) -> String {
    let mut hasher = blake3::Hasher::new();
    for id in sources {
        hasher.update(&id.0);
    }
    hasher.finalize().to_hex().chars().take(32).collect()
}

fn generations(root: &Path) -> Vec<PathBuf> {
    let is_generation = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("gen-"));
    std::fs::read_dir(root).map(|entries| entries.flatten().map(|entry| entry.path()).filter(is_generation).collect()).unwrap_or_default()
}

fn link_files(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (name, target) = (entry.file_name(), to.join(entry.file_name()));
        let text = name.to_string_lossy();
        if text.ends_with(".sst") {
            // RocksDB never changes a table file, so a link is as good as a copy.
            std::fs::hard_link(entry.path(), target)?;
        } else if text == "CURRENT" || text.starts_with("MANIFEST-") || text.starts_with("OPTIONS-") {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Marks a folder as in use for as long as the file is held.
pub(crate) fn share(folder: &Path) -> Result<std::fs::File> {
    let path = folder.join(USE_FILE);
    let file = std::fs::File::options().create(true).append(true).open(&path).map_err(|error| cache_error(&path, &error))?;
    // A file system without locks loses only the protection against being swept while in use, which RocksDB survives.
    let _ = flock(&file, FlockOperation::NonBlockingLockShared);
    Ok(file)
}

/// Removes a folder of the cache that nobody uses; one in use stays.
fn remove_unused(folder: &Path) {
    let free = match std::fs::File::options().append(true).open(folder.join(USE_FILE)) {
        Ok(file) => flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok(),
        Err(_) => false,
    };
    if free {
        remove_folder(folder);
    }
}

fn remove_folder(folder: &Path) {
    // The cache may be left with rubbish; the next process tries again.
    let _ = std::fs::remove_dir_all(folder);
}

/// Removes private folders whose process is gone.
pub(crate) fn sweep_abandoned(root: &Path, prefix: &str) {
    let Ok(entries) = std::fs::read_dir(root) else { return };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .for_each(|entry| remove_unused(&entry.path()));
}

fn drop_old_generations(root: &Path, current: &Path) {
    let modified = |path: &PathBuf| path.metadata().and_then(|meta| meta.modified()).ok();
    let mut others: Vec<_> =
        generations(root).into_iter().filter(|folder| folder != current).map(|folder| (modified(&folder), folder)).collect();
    others.sort_by(|a, b| b.cmp(a));
    others.iter().skip(GENERATIONS_KEPT - 1).for_each(|(_, folder)| remove_unused(folder));
}

/// Makes a folder of the cache that only its owner can read.
///
/// # Errors
/// `Cache`.
pub(crate) fn create_folder(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| cache_error(folder, &error))
}

pub(crate) fn cache_error(path: &Path, error: &dyn std::fmt::Display) -> RepoError {
    RepoError::Cache { path: path.display().to_string(), why: error.to_string() }
}

fn pack_number(key: &[u8]) -> Option<u32> {
    key.last_chunk().map(|number| u32::from_be_bytes(*number))
}

fn encode_pack(pack: &IndexedPack) -> Vec<u8> {
    let mut out = Writer::default();
    out.u8(pack.name.kind as u8);
    out.raw(&pack.name.session.0);
    out.raw(&pack.name.id.0);
    out.u16(pack.table.format);
    out.raw(&pack.table.salt);
    out.u32(u32::try_from(pack.table.frames.len()).unwrap_or(u32::MAX));
    out.into_bytes()
}

fn decode_pack(number: u32, row: &[u8]) -> std::result::Result<PackEntry, FormatError> {
    let mut input = Reader::new(row);
    let kind = PackKind::from_u8(input.u8("kind")?)?;
    let session = SessionId(input.array("session")?);
    let id = ObjectId(input.array("id")?);
    let format = input.u16("format")?;
    let salt = input.array("salt")?;
    Ok(PackEntry { name: PackName { kind, session, id }, format, salt, number, frames: input.u32("frames")? })
}

fn encode_frame(frame: &Frame) -> Vec<u8> {
    let mut out = Writer::default();
    out.u8(frame.entry.kind as u8);
    out.u8(frame.entry.codec as u8);
    out.u8(u8::from(frame.last));
    out.u32(frame.entry.stored_len);
    out.u32(frame.entry.plain_len);
    out.u32(frame.number);
    out.u32(frame.offset);
    out.into_bytes()
}

fn decode_frame(chunk: ChunkId, row: &[u8]) -> std::result::Result<Frame, FormatError> {
    let mut input = Reader::new(row);
    let kind = ChunkKind::from_u8(input.u8("kind")?)?;
    let codec = Codec::from_u8(input.u8("codec")?)?;
    let last = input.u8("last")? == 1;
    let entry = FrameEntry { chunk, kind, codec, stored_len: input.u32("stored")?, plain_len: input.u32("plain")? };
    Ok(Frame { entry, number: input.u32("number")?, offset: input.u32("offset")?, last })
}

/// A shared index.
pub type SharedIndex = Arc<Index>;

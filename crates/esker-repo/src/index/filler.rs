//! Filling a database: packs one by one, and the places of their chunks sorted, so that what is written is written once and
//! in order, however many chunks there are.

use std::path::{Path, PathBuf};

use esker_format::ObjectId;
use esker_format::index_segment::IndexedPack;
use esker_format::pack::Frame;
use rocksdb::{DB, IngestExternalFileOptions, Options, SstFileWriter, WriteBatch, WriteOptions};

use super::database::next_pack;
use super::folders::cache_error;
use super::rows::{CHUNK, GROUP_FRAMES, PACK, PACK_NUMBER, PLACE_BYTES, REPLACED, SEVERAL, SOURCE};
use super::rows::{encode_frames, encode_pack, encode_place, frames_key};
use crate::error::Result;
use crate::listing::Listing;
use crate::scratch::ScratchRows;

/// Bytes of a table file that is made at once, about.
const TABLE_BYTES: u64 = 64 << 20;
/// Rows that are written at a time.
const BATCH_ROWS: usize = 4096;

/// Adds packs to a database that is being built.
pub(super) struct Filler<'a> {
    db: &'a DB,
    batch: WriteBatch,
    places: ScratchRows,
    frames: Tables<'a>,
    chunks: Tables<'a>,
    /// What is in here once everything else is.
    sources: Vec<ObjectId>,
    next: u32,
    /// Whether it has no chunks from before.
    is_new: bool,
}

impl<'a> Filler<'a> {
    /// Fills this database. `folder` is on the same file system; `cache` is where what waits may go.
    pub(super) fn new(db: &'a DB, options: &'a Options, cache: &Path, folder: &'a Path) -> Result<Self> {
        let next = next_pack(db)?;
        Ok(Self {
            db,
            batch: WriteBatch::default(),
            places: ScratchRows::new(cache),
            frames: Tables::new(options, folder, "frames"),
            chunks: Tables::new(options, folder, "chunks"),
            sources: Vec::new(),
            next,
            is_new: next == 0,
        })
    }

    /// Adds a pack, unless it is there.
    pub(super) fn add(&mut self, pack: &IndexedPack) -> Result<()> {
        let key = [&[PACK_NUMBER][..], &pack.name.id.0].concat();
        if self.get(&key)?.is_some() {
            return Ok(());
        }
        let number = self.next;
        self.next += 1;
        self.batch.put(key, number.to_be_bytes());
        self.batch.put([&[PACK][..], &number.to_be_bytes()].concat(), encode_pack(pack));
        let frames: Vec<Frame> = pack.table.frames().collect();
        for (group, frames) in (0..).zip(frames.chunks(GROUP_FRAMES as usize)) {
            self.frames.put(&frames_key(number, group), &encode_frames(frames))?;
        }
        for frame in &frames {
            self.places.push(&frame.entry.stands_for().0, &encode_place(number, frame))?;
        }
        // The pack's own row must be found by the next `add`.
        self.write()
    }

    /// Adds what a segment says.
    pub(super) fn segment(&mut self, id: &ObjectId, packs: &[IndexedPack]) -> Result<()> {
        packs.iter().try_for_each(|pack| self.add(pack))?;
        self.source(id);
        Ok(())
    }

    /// Whether every pack of the listing is named.
    pub(super) fn names_all(&self, listing: &Listing) -> Result<bool> {
        for pack in listing.packs.keys() {
            if self.get(&[&[PACK_NUMBER][..], &pack.id.0].concat())?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Notes a segment that one of those in here stands for.
    pub(super) fn replaced(&mut self, id: &ObjectId) -> Result<()> {
        self.batch.put([&[REPLACED][..], &id.0].concat(), []);
        self.write()
    }

    /// Notes a segment or unindexed pack that is in here.
    pub(super) fn source(&mut self, id: &ObjectId) {
        self.sources.push(*id);
    }

    /// Writes what is left. What is in here is said last: a database that was cut short must not look whole.
    pub(super) fn finish(mut self) -> Result<()> {
        let mut places = std::mem::replace(&mut self.places, ScratchRows::new(self.db.path())).sorted()?;
        let (mut key, mut row) = (Vec::new(), Vec::new());
        while let Some((chunk, place)) = places.next()? {
            if key.get(1..) != Some(chunk) {
                self.chunk(&key, &row)?;
                key.clear();
                row.clear();
                key.push(CHUNK);
                key.extend_from_slice(chunk);
                if !self.is_new
                    && let Some(before) = self.get(&key)?
                {
                    row.extend_from_slice(&before);
                }
            }
            row.extend_from_slice(place);
        }
        self.chunk(&key, &row)?;
        self.write()?;
        let tables = [self.frames.finished()?, self.chunks.finished()?].concat();
        if !tables.is_empty() {
            let mut options = IngestExternalFileOptions::default();
            options.set_move_files(true);
            self.db.ingest_external_file_opts(&options, tables).map_err(|error| cache_error(self.db.path(), &error))?;
        }
        for id in std::mem::take(&mut self.sources) {
            self.batch.put([&[SOURCE][..], &id.0].concat(), []);
        }
        self.write()
    }

    /// Writes the row of a chunk, if there is one.
    fn chunk(&mut self, key: &[u8], row: &[u8]) -> Result<()> {
        let Some(chunk) = key.get(1..) else { return Ok(()) };
        if row.len() > PLACE_BYTES {
            self.batch.put([&[SEVERAL][..], chunk].concat(), []);
            if self.batch.len() >= BATCH_ROWS {
                self.write()?;
            }
        }
        self.chunks.put(key, row)
    }

    fn get(&self, key: &[u8]) -> Result<Option<rocksdb::DBPinnableSlice<'a>>> {
        self.db.get_pinned(key).map_err(|error| cache_error(self.db.path(), &error))
    }

    fn write(&mut self) -> Result<()> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.db.write_opt(std::mem::take(&mut self.batch), &options).map_err(|error| cache_error(self.db.path(), &error))
    }
}

/// Table files of rows that come in order.
struct Tables<'a> {
    folder: &'a Path,
    name: &'static str,
    options: &'a Options,
    done: Vec<PathBuf>,
    open: Option<Table<'a>>,
}

/// One that is being written.
struct Table<'a> {
    path: PathBuf,
    writer: SstFileWriter<'a>,
    bytes: u64,
}

impl<'a> Tables<'a> {
    fn new(options: &'a Options, folder: &'a Path, name: &'static str) -> Self {
        Self { folder, name, options, done: Vec::new(), open: None }
    }

    fn put(&mut self, key: &[u8], row: &[u8]) -> Result<()> {
        let mut table = match self.open.take() {
            Some(table) => table,
            None => Table::create(self.options, self.folder.join(format!("{}-{}.new", self.name, self.done.len())))?,
        };
        table.writer.put(key, row).map_err(|error| cache_error(&table.path, &error))?;
        table.bytes += (key.len() + row.len()) as u64;
        if table.bytes < TABLE_BYTES {
            self.open = Some(table);
        } else {
            self.done.push(table.finish()?);
        }
        Ok(())
    }

    fn finished(&mut self) -> Result<Vec<PathBuf>> {
        if let Some(table) = self.open.take() {
            self.done.push(table.finish()?);
        }
        Ok(std::mem::take(&mut self.done))
    }
}

impl<'a> Table<'a> {
    fn create(options: &'a Options, path: PathBuf) -> Result<Self> {
        let writer = SstFileWriter::create(options);
        writer.open(&path).map_err(|error| cache_error(&path, &error))?;
        Ok(Self { path, writer, bytes: 0 })
    }

    fn finish(mut self) -> Result<PathBuf> {
        self.writer.finish().map_err(|error| cache_error(&self.path, &error))?;
        Ok(self.path)
    }
}

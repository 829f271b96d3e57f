//! Bringing the index to a listing: from the nearest older generation, plus what is new.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use esker_format::ObjectId;
use esker_format::formats;
use esker_format::index_segment::{IndexSegment, IndexedPack};
use esker_format::layout::{ObjectKind, PackName};
use rocksdb::{DB, WriteBatch, WriteOptions};

use super::Index;
use super::database::{next_pack, open_private, open_read_only, replaced_of, sources_of};
use super::folders::{USE_FILE, cache_error, generation_name, generations, link_files, newest_first, remove_folder, share};
use super::recent::{ORPHAN_FRAMES_MAX, SEGMENT_BYTES_MAX, SEGMENTS_MAX};
use super::rows::{PACK, PACK_NUMBER, REPLACED, SOURCE, add_place, chunk_key, encode_pack};
use crate::error::{RepoError, Result};
use crate::listing::Listing;
use crate::repository::Repository;

/// Rows written at a time.
const BATCH_ENTRIES: usize = 4096;

/// Builds one index.
pub(super) struct Build<'a> {
    pub(super) repository: &'a Repository,
    /// The folder of all generations.
    pub(super) root: PathBuf,
    /// The segments that are listed and readable.
    pub(super) segments: BTreeSet<ObjectId>,
    /// Segments that others stand for: what they say is read there (chapter 6).
    pub(super) replaced: BTreeSet<ObjectId>,
    /// Of those, the listed ones that were not read.
    pub(super) unread: Vec<ObjectId>,
    /// Packs that no segment names.
    pub(super) orphans: Vec<IndexedPack>,
    /// What could not be read.
    pub(super) damaged: Vec<RepoError>,
    /// Packs that do not exist for who asks: if no segment names them, nobody indexes them any more.
    pub(super) doomed: &'a BTreeSet<ObjectId>,
}

impl Build<'_> {
    /// The index of this listing.
    pub(super) fn index(&mut self, listing: &Listing) -> Result<Index> {
        // Which packs no segment names is known only from the segments.
        let mut index = self.of_segments(listing)?;
        let mut unnamed = unnamed_packs(&index, listing, self.doomed)?;
        if !unnamed.is_empty() && !self.unread.is_empty() {
            for id in std::mem::take(&mut self.unread) {
                self.read_segment(&id)?.unwrap_or_default().iter().try_for_each(|pack| index.add(pack))?;
            }
            unnamed = unnamed_packs(&index, listing, self.doomed)?;
        }
        for (name, size) in unnamed {
            match self.repository.read_frame_table(&name, size) {
                Ok(table) => self.orphans.push(IndexedPack { name, table }),
                Err(error @ RepoError::Store { .. }) => return Err(error),
                Err(error) => self.damaged.push(error),
            }
        }
        if self.orphans.iter().map(|pack| pack.table.frames.len()).sum::<usize>() <= ORPHAN_FRAMES_MAX {
            self.orphans.iter().try_for_each(|pack| index.add(pack))?;
        } else {
            let orphans = std::mem::take(&mut self.orphans);
            let folder = self.generation_of(listing, &orphans);
            self.orphans = orphans;
            index = open(&folder?)?;
        }
        index.replaced.append(&mut self.replaced);
        Ok(index)
    }

    /// The readable segments: of the newest generation that lacks only a few of them, these in memory; else of one that is
    /// made of all.
    fn of_segments(&mut self, listing: &Listing) -> Result<Index> {
        let is_few = |missing: &[ObjectId]| {
            let bytes: u64 = missing.iter().filter_map(|id| listing.segments.get(id)).sum();
            missing.len() <= SEGMENTS_MAX && bytes <= SEGMENT_BYTES_MAX
        };
        let without = |have: &BTreeSet<ObjectId>| self.segments.difference(have).copied().collect::<Vec<_>>();
        let all = without(&BTreeSet::new());
        let (mut index, missing) = if is_few(&all) {
            (Index::empty(), all)
        } else {
            let opened = newest_first(&self.root).into_iter().filter_map(|folder| {
                let index = open(&folder).ok()?;
                let have = sources_of(&index.generation.as_ref()?.db).ok()?;
                let missing = have.is_subset(&self.segments).then(|| without(&have)).filter(|missing| is_few(missing))?;
                Some((index, missing))
            });
            match { opened }.next() {
                Some(found) => found,
                None => return open(&self.generation_of(listing, &[])?),
            }
        };
        self.replaced.extend(index.replaced.iter().copied());
        for id in largest_first(missing, listing) {
            if self.replaced.contains(&id) {
                self.unread.push(id);
                continue;
            }
            for pack in self.read_segment(&id)?.unwrap_or_default() {
                index.add(&pack)?;
            }
        }
        Ok(index)
    }

    /// The packs of a segment; none if it cannot be read. Its packs are then packs that no segment names, and are indexed
    /// from their own tables.
    fn read_segment(&mut self, id: &ObjectId) -> Result<Option<Vec<IndexedPack>>> {
        match self.repository.read_object::<IndexSegment>(ObjectKind::IndexSegment, id) {
            Ok(mut segment) => {
                // A pack of a newer format counts as named by no segment, and its own head says why it is not read.
                segment.packs.retain(|pack| pack.table.format <= formats::newest(pack.name.kind.object_kind()));
                self.replaced.extend(segment.replaces);
                Ok(Some(segment.packs))
            }
            Err(error @ RepoError::Store { .. }) => Err(error),
            Err(error) => {
                self.damaged.push(error);
                self.segments.remove(id);
                Ok(None)
            }
        }
    }

    /// The generation of the readable segments and these packs. A damaged segment is no part of it, nor of its name.
    fn generation_of(&mut self, listing: &Listing, orphans: &[IndexedPack]) -> Result<PathBuf> {
        let mut sources = self.segments.clone();
        sources.extend(orphans.iter().map(|pack| pack.name.id));
        let folder = self.folder_of(&sources);
        if folder.exists() {
            // A manifest that was cut short opens all the same, and the database lacks rows.
            if open_read_only(&folder).and_then(|db| sources_of(&db)).is_ok_and(|have| have == sources) {
                return Ok(folder);
            }
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
        self.replaced.extend(replaced_of(&db)?);
        let mut unread = Vec::new();
        for id in largest_first(self.segments.difference(&have).copied().collect(), listing) {
            if self.replaced.contains(&id) {
                filler.source(&id)?;
                unread.push(id);
            } else if !self.fill_from(&id, &mut filler)? {
                sources.remove(&id);
            }
        }
        // Whoever wrote the larger segment may have meant packs that others name, too.
        if !unread.is_empty() && !filler.names_all(listing)? {
            for id in unread {
                self.fill_from(&id, &mut filler)?;
            }
        }
        self.replaced.iter().try_for_each(|id| filler.replaced(id))?;
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

    /// Adds what a segment says; whether it could be read.
    fn fill_from(&mut self, id: &ObjectId, filler: &mut Filler<'_>) -> Result<bool> {
        let Some(packs) = self.read_segment(id)? else { return Ok(false) };
        packs.iter().try_for_each(|pack| filler.add(pack))?;
        filler.source(id)?;
        Ok(true)
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

/// Packs of the listing that the index does not name and no prune has doomed.
fn unnamed_packs(index: &Index, listing: &Listing, doomed: &BTreeSet<ObjectId>) -> Result<Vec<(PackName, u64)>> {
    let named: BTreeSet<ObjectId> = index.packs()?.into_iter().map(|pack| pack.name.id).collect();
    let is_unnamed = |pack: &PackName| !named.contains(&pack.id) && !doomed.contains(&pack.id);
    Ok(listing.packs.iter().filter(|(pack, _)| is_unnamed(pack)).map(|(pack, size)| (*pack, *size)).collect())
}

/// A segment that stands for others is larger than each of them: what it replaces is known before they come up.
fn largest_first(mut segments: Vec<ObjectId>, listing: &Listing) -> Vec<ObjectId> {
    segments.sort_by_key(|id| std::cmp::Reverse(listing.segments.get(id).copied().unwrap_or_default()));
    segments
}

/// Opens a generation; one that does not open is only a cache, and goes so that it is built again.
fn open(folder: &Path) -> Result<Index> {
    Index::open(folder).inspect_err(|_| remove_folder(folder))
}

/// Adds packs to a database that is being built.
struct Filler<'a> {
    db: &'a DB,
    batch: WriteBatch,
    /// Rows of chunks that are not written yet.
    chunks: HashMap<Vec<u8>, Vec<u8>>,
    next: u32,
}

impl<'a> Filler<'a> {
    fn new(db: &'a DB) -> Result<Self> {
        let next = next_pack(db)?;
        Ok(Self { db, batch: WriteBatch::default(), chunks: HashMap::new(), next })
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
            let key = chunk_key(&frame.entry.stands_for());
            if !self.chunks.contains_key(&key) {
                let row = self.db.get(&key).map_err(|error| cache_error(self.db.path(), &error))?;
                self.chunks.insert(key.clone(), row.unwrap_or_default());
            }
            if let Some(row) = self.chunks.get_mut(&key) {
                add_place(row, number, &frame);
            }
            if self.chunks.len() >= BATCH_ENTRIES {
                self.write()?;
            }
        }
        // The pack's own row must be found by the next `add`.
        self.write()
    }

    /// Whether every pack of the listing is named.
    fn names_all(&self, listing: &Listing) -> Result<bool> {
        for pack in listing.packs.keys() {
            let key = [&[PACK_NUMBER][..], &pack.id.0].concat();
            if self.db.get_pinned(&key).map_err(|error| cache_error(self.db.path(), &error))?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn replaced(&mut self, id: &ObjectId) -> Result<()> {
        self.batch.put([&[REPLACED][..], &id.0].concat(), []);
        self.write()
    }

    fn source(&mut self, id: &ObjectId) -> Result<()> {
        self.batch.put([&[SOURCE][..], &id.0].concat(), []);
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        let mut batch = std::mem::take(&mut self.batch);
        for (key, row) in self.chunks.drain() {
            batch.put(key, row);
        }
        self.db.write_opt(batch, &options).map_err(|error| cache_error(self.db.path(), &error))
    }

    fn finish(mut self) -> Result<()> {
        self.write()
    }
}

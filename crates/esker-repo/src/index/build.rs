//! Bringing the index to a listing: from the nearest older generation, plus what is new.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use esker_format::ObjectId;
use esker_format::formats;
use esker_format::index_segment::{IndexSegment, IndexedPack};
use esker_format::layout::{ObjectKind, PackName};

use super::Index;
use super::database::{open_private, open_read_only, replaced_of, sources_of, write_options};
use super::filler::Filler;
use super::folders::{USE_FILE, cache_error, generation_name, generations, link_files, newest_first, remove_folder, share};
use super::recent::{ORPHAN_FRAMES_MAX, SEGMENT_BYTES_MAX, SEGMENTS_MAX};
use crate::error::{RepoError, Result};
use crate::listing::Listing;
use crate::repository::Repository;

/// Bytes of segments that are read together from a store far away, unless one is larger.
const READ_BYTES_MAX: u64 = 8 << 20;

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
                let read = self.repository.read_object(ObjectKind::IndexSegment, &id);
                self.packs_of(&id, read)?.unwrap_or_default().iter().try_for_each(|pack| index.add(pack))?;
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

    /// The readable segments; of a generation that is made of all of them if there is none near.
    fn of_segments(&mut self, listing: &Listing) -> Result<Index> {
        match self.of_nearest(listing)? {
            Some(index) => Ok(index),
            None => open(&self.generation_of(listing, &[])?),
        }
    }

    /// The readable segments: of the newest generation that lacks only a few of them, these in memory. `None` if there is no
    /// such generation.
    pub(super) fn of_nearest(&mut self, listing: &Listing) -> Result<Option<Index>> {
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
                None => return Ok(None),
            }
        };
        self.replaced.extend(index.replaced.iter().copied());
        self.unread =
            self.each_segment(missing, listing, |_, packs| packs.unwrap_or_default().iter().try_for_each(|pack| index.add(pack)))?;
        index.replaced.extend(self.replaced.iter().copied());
        Ok(Some(index))
    }

    /// Reads segments, the largest first: one that stands for others is larger than each of them, so what it replaces is
    /// known before they come up. Those are not read; gives them.
    fn each_segment(
        &mut self,
        mut segments: Vec<ObjectId>,
        listing: &Listing,
        mut take: impl FnMut(&ObjectId, Option<Vec<IndexedPack>>) -> Result<()>,
    ) -> Result<Vec<ObjectId>> {
        let is_far = self.repository.store.is_far();
        let size = |id: &ObjectId| listing.segments.get(id).copied().unwrap_or_default();
        segments.sort_by_key(|id| std::cmp::Reverse(size(id)));
        let (mut left, mut unread) = (segments.into_iter().peekable(), Vec::new());
        loop {
            // Together only those of about a size, none of which is likely to stand for another.
            let (mut some, mut bytes, mut first) = (Vec::new(), 0, 0);
            let fits = |id: &ObjectId, bytes: u64, first: u64| {
                first == 0 || (is_far && size(id) > first / 4 * 3 && bytes + size(id) <= READ_BYTES_MAX)
            };
            while let Some(id) = left.next_if(|id| fits(id, bytes, first)) {
                if self.replaced.contains(&id) {
                    unread.push(id);
                } else {
                    bytes += size(&id);
                    first = if first == 0 { bytes.max(1) } else { first };
                    some.push(id);
                }
            }
            if some.is_empty() {
                return Ok(unread);
            }
            let read: Vec<_> = self.repository.read_objects(ObjectKind::IndexSegment, some).collect();
            for (id, read) in read {
                if self.replaced.contains(&id) {
                    unread.push(id);
                } else {
                    take(&id, self.packs_of(&id, read)?)?;
                }
            }
        }
    }

    /// The packs of a segment; none if it cannot be read. Its packs are then packs that no segment names, and are indexed
    /// from their own tables.
    fn packs_of(&mut self, id: &ObjectId, read: Result<IndexSegment>) -> Result<Option<Vec<IndexedPack>>> {
        match read {
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
        let options = write_options();
        let mut filler = Filler::new(&db, &options, &self.repository.cache, private.path())?;
        self.replaced.extend(replaced_of(&db)?);
        let missing = self.segments.difference(&have).copied().collect();
        let mut damaged = Vec::new();
        let unread = self.each_segment(missing, listing, |id, packs| match packs {
            Some(packs) => filler.segment(id, &packs),
            None => {
                damaged.push(*id);
                Ok(())
            }
        })?;
        unread.iter().for_each(|id| filler.source(id));
        sources.retain(|id| !damaged.contains(id));
        // Whoever wrote the larger segment may have meant packs that others name, too.
        if !unread.is_empty() && !filler.names_all(listing)? {
            for id in unread {
                let read = self.repository.read_object(ObjectKind::IndexSegment, &id);
                if let Some(packs) = self.packs_of(&id, read)? {
                    filler.segment(&id, &packs)?;
                }
            }
        }
        self.replaced.iter().try_for_each(|id| filler.replaced(id))?;
        for pack in orphans.iter().filter(|pack| !have.contains(&pack.name.id)) {
            filler.add(pack)?;
            filler.source(&pack.name.id);
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

/// Packs of the listing that the index does not name and no prune has doomed.
fn unnamed_packs(index: &Index, listing: &Listing, doomed: &BTreeSet<ObjectId>) -> Result<Vec<(PackName, u64)>> {
    let mut unnamed: HashSet<ObjectId> = listing.packs.keys().map(|pack| pack.id).collect();
    index.each_pack(|pack| {
        unnamed.remove(&pack.name.id);
    })?;
    let is_unnamed = |pack: &PackName| unnamed.contains(&pack.id) && !doomed.contains(&pack.id);
    Ok(listing.packs.iter().filter(|(pack, _)| is_unnamed(pack)).map(|(pack, size)| (*pack, *size)).collect())
}

/// Opens a generation; one that does not open is only a cache, and goes so that it is built again.
fn open(folder: &Path) -> Result<Index> {
    Index::open(folder).inspect_err(|_| remove_folder(folder))
}

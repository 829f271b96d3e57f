//! The local index: where every chunk stands, on this machine's disk, rebuilt from the store whenever in doubt.
//!
//! A **generation** is a RocksDB folder that holds exactly the index segments (and unindexed packs) that one listing
//! showed; its name is the hash of their names. It is built in a private folder from the nearest older generation (hard
//! links) plus what is new, renamed into place, and never written again. So any number of processes open it read-only at
//! once, nobody waits for a lock, and a cache that was deleted or damaged costs one rebuild. A few segments that are newer
//! than the newest generation are read into memory instead ([`recent`]): a small repository has no generation at all.

mod build;
mod database;
mod filler;
mod folders;
mod nearby;
mod recent;
mod room;
mod rows;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use esker_format::index_segment::IndexedPack;
use esker_format::layout::PackName;
use esker_format::pack::Frame;
use esker_format::seal::SALT_LEN;
use esker_format::{ChunkId, ObjectId};
use rocksdb::{DB, Direction, IteratorMode};

use crate::error::{RepoError, Result};
use crate::listing::Listing;
use crate::repository::Repository;

use build::Build;
use nearby::{Group, Nearby};
use recent::Recent;
use rows::{PACK, PACK_NUMBER, chunk_key, decode_frames, decode_pack, decode_places, frames_key, pack_number};

use database::{next_pack, open_read_only, replaced_of, several_of, sources_of};
use folders::{drop_old_generations, is_named_by, remove_folder};

pub use room::INDEX_CACHE_BYTES;

pub(crate) use database::open_scratch;
pub(crate) use folders::{cache_error, create_folder, share, sweep_abandoned};

/// How often a generation is opened that others keep removing.
const OPEN_TRIES: u32 = 5;

/// Packs kept in memory, at most.
const KNOWN_PACKS_MAX: usize = 4096;
/// The layout of the rows; a cache of another layout stands in another folder.
const LAYOUT: u32 = 4;

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
    /// Its length in bytes, as its frames make it.
    pub bytes: u64,
}

/// One place where a chunk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// Number of the pack in this generation.
    pub pack: u32,
    /// The frame.
    pub frame: Frame,
}

/// One generation, opened for reading, and what is newer.
pub struct Index {
    generation: Option<Generation>,
    recent: Recent,
    /// Packs that are named but not listed, or that stand in a doomed list: what they hold does not exist for a writer.
    absent: BTreeSet<u32>,
    orphans: BTreeSet<u32>,
    /// Segments that others stand for.
    replaced: BTreeSet<ObjectId>,
    /// Packs looked up lately: a reader asks for the same few again and again.
    known_packs: RwLock<HashMap<u32, PackEntry>>,
}

/// A database on disk.
struct Generation {
    db: DB,
    nearby: Nearby,
    _in_use: std::fs::File,
}

/// What a generation was brought to.
pub struct Synced {
    /// The generation.
    pub index: SharedIndex,
    /// Packs that no segment names, with their tables: a writer indexes them.
    pub orphans: Vec<IndexedPack>,
    /// Orphan packs and segments that could not be read.
    pub damaged: Vec<RepoError>,
}

/// A shared index.
pub type SharedIndex = Arc<Index>;

impl Repository {
    /// Brings the local index to exactly this listing. With `doomed`, what stands in those packs does not count.
    ///
    /// # Errors
    /// `Cache`, `Store`. Segments and packs that are damaged are reported in the result: their chunks do not exist.
    pub fn sync_index(&self, listing: &Listing, doomed: &BTreeSet<ObjectId>) -> Result<Synced> {
        let made = self.make_index(listing, doomed, |build| {
            let mut index = build.index(listing)?;
            index.mark(listing, doomed, &build.orphans)?;
            Ok(Some(index))
        })?;
        made.ok_or_else(|| RepoError::Internal("no index was made".into()))
    }

    /// The index of these segments, if it takes little more than a generation that is there. Of the packs nothing is known:
    /// those that are gone count, and those that no segment names do not.
    ///
    /// # Errors
    /// As `sync_index`.
    pub(crate) fn index_at_hand(&self, segments: BTreeMap<ObjectId, u64>) -> Result<Option<Synced>> {
        let listing = Listing { segments, ..Listing::default() };
        self.make_index(&listing, &BTreeSet::new(), |build| build.of_nearest(&listing))
    }

    fn make_index(
        &self,
        listing: &Listing,
        doomed: &BTreeSet<ObjectId>,
        make: impl Fn(&mut Build<'_>) -> Result<Option<Index>>,
    ) -> Result<Option<Synced>> {
        let root = self.cache.join(format!("index-{LAYOUT}-{}", self.config.repository));
        let mut tries = 1;
        loop {
            create_folder(&root)?;
            sweep_abandoned(&root, "build-");
            let segments = listing.segments.keys().copied().collect();
            let (replaced, unread, orphans, damaged) = Default::default();
            let mut build = Build { repository: self, root: root.clone(), segments, replaced, unread, orphans, damaged, doomed };
            match make(&mut build) {
                Ok(None) => return Ok(None),
                Ok(Some(index)) => {
                    if let Some(generation) = &index.generation {
                        drop_old_generations(&root, generation.db.path());
                    }
                    room::keep_within(&self.cache, self.index_cache_bytes);
                    return Ok(Some(Synced { index: Arc::new(index), orphans: build.orphans, damaged: build.damaged }));
                }
                // Another process, with a newer listing, removed the generation before it was marked as in use.
                Err(RepoError::Cache { .. } | RepoError::CacheDamaged { .. }) if tries < OPEN_TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

impl Index {
    /// The generation in a folder.
    fn open(folder: &Path) -> Result<Self> {
        let in_use = share(folder)?;
        let db = open_read_only(folder)?;
        let nearby = Nearby::new(several_of(&db)?);
        let generation = Generation { db, nearby, _in_use: in_use };
        // RocksDB opens what was cut short as an older state of it: not all that the folder's name promises.
        if !is_named_by(folder, &sources_of(&generation.db)?) {
            return Err(cache_error(folder, &"it is not whole"));
        }
        let (recent, replaced) = (Recent::behind(next_pack(&generation.db)?), replaced_of(&generation.db)?);
        Ok(Self { recent, replaced, generation: Some(generation), ..Self::empty() })
    }

    /// Nothing yet.
    fn empty() -> Self {
        let (recent, absent, orphans, replaced, known_packs) = Default::default();
        Self { generation: None, recent, absent, orphans, replaced, known_packs }
    }

    /// Adds a pack in memory.
    fn add(&mut self, pack: &IndexedPack) -> Result<()> {
        let is_known = self.generation.as_ref().map_or(Ok(false), |generation| generation.has_pack(&pack.name.id))?;
        if !is_known {
            self.recent.add(pack);
        }
        Ok(())
    }

    /// Every place where a chunk stands whole that counts, oldest pack first.
    ///
    /// # Errors
    /// `Cache`.
    pub fn locate(&self, chunk: &ChunkId) -> Result<Vec<Location>> {
        Ok(self.locate_with_forms(chunk)?.0)
    }

    /// Every place where a chunk stands whole, and every place where a sparse form of it does, if it is a run.
    ///
    /// # Errors
    /// `Cache`.
    pub fn locate_with_forms(&self, chunk: &ChunkId) -> Result<(Vec<Location>, Vec<Location>)> {
        let mut places = self.locate_anywhere(chunk)?;
        places.retain(|place| !self.absent.contains(&place.pack));
        Ok(places.into_iter().partition(|place| place.frame.entry.form.is_none()))
    }

    /// What is read for a chunk: the places where it stands whole, or, where it stands nowhere whole, those of its forms.
    ///
    /// # Errors
    /// `Cache`.
    pub fn locate_readable(&self, chunk: &ChunkId) -> Result<Vec<Location>> {
        let (whole, forms) = self.locate_with_forms(chunk)?;
        Ok(if whole.is_empty() { forms } else { whole })
    }

    /// What is read for a chunk first: one place where it stands whole, or all its forms.
    ///
    /// # Errors
    /// `Cache`.
    pub fn locate_read(&self, chunk: &ChunkId) -> Result<Vec<Location>> {
        let mut places = self.locate_readable(chunk)?;
        if places.first().is_some_and(|place| place.frame.entry.form.is_none()) {
            places.truncate(1);
        }
        Ok(places)
    }

    /// As `locate`, with the places in packs that are not in the store, and those of sparse forms.
    ///
    /// # Errors
    /// `Cache`.
    pub fn locate_anywhere(&self, chunk: &ChunkId) -> Result<Vec<Location>> {
        let mut places = self.generation.as_ref().map_or(Ok(Vec::new()), |generation| generation.places(chunk))?;
        places.extend_from_slice(self.recent.places(chunk));
        Ok(places)
    }

    /// Bytes that are stored for a chunk: those of one place where it stands whole, or of all its forms together.
    ///
    /// # Errors
    /// `Cache`.
    pub fn stored_bytes(&self, chunk: &ChunkId) -> Result<u64> {
        Ok(self.locate_read(chunk)?.iter().map(|place| u64::from(place.frame.entry.stored_len)).sum())
    }

    /// The pack with this number.
    ///
    /// # Errors
    /// `Cache`.
    pub fn pack(&self, number: u32) -> Result<PackEntry> {
        if let Some(recent) = self.recent.pack(number) {
            return Ok(recent);
        }
        if let Some(known) = self.known_packs.read().unwrap_or_else(PoisonError::into_inner).get(&number) {
            return Ok(*known);
        }
        let generation = self.generation.as_ref();
        let pack = generation.ok_or_else(|| RepoError::Internal(format!("no pack has the number {number}")))?.pack(number)?;
        let mut known = self.known_packs.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_PACKS_MAX {
            known.clear();
        }
        known.insert(number, pack);
        Ok(pack)
    }

    /// All packs that the index names, those that are absent included.
    ///
    /// # Errors
    /// `Cache`.
    pub fn packs(&self) -> Result<Vec<PackEntry>> {
        let mut packs = Vec::new();
        self.each_pack(|pack| packs.push(*pack))?;
        Ok(packs)
    }

    /// Visits what `packs` gives, none of it in memory.
    ///
    /// # Errors
    /// `Cache`.
    pub fn each_pack(&self, mut visit: impl FnMut(&PackEntry)) -> Result<()> {
        if let Some(generation) = &self.generation {
            generation.each_pack(&mut visit)?;
        }
        self.recent.packs().iter().for_each(visit);
        Ok(())
    }

    /// Whether a pack is named by a segment but not in the store (or doomed).
    pub fn is_absent(&self, number: u32) -> bool {
        self.absent.contains(&number)
    }

    /// How many packs are named by a segment but not in the store (or doomed).
    pub fn absent(&self) -> usize {
        self.absent.len()
    }

    /// Segments that others stand for.
    pub(crate) fn replaced(&self) -> &BTreeSet<ObjectId> {
        &self.replaced
    }

    /// Whether no segment names the pack: an interrupted job left it.
    pub fn is_orphan(&self, number: u32) -> bool {
        self.orphans.contains(&number)
    }

    fn mark(&mut self, listing: &Listing, doomed: &BTreeSet<ObjectId>, orphans: &[IndexedPack]) -> Result<()> {
        let listed: HashMap<ObjectId, u64> = listing.packs.iter().map(|(pack, size)| (pack.id, *size)).collect();
        let orphans: BTreeSet<ObjectId> = orphans.iter().map(|pack| pack.name.id).collect();
        let (mut absent, mut unnamed) = (BTreeSet::new(), BTreeSet::new());
        self.each_pack(|PackEntry { name, number, bytes, .. }| {
            // A pack of another length than its frames make is no pack: cut short, it holds nothing that counts.
            if listed.get(&name.id) != Some(bytes) || doomed.contains(&name.id) {
                absent.insert(*number);
            }
            if orphans.contains(&name.id) {
                unnamed.insert(*number);
            }
        })?;
        self.absent.append(&mut absent);
        self.orphans.append(&mut unnamed);
        Ok(())
    }
}

impl Generation {
    fn places(&self, chunk: &ChunkId) -> Result<Vec<Location>> {
        if let Some(place) = self.nearby.place(chunk) {
            return Ok(vec![place]);
        }
        let Some(row) = self.row(&chunk_key(chunk))? else { return Ok(Vec::new()) };
        let places = decode_places(chunk, &row).map_err(|error| self.damaged(&error))?;
        if let Some(group) = places.first().and_then(|place| self.nearby.looked_up(place)) {
            self.nearby.keep(group, &self.frames(group)?);
        }
        Ok(places)
    }

    fn frames(&self, (pack, group): Group) -> Result<Vec<Frame>> {
        let row = self.row(&frames_key(pack, group))?;
        let frames = row.and_then(|row| decode_frames(group, &row).ok());
        frames.ok_or_else(|| self.damaged(&format!("frames of pack {pack} are not in it")))
    }

    fn pack(&self, number: u32) -> Result<PackEntry> {
        let row = self.row(&[&[PACK][..], &number.to_be_bytes()].concat())?;
        row.and_then(|row| decode_pack(number, &row).ok()).ok_or_else(|| self.damaged(&format!("pack {number} is not in it")))
    }

    fn has_pack(&self, id: &ObjectId) -> Result<bool> {
        Ok(self.row(&[&[PACK_NUMBER][..], &id.0].concat())?.is_some())
    }

    fn each_pack(&self, visit: &mut impl FnMut(&PackEntry)) -> Result<()> {
        for row in self.db.iterator(IteratorMode::From(&[PACK], Direction::Forward)) {
            let (key, value) = row.map_err(|error| self.damaged(&error))?;
            if key.first() != Some(&PACK) {
                break;
            }
            let number = pack_number(&key).ok_or_else(|| self.damaged(&"a key is cut short"))?;
            visit(&decode_pack(number, &value).map_err(|error| self.damaged(&error))?);
        }
        Ok(())
    }

    fn row(&self, key: &[u8]) -> Result<Option<rocksdb::DBPinnableSlice<'_>>> {
        self.db.get_pinned(key).map_err(|error| self.damaged(&error))
    }

    /// A cache that is damaged goes at once: whoever comes next makes it anew.
    fn damaged(&self, why: &dyn std::fmt::Display) -> RepoError {
        remove_folder(self.db.path());
        RepoError::CacheDamaged { path: self.db.path().display().to_string(), why: why.to_string() }
    }
}

//! Reading chunks: find, fetch in large pieces, check.

mod fetch;
mod forms;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use esker_format::layout::PackName;
use esker_format::pack::{FrameDecoder, FrameOpener, FrameTable, HEAD_LEN, PackHead, TAIL_LEN, Tail};
use esker_format::{ChunkId, FormatError, sparse_run};

use crate::error::{RepoError, Result};
use crate::frame_cache::FrameCache;
use crate::index::{Index, Location, PackEntry, SharedIndex};
use crate::look_ahead::{Ahead, Group};
use crate::repository::Repository;
use crate::view::Viewer;
use crate::windows::Windows;

use forms::sole_place;

/// Bytes of a pack's end that are fetched first when its table is wanted.
const TAIL_GUESS: u64 = 64 << 10;
/// Time after which the store is looked at afresh for a chunk that is not found.
const REFRESH_INTERVAL: Duration = Duration::from_secs(10);
/// Packs whose keys are kept derived.
const OPENERS_MAX: usize = 1024;

/// Reads chunks through one index; several threads may share it.
pub struct ChunkReader {
    repository: Arc<Repository>,
    index: Mutex<SharedIndex>,
    /// The index that it began with: callers know places by the numbers of that one.
    first: SharedIndex,
    openers: Mutex<HashMap<PackName, Arc<FrameOpener>>>,
    /// Where frames are looked for before the store is asked, and kept that it sent.
    frames: Option<Arc<FrameCache>>,
    windows: Windows,
    /// When a fresh look at the store last did not help.
    refreshed: Mutex<Option<Instant>>,
}

/// What a worker keeps between two reads.
pub struct ReadContext {
    decoder: FrameDecoder,
}

/// Who ended a read.
enum Stop<E> {
    Reader(RepoError),
    Taker(E),
}

impl<E> From<RepoError> for Stop<E> {
    fn from(error: RepoError) -> Self {
        Self::Reader(error)
    }
}

impl ReadContext {
    /// A new context.
    ///
    /// # Errors
    /// `Object` if zstd cannot be set up.
    pub fn new() -> Result<Self> {
        Ok(Self { decoder: FrameDecoder::new().map_err(RepoError::object("zstd"))? })
    }
}

impl ChunkReader {
    /// Reads through this index.
    pub fn new(repository: &Arc<Repository>, index: SharedIndex) -> Self {
        Self {
            repository: Arc::clone(repository),
            first: Arc::clone(&index),
            index: Mutex::new(index),
            openers: Mutex::new(HashMap::new()),
            frames: None,
            windows: Windows::default(),
            refreshed: Mutex::new(None),
        }
    }

    /// Reads through this cache, too.
    pub(crate) fn with_frames(self, frames: Option<Arc<FrameCache>>) -> Self {
        Self { frames, ..self }
    }

    /// Reads through the index of what the store holds now.
    ///
    /// # Errors
    /// As `Repository::view`.
    pub fn open(repository: &Arc<Repository>) -> Result<Self> {
        Ok(Self::new(repository, repository.view(Viewer::Reader)?.synced.index))
    }

    /// Reads through the index of what segments name, where that is at hand: for who reads and asks nothing else of it.
    ///
    /// # Errors
    /// As `Repository::view`.
    pub fn glance(repository: &Arc<Repository>) -> Result<Self> {
        Ok(Self::new(repository, repository.glance()?))
    }

    /// The repository.
    pub fn repository(&self) -> &Arc<Repository> {
        &self.repository
    }

    /// The index it reads through.
    pub fn index(&self) -> SharedIndex {
        Arc::clone(&self.index.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One chunk.
    ///
    /// # Errors
    /// `ChunkLost`, `Store`.
    pub fn read(&self, context: &mut ReadContext, chunk: &ChunkId) -> Result<Vec<u8>> {
        let mut found = Vec::new();
        self.read_each(context, std::slice::from_ref(chunk), |_, _, bytes| {
            found = bytes.to_vec();
            Ok(())
        })?;
        Ok(found)
    }

    /// Many chunks with few requests, in the order in which they stand in packs. `take` gets each one's position in `chunks`,
    /// and its bytes or why they cannot be had.
    ///
    /// # Errors
    /// `Store`, `Cache`, and what `take` returns.
    pub fn read_scattered<E, F>(&self, context: &mut ReadContext, chunks: &[ChunkId], mut take: F) -> std::result::Result<(), E>
    where
        E: From<RepoError>,
        F: FnMut(usize, Result<&[u8]>) -> std::result::Result<(), E>,
    {
        let places = self.places(chunks)?;
        let mut order: Vec<usize> = (0..chunks.len()).collect();
        order.sort_by_key(|position| places.get(*position).copied().flatten());
        let ordered: Vec<ChunkId> = order.iter().filter_map(|position| chunks.get(*position)).copied().collect();
        let mut done = 0;
        while done < ordered.len() {
            let start = done;
            let read = self.read_each(context, ordered.get(start..).unwrap_or_default(), |number, _, bytes| {
                done = start + number + 1;
                take(order.get(start + number).copied().unwrap_or_default(), Ok(bytes)).map_err(Stop::Taker)
            });
            match read {
                Ok(()) => break,
                Err(Stop::Taker(error)) => return Err(error),
                Err(Stop::Reader(error)) if error.is_damage() => {
                    take(order.get(done).copied().unwrap_or_default(), Err(error))?;
                    done += 1;
                }
                Err(Stop::Reader(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Where each of these chunks stands first.
    fn places(&self, chunks: &[ChunkId]) -> Result<Vec<Option<(u32, u32)>>> {
        let index = self.index();
        let place =
            |chunk: &ChunkId| -> Result<_> { Ok(index.locate_readable(chunk)?.first().map(|place| (place.pack, place.frame.offset))) };
        chunks.iter().map(place).collect()
    }

    /// Chunks in the order in which they stand in packs, so that `read_each` needs few requests. One that stands nowhere
    /// comes first.
    ///
    /// # Errors
    /// `Cache`.
    pub fn in_store_order(&self, mut chunks: Vec<ChunkId>) -> Result<Vec<ChunkId>> {
        let places: HashMap<ChunkId, _> = chunks.iter().copied().zip(self.places(&chunks)?).collect();
        chunks.sort_by_key(|chunk| places.get(chunk).copied());
        Ok(chunks)
    }

    /// Many chunks in the order asked for. For a run that stands nowhere whole its sparse form is given; if there are several, one
    /// with the entries of all. `take` gets each one's position in `chunks`, the place in the index that the reader
    /// began with if the first try there succeeded, and its bytes.
    ///
    /// # Errors
    /// `ChunkLost`, `Store`, and what `take` returns.
    pub fn read_each<E, F>(&self, context: &mut ReadContext, chunks: &[ChunkId], mut take: F) -> std::result::Result<(), E>
    where
        E: From<RepoError>,
        F: FnMut(usize, Option<&Location>, &[u8]) -> std::result::Result<(), E>,
    {
        let index = self.index();
        let is_first = Arc::ptr_eq(&index, &self.first);
        let places: Vec<Option<Location>> = chunks.iter().map(|chunk| sole_place(&index, chunk)).collect::<Result<_>>()?;
        let mut ahead = Ahead::new(self.reach());
        while let Some(Group { position, count, asked }) = ahead.next(&places, |at, left| self.begin_group(&index, at, left))? {
            let group = places.get(position..position + count).unwrap_or_default();
            let asked = match asked {
                Some(asked) => asked,
                None => match self.cached(&index, group, context)? {
                    Some(plain) => {
                        take(position, None, &plain)?;
                        continue;
                    }
                    None => self.begin_fetch(&index, group),
                },
            };
            let mut fetched = asked.and_then(|asked| self.end_fetch(&index, group, asked));
            for (offset, place) in group.iter().map(Option::as_ref).enumerate() {
                let Some(chunk) = chunks.get(position + offset) else { break };
                let first_try = match (&mut fetched, place) {
                    (Ok((start, bytes)), Some(place)) => self.open_in(&index, place, *start, bytes, context),
                    (_, None) => Err(not_indexed(chunk)),
                    (Err(error), _) => Err(RepoError::ChunkLost { chunk: *chunk, why: error.to_string() }),
                };
                match first_try {
                    Ok(plain) => take(position + offset, place.filter(|_| is_first), plain)?,
                    Err(first) => {
                        if place.is_some() {
                            self.windows.clear();
                        }
                        take(position + offset, None, &self.read_anywhere(context, chunk, first)?)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Opens the frame at a place in the bytes fetched from `start`, which are overwritten there.
    fn open_in<'a>(
        &self,
        index: &Index,
        place: &Location,
        start: u64,
        bytes: &'a mut BytesMut,
        context: &'a mut ReadContext,
    ) -> Result<&'a [u8]> {
        let pack = index.pack(place.pack)?;
        let from = usize::try_from(u64::from(place.frame.offset) - start).unwrap_or(usize::MAX);
        let to = from.saturating_add(place.frame.entry.stored_len as usize);
        let left = bytes.len();
        let sealed = bytes.get_mut(from..to).ok_or(FormatError::CutShort {
            field: "frame",
            offset: place.frame.offset as usize,
            needed: u64::from(place.frame.entry.stored_len),
            left,
        });
        let damaged = |source| RepoError::Object { path: pack.name.path(), source };
        let sealed = sealed.map_err(damaged)?;
        let opener = self.opener(&pack)?;
        opener.open(&self.repository.sealing, &place.frame, sealed, &mut context.decoder).map_err(damaged)
    }

    /// Tries every place of a chunk, then looks at the store afresh and tries again.
    fn read_anywhere(&self, context: &mut ReadContext, chunk: &ChunkId, first: RepoError) -> Result<Vec<u8>> {
        let mut faults = Vec::new();
        for fresh in [false, true] {
            if fresh {
                self.windows.clear();
                self.refresh()?;
            }
            let index = self.index();
            let (places, forms) = index.locate_with_forms(chunk)?;
            for place in places {
                match self.read_at(&index, context, &place) {
                    Ok(plain) => return Ok(plain),
                    Err(error @ (RepoError::Store { .. } | RepoError::Cold { .. })) => return Err(error),
                    Err(error) => faults.push(error.to_string()),
                }
            }
            let joined = self.join_forms(&index, context, chunk, &forms, &mut faults)?;
            // If a place is gone, forms may have come instead; what is left is given when the store shows no more.
            match joined.filter(|_| fresh || faults.is_empty()) {
                Some(joined) => return sparse_run::encode(chunk, &joined).map_err(RepoError::object(format!("run {chunk}"))),
                None => continue,
            }
        }
        *self.refreshed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        faults.dedup();
        if faults.is_empty() {
            return Err(first);
        }
        Err(RepoError::ChunkLost { chunk: *chunk, why: faults.join("; ") })
    }

    /// Looks at the store afresh, unless that did not help just now: a lost pack must not cost a listing a chunk.
    fn refresh(&self) -> Result<()> {
        let failed = *self.refreshed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_some_and(|at| at.elapsed() < REFRESH_INTERVAL) {
            return Ok(());
        }
        let view = self.repository.view(Viewer::Reader)?;
        *self.index.lock().unwrap_or_else(PoisonError::into_inner) = view.synced.index;
        Ok(())
    }

    fn opener(&self, pack: &PackEntry) -> Result<Arc<FrameOpener>> {
        let mut openers = self.openers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opener) = openers.get(&pack.name) {
            return Ok(Arc::clone(opener));
        }
        let opener = FrameOpener::new(&self.repository.sealing, pack.name.kind, pack.format, pack.salt)
            .map_err(RepoError::object(pack.name.path()))?;
        let opener = Arc::new(opener);
        if openers.len() >= OPENERS_MAX {
            openers.clear();
        }
        openers.insert(pack.name, Arc::clone(&opener));
        Ok(opener)
    }
}

impl Repository {
    /// Reads the frame table of a pack of `size` bytes from the pack itself.
    ///
    /// # Errors
    /// `Missing`, `Object`, `Store`.
    pub fn read_frame_table(&self, name: &PackName, size: u64) -> Result<FrameTable> {
        let path = name.path();
        let damaged = |source| RepoError::Object { path: path.clone(), source };
        let head = self.store.get_range(&path, 0, HEAD_LEN as u64)?;
        PackHead::decode(&head, name.kind, &self.sealing).map_err(damaged)?;
        let guess = size.min(TAIL_GUESS);
        let mut end = self.store.get_range(&path, size - guess, size.max(1))?;
        let tail_at = end.len().saturating_sub(TAIL_LEN);
        let tail = Tail::decode(end.get(tail_at..).unwrap_or_default(), size).map_err(damaged)?;
        let (start, stop) = tail.table_range(size);
        if start < size - guess {
            end = self.store.get_range(&path, start, size)?;
        }
        let from = end.len().saturating_sub(usize::try_from(size - start).unwrap_or(usize::MAX));
        let to = end.len().saturating_sub(usize::try_from(size - stop).unwrap_or(usize::MAX));
        FrameTable::open(&self.sealing, name.kind, &head, end.get(from..to).unwrap_or_default(), &tail, size).map_err(damaged)
    }
}

fn not_indexed(chunk: &ChunkId) -> RepoError {
    RepoError::ChunkLost { chunk: *chunk, why: "no pack in the store holds it".into() }
}

//! Reading chunks: find, fetch in large pieces, check.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use esker_format::entry_set::EntrySet;
use esker_format::layout::PackName;
use esker_format::pack::{FrameDecoder, FrameOpener, FrameTable, HEAD_LEN, PackHead, TAIL_LEN, Tail};
use esker_format::run::Run;
use esker_format::{ChunkId, FormatError, sparse_run};

use crate::error::{RepoError, Result};
use crate::frame_cache::FrameCache;
use crate::index::{Index, Location, PackEntry, SharedIndex};
use crate::look_ahead::{Ahead, Asked, Group, Reach, end_of};
use crate::repository::Repository;
use crate::view::Viewer;
use crate::windows::Windows;

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

    fn reach(&self) -> Reach {
        let store = &self.repository.store;
        Reach::new(store.is_local(), store.is_far())
    }

    /// Asks for the first of these places, and for those after it that need no further request.
    fn begin_group(&self, index: &Index, position: usize, left: &[Option<Location>]) -> Result<Group> {
        if let (Some(cache), Some(Some(place))) = (&self.frames, left.first())
            && cache.has(&index.pack(place.pack)?.name.id, &place.frame)
        {
            return Ok(Group { position, count: 1, asked: None });
        }
        let count = self.together(index, left)?;
        Ok(Group { position, count, asked: Some(self.begin_fetch(index, left.get(..count).unwrap_or_default())) })
    }

    /// The chunk at the first of these places, if the cache has it whole.
    fn cached(&self, index: &Index, places: &[Option<Location>], context: &mut ReadContext) -> Result<Option<Vec<u8>>> {
        let (Some(cache), Some(Some(place))) = (&self.frames, places.first()) else { return Ok(None) };
        let pack = index.pack(place.pack)?.name.id;
        let Some(mut sealed) = cache.get(&pack, &place.frame) else { return Ok(None) };
        let opened = self.open_in(index, place, u64::from(place.frame.offset), &mut sealed, context).map(<[u8]>::to_vec);
        if opened.is_err() {
            cache.remove(&pack, &place.frame);
        }
        Ok(opened.ok())
    }

    /// How many of the first places are fetched in one request: at least one, and then none that the cache has.
    fn together(&self, index: &Index, places: &[Option<Location>]) -> Result<usize> {
        let count = self.reach().together(places);
        let Some(cache) = &self.frames else { return Ok(count) };
        for (number, place) in places.iter().enumerate().take(count).skip(1) {
            if let Some(place) = place
                && cache.has(&index.pack(place.pack)?.name.id, &place.frame)
            {
                return Ok(number);
            }
        }
        Ok(count)
    }

    /// Fetches the bytes that these places span, and keeps what the cache may have of them; all are of one pack. With where
    /// they start.
    fn fetch(&self, index: &Index, places: &[Option<Location>]) -> Result<(u64, BytesMut)> {
        self.end_fetch(index, places, self.begin_fetch(index, places)?)
    }

    fn begin_fetch(&self, index: &Index, places: &[Option<Location>]) -> Result<Asked> {
        let (Some(first), Some(last)) = (places.first().copied().flatten(), places.last().copied().flatten()) else {
            return Err(RepoError::Internal("nothing to fetch".into()));
        };
        let (start, end) = (u64::from(first.frame.offset), end_of(&last));
        let (name, store) = (index.pack(first.pack)?.name, &self.repository.store);
        if !self.has_window(&name, start, end) {
            return Ok(Asked::Coming(start, store.begin_range(&name.path(), start, end)));
        }
        if let Some(bytes) = self.windows.get(&name, start, end) {
            return Ok(Asked::Here(bytes));
        }
        let (start, end) = Windows::around(start, end);
        Ok(Asked::Coming(start, store.begin_range(&name.path(), start, end)))
    }

    fn has_window(&self, pack: &PackName, start: u64, end: u64) -> bool {
        self.repository.store.is_far() && Windows::takes(pack.kind, end - start)
    }

    fn end_fetch(&self, index: &Index, places: &[Option<Location>], asked: Asked) -> Result<(u64, BytesMut)> {
        let (Some(first), Some(last)) = (places.first().copied().flatten(), places.last().copied().flatten()) else {
            return Err(RepoError::Internal("nothing to fetch".into()));
        };
        let (start, pack) = (u64::from(first.frame.offset), index.pack(first.pack)?);
        let bytes = match asked {
            Asked::Here(bytes) => bytes,
            Asked::Coming(from, fetching) => {
                let bytes = self.repository.store.wait_for(fetching)?;
                if self.has_window(&pack.name, start, end_of(&last)) {
                    self.windows.keep(pack.name, from, bytes.clone());
                }
                // Fewer of them are there if the pack was cut short.
                let at = |offset: u64| usize::try_from(offset - from).unwrap_or(usize::MAX).min(bytes.len());
                bytes.slice(at(start)..at(end_of(&last)))
            }
        };
        if let Some(cache) = &self.frames {
            for Location { frame, .. } in places.iter().flatten() {
                let from = usize::try_from(u64::from(frame.offset).saturating_sub(start)).unwrap_or(usize::MAX);
                if let Some(sealed) = bytes.get(from..from.saturating_add(frame.entry.stored_len as usize)) {
                    cache.put(&pack.name.id, frame, sealed);
                }
            }
        }
        Ok((start, bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(shared.as_ref()))))
    }

    /// The chunk at exactly this place of an index.
    ///
    /// # Errors
    /// `Missing`, `Object` if it is not whole there; `Store`.
    pub(crate) fn read_at(&self, index: &Index, context: &mut ReadContext, place: &Location) -> Result<Vec<u8>> {
        let (start, mut bytes) = self.fetch(index, &[Some(*place)])?;
        self.open_in(index, place, start, &mut bytes, context).map(<[u8]>::to_vec)
    }

    /// The chunks at these places of an index as they were compressed, checked, to be written again; neighbours in one request. `take`
    /// gets each one's position.
    ///
    /// # Errors
    /// `Store`, and what `take` returns.
    pub(crate) fn bodies_at(
        &self,
        index: &Index,
        context: &mut ReadContext,
        places: &[Location],
        mut take: impl FnMut(usize, Result<Vec<u8>>) -> Result<()>,
    ) -> Result<()> {
        let places: Vec<Option<Location>> = places.iter().copied().map(Some).collect();
        let reach = self.reach().whole();
        let mut ahead = Ahead::new(reach);
        let begin = |position, left: &[Option<Location>]| {
            let count = reach.together(left);
            Ok(Group { position, count, asked: Some(self.begin_fetch(index, left.get(..count).unwrap_or_default())) })
        };
        while let Some(Group { position, count, asked }) = ahead.next(&places, begin)? {
            let group = places.get(position..position + count).unwrap_or_default();
            let fetched = match asked {
                Some(asked) => asked.and_then(|asked| self.end_fetch(index, group, asked)),
                None => self.fetch(index, group),
            };
            let mut fetched = match fetched {
                Err(error @ RepoError::Store { .. }) => return Err(error),
                fetched => fetched,
            };
            for (number, place) in group.iter().enumerate() {
                let Some(place) = place else { continue };
                let body = match &mut fetched {
                    Ok((start, bytes)) => self.body_in(index, place, *start, bytes, context),
                    Err(RepoError::Cold { path }) => Err(RepoError::Cold { path: path.clone() }),
                    Err(error) => Err(RepoError::ChunkLost { chunk: place.frame.entry.chunk, why: error.to_string() }),
                };
                take(position + number, body)?;
            }
        }
        Ok(())
    }

    fn body_in(&self, index: &Index, place: &Location, start: u64, bytes: &mut BytesMut, context: &mut ReadContext) -> Result<Vec<u8>> {
        let pack = index.pack(place.pack)?;
        let from = usize::try_from(u64::from(place.frame.offset).saturating_sub(start)).unwrap_or(usize::MAX);
        let sealed = bytes.get_mut(from..from.saturating_add(place.frame.entry.stored_len as usize));
        let Some(sealed) = sealed else { return Err(not_indexed(&place.frame.entry.chunk)) };
        let opener = self.opener(&pack)?;
        let body = opener.open_body(&self.repository.sealing, &place.frame, sealed, &mut context.decoder);
        body.map_err(RepoError::object(pack.name.path()))
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

    /// The entries that these forms of a run hold together, those that cannot be read left out; `None` if none can.
    ///
    /// # Errors
    /// `Store`, `Cold`.
    fn join_forms(
        &self,
        index: &Index,
        context: &mut ReadContext,
        run: &ChunkId,
        forms: &[Location],
        faults: &mut Vec<String>,
    ) -> Result<Option<Run>> {
        let mut joined: Option<Run> = None;
        for place in forms {
            let read = self.read_form(index, context, run, place);
            let added = read.and_then(|form| match &joined {
                Some(before) => before.join(&form).map_err(RepoError::object(format!("forms of run {run}"))),
                None => Ok(form),
            });
            match added {
                Ok(more) => joined = Some(more),
                Err(error @ (RepoError::Store { .. } | RepoError::Cold { .. })) => return Err(error),
                Err(error) => faults.push(error.to_string()),
            }
        }
        Ok(joined)
    }

    /// The form of a run at this place of an index.
    ///
    /// # Errors
    /// `Missing`, `Object` if it is not whole there; `Store`.
    pub(crate) fn read_form(&self, index: &Index, context: &mut ReadContext, run: &ChunkId, place: &Location) -> Result<Run> {
        let bytes = match self.cached(index, &[Some(*place)], context)? {
            Some(bytes) => bytes,
            None => self.read_at(index, context, place)?,
        };
        sparse_run::decode(run, &bytes).map_err(RepoError::object(format!("form {} of run {run}", place.frame.entry.chunk)))
    }

    /// What the index that the reader began with has of a run that stands there nowhere whole: for a writer, the entries that
    /// exist. `None` if there is no form, or none that can be read.
    ///
    /// # Errors
    /// `Store`, `Cold`, `Cache`.
    pub fn held_at_first(&self, context: &mut ReadContext, run: &ChunkId) -> Result<Option<Run>> {
        let (_, forms) = self.first.locate_with_forms(run)?;
        self.join_forms(&self.first, context, run, &forms, &mut Vec::new())
    }

    /// Reads all that stands for a chunk: the chunk, or every form of it.
    ///
    /// # Errors
    /// `ChunkLost` if it is whole nowhere and a form is damaged; `Store`.
    pub fn prove(&self, context: &mut ReadContext, chunk: &ChunkId) -> Result<()> {
        self.read(context, chunk)?;
        let index = self.index();
        let (_, forms) = index.locate_with_forms(chunk)?;
        let mut faults = Vec::new();
        if forms.is_empty() || self.is_whole_somewhere(&index, context, chunk)? {
            return Ok(());
        }
        self.join_forms(&index, context, chunk, &forms, &mut faults)?;
        if faults.is_empty() { Ok(()) } else { Err(RepoError::ChunkLost { chunk: *chunk, why: faults.join("; ") }) }
    }

    fn is_whole_somewhere(&self, index: &Index, context: &mut ReadContext, chunk: &ChunkId) -> Result<bool> {
        for place in index.locate(chunk)? {
            match self.read_at(index, context, &place) {
                Ok(_) => return Ok(true),
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Whether all these entries of a run stand at places of an index that count: the run does, or forms that can be read
    /// hold them.
    ///
    /// # Errors
    /// `Store`, `Cold`, `Cache`.
    pub fn holds_entries(
        &self,
        index: &Index,
        context: &mut ReadContext,
        (run, entries): (&ChunkId, &EntrySet),
        counts: impl Fn(&Location) -> bool,
    ) -> Result<bool> {
        let (mut whole, mut forms) = index.locate_with_forms(run)?;
        whole.retain(&counts);
        forms.retain(&counts);
        if !whole.is_empty() || forms.is_empty() {
            return Ok(!whole.is_empty());
        }
        let held = self.join_forms(index, context, run, &forms, &mut Vec::new())?;
        Ok(held.is_some_and(|held| entries.without(&held.held()).is_empty()))
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

/// The one place to read a chunk from, if the first try is to be one: where it stands whole, or its only form.
fn sole_place(index: &Index, chunk: &ChunkId) -> Result<Option<Location>> {
    let (whole, forms) = index.locate_with_forms(chunk)?;
    Ok(match forms.as_slice() {
        [only] if whole.is_empty() => Some(*only),
        _ => whole.first().copied(),
    })
}

fn not_indexed(chunk: &ChunkId) -> RepoError {
    RepoError::ChunkLost { chunk: *chunk, why: "no pack in the store holds it".into() }
}

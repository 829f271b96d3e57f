//! Writing a backup: the steps of docs/concurrency.md, in their order.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use esker_format::audit::{Deed, Event};
use esker_format::entry_set::EntrySet;
use esker_format::formats;
use esker_format::index_segment::{IndexSegment, IndexedPack};
use esker_format::layout::ObjectKind;
use esker_format::manifest::Manifest;
use esker_format::run::Run;
use esker_format::seal::ChunkKind;
use esker_format::{ChunkId, ObjectId, SessionId};

use crate::error::{RepoError, Result};
use crate::frame_cache::FrameCache;
use crate::index::{SharedIndex, Synced};
use crate::listing::Listing;
use crate::pack_pipeline::{Levels, Pipeline, Stored};
use crate::reader::{ChunkReader, ReadContext};
use crate::repository::Repository;
use crate::scratch::ScratchMap;
use crate::session::Session;
use crate::view::{View as StoreView, Viewer};

/// zstd's level for runs: in columns, higher levels gain less than 1 % and cost half the time of a backup
/// (`esker-bench sorted`).
pub(crate) const RUN_LEVEL: i32 = 1;
/// Frames after which the packs written so far are put into an index segment.
pub(crate) const SEGMENT_FRAMES: usize = 16_384;

/// How much time a writer spends to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effort {
    /// zstd's level in the config; [`RUN_LEVEL`] for runs if that is lower.
    #[default]
    Configured,
    /// This level of zstd for everything.
    Level(i32),
    /// Level 1, and less for runs.
    Fast,
}

impl Effort {
    fn levels(self, configured: i32) -> Levels {
        match self {
            Self::Configured => Levels { bytes: configured, runs: Some(configured.min(RUN_LEVEL)) },
            Self::Level(level) => Levels { bytes: level, runs: Some(level) },
            Self::Fast => Levels { bytes: 1, runs: None },
        }
    }
}

/// How a writer works.
#[derive(Debug, Clone, Copy)]
pub struct WriterOptions {
    /// Threads that compress.
    pub workers: usize,
    /// How much is compressed.
    pub effort: Effort,
    /// Read every chunk that stands in the repository already before it is relied upon, and store it again if it is damaged.
    pub distrust: bool,
    /// Whether the session may store runs and recipes over them: its packs, index segments and manifest are then of the format
    /// that has them, else of the first.
    pub sorted_runs: bool,
    /// Whether it may store sparse forms of runs: its data packs are then of the format that has them.
    pub sparse_runs: bool,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(2, usize::from),
            effort: Effort::Configured,
            distrust: false,
            sorted_runs: false,
            sparse_runs: false,
        }
    }
}

/// Whether a chunk must be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Nobody has it: the caller must submit it.
    New,
    /// It stands in a pack that counts.
    Known {
        /// The pack was left by an interrupted job.
        left_over: bool,
    },
    /// This session has taken it on already.
    Mine,
}

/// One writer: a session, the view it began with, and the packs it makes.
pub struct Writer {
    repository: Arc<Repository>,
    session: Session,
    listing: Listing,
    reader: ChunkReader,
    index: SharedIndex,
    claims: ScratchMap,
    pipeline: Pipeline,
    written: Mutex<Written>,
    segment_bytes: AtomicU64,
    damaged: Vec<RepoError>,
    orphans: Mutex<Vec<IndexedPack>>,
    /// What reads known chunks, if they are not trusted.
    distrust: Option<Mutex<ReadContext>>,
    sorted_runs: bool,
    /// Chunks that were found damaged while this writer was at work.
    bad: Mutex<HashSet<ChunkId>>,
    /// The only chunks that it stores, if not all.
    only: Mutex<Option<HashSet<ChunkId>>>,
    /// Chunks that callers were asked to submit.
    claimed: AtomicU64,
}

/// What a writer finds in steps (2) and (3).
struct View {
    listing: Listing,
    synced: Synced,
    pipeline: Pipeline,
    claims: ScratchMap,
    frames: Option<Arc<FrameCache>>,
    distrust: Option<Mutex<ReadContext>>,
    sorted_runs: bool,
}

impl View {
    fn set_up(repository: &Arc<Repository>, session: SessionId, options: &WriterOptions) -> Result<Self> {
        let StoreView { listing, synced, .. } = repository.view(Viewer::Writer)?;
        let levels = options.effort.levels(i32::from(repository.config.zstd_level));
        let format = if options.sorted_runs { formats::SORTED_RUNS } else { formats::FIRST };
        let formats = [if options.sparse_runs { formats::SPARSE_RUNS } else { format }, format];
        let frames = if options.sorted_runs { repository.frame_cache().map(Arc::new) } else { None };
        let pipeline = Pipeline::start(repository, frames.clone(), session, formats, levels, options.workers)?;
        let distrust = if options.distrust { Some(Mutex::new(ReadContext::new()?)) } else { None };
        let claims = repository.scratch_map();
        // Who distrusts asks what the store holds, and the cache does not know.
        let frames = frames.filter(|_| !options.distrust);
        Ok(Self { listing, synced, pipeline, claims, frames, distrust, sorted_runs: options.sorted_runs })
    }

    fn into_writer(self, repository: &Arc<Repository>, session: Session) -> Writer {
        let index = self.synced.index;
        Writer {
            repository: Arc::clone(repository),
            session,
            listing: self.listing,
            reader: ChunkReader::new(repository, Arc::clone(&index)).with_frames(self.frames),
            index,
            claims: self.claims,
            pipeline: self.pipeline,
            written: Mutex::new(Written::default()),
            segment_bytes: AtomicU64::new(0),
            damaged: self.synced.damaged,
            orphans: Mutex::new(self.synced.orphans),
            distrust: self.distrust,
            sorted_runs: self.sorted_runs,
            bad: Mutex::default(),
            only: Mutex::default(),
            claimed: AtomicU64::new(0),
        }
    }
}

/// What the audit log says of a commit.
fn deed_of(id: ObjectId, manifest: &Manifest) -> Deed {
    let deed = match &manifest.origin {
        None => Deed::done(Event::Backup),
        Some(origin) => Deed { detail: format!("of {}/{}", origin.repository, origin.manifest), ..Deed::done(Event::Copy) },
    };
    Deed { objects: vec![(id, manifest.label.clone())], count: manifest.totals.files, bytes: manifest.totals.bytes, ..deed }
}

/// Ends a session in which nothing was sent; if even that fails it stays open, which is harmless.
fn give_up(session: Session, error: RepoError) -> RepoError {
    let _ = session.end(None);
    error
}

#[derive(Default)]
struct Written {
    segments: Vec<ObjectId>,
    packs: Vec<ObjectId>,
}

impl Writer {
    /// Begins: (1) creates the session, (2) lists the doomed lists, (3) lists manifests, segments and packs and brings the
    /// index to exactly that.
    ///
    /// # Errors
    /// `Store`, `Cache`; `Object` if a doomed list cannot be read, because then nobody knows what exists.
    pub fn begin(repository: &Arc<Repository>, job: &str, options: &WriterOptions) -> Result<Self> {
        let session = Session::begin(repository, job)?;
        let writer = match View::set_up(repository, session.id(), options) {
            Ok(view) => view.into_writer(repository, session),
            Err(error) => return Err(give_up(session, error)),
        };
        match writer.adopt().and_then(|()| writer.merge_segments()) {
            Ok(()) => Ok(writer),
            Err(error) => Err(give_up(writer.session, error)),
        }
    }

    /// Its session.
    pub fn session(&self) -> SessionId {
        self.session.id()
    }

    /// What stood in the store when it began.
    pub fn listing(&self) -> &Listing {
        &self.listing
    }

    /// Reads what stood in the store when it began.
    pub fn reader(&self) -> &ChunkReader {
        &self.reader
    }

    /// Index segments and packs that could not be read: their chunks do not exist for this writer.
    pub fn damaged(&self) -> &[RepoError] {
        &self.damaged
    }

    /// Whether the tables of a valid manifest may be reused without looking up their chunks.
    pub fn may_reuse_manifests(&self) -> bool {
        self.listing.doomed.is_empty() && self.damaged.is_empty()
    }

    /// What acknowledged writes add up to, index segments counted as metadata.
    pub fn stored(&self) -> Stored {
        let stored = self.pipeline.stored();
        Stored { meta: stored.meta + self.segment_bytes.load(Ordering::SeqCst), ..stored }
    }

    /// Whether the chunk exists for this writer.
    ///
    /// # Errors
    /// `Cache`.
    pub fn exists(&self, chunk: &ChunkId) -> Result<Option<Claim>> {
        if self.bad.lock().unwrap_or_else(PoisonError::into_inner).contains(chunk) {
            return Ok(None);
        }
        Ok(self.index.locate(chunk)?.first().map(|place| Claim::Known { left_over: self.index.is_orphan(place.pack) }))
    }

    /// Whether the chunk exists for this writer and, if nothing is trusted, reads whole.
    ///
    /// # Errors
    /// `Cache`, `Store`.
    pub fn holds(&self, chunk: &ChunkId) -> Result<bool> {
        Ok(self.exists(chunk)?.is_some() && self.is_whole(chunk)?)
    }

    /// Whether these entries of a run exist for this writer: the run does, or forms that it sees hold them.
    ///
    /// # Errors
    /// `Cache`, `Store`.
    pub fn holds_entries(&self, context: &mut ReadContext, run: &ChunkId, entries: &EntrySet) -> Result<bool> {
        if self.exists(run)?.is_some() {
            return self.is_whole(run);
        }
        Ok(self.held_of(context, run)?.is_some_and(|held| entries.without(&held.held()).is_empty()))
    }

    /// Whether a run exists for this writer as forms, and nowhere whole.
    ///
    /// # Errors
    /// `Cache`.
    pub fn has_forms(&self, run: &ChunkId) -> Result<bool> {
        let is_bad = self.bad.lock().unwrap_or_else(PoisonError::into_inner).contains(run);
        let (whole, forms) = self.index.locate_with_forms(run)?;
        Ok(!is_bad && whole.is_empty() && !forms.is_empty())
    }

    /// What exists for this writer of a run that stands nowhere whole: what the forms hold that it sees, and that can be read.
    ///
    /// # Errors
    /// `Cache`, `Store`.
    pub fn held_of(&self, context: &mut ReadContext, run: &ChunkId) -> Result<Option<Run>> {
        if self.bad.lock().unwrap_or_else(PoisonError::into_inner).contains(run) {
            return Ok(None);
        }
        self.reader.held_at_first(context, run)
    }

    /// A chunk was read and found damaged: it does not exist for this writer any more, so whoever has its bytes stores it
    /// again.
    pub fn mistrust(&self, chunk: &ChunkId) {
        self.bad.lock().unwrap_or_else(PoisonError::into_inner).insert(*chunk);
    }

    /// From now on it stores only these chunks and takes all others for stored; `None` stores all again. Gives what it was
    /// restricted to and has not stored.
    pub fn restrict(&self, only: Option<HashSet<ChunkId>>) -> HashSet<ChunkId> {
        std::mem::replace(&mut *self.only.lock().unwrap_or_else(PoisonError::into_inner), only).unwrap_or_default()
    }

    /// How many claims came out as new.
    pub fn claimed(&self) -> u64 {
        self.claimed.load(Ordering::SeqCst)
    }

    /// Asks for a chunk; after `New` the caller must submit it.
    ///
    /// # Errors
    /// `Cache`.
    pub fn claim(&self, chunk: &ChunkId) -> Result<Claim> {
        if let Some(only) = &mut *self.only.lock().unwrap_or_else(PoisonError::into_inner) {
            let claim = if only.remove(chunk) && self.claims.insert(&chunk.0)? { Claim::New } else { Claim::Mine };
            self.claimed.fetch_add(u64::from(claim == Claim::New), Ordering::SeqCst);
            return Ok(claim);
        }
        if let Some(known) = self.exists(chunk)?
            && self.is_whole(chunk)?
        {
            return Ok(known);
        }
        let claim = if self.claims.insert(&chunk.0)? { Claim::New } else { Claim::Mine };
        self.claimed.fetch_add(u64::from(claim == Claim::New), Ordering::SeqCst);
        Ok(claim)
    }

    /// Whether a known chunk reads whole; without distrust it is taken to.
    fn is_whole(&self, chunk: &ChunkId) -> Result<bool> {
        let Some(context) = &self.distrust else { return Ok(true) };
        match self.reader.read(&mut context.lock().unwrap_or_else(PoisonError::into_inner), chunk) {
            Ok(_) => Ok(true),
            Err(error) if error.is_damage() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Hands over a claimed chunk.
    ///
    /// # Errors
    /// The first fault of any write of this writer.
    pub fn submit(&self, kind: ChunkKind, id: ChunkId, plain: Vec<u8>) -> Result<()> {
        self.pipeline.submit(kind, id, plain)?;
        if self.pipeline.acknowledged_frames() >= SEGMENT_FRAMES {
            self.write_segment()?;
        }
        Ok(())
    }

    /// Names, claims and if need be submits a chunk.
    ///
    /// # Errors
    /// As `claim` and `submit`.
    pub fn store(&self, kind: ChunkKind, plain: Vec<u8>) -> Result<ChunkId> {
        let id = self.repository.sealing.chunk_id(kind, &plain);
        if self.claim(&id)? == Claim::New {
            self.submit(kind, id, plain)?;
        }
        Ok(id)
    }

    /// Makes everything submitted so far durable and indexed.
    ///
    /// # Errors
    /// The first fault of any write of this writer.
    pub fn flush(&self) -> Result<()> {
        self.pipeline.flush()?;
        self.write_segment()
    }

    /// Commits: everything durable, segments, a look for a fence, the manifest, another look, the audit record.
    ///
    /// The manifest gets its session, segments and packs here. Of a session that may store runs it is of their format, with
    /// totals of nothing if the job gave none.
    ///
    /// # Errors
    /// `Fenced` if a prune took this writer for dead; the first fault of any write.
    pub fn commit(self, mut manifest: Manifest) -> Result<ObjectId> {
        self.flush()?;
        {
            let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            manifest.session = self.session.id();
            manifest.segments.clone_from(&written.segments);
            manifest.packs.clone_from(&written.packs);
        }
        if self.sorted_runs {
            manifest.sorted.get_or_insert_default();
        }
        if self.session.is_fenced()? {
            let id = self.session.id();
            self.session.end(None)?;
            return Err(RepoError::Fenced(id));
        }
        let (id, _) = self.repository.write_object(ObjectKind::Manifest, &manifest)?;
        // From here on the fate of the manifest decides: an error leaves the session open, and its manifest undecided.
        if self.session.is_fenced()? && !self.repository.is_valid_though_fenced(&manifest)? {
            return Err(RepoError::Fenced(self.session.id()));
        }
        self.repository.record(Some(self.session.id()), deed_of(id, &manifest))?;
        self.session.end(Some(id))?;
        Ok(id)
    }

    /// Gives up before any manifest was sent. What was uploaded stays and is reused by the next writer.
    ///
    /// # Errors
    /// `Store`.
    pub fn abandon(self) -> Result<()> {
        self.session.end(None)
    }

    /// Indexes packs that no segment names, so that nobody has to read their tables again.
    fn adopt(&self) -> Result<()> {
        let mut segment = IndexSegment::default();
        let mut frames = 0;
        for pack in std::mem::take(&mut *self.orphans.lock().unwrap_or_else(PoisonError::into_inner)) {
            frames += pack.table.frames.len();
            segment.packs.push(pack);
            if frames >= SEGMENT_FRAMES {
                self.put_segment(&std::mem::take(&mut segment))?;
                frames = 0;
            }
        }
        if segment.packs.is_empty() { Ok(()) } else { self.put_segment(&segment) }
    }

    /// Merges the small index segments that were there.
    fn merge_segments(&self) -> Result<()> {
        let merged = self.repository.merge_segments(&self.listing, self.index.replaced())?;
        merged.iter().try_for_each(|segment| self.put_segment(segment))
    }

    fn write_segment(&self) -> Result<()> {
        let packs = self.pipeline.take_acknowledged();
        if packs.is_empty() {
            return Ok(());
        }
        self.written.lock().unwrap_or_else(PoisonError::into_inner).packs.extend(packs.iter().map(|pack| pack.name.id));
        self.put_segment(&IndexSegment { replaces: Vec::new(), packs })
    }

    fn put_segment(&self, segment: &IndexSegment) -> Result<()> {
        let (id, size) = self.repository.write_object(ObjectKind::IndexSegment, segment)?;
        self.segment_bytes.fetch_add(size, Ordering::SeqCst);
        self.written.lock().unwrap_or_else(PoisonError::into_inner).segments.push(id);
        Ok(())
    }
}

//! Compressing and uploading behind the reader's back: chunks go in, acknowledged packs come out.
//!
//! Workers compress and append to the open pack of their kind. Whoever fills a pack closes it and hands it to the senders,
//! which open every frame of it again from the bytes that will be sent, and send it: nobody compresses less because a store
//! is far. The first fault stops everything and is what every caller gets.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use esker_format::ChunkId;
use esker_format::SessionId;
use esker_format::index_segment::IndexedPack;
use esker_format::layout::{PackKind, PackName};
use esker_format::pack::{BuiltPack, FrameEncoder, FrameEntry, PackBuilder, pack_kind_of, slice_of};
use esker_format::seal::ChunkKind;
use esker_format::sparse_run::form_of;

use crate::environment::random;
use crate::error::{RepoError, Result};
use crate::frame_cache::FrameCache;
use crate::repository::Repository;

/// Chunks that wait for a worker, at most; with the chunk limit this bounds the memory of the queue.
const QUEUE_CHUNKS: usize = 16;
/// Packs that are sent at once, at most, to a folder of this machine and to a store elsewhere, which is waited for longer;
/// each worker that has filled another one waits with it.
const SENDERS: usize = 2;
const SENDERS_FAR: usize = 4;
/// Frames after which a pack is closed whatever its size: tiny chunks must not make a huge table, nor many of them wait in
/// memory for the disk.
const PACK_FRAMES: usize = 4096;

/// What acknowledged writes add up to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Bytes of data packs.
    pub data: u64,
    /// Bytes of metadata packs.
    pub meta: u64,
    /// Packs.
    pub packs: u64,
}

struct Job {
    kind: ChunkKind,
    id: ChunkId,
    plain: Vec<u8>,
}

/// How chunks are compressed, by what they hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Levels {
    pub(crate) bytes: i32,
    /// None: as fast as can be.
    pub(crate) runs: Option<i32>,
}

impl Levels {
    fn encoders(&self) -> esker_format::Result<(FrameEncoder, FrameEncoder)> {
        Ok((FrameEncoder::new(self.bytes)?, self.runs.map_or_else(FrameEncoder::fast, FrameEncoder::new)?))
    }
}

struct Shared {
    repository: Arc<Repository>,
    frames: Option<Arc<FrameCache>>,
    session: SessionId,
    /// Formats of its data and metadata packs.
    formats: [u16; 2],
    levels: Levels,
    open: [Mutex<Option<PackBuilder>>; 2],
    acknowledged: Mutex<Vec<IndexedPack>>,
    stored: [AtomicU64; 3],
    fault: Mutex<Option<RepoError>>,
    /// Chunks and closed packs that somebody has still to deal with.
    pending: Mutex<usize>,
    idle: Condvar,
    faulty: AtomicUsize,
}

/// The workers and senders of one writer.
pub(crate) struct Pipeline {
    shared: Arc<Shared>,
    queue: Option<Sender<Job>>,
    full: Option<Sender<BuiltPack>>,
    threads: Vec<JoinHandle<()>>,
}

impl Pipeline {
    /// Starts the workers of a session whose data and metadata packs are of these formats; what they store of runs goes to
    /// `frames`, too.
    pub(crate) fn start(
        repository: &Arc<Repository>,
        frames: Option<Arc<FrameCache>>,
        session: SessionId,
        formats: [u16; 2],
        levels: Levels,
        workers: usize,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            repository: Arc::clone(repository),
            frames,
            session,
            formats,
            levels,
            open: [Mutex::new(None), Mutex::new(None)],
            acknowledged: Mutex::new(Vec::new()),
            stored: Default::default(),
            fault: Mutex::new(None),
            pending: Mutex::new(0),
            idle: Condvar::new(),
            faulty: AtomicUsize::new(0),
        });
        let (queue, jobs) = bounded(QUEUE_CHUNKS);
        let (full, packs) = bounded(0);
        let worker = |number: usize| {
            let (shared, jobs, full) = (Arc::clone(&shared), jobs.clone(), full.clone());
            start_thread(format!("esker-pack-{number}"), move || work(&shared, &jobs, &full))
        };
        let sender = |number: usize| {
            let (shared, packs) = (Arc::clone(&shared), packs.clone());
            start_thread(format!("esker-send-{number}"), move || send(&shared, &packs))
        };
        let senders = if repository.store.is_far() { SENDERS_FAR } else { SENDERS };
        let threads = (0..workers.max(1)).map(worker).chain((0..senders).map(sender)).collect::<Result<_>>()?;
        Ok(Self { shared, queue: Some(queue), full: Some(full), threads })
    }

    /// Hands a chunk to the workers; waits while too many wait.
    pub(crate) fn submit(&self, kind: ChunkKind, id: ChunkId, plain: Vec<u8>) -> Result<()> {
        self.shared.check()?;
        self.shared.hand_over(self.queue.as_ref(), Job { kind, id, plain })
    }

    /// Waits until every chunk is in a pack and every pack is acknowledged.
    pub(crate) fn flush(&self) -> Result<()> {
        self.shared.wait()?;
        for slot in &self.shared.open {
            let pack = lock(slot).take();
            if let Some(pack) = pack {
                self.shared.hand_over(self.full.as_ref(), pack.finish().map_err(RepoError::object("pack"))?)?;
            }
        }
        self.shared.wait()
    }

    /// Packs acknowledged since the last call.
    pub(crate) fn take_acknowledged(&self) -> Vec<IndexedPack> {
        std::mem::take(&mut lock(&self.shared.acknowledged))
    }

    /// Frames in packs acknowledged since the last `take_acknowledged`.
    pub(crate) fn acknowledged_frames(&self) -> usize {
        lock(&self.shared.acknowledged).iter().map(|pack| pack.table.frames.len()).sum()
    }

    pub(crate) fn stored(&self) -> Stored {
        let [data, meta, packs] = &self.shared.stored;
        let load = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Stored { data: load(data), meta: load(meta), packs: load(packs) }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // Workers end with the queue, senders once the last worker is gone.
        (self.queue, self.full) = (None, None);
        for thread in self.threads.drain(..) {
            // A thread that panicked has left its fault behind.
            let _ = thread.join();
        }
    }
}

/// Counts a job as done however its worker leaves it.
struct Done<'a>(&'a Shared);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(RepoError::Internal("a packing thread panicked".into()));
        }
        *lock(&self.0.pending) -= 1;
        self.0.idle.notify_all();
    }
}

fn start_thread(name: String, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let started = std::thread::Builder::new().name(name).spawn(run);
    started.map_err(|error| RepoError::Internal(format!("cannot start a thread: {error}")))
}

fn work(shared: &Shared, jobs: &Receiver<Job>, full: &Sender<BuiltPack>) {
    let mut encoders = shared.levels.encoders().map_err(RepoError::object("zstd"));
    for job in jobs {
        let _done = Done(shared);
        if shared.faulty.load(Ordering::SeqCst) > 0 {
            continue;
        }
        let packed = match &mut encoders {
            Ok((_, runs)) if matches!(job.kind, ChunkKind::Run | ChunkKind::SparseRun) => shared.pack(runs, job),
            Ok((bytes, _)) => shared.pack(bytes, job),
            Err(_) => Err(RepoError::Internal("zstd cannot be set up".into())),
        };
        let handed_over = packed.and_then(|pack| pack.map_or(Ok(()), |pack| shared.hand_over(Some(full), pack)));
        if let Err(error) = handed_over {
            shared.fail(error);
        }
    }
}

fn send(shared: &Shared, packs: &Receiver<BuiltPack>) {
    for pack in packs {
        let _done = Done(shared);
        if shared.faulty.load(Ordering::SeqCst) > 0 {
            continue;
        }
        if let Err(error) = shared.upload(pack) {
            shared.fail(error);
        }
    }
}

impl Shared {
    /// Gives a chunk or a pack to the next thread; waits while all of them are busy.
    fn hand_over<T>(&self, next: Option<&Sender<T>>, item: T) -> Result<()> {
        *lock(&self.pending) += 1;
        if next.is_some_and(|next| next.send(item).is_ok()) {
            return Ok(());
        }
        *lock(&self.pending) -= 1;
        Err(RepoError::Internal("the packing threads are gone".into()))
    }

    /// Waits until nothing is pending.
    fn wait(&self) -> Result<()> {
        let mut pending = lock(&self.pending);
        while *pending > 0 {
            pending = self.idle.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        drop(pending);
        self.check()
    }

    /// Compresses a chunk into the open pack of its kind; gives that pack if it is full.
    fn pack(&self, encoder: &mut FrameEncoder, job: Job) -> Result<Option<BuiltPack>> {
        let damaged = |source| RepoError::Object { path: format!("chunk {}", job.id), source };
        let (codec, body) = encoder.encode(&job.plain).map_err(damaged)?;
        let plain_len = u32::try_from(job.plain.len()).unwrap_or(u32::MAX);
        let pack_kind = pack_kind_of(job.kind);
        let form = if job.kind == ChunkKind::SparseRun { Some(form_of(&job.plain).map_err(damaged)?) } else { None };
        let ([data, meta], [data_format, meta_format]) = (&self.open, self.formats);
        let (slot, format) = if pack_kind == PackKind::Data { (data, data_format) } else { (meta, meta_format) };
        let mut slot = lock(slot);
        let mut pack = match slot.take() {
            Some(pack) => pack,
            None => {
                let salt = random(self.repository.environment())?;
                let room = self.repository.config.pack_target as usize + self.repository.config.chunker.max as usize;
                PackBuilder::new(&self.repository.sealing, pack_kind, format, salt).map_err(damaged)?.with_room(room)
            }
        };
        let entry = FrameEntry { chunk: job.id, kind: job.kind, codec, stored_len: 0, plain_len, form };
        pack.push(entry, body).map_err(damaged)?;
        if pack.len() < self.repository.config.pack_target as usize && pack.frames() < PACK_FRAMES {
            *slot = Some(pack);
            return Ok(None);
        }
        drop(slot);
        Ok(Some(pack.finish().map_err(damaged)?))
    }

    fn upload(&self, pack: BuiltPack) -> Result<()> {
        let name = PackName { kind: pack.kind, session: self.session, id: pack.id };
        pack.verify(&self.repository.sealing).map_err(RepoError::object(name.path()))?;
        let size = pack.bytes.len() as u64;
        let bytes = Bytes::from(pack.bytes);
        self.repository.store.put(&name.path(), bytes.clone())?;
        if let Some(cache) = &self.frames {
            for frame in pack.table.frames() {
                cache.put(&name.id, &frame, slice_of(&bytes, &frame).map_err(RepoError::object(name.path()))?);
            }
        }
        let [data, meta, packs] = &self.stored;
        let counter = if pack.kind == PackKind::Data { data } else { meta };
        counter.fetch_add(size, Ordering::SeqCst);
        packs.fetch_add(1, Ordering::SeqCst);
        lock(&self.acknowledged).push(IndexedPack { name, table: pack.table });
        Ok(())
    }

    fn fail(&self, error: RepoError) {
        lock(&self.fault).get_or_insert(error);
        self.faulty.fetch_add(1, Ordering::SeqCst);
    }

    fn check(&self) -> Result<()> {
        if self.faulty.load(Ordering::SeqCst) == 0 {
            return Ok(());
        }
        let fault = lock(&self.fault).take();
        Err(fault.unwrap_or_else(|| RepoError::Internal("packing stopped after an earlier fault".into())))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

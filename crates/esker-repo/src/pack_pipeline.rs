//! Compressing and uploading behind the reader's back: chunks go in, acknowledged packs come out.
//!
//! Workers compress and append to the open pack of their kind. Whoever fills a pack closes it, opens every frame of it
//! again from the bytes that will be sent, and sends it. The first fault stops everything and is what every caller gets.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use esker_format::ChunkId;
use esker_format::SessionId;
use esker_format::index_segment::IndexedPack;
use esker_format::layout::{PackKind, PackName};
use esker_format::pack::{BuiltPack, FrameEncoder, PackBuilder, pack_kind_of, slice_of};
use esker_format::seal::ChunkKind;

use crate::environment::random;
use crate::error::{RepoError, Result};
use crate::frame_cache::FrameCache;
use crate::repository::Repository;

/// Chunks that wait for a worker, at most; with the chunk limit this bounds the memory of the queue.
const QUEUE_CHUNKS: usize = 16;
/// Workers beside those that compute, for a store elsewhere: they wait for it, and so many more packs are on their way.
const UPLOADS: usize = 4;
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

/// zstd's level by what a chunk holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Levels {
    pub(crate) bytes: i32,
    pub(crate) runs: i32,
}

struct Shared {
    repository: Arc<Repository>,
    frames: Option<Arc<FrameCache>>,
    session: SessionId,
    format: u16,
    levels: Levels,
    open: [Mutex<Option<PackBuilder>>; 2],
    acknowledged: Mutex<Vec<IndexedPack>>,
    stored: [AtomicU64; 3],
    fault: Mutex<Option<RepoError>>,
    pending: Mutex<usize>,
    idle: Condvar,
    faulty: AtomicUsize,
}

/// The workers of one writer.
pub(crate) struct Pipeline {
    shared: Arc<Shared>,
    queue: Option<Sender<Job>>,
    workers: Vec<JoinHandle<()>>,
}

impl Pipeline {
    /// Starts the workers of a session whose packs are of this format; what they store of runs goes to `frames`, too.
    pub(crate) fn start(
        repository: &Arc<Repository>,
        frames: Option<Arc<FrameCache>>,
        session: SessionId,
        format: u16,
        levels: Levels,
        workers: usize,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            repository: Arc::clone(repository),
            frames,
            session,
            format,
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
        let start = |number: usize| {
            let (shared, jobs) = (Arc::clone(&shared), jobs.clone());
            let thread = std::thread::Builder::new().name(format!("esker-pack-{number}"));
            thread.spawn(move || work(&shared, &jobs)).map_err(|error| RepoError::Internal(format!("cannot start a thread: {error}")))
        };
        let uploads = if repository.store.is_far() { UPLOADS } else { 0 };
        let workers = (0..workers.max(1) + uploads).map(start).collect::<Result<_>>()?;
        Ok(Self { shared, queue: Some(queue), workers })
    }

    /// Hands a chunk to the workers; waits while too many wait.
    pub(crate) fn submit(&self, kind: ChunkKind, id: ChunkId, plain: Vec<u8>) -> Result<()> {
        self.shared.check()?;
        *lock(&self.shared.pending) += 1;
        let sent = self.queue.as_ref().is_some_and(|queue| queue.send(Job { kind, id, plain }).is_ok());
        if sent {
            return Ok(());
        }
        *lock(&self.shared.pending) -= 1;
        Err(RepoError::Internal("the packing threads are gone".into()))
    }

    /// Waits until every chunk is in a pack and every pack is acknowledged.
    pub(crate) fn flush(&self) -> Result<()> {
        let mut pending = lock(&self.shared.pending);
        while *pending > 0 {
            pending = self.shared.idle.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        drop(pending);
        self.shared.check()?;
        for slot in &self.shared.open {
            let pack = lock(slot).take();
            if let Some(pack) = pack {
                self.shared.upload(pack.finish().map_err(RepoError::object("pack"))?)?;
            }
        }
        Ok(())
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
        self.queue = None;
        for worker in self.workers.drain(..) {
            // A worker that panicked has left its fault behind.
            let _ = worker.join();
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

fn work(shared: &Shared, jobs: &Receiver<Job>) {
    let encoder = |level| FrameEncoder::new(level).map_err(RepoError::object("zstd"));
    let mut encoders = encoder(shared.levels.bytes).and_then(|bytes| Ok((bytes, encoder(shared.levels.runs)?)));
    for job in jobs {
        let _done = Done(shared);
        if shared.faulty.load(Ordering::SeqCst) > 0 {
            continue;
        }
        let packed = match &mut encoders {
            Ok((_, runs)) if job.kind == ChunkKind::Run => shared.pack(runs, job),
            Ok((bytes, _)) => shared.pack(bytes, job),
            Err(_) => Err(RepoError::Internal("zstd cannot be set up".into())),
        };
        if let Err(error) = packed {
            shared.fail(error);
        }
    }
}

impl Shared {
    fn pack(&self, encoder: &mut FrameEncoder, job: Job) -> Result<()> {
        let damaged = |source| RepoError::Object { path: format!("chunk {}", job.id), source };
        let (codec, body) = encoder.encode(&job.plain).map_err(damaged)?;
        let plain_len = u32::try_from(job.plain.len()).unwrap_or(u32::MAX);
        let pack_kind = pack_kind_of(job.kind);
        let [data, meta] = &self.open;
        let slot = if pack_kind == PackKind::Data { data } else { meta };
        let full = {
            let mut slot = lock(slot);
            let mut pack = match slot.take() {
                Some(pack) => pack,
                None => {
                    let salt = random(self.repository.environment())?;
                    let room = self.repository.config.pack_target as usize + self.repository.config.chunker.max as usize;
                    PackBuilder::new(&self.repository.sealing, pack_kind, self.format, salt).map_err(damaged)?.with_room(room)
                }
            };
            pack.add(job.id, job.kind, codec, plain_len, body).map_err(damaged)?;
            if pack.len() >= self.repository.config.pack_target as usize || pack.frames() >= PACK_FRAMES {
                Some(pack)
            } else {
                *slot = Some(pack);
                None
            }
        };
        match full {
            Some(pack) => self.upload(pack.finish().map_err(damaged)?),
            None => Ok(()),
        }
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

//! Frames of runs on this machine's disk: a merge reads runs of earlier backups again and again, and a store far away
//! should send each once.
//!
//! A frame is one file of a folder of its repository, compressed and sealed as it stands in its pack, named by pack and
//! number. It is opened and hashed like one that the store sent, so a damaged file is as good as none. The cache says what
//! bytes a frame has, never that a chunk exists: that is for the index, and for the store.
//!
//! Nobody waits for a lock: files are renamed into place, and one that another process removes was not there.

mod room;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::BytesMut;
use esker_format::ObjectId;
use esker_format::pack::Frame;
use esker_format::seal::ChunkKind;

use crate::index::create_folder;
use crate::repository::Repository;

use room::Room;

/// Bytes of run frames kept of a repository in a store that is not on this machine, unless somebody says otherwise.
pub const RUN_CACHE_BYTES: u64 = 2 << 30;
/// The layout of the folder; a cache of another layout stands in another folder.
const LAYOUT: u32 = 1;

/// The frames of one repository's runs.
pub(crate) struct FrameCache {
    folder: PathBuf,
    room: Mutex<Room>,
    /// Whether a write failed: this process then writes no more.
    is_broken: AtomicBool,
}

impl Repository {
    /// The cache of a writer that may read runs; `None` if there shall be none.
    pub(crate) fn frame_cache(&self) -> Option<FrameCache> {
        let folder = self.cache.join(format!("runs-{LAYOUT}-{}", self.config.repository));
        FrameCache::open(folder, self.run_cache_bytes?)
    }
}

impl FrameCache {
    /// The cache in this folder, brought down to `limit_bytes`; `None` if that is nothing, or the folder cannot be made.
    pub(crate) fn open(folder: PathBuf, limit_bytes: u64) -> Option<Self> {
        if limit_bytes == 0 && !folder.exists() {
            return None;
        }
        create_folder(&folder).ok()?;
        let room = Room::new(&folder, limit_bytes);
        (limit_bytes > 0).then(|| Self { folder, room: Mutex::new(room), is_broken: AtomicBool::new(false) })
    }

    /// Whether frames of this kind of chunk are kept.
    pub(crate) fn keeps(frame: &Frame) -> bool {
        matches!(frame.entry.kind, ChunkKind::Run | ChunkKind::SparseRun)
    }

    /// Whether a frame is here; it may be damaged, or gone a moment later.
    pub(crate) fn has(&self, pack: &ObjectId, frame: &Frame) -> bool {
        Self::keeps(frame) && self.path_of(pack, frame).exists()
    }

    /// The sealed bytes of a frame, unchecked.
    pub(crate) fn get(&self, pack: &ObjectId, frame: &Frame) -> Option<BytesMut> {
        if !Self::keeps(frame) {
            return None;
        }
        let mut file = File::open(self.path_of(pack, frame)).ok()?;
        if file.metadata().ok()?.len() != u64::from(frame.entry.stored_len) {
            self.remove(pack, frame);
            return None;
        }
        let mut sealed = BytesMut::zeroed(frame.entry.stored_len as usize);
        file.read_exact(&mut sealed).ok()?;
        // The time says when it was last used. A file system that does not take it lets go of the wrong ones first.
        let _ = file.set_modified(SystemTime::now());
        Some(sealed)
    }

    /// Keeps the sealed bytes of a frame, if it is of a run and there is room. That they cannot be written is no fault of
    /// the backup.
    pub(crate) fn put(&self, pack: &ObjectId, frame: &Frame, sealed: &[u8]) {
        if self.is_broken.load(Ordering::Relaxed) || !Self::keeps(frame) || self.has(pack, frame) {
            return;
        }
        let bytes = sealed.len() as u64;
        if !self.room().take(&self.folder, bytes) {
            return;
        }
        if write_whole(&self.folder, &self.path_of(pack, frame), sealed).is_err() {
            self.room().give_back(bytes);
            self.is_broken.store(true, Ordering::Relaxed);
        }
    }

    /// Drops a frame that turned out to be damaged.
    pub(crate) fn remove(&self, pack: &ObjectId, frame: &Frame) {
        let path = self.path_of(pack, frame);
        let bytes = path.metadata().map_or(0, |meta| meta.len());
        if std::fs::remove_file(path).is_ok() {
            self.room().give_back(bytes);
        }
    }

    fn path_of(&self, pack: &ObjectId, frame: &Frame) -> PathBuf {
        self.folder.join(format!("{pack}-{}", frame.number))
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a file that is there whole or not at all. After a power cut it may hold anything, which its reader finds.
fn write_whole(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = tempfile::Builder::new().prefix("new-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().set_modified(SystemTime::now())?;
    file.persist(path)?;
    Ok(())
}

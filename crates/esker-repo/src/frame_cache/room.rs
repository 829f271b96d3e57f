//! How much a folder of cached files may hold, and which of them go first.
//!
//! The longest unused goes first, but nothing that was used since this process began makes room: a job that reads more than
//! fits would otherwise push out what it comes to next, tonight and every night after, and find nothing ever.

use std::collections::BinaryHeap;
use std::ffi::OsString;
use std::path::Path;
use std::time::SystemTime;

/// What a file takes on disk is a multiple of this.
const BLOCK_BYTES: u64 = 4096;
/// The folder is looked at again, because other processes write to it too, after one in so many of its bytes were written.
const LOOK_SHARE: u64 = 16;
/// Files remembered as next to go, at most.
const OLDEST_MAX: usize = 16_384;

/// A file that may go; the one used last is the greatest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Unused {
    used_at: SystemTime,
    name: OsString,
    bytes: u64,
}

/// What one process knows of the folder.
pub(super) struct Room {
    limit_bytes: u64,
    began: SystemTime,
    used_bytes: u64,
    /// Bytes written since the folder was looked at.
    written_bytes: u64,
    /// Files that nobody has used since this process began, the longest unused last.
    oldest: Vec<Unused>,
    /// Whether there are more of them.
    has_more: bool,
}

impl Room {
    /// Looks at the folder and brings it down to the limit.
    pub(super) fn new(folder: &Path, limit_bytes: u64) -> Self {
        let began = SystemTime::now();
        let mut room = Self { limit_bytes, began, used_bytes: 0, written_bytes: 0, oldest: Vec::new(), has_more: false };
        room.look(folder);
        room.free(folder, 0);
        room
    }

    /// Takes room for a file of so many bytes; false if there is none.
    pub(super) fn take(&mut self, folder: &Path, bytes: u64) -> bool {
        let bytes = on_disk(bytes);
        if self.written_bytes > self.limit_bytes / LOOK_SHARE {
            self.look(folder);
        }
        let is_room = self.free(folder, bytes);
        if is_room {
            self.used_bytes += bytes;
            self.written_bytes += bytes;
        }
        is_room
    }

    /// Gives back the room of a file that is not there.
    pub(super) fn give_back(&mut self, bytes: u64) {
        self.used_bytes = self.used_bytes.saturating_sub(on_disk(bytes));
    }

    /// Removes files until so many bytes more fit; false if they do not.
    fn free(&mut self, folder: &Path, bytes: u64) -> bool {
        let mut at_last_look = u64::MAX;
        while self.used_bytes.saturating_add(bytes) > self.limit_bytes {
            match self.oldest.pop() {
                Some(unused) => self.let_go(folder, &unused),
                // Where files cannot be removed, looking again finds the same ones.
                None if self.has_more && self.used_bytes < at_last_look => {
                    at_last_look = self.used_bytes;
                    self.look(folder);
                }
                None => return false,
            }
        }
        true
    }

    /// Removes a file, unless somebody used it since the folder was looked at.
    fn let_go(&mut self, folder: &Path, unused: &Unused) {
        let path = folder.join(&unused.name);
        let is_gone = match path.metadata().and_then(|meta| meta.modified()) {
            Ok(used_at) => self.rank(used_at) == unused.used_at && std::fs::remove_file(path).is_ok(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        if is_gone {
            self.give_back(unused.bytes);
        }
    }

    fn look(&mut self, folder: &Path) {
        (self.used_bytes, self.written_bytes, self.has_more) = (0, 0, false);
        let mut oldest = BinaryHeap::new();
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            self.used_bytes += on_disk(meta.len());
            let used_at = self.rank(meta.modified().unwrap_or(SystemTime::UNIX_EPOCH));
            if used_at < self.began {
                oldest.push(Unused { used_at, name: entry.file_name(), bytes: meta.len() });
            }
            if oldest.len() > OLDEST_MAX {
                oldest.pop();
                self.has_more = true;
            }
        }
        self.oldest = oldest.into_sorted_vec();
        self.oldest.reverse();
    }

    /// When a file was used; never, if that is still to come: a clock that was wrong once must not keep it for good.
    fn rank(&self, used_at: SystemTime) -> SystemTime {
        if used_at > SystemTime::now() { SystemTime::UNIX_EPOCH } else { used_at }
    }
}

/// What a file of so many bytes takes on disk.
fn on_disk(bytes: u64) -> u64 {
    bytes.max(1).next_multiple_of(BLOCK_BYTES)
}

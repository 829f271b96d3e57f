//! Reading many objects: several at once from a store far away, where each request waits for an answer.

use std::sync::atomic::{AtomicUsize, Ordering};

use esker_format::ObjectId;
use esker_format::layout::ObjectKind;
use esker_format::wire::Record;

use crate::error::{RepoError, Result};
use crate::repository::Repository;

/// Requests at once, at most.
const AT_ONCE: usize = 16;

impl Repository {
    /// Reads these objects; what comes back is in their order.
    pub(crate) fn read_objects<R: Record + Send>(&self, kind: ObjectKind, ids: &[ObjectId]) -> Vec<Result<R>> {
        let workers = if self.store.is_far() { AT_ONCE.min(ids.len()) } else { 1 };
        if workers <= 1 {
            return ids.iter().map(|id| self.read_object(kind, id)).collect();
        }
        let next = AtomicUsize::new(0);
        let work = || {
            let mut read = Vec::new();
            loop {
                let position = next.fetch_add(1, Ordering::Relaxed);
                let Some(id) = ids.get(position) else { return read };
                read.push((position, self.read_object(kind, id)));
            }
        };
        let panicked = || Err(RepoError::Internal("a reading thread panicked".into()));
        let mut all: Vec<Result<R>> = ids.iter().map(|_| panicked()).collect();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            for (position, object) in threads.into_iter().filter_map(|thread| thread.join().ok()).flatten() {
                if let Some(slot) = all.get_mut(position) {
                    *slot = object;
                }
            }
        });
        all
    }
}

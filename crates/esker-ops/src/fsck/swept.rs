//! Rebuilding the tables that are made of sorted runs, all in one sweep over their keys.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use blake3::Hasher;
use esker_format::ChunkId;
use esker_repo::index::Location;

use super::Check;
use crate::error::{OpsError, Result};
use crate::sweep::{PieceOf, SweepTarget, SweptFile, sweep};

/// What a sweep found.
#[derive(Default)]
pub(super) struct SweptTables {
    /// Files that equal their hash.
    pub(super) whole: u64,
    /// Plain bytes of the runs that were read.
    pub(super) run_bytes: u64,
    /// What is wrong with others: name, chunks to blame, words.
    pub(super) bad: Vec<(String, Vec<ChunkId>, String)>,
}

/// A file whose bytes are hashed in order, though its pieces may come out of order.
#[derive(Default)]
struct HashedFile {
    hasher: Hasher,
    next: usize,
    /// Pieces that are being rebuilt or wait for one before them: a few, because a sweep takes the pieces of a file in order.
    waiting: BTreeMap<usize, (Vec<u8>, bool)>,
    fault: Option<(Option<ChunkId>, String)>,
}

struct Hashing<'a> {
    check: &'a Check<'a>,
    started: Instant,
    states: Vec<Mutex<HashedFile>>,
    run_bytes: AtomicU64,
}

impl Check<'_> {
    /// Rebuilds tables in memory and compares hashes.
    pub(super) fn sweep_tables(&self, files: Vec<SweptFile>, started: Instant) -> Result<SweptTables> {
        let states = files.iter().map(|_| Mutex::default()).collect();
        let hashing = Hashing { check: self, started, states, run_bytes: AtomicU64::new(0) };
        sweep(&self.reader, &files, &hashing, self.job)?;
        let mut swept = SweptTables { run_bytes: hashing.run_bytes.into_inner(), ..SweptTables::default() };
        for (file, state) in files.iter().zip(hashing.states) {
            let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
            match state.fault {
                Some((chunk, text)) => swept.bad.push((file.name.clone(), chunk.into_iter().collect(), text)),
                None if state.next < file.content.recipe.len() => {}
                None if *state.hasher.finalize().as_bytes() == file.content.hash => swept.whole += 1,
                None => swept.bad.push((file.name.clone(), Vec::new(), "does not rebuild to the bytes that were backed up".into())),
            }
        }
        Ok(swept)
    }
}

impl Hashing<'_> {
    fn state(&self, file: usize) -> Result<MutexGuard<'_, HashedFile>> {
        let state = self.states.get(file).ok_or_else(|| OpsError::Damage("a file that is not in the sweep".into()))?;
        Ok(state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl SweepTarget for Hashing<'_> {
    fn is_over(&self) -> bool {
        self.check.is_late(self.started)
    }

    fn has(&self, _: PieceOf, _: &[u8; 32]) -> Result<bool> {
        Ok(false)
    }

    fn put(&self, piece: PieceOf, _: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.state(piece.file)?;
        if state.next == piece.piece {
            state.hasher.update(bytes);
        } else {
            state.waiting.entry(piece.piece).or_default().0.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn done(&self, piece: PieceOf) -> Result<()> {
        self.check.job.progress.advance(piece.len);
        let mut state = self.state(piece.file)?;
        state.waiting.entry(piece.piece).or_default().1 = true;
        loop {
            let next = state.next;
            let Some((bytes, is_done)) = state.waiting.remove(&next) else { break };
            state.hasher.update(&bytes);
            if !is_done {
                // Its remaining bytes come straight to the hasher.
                break;
            }
            state.next += 1;
        }
        Ok(())
    }

    fn failed(&self, piece: PieceOf, chunk: Option<ChunkId>, error: OpsError) -> Result<()> {
        self.state(piece.file)?.fault.get_or_insert((chunk, error.to_string()));
        Ok(())
    }

    fn was_read(&self, place: &Location) -> Result<()> {
        self.run_bytes.fetch_add(u64::from(place.frame.entry.plain_len), Ordering::Relaxed);
        self.check.was_read(place.pack, place.frame.number)
    }
}

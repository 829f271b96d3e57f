//! What every verb takes beside its request: a way to be stopped, and someone to tell how far it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{OpsError, Result};

/// A flag that stops a verb at its next safe point.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Stops here if somebody asked.
    ///
    /// # Errors
    /// `Cancelled`.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(OpsError::Cancelled) } else { Ok(()) }
    }
}

/// Hears how far a verb is; called from several threads.
pub trait Progress: Send + Sync {
    /// A phase begins that will handle `total` bytes (0 if it counts none).
    fn phase(&self, name: &str, total: u64);
    /// So many more bytes of the phase are done.
    fn advance(&self, bytes: u64);
    /// The phase is over.
    fn finish(&self);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn phase(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64) {}
    fn finish(&self) {}
}

/// One run of a verb.
#[derive(Clone)]
pub struct Job {
    /// How it is stopped.
    pub cancel: Cancel,
    /// Who hears of its progress.
    pub progress: Arc<dyn Progress>,
    /// Threads that may compute at once.
    pub threads: usize,
}

impl Default for Job {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        Self { cancel: Cancel::default(), progress: Arc::new(Silent), threads }
    }
}

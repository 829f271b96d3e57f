//! What every verb takes beside its request: a way to be stopped, and someone to tell how far it is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use esker_repo::Repository;
use esker_repo::session::Session;

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

/// The first fault of several threads; once it is set the others stop.
#[derive(Default)]
pub(crate) struct FirstFault {
    fault: Mutex<Option<OpsError>>,
    set: AtomicBool,
}

impl FirstFault {
    /// Notes a fault, if there is one.
    pub(crate) fn note(&self, outcome: Result<()>) {
        if let Err(error) = outcome {
            self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            self.set.store(true, Ordering::SeqCst);
        }
    }

    /// Whether somebody failed.
    pub(crate) fn is_set(&self) -> bool {
        self.set.load(Ordering::SeqCst)
    }

    /// The first fault.
    pub(crate) fn into_result(self) -> Result<()> {
        self.fault.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

/// Keeps a prune from deleting what a reader is about to read, if the reader may write a session.
pub(crate) struct Protection(Option<Session>);

impl Protection {
    /// Begins a session; without the right to write one the work goes on unprotected.
    pub(crate) fn begin(repository: &Arc<Repository>, job: &str) -> Self {
        Self(Session::begin(repository, job).ok())
    }

    /// No session at all.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Whether a prune took this reader for dead and may have deleted what it was about to read.
    pub(crate) fn is_lost(&self) -> Result<bool> {
        Ok(match &self.0 {
            Some(session) => session.is_fenced()?,
            None => false,
        })
    }

    /// Whether a prune is kept away.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Protection {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            // A session that could not be ended is fenced by the next prune; nothing depends on it.
            let _ = session.end(None);
        }
    }
}

//! Sessions: a writer says that it began, that it lives, and that its fate is known (format-spec chapter 10).

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use esker_format::layout::{ObjectKind, SessionRecord, fence_path, session_path};
use esker_format::session::{SessionBeat, SessionEnd, SessionOpen};
use esker_format::{ObjectId, SessionId};

use crate::environment::random;
use crate::error::{RepoError, Result};
use crate::repository::Repository;

/// Time between two beats.
pub(crate) const BEAT_INTERVAL: Duration = Duration::from_secs(60);

/// What program writes, as it stands in records.
pub const WRITTEN_BY: &str = concat!("esker ", env!("CARGO_PKG_VERSION"));

/// The name of this machine, as it stands in records.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A writer at work. Dropped without `end`, it stays open for prune to fence, as after a crash.
pub struct Session {
    repository: Arc<Repository>,
    id: SessionId,
    pulse: Arc<Pulse>,
    beating: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Pulse {
    stopped: Mutex<bool>,
    wake: Condvar,
    beats: AtomicU32,
}

impl Session {
    /// Begins a session for a job, before the job looks at anything.
    ///
    /// # Errors
    /// `Store`.
    pub fn begin(repository: &Arc<Repository>, job: &str) -> Result<Self> {
        let id = SessionId(random(repository.environment())?);
        let open = SessionOpen {
            job: job.to_owned(),
            host: host_name(),
            process: std::process::id(),
            written_by: WRITTEN_BY.to_owned(),
            started_ms: repository.environment().now_ms(),
        };
        repository.write_placed(ObjectKind::SessionOpen, &session_path(&id, SessionRecord::Open), &open)?;
        let pulse = Arc::new(Pulse::default());
        let beating = std::thread::Builder::new()
            .name("esker-beat".into())
            .spawn({
                let (repository, pulse) = (Arc::clone(repository), Arc::clone(&pulse));
                move || beat(&repository, id, &pulse)
            })
            .map_err(|error| RepoError::Internal(format!("cannot start a thread: {error}")))?;
        Ok(Self { repository: Arc::clone(repository), id, pulse, beating: Some(beating) })
    }

    /// Its name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Whether a prune declared this session dead.
    ///
    /// # Errors
    /// `Store`.
    pub fn is_fenced(&self) -> Result<bool> {
        Ok(self.repository.store.size(&fence_path(&self.id))?.is_some())
    }

    /// Ends it. Called only when the job's manifest is committed, or was never sent.
    ///
    /// # Errors
    /// `Store`; the session then stays open, which is harmless.
    pub fn end(mut self, manifest: Option<ObjectId>) -> Result<()> {
        self.stop_beating();
        let end = SessionEnd { at_ms: self.repository.environment.now_ms(), beats: self.pulse.beats.load(Ordering::SeqCst), manifest };
        self.repository.write_placed(ObjectKind::SessionEnd, &session_path(&self.id, SessionRecord::End), &end)
    }

    fn stop_beating(&mut self) {
        *self.pulse.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.pulse.wake.notify_all();
        if let Some(thread) = self.beating.take() {
            // A beat that panicked is a beat less, nothing else.
            let _ = thread.join();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop_beating();
    }
}

fn beat(repository: &Repository, id: SessionId, pulse: &Pulse) {
    let mut stopped = pulse.stopped.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        // A session may be over before this thread first waits: the flag is looked at before, or its end would wait a beat.
        let woken = pulse.wake.wait_timeout_while(stopped, BEAT_INTERVAL, |stopped| !*stopped);
        stopped = woken.unwrap_or_else(PoisonError::into_inner).0;
        if *stopped {
            return;
        }
        drop(stopped);
        let number = pulse.beats.load(Ordering::SeqCst) + 1;
        let record = SessionBeat { at_ms: repository.environment.now_ms() };
        let path = session_path(&id, SessionRecord::Beat(number));
        // A beat that did not get through may delay nothing but a prune's opinion of this session.
        if repository.write_placed(ObjectKind::SessionBeat, &path, &record).is_ok() {
            pulse.beats.store(number, Ordering::SeqCst);
        }
        stopped = pulse.stopped.lock().unwrap_or_else(PoisonError::into_inner);
    }
}

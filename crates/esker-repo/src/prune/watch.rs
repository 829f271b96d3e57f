//! Sessions at work: waiting for their ends, and taking those for dead that give no sign of life meanwhile.
//!
//! A beat is a sign of life whatever time it tells: clocks of other machines are not believed. A session is dead when its
//! records did not change while this prune itself waited; its age is only a reason to begin to wait.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use esker_format::SessionId;
use esker_format::layout::{ObjectKind, SESSIONS, SessionRecord, fence_path, session_from_path, session_path};
use esker_format::session::{Fence, SessionBeat, SessionOpen};

use super::Observer;
use crate::error::{RepoError, Result};
use crate::listing::{fences, sessions};
use crate::repository::Repository;
use crate::session::BEAT_INTERVAL;

/// The job of a prune's session. Prunes do not wait for each other.
pub const JOB: &str = "prune";
/// Looks at waiting sessions while the time without a sign of life passes, at least.
const LOOKS_MIN: u32 = 10;
/// Time between two looks, at most.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(5);
/// Beats that are missing when a session is suspected.
const SUSPECT_BEATS: u32 = 3;

/// A session, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionLine {
    /// Its id.
    pub session: String,
    /// What it does.
    pub job: String,
    /// Where it runs.
    pub host: String,
    /// Its process.
    pub process: u32,
    /// When it began, by its clock, milliseconds since 1970.
    pub started_ms: u64,
}

/// The records of sessions that have neither ended nor are fenced.
pub(super) type AtWork = BTreeMap<SessionId, BTreeSet<SessionRecord>>;

/// Whether a session that gave a sign of life is waited for on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// It lives; that is all that is asked.
    ItIsKnown,
    /// It has ended, or is dead.
    ItsEnd,
}

/// What looks at sessions.
pub(super) struct Watch<'a> {
    pub(super) repository: &'a Repository,
    pub(super) observer: &'a dyn Observer,
    /// Who declares sessions dead.
    pub(super) by: SessionId,
    /// Time without a sign of life.
    pub(super) fence_after: Duration,
    /// Time that all waiting may take.
    pub(super) max_wait: Option<Duration>,
    pub(super) waited: Duration,
    pub(super) fenced: Vec<SessionLine>,
}

/// Sessions that have neither ended nor are fenced.
///
/// # Errors
/// `Store`.
pub(super) fn at_work(repository: &Repository) -> Result<AtWork> {
    let mut found = sessions(&repository.store)?;
    let fenced = fences(&repository.store)?;
    found.retain(|session, records| !records.contains(&SessionRecord::End) && !fenced.contains(session));
    Ok(found)
}

/// What a session says of itself; nothing but its name if that cannot be read.
///
/// # Errors
/// `Store`.
pub(super) fn line(repository: &Repository, session: &SessionId) -> Result<SessionLine> {
    let open = match repository.read_placed::<SessionOpen>(ObjectKind::SessionOpen, &session_path(session, SessionRecord::Open)) {
        Ok(open) => open,
        Err(error) if error.is_damage() => {
            let (job, host, written_by) = (String::new(), String::new(), String::new());
            SessionOpen { job, host, process: 0, written_by, started_ms: 0 }
        }
        Err(error) => return Err(error),
    };
    let SessionOpen { job, host, process, started_ms, .. } = open;
    Ok(SessionLine { session: session.to_string(), job, host, process, started_ms })
}

impl Watch<'_> {
    /// Time between two looks.
    fn look_interval(&self) -> Duration {
        (self.fence_after / LOOKS_MIN).min(LOOK_INTERVAL_MAX)
    }

    /// Leaves the sessions whose last record is so old that they may be dead.
    pub(super) fn retain_suspects(&self, sessions: &mut AtWork) -> Result<()> {
        let now_ms = self.repository.environment().now_ms();
        let old_ms = u64::try_from((BEAT_INTERVAL * SUSPECT_BEATS).as_millis()).unwrap_or(u64::MAX);
        let mut suspects = AtWork::new();
        for (session, records) in std::mem::take(sessions) {
            let last = match records.last() {
                Some(SessionRecord::Beat(number)) => {
                    let path = session_path(&session, SessionRecord::Beat(*number));
                    self.repository.read_placed::<SessionBeat>(ObjectKind::SessionBeat, &path).map(|beat| beat.at_ms)
                }
                _ => line(self.repository, &session).map(|line| line.started_ms),
            };
            let last_ms = match last {
                Ok(last_ms) => last_ms,
                Err(error) if error.is_damage() => 0,
                Err(error) => return Err(error),
            };
            if now_ms.saturating_sub(last_ms) >= old_ms {
                suspects.insert(session, records);
            }
        }
        *sessions = suspects;
        Ok(())
    }

    /// Waits for these sessions; those that gave no sign of life for so long are fenced.
    ///
    /// # Errors
    /// `Store`, `PruneGaveUp`, and what the observer returns.
    pub(super) fn wait(&mut self, sessions: AtWork, until: Until) -> Result<()> {
        let mut waiting: BTreeMap<SessionId, (BTreeSet<SessionRecord>, Duration)> =
            sessions.into_iter().map(|(session, records)| (session, (records, Duration::ZERO))).collect();
        self.say(&waiting)?;
        while !waiting.is_empty() {
            self.observer.check()?;
            self.give_up_in_time(&waiting)?;
            let pause = self.look_interval();
            self.repository.environment().pause(pause);
            self.waited += pause;
            let before = waiting.len();
            for session in waiting.keys().copied().collect::<Vec<_>>() {
                let Some((known, quiet)) = waiting.get_mut(&session) else { continue };
                let records = self.records_of(&session)?;
                let has_fence = || self.repository.store.size(&fence_path(&session)).map(|size| size.is_some());
                let lives = records != *known;
                *quiet = if lives { Duration::ZERO } else { *quiet + pause };
                *known = records;
                let is_over = known.contains(&SessionRecord::End) || (lives && until == Until::ItIsKnown) || has_fence()?;
                if is_over {
                    waiting.remove(&session);
                } else if *quiet >= self.fence_after {
                    self.fence(&session)?;
                    waiting.remove(&session);
                }
            }
            if waiting.len() != before {
                self.say(&waiting)?;
            }
        }
        Ok(())
    }

    fn say<T>(&self, waiting: &BTreeMap<SessionId, T>) -> Result<()> {
        let lines: Vec<SessionLine> = waiting.keys().map(|session| line(self.repository, session)).collect::<Result<_>>()?;
        self.observer.waiting(&lines);
        Ok(())
    }

    fn give_up_in_time<T>(&self, waiting: &BTreeMap<SessionId, T>) -> Result<()> {
        let Some(session) = waiting.keys().next().filter(|_| self.max_wait.is_some_and(|limit| self.waited >= limit)) else {
            return Ok(());
        };
        let SessionLine { job, host, process, .. } = line(self.repository, session)?;
        let what = format!("session {} ({job} on {host}, process {process}) is still at work", session.short());
        Err(RepoError::PruneGaveUp(format!("{what}; run it again when that has ended")))
    }

    fn records_of(&self, session: &SessionId) -> Result<BTreeSet<SessionRecord>> {
        let listed = self.repository.store.list(&format!("{SESSIONS}/{session}"))?;
        Ok(listed.iter().filter_map(|object| session_from_path(&object.path)).map(|(_, record)| record).collect())
    }

    /// Declares a session dead: from here on its manifest counts only if all that it needs is kept.
    fn fence(&mut self, session: &SessionId) -> Result<()> {
        let fence = Fence { by: self.by, at_ms: self.repository.environment().now_ms() };
        let path = fence_path(session);
        match self.repository.write_placed(ObjectKind::Fence, &path, &fence) {
            // Another prune was faster, in a store that refuses to overwrite.
            Err(_) if self.repository.store.size(&path)?.is_some() => return Ok(()),
            outcome => outcome?,
        }
        self.fenced.push(line(self.repository, session)?);
        Ok(())
    }
}

//! Sessions: their records, and whether anything of a finished one is lost.

use std::collections::BTreeMap;

use esker_format::SessionId;
use esker_format::layout::{ObjectKind, SessionRecord, session_path};
use esker_format::session::{SessionBeat, SessionEnd, SessionOpen};
use esker_repo::listing::{fences, sessions};
use esker_repo::prune::FENCE_AFTER;

use super::Check;
use crate::error::Result;

/// A writer may need so long, by the clocks of both, from its manifest to the end of its session.
const JUST_NOW_MS: u64 = FENCE_AFTER.as_millis() as u64;

const LOST_RECORD: &str = "only the record of who worked when is lost; bring it back from a copy of the store if there is one";

impl Check<'_> {
    pub(super) fn sessions(&mut self) -> Result<()> {
        let found = sessions(self.repository.store())?;
        let fenced = fences(self.repository.store())?;
        for (session, records) in &found {
            let path = |record| session_path(session, record);
            let mut end = None;
            for record in records {
                match record {
                    SessionRecord::Open => drop(self.placed::<SessionOpen>(ObjectKind::SessionOpen, &path(*record))?),
                    SessionRecord::Beat(_) => drop(self.placed::<SessionBeat>(ObjectKind::SessionBeat, &path(*record))?),
                    SessionRecord::End => end = self.placed::<SessionEnd>(ObjectKind::SessionEnd, &path(*record))?,
                }
            }
            if !records.contains(&SessionRecord::Open) {
                self.damage(path(SessionRecord::Open), "is missing although the session left other records", LOST_RECORD);
            }
            if let Some(end) = end {
                let lost: Vec<u32> = (1..=end.beats).filter(|number| !records.contains(&SessionRecord::Beat(*number))).collect();
                for number in lost {
                    self.damage(path(SessionRecord::Beat(number)), "is missing although the session's end counts it", LOST_RECORD);
                }
            } else if fenced.contains(session) {
                self.notice(path(SessionRecord::Open), "a session that a prune took for dead", "");
            }
        }
        let committed: BTreeMap<SessionId, (String, u64)> = self
            .backups
            .found
            .iter()
            .map(|backup| (backup.manifest.session, (backup.manifest.label.clone(), backup.manifest.finished_ms)))
            .collect();
        let now_ms = self.repository.environment().now_ms();
        for (session, (label, finished_ms)) in committed {
            let is_there = |record| found.get(&session).is_some_and(|records| records.contains(&record));
            if !is_there(SessionRecord::Open) {
                let what = format!("is missing; backup {label} was written in it");
                self.damage(session_path(&session, SessionRecord::Open), what, LOST_RECORD);
            }
            // A writer that was fenced after its commit need not have ended: the fence tells its fate.
            if is_there(SessionRecord::End) || fenced.contains(&session) {
                continue;
            }
            let path = session_path(&session, SessionRecord::End);
            // Clocks may be wrong; then this is called by the other of two names, and nothing else follows from it.
            if now_ms.abs_diff(finished_ms) < JUST_NOW_MS {
                self.notice(path, format!("is not there yet: the writer of {label}, which is whole, ends just now or died"), "");
            } else {
                let what = format!("is missing; backup {label} is whole, its writer died right after the commit or the record was lost");
                self.damage(path, what, LOST_RECORD);
            }
        }
        Ok(())
    }
}

//! Sessions: their records, and whether anything of a finished one is lost.

use std::collections::BTreeMap;

use esker_format::SessionId;
use esker_format::layout::{ObjectKind, SessionRecord, session_path};
use esker_format::session::{SessionBeat, SessionEnd, SessionOpen};
use esker_repo::listing::{fences, sessions};

use super::Check;
use crate::error::Result;

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
        let committed: BTreeMap<SessionId, String> =
            self.backups.found.iter().map(|backup| (backup.manifest.session, backup.manifest.label.clone())).collect();
        for (session, label) in committed {
            let records = found.get(&session);
            for record in [SessionRecord::Open, SessionRecord::End] {
                // A writer that was fenced after its commit need not have ended: the fence tells its fate.
                let is_told = record == SessionRecord::End && fenced.contains(&session);
                if !is_told && records.is_none_or(|records| !records.contains(&record)) {
                    let what = match record {
                        SessionRecord::End => {
                            format!("is missing; backup {label} is whole, its writer died right after the commit or the record was lost")
                        }
                        _ => format!("is missing; backup {label} was written in it"),
                    };
                    self.damage(session_path(&session, record), what, LOST_RECORD);
                }
            }
        }
        Ok(())
    }
}

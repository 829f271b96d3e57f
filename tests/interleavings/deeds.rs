//! What those do who take part: one verb each, and what must hold of it at any time.

use std::fs;
use std::sync::Arc;

use esker_format::verification::Level;
use esker_ops::OpsError;
use esker_ops::audit::{AuditRequest, audit};
use esker_ops::backup::backup;
use esker_ops::catalog::list;
use esker_ops::copy::{CopyReport, CopyRequest, Outcome, copy};
use esker_ops::forget::{ForgetRequest, forget};
use esker_ops::fsck::{Finding, FsckReport, FsckRequest, Severity, fsck};
use esker_ops::repair::{RepairRequest, repair};
use esker_ops::restore::{RestoreRequest, restore};
use esker_repo::{RepoError, Repository};

use crate::harm::Harm;
use crate::run::{ABROAD, LOCATION, Run};
use crate::world::{Standing, job};

/// How often a writer begins anew after it was fenced or a request failed.
const TRIES: u32 = 3;

/// An error without the word in which of two repositories it happened.
pub fn at_its_root(error: OpsError) -> OpsError {
    match error {
        OpsError::In { error, .. } => at_its_root(*error),
        error => error,
    }
}

fn whole() -> FsckRequest {
    FsckRequest { backup: None, level: Level::Files, sample_percent: 100, time_limit: None, scratch: None, remember: true }
}

impl Run<'_> {
    /// Copies all that the other repository holds into this one: a writer whose sessions follow one another.
    pub fn import(&self, number: usize, repository: &Arc<Repository>) -> Result<(), OpsError> {
        let abroad = self.open_at(ABROAD, number, self.world.store_abroad(), None)?;
        for tries in 1.. {
            match copy(&abroad, repository, &CopyRequest::default(), &job()).map_err(at_its_root) {
                Ok(report) => {
                    let copies = self.copies(&report, &self.world.abroad);
                    self.committed.lock().unwrap().extend(copies);
                    return Ok(());
                }
                Err(OpsError::Repository(RepoError::Fenced(_) | RepoError::Store { .. })) if tries < TRIES => {}
                Err(OpsError::Repository(RepoError::Fenced(_))) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Copies all that this repository holds into the other: a reader with a session.
    pub fn export(&self, number: usize, repository: &Arc<Repository>) -> Result<(), OpsError> {
        let store = self.world.store_abroad();
        let abroad = || self.open_at(ABROAD, number, Arc::clone(&store), None);
        let report = copy(repository, &abroad()?, &CopyRequest::default(), &job())?;
        let copies = self.copies(&report, &self.world.backups);
        copies.iter().try_for_each(|copy| self.restored(&abroad()?, &copy.id, copy.source, &format!("copy{number}-{}", copy.id)))
    }

    /// Those of these backups that stand in both repositories now, called as in the one that was written. One that is
    /// damaged must have been forgotten.
    fn copies(&self, report: &CopyReport, of: &[Standing]) -> Vec<Standing> {
        report.findings.iter().filter(|_| !self.is_lossy()).for_each(|finding| self.fault(format!("copy: {finding}")));
        let mut copies = Vec::new();
        for line in &report.backups {
            let standing = of.iter().position(|standing| standing.id == line.id);
            let goes = standing.is_some_and(|standing| report.from.location == LOCATION && self.goes.contains(&standing));
            if line.outcome == Outcome::Damaged && !goes && !(report.from.location == LOCATION && self.is_lossy()) {
                self.fault(format!("copy: {} is damaged: {:?}", line.label, line.findings));
            }
            if let (Some(standing), Some(id)) = (standing, &line.copy) {
                copies.push(Standing { id: id.clone(), source: of[standing].source });
            }
        }
        copies
    }

    pub fn write(&self, repository: &Arc<Repository>, name: &str, source: usize) -> Result<(), OpsError> {
        let mut tries = 1;
        loop {
            match backup(repository, &self.world.request(&format!("{name}-{tries}"), source), &job()) {
                Ok(report) => {
                    let id = report.id.expect("it was committed");
                    self.committed.lock().unwrap().push(Standing { id, source });
                    return Ok(());
                }
                Err(OpsError::Repository(RepoError::Fenced(_) | RepoError::Store { .. })) if tries < TRIES => tries += 1,
                Err(OpsError::Repository(RepoError::Fenced(_))) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    pub fn list(&self, repository: &Arc<Repository>) -> Result<(), OpsError> {
        let found = list(repository)?;
        found.findings.iter().filter(|_| !self.is_lossy()).for_each(|finding| self.fault(format!("list: {finding}")));
        Ok(())
    }

    pub fn forget(&self, repository: &Arc<Repository>, standing: usize) -> Result<(), OpsError> {
        let names = vec![self.world.backups[standing].id.clone()];
        forget(repository, &ForgetRequest { names, ..ForgetRequest::default() }).map(drop)
    }

    pub fn restore(&self, repository: &Arc<Repository>, standing: usize, folder: &str) -> Result<(), OpsError> {
        let Standing { id, source } = self.world.backups[standing].clone();
        match self.restored(repository, &id, source, folder) {
            // Forgotten before or while it was restored.
            Err(OpsError::Usage(_) | OpsError::Forgotten(_)) if self.goes.contains(&standing) => Ok(()),
            outcome => outcome,
        }
    }

    pub fn restored(&self, repository: &Arc<Repository>, id: &str, source: usize, folder: &str) -> Result<(), OpsError> {
        let target = self.folder.join(folder);
        let request = RestoreRequest { backup: id.to_owned(), target: target.clone(), selection: Default::default(), dry_run: false };
        restore(repository, &request, &job())?;
        for name in self.world.files(source) {
            let (file, restored) = (self.world.source(source).join(&name), target.join("h").join(&name));
            if fs::read(file).unwrap() != fs::read(&restored).unwrap_or_default() {
                self.fault(format!("backup {id}: {} is not what was backed up", restored.display()));
            }
        }
        Ok(())
    }

    pub fn check(&self, repository: &Arc<Repository>, harm: Option<&Harm>) -> Result<(), OpsError> {
        self.judge(&fsck(repository, &whole(), &job())?, harm);
        Ok(())
    }

    /// What differs between two backups is the same whatever prunes do.
    pub fn compare(&self, repository: &Arc<Repository>) -> Result<(), OpsError> {
        let found = self.world.differences(repository)?;
        if found != self.world.difference {
            self.fault(format!("diff --keys: {found:?} where it was {:?}", self.world.difference));
        }
        Ok(())
    }

    /// Repairs with what is left of the repository, and with a second one if there is one.
    pub fn mend(&self, repository: &Arc<Repository>, from: Option<Arc<Repository>>, harm: Option<&Harm>) -> Result<(), OpsError> {
        let sources = RepairRequest { from, ..RepairRequest::default() };
        self.judge(&repair(repository, &whole(), &sources, &job())?, harm);
        Ok(())
    }

    /// Nothing may be damaged but by this.
    fn judge(&self, report: &FsckReport, harm: Option<&Harm>) {
        // A process that dies right after its commit leaves a session without an end: fsck says so, until a prune fences it.
        // A trial of the store whose request was lost says that the store cannot do it.
        let is_meant = |finding: &&Finding| {
            let object = finding.object.as_str();
            object.starts_with("sessions/") || (self.fails && object == LOCATION) || harm.is_some_and(|harm| harm.explains(finding))
        };
        let damage = report.findings.iter().filter(|finding| finding.severity == Severity::Damage && !is_meant(finding));
        damage.for_each(|finding| self.fault(format!("fsck: {}: {}", finding.object, finding.what)));
    }

    /// The log is whole at any time, and accounts for what stands.
    pub fn audit(&self, repository: &Arc<Repository>) -> Result<(), OpsError> {
        let report = audit(repository, &AuditRequest::default(), &job())?;
        let damage = report.findings.iter().filter(|finding| finding.severity == Severity::Damage);
        damage.for_each(|finding| self.fault(format!("audit: {}: {}", finding.object, finding.what)));
        Ok(())
    }
}

//! What the repository holds against what the log says: what no record accounts for, and what is gone without one.

use std::collections::{BTreeMap, BTreeSet};

use esker_format::audit::{AuditRecord, Event};
use esker_format::layout::{ObjectKind, SessionRecord, object_path};
use esker_format::manifest::Manifest;
use esker_format::{ObjectId, SessionId};
use esker_repo::Repository;
use esker_repo::keyring::KeyEntry;
use esker_repo::listing::{ids, sessions};

use super::AuditFinding;
use crate::error::Result;

const LOOK_FOR_LOG: &str = "look for the first log in a copy of the store (audit/)";

/// What stands in the repository. Looked at before the log: a record stands before what it is about, but for a backup's, which
/// stands before its session ends.
pub(super) struct Holdings {
    ended: BTreeSet<SessionId>,
    keys: Vec<KeyEntry>,
    objects: BTreeMap<ObjectId, ObjectKind>,
}

/// What records say was made and deleted.
#[derive(Default)]
struct Account {
    /// Everything that a record says was made, or stood when the log began.
    made: BTreeSet<ObjectId>,
    /// Of that, what must still be there unless a record tells its end.
    backups: BTreeMap<ObjectId, String>,
    keys: BTreeSet<ObjectId>,
    /// Notes and verification records that were about to be written.
    intended: BTreeMap<ObjectId, ObjectKind>,
    /// Keys that stood when the log began.
    older_keys: BTreeSet<ObjectId>,
    /// Backups and keys that were forgotten or removed.
    deleted: BTreeSet<ObjectId>,
}

impl Holdings {
    pub(super) fn of(repository: &Repository) -> Result<Self> {
        let is_over = |records: &BTreeSet<SessionRecord>| records.contains(&SessionRecord::End);
        let ended = sessions(repository.store())?.into_iter().filter(|(_, records)| is_over(records)).map(|(id, _)| id).collect();
        let mut objects = BTreeMap::new();
        for kind in [ObjectKind::Manifest, ObjectKind::Note, ObjectKind::Verification] {
            objects.extend(ids(repository.store(), kind)?.into_keys().map(|id| (id, kind)));
        }
        Ok(Self { ended, keys: repository.keys()?, objects })
    }

    /// Compares it with records that count.
    pub(super) fn compare<'a>(&self, repository: &Repository, records: impl Iterator<Item = &'a AuditRecord>) -> Result<Vec<AuditFinding>> {
        let mut records = records.peekable();
        let mut findings = Vec::new();
        if records.peek().is_none() {
            // It has no log yet, unless a key tells that there was one.
            for key in self.keys.iter().filter(|key| key.signs) {
                let what = "was made when there was a log, and there is none: it was deleted";
                findings.push(AuditFinding::damage(object_path(ObjectKind::Key, &key.id), what, LOOK_FOR_LOG));
            }
            return Ok(findings);
        }
        let account = Account::of(records);
        for (id, kind) in self.objects.iter().filter(|(id, _)| !account.made.contains(id)) {
            findings.push(self.unaccounted(repository, id, *kind)?);
        }
        self.compare_keys(&account, &mut findings);
        account.find_the_gone(repository, self, &mut findings)?;
        Ok(findings)
    }

    fn unaccounted(&self, repository: &Repository, id: &ObjectId, kind: ObjectKind) -> Result<AuditFinding> {
        let path = object_path(kind, id);
        if kind == ObjectKind::Manifest {
            match repository.read_object::<Manifest>(kind, id) {
                Ok(manifest) if !self.ended.contains(&manifest.session) => {
                    let what = format!(
                        "backup {} has no record; its writer did not end: it is at work, or died between the commit and its record",
                        manifest.label
                    );
                    return Ok(AuditFinding::notice(
                        path,
                        what,
                        "if no backup runs and none died, somebody put it there: esker fsck, then esker forget it by its id",
                    ));
                }
                Err(error) if !error.is_damage() => return Err(error.into()),
                _ => {}
            }
        }
        let what = "no record tells who made it: it was put there by somebody who kept no log, or its record was deleted";
        Ok(AuditFinding::damage(path, what, "find out who made it; esker audit --acknowledge ID if it is known"))
    }

    fn compare_keys(&self, account: &Account, findings: &mut Vec<AuditFinding>) {
        for key in &self.keys {
            let path = object_path(ObjectKind::Key, &key.id);
            if !account.made.contains(&key.id) {
                let what = "no record tells who added this key: it was put there by somebody who kept no log, or its record was deleted";
                findings.push(AuditFinding::damage(path, what, "find out whose it is, or remove it: esker key remove ID"));
            } else if key.signs && account.older_keys.contains(&key.id) {
                let what = "was made when there was a log, but the log that is there began later: the first one was deleted";
                findings.push(AuditFinding::damage(path, what, LOOK_FOR_LOG));
            } else if account.deleted.contains(&key.id) {
                let what = "is still there although a record says that it is removed: that was interrupted";
                findings.push(AuditFinding::notice(path, what, "remove it again: esker key remove ID"));
            }
        }
    }
}

impl Account {
    fn of<'a>(records: impl Iterator<Item = &'a AuditRecord>) -> Self {
        let mut account = Self::default();
        for record in records {
            let deed = &record.deed;
            let first = deed.objects.first().cloned();
            match deed.event {
                Event::Init => account.keys(deed.keys.iter().map(|key| key.id)),
                Event::Begin => {
                    account.keys(deed.keys.iter().map(|key| key.id));
                    account.older_keys.extend(deed.keys.iter().map(|key| key.id));
                    for (id, folder) in &deed.objects {
                        account.made.insert(*id);
                        if folder == ObjectKind::Manifest.folder() {
                            account.backups.insert(*id, String::new());
                        }
                    }
                }
                Event::KeyAdd if deed.intended => account.made.extend(deed.keys.iter().map(|key| key.id)),
                Event::KeyAdd => account.keys(deed.keys.iter().map(|key| key.id)),
                Event::Backup | Event::Copy => {
                    account.made.extend(first.iter().map(|(id, _)| *id));
                    account.backups.extend(first);
                }
                Event::Note => account.intends(first, ObjectKind::Note),
                Event::Verification => account.intends(first, ObjectKind::Verification),
                Event::Forget | Event::KeyRemove => account.deleted.extend(deed.objects.iter().map(|(id, _)| *id)),
                Event::Prune | Event::Repair | Event::Acknowledge => {}
            }
        }
        account
    }

    fn keys(&mut self, keys: impl Iterator<Item = ObjectId>) {
        for id in keys {
            self.made.insert(id);
            self.keys.insert(id);
        }
    }

    fn intends(&mut self, object: Option<(ObjectId, String)>, kind: ObjectKind) {
        if let Some((id, _)) = object {
            self.made.insert(id);
            self.intended.insert(id, kind);
        }
    }

    fn find_the_gone(&self, repository: &Repository, holdings: &Holdings, findings: &mut Vec<AuditFinding>) -> Result<()> {
        let is_gone = |path: &str| -> Result<bool> { Ok(repository.store().size(path)?.is_none()) };
        for (id, label) in &self.backups {
            let path = object_path(ObjectKind::Manifest, id);
            match (holdings.objects.contains_key(id), self.deleted.contains(id)) {
                (true, true) => {
                    let what = "is still there although a record says that it is forgotten: that is going on, or was interrupted";
                    findings.push(AuditFinding::notice(path, what, "forget it again: esker forget ID"));
                }
                (false, false) if is_gone(&path)? => {
                    let what = format!("backup {label} is gone, and no record tells who forgot it");
                    let help = "bring it back from a copy of the store; or esker forget ID, which records that it is gone";
                    findings.push(AuditFinding::damage(path, what, help));
                }
                _ => {}
            }
        }
        let keys: BTreeSet<ObjectId> = holdings.keys.iter().map(|key| key.id).collect();
        for id in self.keys.iter().filter(|id| !keys.contains(id) && !self.deleted.contains(id)) {
            let path = object_path(ObjectKind::Key, id);
            if is_gone(&path)? {
                let help = "bring it back from a copy of the store, or esker audit --acknowledge ID";
                findings.push(AuditFinding::damage(path, "is gone, and no record tells who removed it", help));
            }
        }
        for (id, kind) in self.intended.iter().filter(|(id, _)| !holdings.objects.contains_key(id)) {
            let path = object_path(*kind, id);
            if is_gone(&path)? {
                let what = "was recorded and is not there: its writer died before it wrote it, or somebody deleted it";
                findings.push(AuditFinding::notice(path, what, "look at esker list; esker audit --acknowledge ID if it is known"));
            }
        }
        Ok(())
    }
}

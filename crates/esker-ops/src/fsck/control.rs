//! Config, keys, manifests, segments, records: everything but packs.

use std::collections::{BTreeMap, BTreeSet};

use esker_format::config::Config;
use esker_format::doomed::{DoomedList, Forgotten};
use esker_format::index_segment::IndexSegment;
use esker_format::layout::{CONFIG, CONFIG_COPY, FENCES, ObjectKind, PackName, fence_path, object_path, session_from_path};
use esker_format::limits::SMALL_OBJECT_MAX;
use esker_format::session::{Fence, SessionEnd};
use esker_format::verification::Level;
use esker_format::wire::Record;
use esker_format::{ObjectId, SessionId};
use esker_repo::RepoError;
use esker_repo::listing::{fences, ids, sessions};
use esker_repo::reader::ReadContext;
use esker_repo::store::probe::PROBES;

use super::Check;
use crate::error::Result;

impl Check<'_> {
    pub(super) fn control_objects(&mut self) -> Result<()> {
        self.configs()?;
        self.foreign_names()?;
        for (id, error) in std::mem::take(&mut self.backups.damaged) {
            *self.touched.entry(id).or_default() += 1;
            self.damage_of(&error);
        }
        self.keys()?;
        self.read_forgotten()?;
        if self.request.level >= Level::Structure {
            self.readable::<DoomedList>(ObjectKind::DoomedList)?;
            for error in self.repository.notes()?.damaged.into_iter().chain(self.repository.verifications()?.damaged) {
                self.damage_of(&error);
            }
            self.log()?;
            for session in fences(self.repository.store())? {
                self.placed::<Fence>(ObjectKind::Fence, &fence_path(&session))?;
            }
        }
        self.segments()
    }

    /// Every record of the log is whole. Whether one is missing, and what they prove, `audit` says: no restore needs them.
    fn log(&mut self) -> Result<()> {
        for error in self.repository.read_log()?.damaged.values() {
            self.damage_of(error);
        }
        Ok(())
    }

    fn configs(&mut self) -> Result<()> {
        let mut found: Vec<Vec<u8>> = Vec::new();
        for path in [CONFIG, CONFIG_COPY] {
            let read = self.repository.store().get(path, SMALL_OBJECT_MAX as u64);
            match read.and_then(|bytes| Config::decode(&bytes).map(|_| bytes).map_err(RepoError::object(path))) {
                Ok(bytes) => found.push(bytes.to_vec()),
                Err(error) => self.tolerate(error)?,
            }
        }
        if let [first, second] = found.as_slice()
            && first != second
        {
            self.damage(CONFIG_COPY, "config and its copy differ: one of them was swapped", super::finding::help_for(CONFIG_COPY));
        }
        Ok(())
    }

    fn foreign_names(&mut self) -> Result<()> {
        let hash_named = [
            ObjectKind::Key,
            ObjectKind::IndexSegment,
            ObjectKind::Manifest,
            ObjectKind::DoomedList,
            ObjectKind::Forgotten,
            ObjectKind::Verification,
            ObjectKind::Note,
            ObjectKind::Audit,
        ];
        let known = |path: &str| {
            let (folder, name) = path.split_once('/').unwrap_or(("", path));
            path == CONFIG
                || path == CONFIG_COPY
                || PackName::from_path(path).is_some()
                || session_from_path(path).is_some()
                || (folder == FENCES && SessionId::from_hex(name).is_ok())
                || (hash_named.iter().any(|kind| kind.folder() == folder) && ObjectId::from_hex(name).is_ok())
        };
        let foreign: Vec<String> =
            self.repository.store().list("")?.into_iter().map(|object| object.path).filter(|path| !known(path)).collect();
        for path in foreign {
            if path.split('/').next() == Some(PROBES) {
                self.notice(
                    path,
                    "left by a trial of the store, which refused to delete it or broke off",
                    "delete it if the store lets you",
                );
                continue;
            }
            self.notice(path, "not an object of this repository", "look at it, and move it away if it does not belong here");
        }
        Ok(())
    }

    fn keys(&mut self) -> Result<()> {
        let keys = self.repository.keys()?;
        for key in &keys {
            if let Some(damage) = &key.damage {
                let path = object_path(ObjectKind::Key, &key.id);
                self.damage(path.clone(), damage.clone(), super::finding::help_for(&path));
            }
        }
        Ok(())
    }

    /// Key objects that a backup's writer saw and that are gone without a record.
    fn lost_keys(&mut self) -> Result<()> {
        let present: BTreeSet<ObjectId> = ids(self.repository.store(), ObjectKind::Key)?.into_keys().collect();
        let named: BTreeSet<ObjectId> = self.backups.found.iter().flat_map(|backup| backup.manifest.keys.iter().copied()).collect();
        for id in named.difference(&present) {
            if !self.forgotten.contains_key(id) {
                let path = object_path(ObjectKind::Key, id);
                self.damage(
                    path.clone(),
                    "is missing, and nobody removed it: its passphrase opens nothing",
                    super::finding::help_for(&path),
                );
            }
        }
        Ok(())
    }

    fn read_forgotten(&mut self) -> Result<()> {
        let repository = self.repository;
        let records = ids(repository.store(), ObjectKind::Forgotten)?.into_keys();
        for (_, read) in repository.read_objects::<Forgotten>(ObjectKind::Forgotten, records) {
            match read {
                Ok(record) => self.forgotten.extend(record.objects),
                // A prune removed it since it was listed: no backup names its packs any more.
                Err(RepoError::Missing { .. }) => {}
                Err(error) => self.tolerate(error)?,
            }
        }
        self.lost_keys()
    }

    /// Segments that a job wrote must be there, or stand in another that replaces them; what they name must be there.
    fn segments(&mut self) -> Result<()> {
        let mut named = Vec::new();
        let (repository, segments) = (self.repository, self.listing.segments.keys().copied().collect::<Vec<_>>());
        for (_, read) in repository.read_objects::<IndexSegment>(ObjectKind::IndexSegment, segments) {
            match read {
                Ok(segment) => {
                    self.replaced.extend(segment.replaces);
                    named.extend(segment.packs.into_iter().map(|pack| pack.name));
                }
                // A prune replaced it since it was listed; one that stays away was found when the index was made.
                Err(RepoError::Missing { .. }) => {}
                Err(error) => self.tolerate(error)?,
            }
        }
        let missing = |check: &Self, id: &ObjectId| {
            !check.listing.segments.contains_key(id) && !check.replaced.contains(id) && !check.forgotten.contains_key(id)
        };
        let lost: Vec<(ObjectId, String)> = self
            .backups
            .found
            .iter()
            .flat_map(|backup| backup.manifest.segments.iter().map(|id| (*id, backup.manifest.label.clone())))
            .filter(|(id, _)| missing(self, id))
            .collect();
        let all_indexed = !self.index.packs()?.iter().any(|pack| self.index.is_orphan(pack.number));
        for (id, label) in lost {
            let path = object_path(ObjectKind::IndexSegment, &id);
            let what = format!("is missing; backup {label} wrote it");
            if all_indexed {
                self.notice(path, format!("{what}, but other segments name every pack"), "");
            } else {
                self.damage(path.clone(), what, super::finding::help_for(&path));
            }
        }
        for name in named {
            if !self.listing.packs.contains_key(&name) && !self.forgotten.contains_key(&name.id) && !self.doomed.contains(&name.id) {
                self.missing_packs.push((name.path(), "is missing; an index segment names it".into(), None));
            }
        }
        Ok(())
    }

    /// Manifests that others know of and that are gone without a record.
    pub(super) fn manifests_named_elsewhere(&mut self) -> Result<()> {
        let mut known: BTreeMap<ObjectId, String> = BTreeMap::new();
        for (session, records) in sessions(self.repository.store())? {
            let path = esker_format::layout::session_path(&session, esker_format::layout::SessionRecord::End);
            if records.contains(&esker_format::layout::SessionRecord::End)
                && let Ok(end) = self.repository.read_placed::<SessionEnd>(ObjectKind::SessionEnd, &path)
                && let Some(manifest) = end.manifest
            {
                known.insert(manifest, format!("session {} committed it", session.short()));
            }
        }
        if self.request.level >= Level::Structure {
            let context = &mut ReadContext::new()?;
            for backup in self.backups.found.clone() {
                match self.repository.seen_by(&self.reader, context, &backup.manifest) {
                    Ok(seen) => {
                        for id in seen {
                            known.entry(id).or_insert_with(|| format!("the writer of {} saw it", backup.manifest.label));
                        }
                    }
                    Err(error) => {
                        *self.touched.entry(backup.id).or_default() += 1;
                        self.tolerate(error)?;
                    }
                }
            }
        }
        for id in self.repository.known().manifests(self.repository.store().location(), self.repository.config().repository) {
            known.entry(id).or_insert_with(|| "this client saw it".to_owned());
        }
        known.retain(|id, _| !self.listing.manifests.contains(id) && !self.forgotten.contains_key(id));
        // Committed or forgotten since this check listed the store?
        let forgotten = if known.is_empty() { BTreeMap::new() } else { self.repository.forgotten().unwrap_or_default() };
        for (id, who) in known {
            let path = object_path(ObjectKind::Manifest, &id);
            if self.repository.store().size(&path)?.is_none() && !forgotten.contains_key(&id) {
                self.damage(path.clone(), format!("is missing, and nobody forgot it: {who}"), super::finding::help_for(&path));
            }
        }
        Ok(())
    }

    fn readable<R: Record>(&mut self, kind: ObjectKind) -> Result<()> {
        let repository = self.repository;
        for (_, read) in repository.read_objects::<R>(kind, ids(repository.store(), kind)?.into_keys()) {
            match read {
                // A prune removed it since it was listed.
                Ok(_) | Err(RepoError::Missing { .. }) => {}
                Err(error) => self.tolerate(error)?,
            }
        }
        Ok(())
    }

    pub(super) fn placed<R: Record>(&mut self, kind: ObjectKind, path: &str) -> Result<Option<R>> {
        match self.repository.read_placed::<R>(kind, path) {
            Ok(record) => Ok(Some(record)),
            Err(error) => self.tolerate(error).map(|()| None),
        }
    }
}

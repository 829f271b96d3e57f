//! Step (5) of a prune: what goes, in the order in which it may (docs/concurrency.md, I19).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use esker_format::ObjectId;
use esker_format::audit::{Deed, Event};
use esker_format::doomed::{DoomedList, Forgotten, ForgottenKind};
use esker_format::layout::{ObjectKind, PackName, object_path};

use super::look::Looked;
use super::{Prune, segments};
use crate::error::{RepoError, Result};

/// Packs for which a further thread deletes along.
const PACKS_A_WORKER: usize = 8;

impl Prune<'_> {
    /// Deletes these packs of the own list.
    pub(super) fn delete(&mut self, looked: &Looked, go: &BTreeSet<ObjectId>) -> Result<()> {
        self.observer.check()?;
        let manifests = || looked.backups.found.iter().map(|backup| &backup.manifest);
        let told = manifests().flat_map(|manifest| manifest.segments.iter().copied()).collect();
        let segments = segments::rewrite(self.repository, &looked.view.listing, go, &told)?;
        let mut packs: Vec<(PackName, u64)> =
            looked.view.listing.packs.iter().filter(|(name, _)| go.contains(&name.id)).map(|(name, size)| (*name, *size)).collect();
        let written: BTreeSet<ObjectId> = manifests().flat_map(|manifest| manifest.packs.iter().copied()).collect();
        self.record_forgotten(packs.iter().map(|(name, _)| *name).filter(|name| written.contains(&name.id)))?;
        self.log(&packs, true)?;
        // From here on it is for the next prune to finish what this one does not.
        if let Some(list) = &mut self.list {
            list.is_used = true;
        }
        let named = segments.delete_stale(self.repository, &mut self.report.refused)?;
        packs.retain(|(name, _)| !named.contains(name));
        let locked = self.delete_packs(&packs)?;
        packs.retain(|(name, _)| !locked.iter().any(|(path, _)| *path == name.path()));
        self.report.refused.extend(locked);
        self.report.delete(&packs, &segments);
        self.remove_lists(looked, go, &packs.iter().map(|(name, _)| name.id).collect())?;
        self.log(&packs, false)?;
        self.remove_records(&looked.records, &written)
    }

    /// The audit log says what is about to be deleted, and that it was.
    fn log(&self, packs: &[(PackName, u64)], intended: bool) -> Result<()> {
        if packs.is_empty() {
            return Ok(());
        }
        let (count, bytes) = (packs.len() as u64, packs.iter().map(|(_, bytes)| bytes).sum());
        self.repository.record(Some(self.session), Deed { intended, count, bytes, ..Deed::done(Event::Prune) }).map(drop)
    }

    /// Packs that a standing backup says it wrote are named, so that nobody takes them for lost.
    fn record_forgotten(&self, packs: impl Iterator<Item = PackName>) -> Result<()> {
        let objects: Vec<(ObjectId, String)> = packs.map(|name| (name.id, name.kind.folder().to_owned())).collect();
        if objects.is_empty() {
            return Ok(());
        }
        let (session, at_ms) = (self.session, self.repository.environment.now_ms());
        let record = Forgotten { session, at_ms, kind: ForgottenKind::Pack, objects, reason: "prune".into() };
        self.repository.write_object(ObjectKind::Forgotten, &record).map(drop)
    }

    /// Records of packs that no backup names any more.
    fn remove_records(&self, records: &[ObjectId], written: &BTreeSet<ObjectId>) -> Result<()> {
        for (id, read) in self.repository.read_objects::<Forgotten>(ObjectKind::Forgotten, records.iter().copied()) {
            match read {
                Ok(record) if record.kind == ForgottenKind::Pack && !record.objects.iter().any(|(pack, _)| written.contains(pack)) => {
                    // One that is locked goes with a later prune.
                    self.repository.store.delete_unless_locked(&object_path(ObjectKind::Forgotten, &id))?;
                }
                Ok(_) => {}
                // What cannot be read stays, and fsck says so.
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Gives those that the store refuses to delete.
    fn delete_packs(&self, packs: &[(PackName, u64)]) -> Result<Vec<(String, String)>> {
        let next = AtomicUsize::new(0);
        let delete = || -> Result<Vec<(String, String)>> {
            let mut refused = Vec::new();
            while let Some((name, _)) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.observer.check()?;
                refused.extend(self.repository.store.delete_unless_locked(&name.path())?.map(|why| (name.path(), why)));
            }
            Ok(refused)
        };
        let workers = self.options.workers.min(packs.len() / PACKS_A_WORKER);
        std::thread::scope(|scope| {
            let others: Vec<_> = (0..workers).map(|_| scope.spawn(delete)).collect();
            let outcome = delete();
            let panicked = |_| Err(RepoError::Internal("a deleting thread panicked".into()));
            let outcomes = others.into_iter().map(|other| other.join().unwrap_or_else(panicked));
            outcomes.fold(outcome, |all, more| Ok([all?, more?].concat()))
        })
    }

    /// Lists of which no pack is left: others', then the own one.
    fn remove_lists(&mut self, looked: &Looked, to_go: &BTreeSet<ObjectId>, gone: &BTreeSet<ObjectId>) -> Result<()> {
        let own = self.list.as_ref().map(|list| list.id);
        let left: BTreeSet<ObjectId> = looked.view.listing.packs.keys().map(|name| name.id).filter(|id| !gone.contains(id)).collect();
        let is_over = |list: &DoomedList| list.packs.iter().all(|pack| !left.contains(pack));
        let others = looked.view.lists.iter().filter(|(id, list)| Some(**id) != own && is_over(list));
        // What could not be deleted is for the next prune, and nobody relies on it until then.
        let own = own.as_ref().filter(|_| !left.iter().any(|pack| to_go.contains(pack)));
        for id in others.map(|(id, _)| id).chain(own) {
            let path = object_path(ObjectKind::DoomedList, id);
            if let Some(why) = self.repository.store.delete_unless_locked(&path)? {
                self.report.refused.push((path, why));
            }
        }
        self.list = None;
        Ok(())
    }
}

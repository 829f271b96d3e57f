//! One look of a prune at the store, and what makes it stop.

use std::collections::BTreeSet;
use std::sync::Arc;

use esker_format::ObjectId;
use esker_format::layout::{ObjectKind, object_path};

use super::Observer;
use super::mark::Marker;
use crate::error::{RepoError, Result};
use crate::listing::{Listing, ids};
use crate::manifests::Backups;
use crate::repository::Repository;
use crate::view::{View, Viewer};

/// How often the store is looked at while other prunes change it.
const LOOKS_MAX: u32 = 5;

/// One look at the store: the view, and the backups that stand in it.
pub(super) struct Looked {
    /// Forgotten records that stood before: what they name, backups that stand here may name.
    pub(super) records: Vec<ObjectId>,
    pub(super) view: View,
    pub(super) backups: Backups,
}

impl Looked {
    /// Looks, and stops if something is amiss (docs/concurrency.md, Prune).
    fn at(repository: &Arc<Repository>, observer: &dyn Observer) -> Result<Self> {
        observer.check()?;
        let records = ids(&repository.store, ObjectKind::Forgotten)?.into_keys().collect();
        let view = repository.view(Viewer::Reader)?;
        let backups = repository.backups_of(&view.listing.manifests)?;
        if let Some((_, error)) = backups.damaged.first() {
            return Err(stopped(format!("{error}; bring it back from a copy of the store, or forget that backup by its id")));
        }
        if let Some(error) = view.damaged_lists.first() {
            return Err(stopped(format!(
                "{error}: nobody knows what another prune wants to delete; find out who wrote it, then delete it"
            )));
        }
        if let Some(error) = view.synced.damaged.iter().find(|error| error.is_too_new()) {
            return Err(stopped(format!("{error}; prune with the esker that wrote it, or a newer one")));
        }
        Ok(Self { records, view, backups })
    }

    /// Looks, and does something with what is seen. Damage is believed only of a view that still holds: another prune may have
    /// moved what is needed, or deleted what no backup needs any more that was forgotten since.
    pub(super) fn until_it_holds<T>(
        repository: &Arc<Repository>,
        observer: &dyn Observer,
        mut act: impl FnMut(&Self) -> Result<T>,
    ) -> Result<(Self, T)> {
        let mut tries = 1;
        loop {
            let looked = Self::at(repository, observer)?;
            match act(&looked) {
                Ok(outcome) => return Ok((looked, outcome)),
                Err(RepoError::PruneStopped(_)) if tries < LOOKS_MAX && looked.is_stale(repository)? => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the store shows other packs or segments now.
    fn is_stale(&self, repository: &Repository) -> Result<bool> {
        let now = Listing::read(&repository.store)?;
        Ok(now.packs != self.view.listing.packs || now.segments != self.view.listing.segments)
    }

    /// Marks what the backups need, from nothing.
    pub(super) fn mark(&self, repository: &Arc<Repository>, own: &BTreeSet<ObjectId>, observer: &dyn Observer) -> Result<Marker> {
        let mut marker = Marker::new(repository, Arc::clone(&self.view.synced.index), own, &self.others(None))?;
        marker.mark(&self.backups.found, observer)?;
        self.nobody_is_missing(repository, &marker)?;
        Ok(marker)
    }

    /// Stops if a manifest that a writer or this client saw is gone and nobody forgot it.
    pub(super) fn nobody_is_missing(&self, repository: &Arc<Repository>, marker: &Marker) -> Result<()> {
        let mut gone: BTreeSet<ObjectId> = marker.seen.difference(&self.view.listing.manifests).copied().collect();
        gone.extend(repository.rolled_back(&self.backups)?);
        if gone.is_empty() {
            return Ok(());
        }
        let forgotten = repository.forgotten()?;
        for id in gone.iter().filter(|id| !forgotten.contains_key(id)) {
            let path = object_path(ObjectKind::Manifest, id);
            if repository.store.size(&path)?.is_none() {
                let what = format!("{path} is missing and nobody forgot it: the store lost it, hides it or was rolled back");
                return Err(stopped(format!("{what}; bring it back from a copy of the store, or esker forget {id}")));
            }
        }
        Ok(())
    }

    /// Packs of the lists of other prunes.
    pub(super) fn others(&self, own: Option<ObjectId>) -> BTreeSet<ObjectId> {
        let lists = self.view.lists.iter().filter(|(id, _)| Some(**id) != own);
        lists.flat_map(|(_, list)| list.packs.iter().copied()).collect()
    }
}

fn stopped(why: String) -> RepoError {
    RepoError::PruneStopped(why)
}

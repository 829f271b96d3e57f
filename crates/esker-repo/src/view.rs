//! A view of the store: one listing, the doomed lists of it, and the local index brought to exactly that.
//!
//! A prune at work removes lists, segments and packs. What goes between its listing and its reading makes the view stale:
//! the store is then listed again, in the same order.

use std::collections::{BTreeMap, BTreeSet};

use esker_format::ObjectId;
use esker_format::doomed::DoomedList;
use esker_format::layout::ObjectKind;

use crate::error::{RepoError, Result};
use crate::index::{SharedIndex, Synced};
use crate::listing::{Listing, ids};
use crate::repository::Repository;

/// How often the store is listed while prunes finish.
const LIST_TRIES: u32 = 5;

/// Who looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viewer {
    /// Will rely on what it finds: what stands in a doomed list does not exist.
    Writer,
    /// Reads what is there: a pack that is listed is good.
    Reader,
}

/// What stood in the store.
pub struct View {
    /// The listing.
    pub listing: Listing,
    /// The doomed lists of that listing.
    pub lists: BTreeMap<ObjectId, DoomedList>,
    /// Lists that a reader passed over because they are damaged.
    pub damaged_lists: Vec<RepoError>,
    /// The index of that listing.
    pub synced: Synced,
}

impl View {
    /// Every pack that a doomed list names.
    pub fn doomed(&self) -> BTreeSet<ObjectId> {
        doomed_by(&self.lists)
    }
}

impl Repository {
    /// Lists the store and brings the index to it.
    ///
    /// # Errors
    /// `Store`, `Cache`; for a writer `Object` or `WrongName` if a doomed list cannot be read, because then nobody knows what
    /// exists.
    pub fn view(&self, viewer: Viewer) -> Result<View> {
        let mut tries = 1;
        loop {
            let listing = Listing::read(&self.store)?;
            let (lists, damaged_lists) = match self.lists_of(&listing, viewer) {
                Ok(read) => read,
                Err(RepoError::Missing { .. }) if tries < LIST_TRIES => {
                    tries += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let hidden = match viewer {
                Viewer::Writer => doomed_by(&lists),
                Viewer::Reader => BTreeSet::new(),
            };
            let synced = self.sync_index(&listing, &hidden)?;
            let has_changed = synced.damaged.iter().any(|error| matches!(error, RepoError::Missing { .. }));
            if !has_changed || tries >= LIST_TRIES {
                return Ok(View { listing, lists, damaged_lists, synced });
            }
            tries += 1;
        }
    }

    /// The index of what segments name, if it is at hand, without a listing of the packs: there are many, and who reads a few
    /// chunks finds them without. So it may name packs that are gone, and lack some that no segment names; whoever does not
    /// find a chunk through it looks at the store whole before that counts as lost (I12).
    ///
    /// # Errors
    /// As `view` for a reader.
    pub(crate) fn glance(&self) -> Result<SharedIndex> {
        match self.index_at_hand(ids(&self.store, ObjectKind::IndexSegment)?)? {
            // What a damaged segment names, the packs must say themselves.
            Some(synced) if synced.damaged.is_empty() => Ok(synced.index),
            _ => Ok(self.view(Viewer::Reader)?.synced.index),
        }
    }

    /// The doomed lists that a listing shows.
    fn lists_of(&self, listing: &Listing, viewer: Viewer) -> Result<(BTreeMap<ObjectId, DoomedList>, Vec<RepoError>)> {
        let (mut lists, mut damaged) = (BTreeMap::new(), Vec::new());
        for id in &listing.doomed {
            match self.read_object(ObjectKind::DoomedList, id) {
                Ok(list) => drop(lists.insert(*id, list)),
                Err(error @ (RepoError::Object { .. } | RepoError::WrongName { .. })) if viewer == Viewer::Reader => damaged.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok((lists, damaged))
    }
}

fn doomed_by(lists: &BTreeMap<ObjectId, DoomedList>) -> BTreeSet<ObjectId> {
    lists.values().flat_map(|list| list.packs.iter().copied()).collect()
}

//! What stands in the store, read in the order that writers must keep (section "writers" of docs/concurrency.md):
//! doomed lists first, then manifests, segments and packs.

use std::collections::{BTreeMap, BTreeSet};

use esker_format::layout::{FENCES, ObjectKind, PACKS, PackName, SESSIONS, SessionRecord, session_from_path};
use esker_format::{ObjectId, SessionId};

use crate::error::Result;
use crate::store::Store;

/// One view of the store.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Doomed lists.
    pub doomed: Vec<ObjectId>,
    /// Manifests.
    pub manifests: BTreeSet<ObjectId>,
    /// Index segments with their sizes in bytes.
    pub segments: BTreeMap<ObjectId, u64>,
    /// Packs with their sizes in bytes.
    pub packs: BTreeMap<PackName, u64>,
}

impl Listing {
    /// Lists the store.
    ///
    /// # Errors
    /// `Store`.
    pub fn read(store: &Store) -> Result<Self> {
        Ok(Self {
            doomed: ids(store, ObjectKind::DoomedList)?.into_keys().collect(),
            manifests: ids(store, ObjectKind::Manifest)?.into_keys().collect(),
            segments: ids(store, ObjectKind::IndexSegment)?,
            packs: packs(store)?,
        })
    }
}

/// The hash-named objects of a kind with their sizes; foreign names are left alone.
///
/// # Errors
/// `Store`.
pub fn ids(store: &Store, kind: ObjectKind) -> Result<BTreeMap<ObjectId, u64>> {
    let folder = kind.folder();
    let listed = store.list(folder)?;
    let id_of = |path: &str| path.strip_prefix(folder)?.strip_prefix('/').and_then(|name| ObjectId::from_hex(name).ok());
    Ok(listed.iter().filter_map(|object| Some((id_of(&object.path)?, object.size))).collect())
}

fn packs(store: &Store) -> Result<BTreeMap<PackName, u64>> {
    Ok(store.list(PACKS)?.iter().filter_map(|object| Some((PackName::from_path(&object.path)?, object.size))).collect())
}

/// The fenced sessions.
///
/// # Errors
/// `Store`.
pub fn fences(store: &Store) -> Result<BTreeSet<SessionId>> {
    let name = |path: &str| path.strip_prefix(FENCES)?.strip_prefix('/').and_then(|name| SessionId::from_hex(name).ok());
    Ok(store.list(FENCES)?.iter().filter_map(|object| name(&object.path)).collect())
}

/// Every session with the records that stand in its folder.
///
/// # Errors
/// `Store`.
pub fn sessions(store: &Store) -> Result<BTreeMap<SessionId, BTreeSet<SessionRecord>>> {
    let mut sessions: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (session, record) in store.list(SESSIONS)?.iter().filter_map(|object| session_from_path(&object.path)) {
        sessions.entry(session).or_default().insert(record);
    }
    Ok(sessions)
}

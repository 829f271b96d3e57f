//! A copy of this very repository: objects are brought back from it as they were, byte for byte.

use std::collections::BTreeSet;

use esker_format::ObjectId;
use esker_format::layout::{CONFIG, CONFIG_COPY, ObjectKind, PackName, SESSIONS, SessionRecord, session_from_path};
use esker_format::limits::PACK_MAX;
use esker_format::session::{SessionBeat, SessionEnd, SessionOpen};
use esker_repo::listing::Listing;
use esker_repo::{Repository, Store};

use super::report::RepairReport;
use crate::error::Result;
use crate::fsck::Found;
use crate::job::Job;

/// Brings back every damaged or missing object that the copy has whole; whether there was any. An object's name is the hash
/// of its bytes, or its place is sealed in, so nothing but the very object can come back.
///
/// # Errors
/// `Store`, `Cancelled`.
pub(super) fn bring_back(repository: &Repository, from: &Repository, found: &Found, job: &Job, report: &mut RepairReport) -> Result<bool> {
    let before = report.objects.len();
    let packs = Listing::read(from.store())?.packs;
    let mut paths = BTreeSet::new();
    for object in &found.objects {
        // Of a pack that no segment names its id is known only.
        let pack = object.strip_prefix("packs/.../").and_then(|id| ObjectId::from_hex(id).ok());
        match pack {
            Some(id) => paths.extend(packs.keys().find(|name| name.id == id).map(PackName::path)),
            None => drop(paths.insert(object.clone())),
        }
    }
    paths.extend(found.damaged_packs.iter().map(PackName::path));
    for path in paths {
        job.cancel.check()?;
        // What did not stay the last time would not stay this time.
        if report.objects.contains(&path) {
            continue;
        }
        let Some(id) = hash_in(&path) else {
            bring_back_record(repository, from, &path, report)?;
            continue;
        };
        if read(repository.store(), &path)?.is_some_and(|bytes| ObjectId::of(&bytes) == id) {
            continue;
        }
        if let Some(bytes) = read(from.store(), &path)?.filter(|bytes| ObjectId::of(bytes) == id) {
            repository.store().put(&path, bytes)?;
            report.objects.push(path);
        }
    }
    Ok(report.objects.len() > before)
}

/// The hash that an object is named by; `None` for what is no object, or not named by its hash.
fn hash_in(path: &str) -> Option<ObjectId> {
    let (folder, name) = path.rsplit_once('/')?;
    let is_placed = folder.starts_with(SESSIONS) || path == CONFIG || path == CONFIG_COPY || path.contains(' ');
    if is_placed { None } else { ObjectId::from_hex(name).ok() }
}

/// A record of a session, whose place is sealed in.
fn bring_back_record(repository: &Repository, from: &Repository, path: &str, report: &mut RepairReport) -> Result<()> {
    let Some((_, record)) = session_from_path(path) else { return Ok(()) };
    let is_whole = |repository: &Repository| -> Result<bool> {
        let read = match record {
            SessionRecord::Open => repository.read_placed::<SessionOpen>(ObjectKind::SessionOpen, path).map(drop),
            SessionRecord::Beat(_) => repository.read_placed::<SessionBeat>(ObjectKind::SessionBeat, path).map(drop),
            SessionRecord::End => repository.read_placed::<SessionEnd>(ObjectKind::SessionEnd, path).map(drop),
        };
        match read {
            Ok(()) => Ok(true),
            Err(error) if error.is_damage() => Ok(false),
            Err(error) => Err(error.into()),
        }
    };
    if !is_whole(repository)?
        && is_whole(from)?
        && let Some(bytes) = read(from.store(), path)?
    {
        repository.store().put(path, bytes)?;
        report.objects.push(path.to_owned());
    }
    Ok(())
}

fn read(store: &Store, path: &str) -> Result<Option<Vec<u8>>> {
    match store.get(path, PACK_MAX) {
        Ok(bytes) => Ok(Some(bytes.to_vec())),
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

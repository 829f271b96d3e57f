//! Index segments and the config: what is only a second copy is written again from the first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use esker_format::ObjectId;
use esker_format::config::Config;
use esker_format::index_segment::{IndexSegment, IndexedPack};
use esker_format::layout::{CONFIG, CONFIG_COPY, ObjectKind, PackName, object_path};
use esker_format::limits::SMALL_OBJECT_MAX;
use esker_repo::listing::Listing;
use esker_repo::manifests::Backup;
use esker_repo::session::Session;
use esker_repo::{RepoError, Repository};

use super::report::RepairReport;
use crate::error::Result;
use crate::fsck::Found;

/// Frames after which another segment is begun.
const SEGMENT_FRAMES: usize = 16_384;

/// Writes `config` or its copy again from the other. Which one is right was proven when the repository was opened.
///
/// # Errors
/// `Store`.
pub(super) fn mend_config(repository: &Repository, report: &mut RepairReport) -> Result<()> {
    let mut good = None;
    let mut bad = Vec::new();
    for path in [CONFIG, CONFIG_COPY] {
        let read = repository.store().get(path, SMALL_OBJECT_MAX as u64);
        match read.and_then(|bytes| Config::decode(&bytes).map(|config| (bytes, config)).map_err(RepoError::object(path))) {
            Ok((bytes, config)) if config == *repository.config() => good = Some(bytes),
            // Both are readable and differ: which one was swapped is for people to find out.
            Ok(_) => return Ok(()),
            Err(error) if error.is_damage() && !error.is_too_new() => bad.push(path),
            Err(RepoError::Store { .. }) if repository.store().size(path)?.is_some_and(|size| size > SMALL_OBJECT_MAX as u64) => {
                bad.push(path);
            }
            Err(error) if error.is_damage() => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    if let (Some(bytes), [path]) = (good, bad.as_slice()) {
        repository.store().put(path, bytes)?;
        report.config = Some(path);
    }
    Ok(())
}

/// What there is of segments.
struct Segments {
    /// Those that cannot be read.
    damaged: BTreeSet<ObjectId>,
    /// Those that a backup's writer wrote and that are gone.
    missing: BTreeSet<ObjectId>,
}

/// Writes segments for packs that none names any more, in the place of the lost ones; removes damaged ones that are then
/// needed by nobody.
///
/// # Errors
/// `Store`, `Cache`.
pub(super) fn mend_segments(repository: &Arc<Repository>, backups: &[Backup], found: &Found, report: &mut RepairReport) -> Result<()> {
    let listing = Listing::read(repository.store())?;
    let segments = look(repository, &listing, backups)?;
    let unnamed = unnamed_packs(repository, &listing, backups, found, !segments.damaged.is_empty())?;
    let is_lost = !segments.damaged.is_empty() || !unnamed.is_empty();
    if !is_lost {
        return Ok(());
    }
    let lost: BTreeSet<ObjectId> = segments.damaged.union(&segments.missing).copied().collect();
    let packs = packs_of(repository, &listing, backups, &lost, unnamed);
    let session = Session::begin(repository, "repair")?;
    let written = write(repository, packs, &lost, report);
    session.end(None)?;
    written?;
    remove_damaged(repository, &segments.damaged, report)
}

fn look(repository: &Repository, listing: &Listing, backups: &[Backup]) -> Result<Segments> {
    let (mut damaged, mut replaced) = (BTreeSet::new(), BTreeSet::new());
    for id in listing.segments.keys() {
        match repository.read_object::<IndexSegment>(ObjectKind::IndexSegment, id) {
            Ok(segment) => replaced.extend(segment.replaces),
            Err(RepoError::Missing { .. }) => {}
            Err(error) if error.is_damage() && !error.is_too_new() => drop(damaged.insert(*id)),
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let forgotten = match repository.forgotten() {
        Ok(forgotten) => forgotten,
        Err(error) if error.is_damage() => BTreeMap::new(),
        Err(error) => return Err(error.into()),
    };
    let named = backups.iter().flat_map(|backup| backup.manifest.segments.iter().copied());
    let missing = named.filter(|id| !listing.segments.contains_key(id) && !replaced.contains(id) && !forgotten.contains_key(id)).collect();
    Ok(Segments { damaged, missing })
}

/// Packs that no segment names and that a backup wrote or needs, or that may hold what a backup needs and nothing else holds.
fn unnamed_packs(
    repository: &Repository,
    listing: &Listing,
    backups: &[Backup],
    found: &Found,
    has_damaged: bool,
) -> Result<Vec<IndexedPack>> {
    let synced = repository.sync_index(listing, &BTreeSet::new())?;
    let written: BTreeSet<ObjectId> = backups.iter().flat_map(|backup| backup.manifest.packs.iter().copied()).collect();
    // Packs of a backup's session that are gone may stand under another name, and a damaged segment may have named any.
    let is_whole = !has_damaged && written.iter().all(|id| listing.packs.keys().any(|name| name.id == *id));
    let mut unnamed = Vec::new();
    for pack in synced.orphans {
        let mut is_only = false;
        for frame in pack.table.frames().filter(|_| !is_whole) {
            let places = synced.index.locate_readable(&frame.entry.stands_for())?;
            is_only |= places.iter().all(|place| synced.index.is_orphan(place.pack));
        }
        if written.contains(&pack.name.id) || found.objects.contains(&pack.name.path()) || is_only {
            unnamed.push(pack);
        }
    }
    Ok(unnamed)
}

/// All packs that the lost segments named, as far as that is known.
fn packs_of(
    repository: &Repository,
    listing: &Listing,
    backups: &[Backup],
    lost: &BTreeSet<ObjectId>,
    unnamed: Vec<IndexedPack>,
) -> Vec<IndexedPack> {
    let of_lost = backups.iter().filter(|backup| backup.manifest.segments.iter().any(|id| lost.contains(id)));
    let wanted: BTreeSet<ObjectId> = of_lost.flat_map(|backup| backup.manifest.packs.iter().copied()).collect();
    let mut packs: BTreeMap<PackName, IndexedPack> = unnamed.into_iter().map(|pack| (pack.name, pack)).collect();
    for (name, size) in listing.packs.iter().filter(|(name, _)| wanted.contains(&name.id)) {
        // One whose own table cannot be read is a damage of its own.
        if !packs.contains_key(name)
            && let Ok(table) = repository.read_frame_table(name, *size)
        {
            packs.insert(*name, IndexedPack { name: *name, table });
        }
    }
    packs.into_values().collect()
}

fn write(repository: &Repository, packs: Vec<IndexedPack>, lost: &BTreeSet<ObjectId>, report: &mut RepairReport) -> Result<()> {
    let mut segment = IndexSegment::default();
    let mut frames = 0;
    report.indexed_packs = packs.len() as u64;
    for pack in packs {
        if frames >= SEGMENT_FRAMES {
            repository.write_object(ObjectKind::IndexSegment, &std::mem::take(&mut segment))?;
            frames = 0;
        }
        frames += pack.table.frames.len();
        segment.packs.push(pack);
    }
    // Only when all others stand do they stand for the lost ones.
    segment.replaces = lost.iter().copied().collect();
    repository.write_object(ObjectKind::IndexSegment, &segment)?;
    Ok(())
}

/// A segment that nobody can read is of use to nobody once every pack is named without it.
fn remove_damaged(repository: &Repository, damaged: &BTreeSet<ObjectId>, report: &mut RepairReport) -> Result<()> {
    let listing = Listing::read(repository.store())?;
    let synced = repository.sync_index(&listing, &BTreeSet::new())?;
    let named: BTreeSet<ObjectId> = synced.index.packs()?.iter().map(|pack| pack.name.id).collect();
    let all_named = listing.packs.keys().all(|name| named.contains(&name.id));
    for id in damaged {
        let path = object_path(ObjectKind::IndexSegment, id);
        if !all_named {
            report.note(format!("{path} stays: a pack whose own table is damaged may be named there and nowhere else"));
            continue;
        }
        // A fault on the way may have passed; then it is not damaged.
        if repository.read_object::<IndexSegment>(ObjectKind::IndexSegment, id).is_ok() {
            continue;
        }
        match repository.store().delete(&path) {
            Ok(()) => report.removed_segments += 1,
            Err(error) => report.note(format!("{path} is damaged and needed by nobody, and could not be removed: {error}")),
        }
    }
    Ok(())
}

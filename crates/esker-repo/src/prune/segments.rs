//! Index segments without the packs that go.
//!
//! Who merges keeps every pair of chunk and place but those of packs that go or are gone. New segments are written before
//! the old ones are deleted, and only segments that were read here are.

use std::collections::{BTreeMap, BTreeSet};

use esker_format::ObjectId;
use esker_format::formats;
use esker_format::index_segment::{IndexSegment, IndexedPack};
use esker_format::layout::{ObjectKind, PackName};

use crate::error::Result;
use crate::listing::Listing;
use crate::repository::Repository;
use crate::writer::SEGMENT_FRAMES;

/// What to write and what to delete then.
#[derive(Debug, Default)]
pub(super) struct Rewritten {
    /// Segments written.
    pub(super) written: u64,
    /// Their bytes.
    pub(super) written_bytes: u64,
    /// Segments whose packs are all named by others now, or go.
    pub(super) stale: Vec<(ObjectId, u64)>,
}

struct Rewriter<'a> {
    repository: &'a Repository,
    /// Segments that backups say they wrote: only of those it must be told what became of them.
    told: &'a BTreeSet<ObjectId>,
    pending: IndexSegment,
    /// Packs that `pending` names.
    named: BTreeSet<PackName>,
    frames: usize,
    outcome: Rewritten,
}

/// Writes segments that name what those of the listing name, without packs that go or are not listed.
///
/// # Errors
/// `Store`; `Object` for a segment of a newer format.
pub(super) fn rewrite(repository: &Repository, listing: &Listing, go: &BTreeSet<ObjectId>, told: &BTreeSet<ObjectId>) -> Result<Rewritten> {
    let mut rewriter =
        Rewriter { repository, told, pending: IndexSegment::default(), named: BTreeSet::new(), frames: 0, outcome: Rewritten::default() };
    let stays = |name: &PackName| listing.packs.contains_key(name) && !go.contains(&name.id);
    // How often each pack is named. A reader passes over what is replaced, so whatever replaces a segment must name all of
    // it that stays: two segments that overlap are put together, neither is dropped because of the other.
    let mut named: BTreeMap<PackName, usize> = BTreeMap::new();
    for id in listing.segments.keys() {
        for pack in read(repository, id)?.into_iter().flat_map(|segment| segment.packs) {
            *named.entry(pack.name).or_default() += 1;
        }
    }
    for (id, size) in &listing.segments {
        let Some(segment) = read(repository, id)? else { continue };
        let is_newer = |pack: &IndexedPack| pack.table.format > formats::newest(pack.name.kind.object_kind());
        let is_good = segment.packs.iter().all(|pack| stays(&pack.name) && named.get(&pack.name) == Some(&1));
        if (is_good && !segment.packs.is_empty()) || segment.packs.iter().any(is_newer) {
            continue;
        }
        rewriter.outcome.stale.push((*id, *size));
        rewriter.take(*id, segment, stays)?;
    }
    rewriter.flush()?;
    Ok(rewriter.outcome)
}

/// A segment; none if another prune has replaced it or it is damaged: what cannot be read is not deleted.
fn read(repository: &Repository, id: &ObjectId) -> Result<Option<IndexSegment>> {
    match repository.read_object::<IndexSegment>(ObjectKind::IndexSegment, id) {
        Ok(segment) => Ok(Some(segment)),
        Err(error) if error.is_damage() && !error.is_too_new() => Ok(None),
        Err(error) => Err(error),
    }
}

impl Rewriter<'_> {
    fn take(&mut self, id: ObjectId, segment: IndexSegment, stays: impl Fn(&PackName) -> bool) -> Result<()> {
        let replaced = segment.replaces.into_iter().chain([id]).filter(|id| self.told.contains(id));
        self.pending.replaces.extend(replaced);
        for pack in segment.packs.into_iter().filter(|pack| stays(&pack.name)) {
            if self.named.insert(pack.name) {
                self.frames += pack.table.frames.len();
                self.pending.packs.push(pack);
            }
        }
        if self.frames >= SEGMENT_FRAMES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let segment = std::mem::take(&mut self.pending);
        self.frames = 0;
        self.named.clear();
        if segment.packs.is_empty() && segment.replaces.is_empty() {
            return Ok(());
        }
        let (_, size) = self.repository.write_object(ObjectKind::IndexSegment, &segment)?;
        self.outcome.written += 1;
        self.outcome.written_bytes += size;
        Ok(())
    }
}

impl Rewritten {
    /// Deletes the segments that are not needed any more. Gives the packs that stay because a segment that names them cannot
    /// be deleted yet: it would name what is lost.
    ///
    /// # Errors
    /// `Store`.
    pub(super) fn delete_stale(&self, repository: &Repository, refused: &mut Vec<(String, String)>) -> Result<BTreeSet<PackName>> {
        let mut stay = BTreeSet::new();
        for (id, _) in &self.stale {
            let path = esker_format::layout::object_path(ObjectKind::IndexSegment, id);
            if let Some(why) = repository.store.delete_unless_locked(&path)? {
                refused.push((path, why));
                stay.extend(read(repository, id)?.into_iter().flat_map(|segment| segment.packs).map(|pack| pack.name));
            }
        }
        Ok(stay)
    }
}

/// Writes the segment of packs that this prune made.
///
/// # Errors
/// `Store`.
pub(super) fn publish(repository: &Repository, packs: Vec<IndexedPack>) -> Result<()> {
    let mut segment = IndexSegment::default();
    let mut frames = 0;
    let mut left = packs.into_iter().peekable();
    while let Some(pack) = left.next() {
        frames += pack.table.frames.len();
        segment.packs.push(pack);
        if frames >= SEGMENT_FRAMES || left.peek().is_none() {
            repository.write_object(ObjectKind::IndexSegment, &std::mem::take(&mut segment))?;
            frames = 0;
        }
    }
    Ok(())
}

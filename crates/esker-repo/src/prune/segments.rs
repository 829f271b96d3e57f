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
    /// What the next segment names,
    pending: Vec<IndexedPack>,
    named: BTreeSet<PackName>,
    /// what of it backups must be told,
    replaces: BTreeSet<ObjectId>,
    /// and the segments that it is written for: another prune that sees both must delete those, not this one.
    rewritten: BTreeSet<ObjectId>,
    frames: usize,
    outcome: Rewritten,
}

/// What a segment says, without its frames.
struct Outline {
    id: ObjectId,
    size: u64,
    /// Of what it stands for and itself, what backups say they wrote.
    told: BTreeSet<ObjectId>,
    replaces: BTreeSet<ObjectId>,
    /// Its packs that stay.
    packs: BTreeSet<PackName>,
    /// Whether all of them do.
    is_whole: bool,
}

/// What becomes of a segment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    /// All that it names is named by one that stays, or is written.
    Goes,
    /// It is written again without the packs that go.
    IsWritten,
}

/// Writes segments that name what those of the listing name, without packs that go or are not listed.
///
/// # Errors
/// `Store`; `Object` for a segment of a newer format.
pub(super) fn rewrite(repository: &Repository, listing: &Listing, go: &BTreeSet<ObjectId>, told: &BTreeSet<ObjectId>) -> Result<Rewritten> {
    let stays = |name: &PackName| listing.packs.contains_key(name) && !go.contains(&name.id);
    let mut outlines = Vec::new();
    for (id, size) in &listing.segments {
        let Some(segment) = read(repository, id)? else { continue };
        if segment.packs.iter().any(|pack| pack.table.format > formats::newest(pack.name.kind.object_kind())) {
            continue;
        }
        let replaces: BTreeSet<ObjectId> = segment.replaces.iter().copied().collect();
        let told = replaces.iter().chain([id]).filter(|id| told.contains(id)).copied().collect();
        let packs: BTreeSet<PackName> = segment.packs.iter().map(|pack| pack.name).filter(stays).collect();
        let is_whole = packs.len() == segment.packs.len();
        outlines.push(Outline { id: *id, size: *size, told, replaces, packs, is_whole });
    }
    // What another one replaces comes last and does not stay in its place: the prune that wrote that one deletes it.
    let replaced: BTreeSet<ObjectId> = outlines.iter().flat_map(|outline| outline.replaces.iter().copied()).collect();
    outlines.sort_by_key(|outline| (replaced.contains(&outline.id), std::cmp::Reverse(outline.size), outline.id));
    let fates = fates(&outlines);
    let mut rewriter = Rewriter {
        repository,
        told,
        pending: Vec::new(),
        named: BTreeSet::new(),
        replaces: BTreeSet::new(),
        rewritten: BTreeSet::new(),
        frames: 0,
        outcome: Rewritten::default(),
    };
    for (outline, _) in outlines.iter().zip(&fates).filter(|(_, fate)| **fate != Fate::Stays) {
        rewriter.outcome.stale.push((outline.id, outline.size));
    }
    let written = outlines.iter().zip(&fates).filter(|(_, fate)| **fate == Fate::IsWritten).map(|(outline, _)| outline);
    for group in groups(written.collect()) {
        for outline in group {
            // One that another prune replaced since is not deleted here without being read.
            match read(repository, &outline.id)? {
                Some(segment) => rewriter.take(outline.id, segment, stays),
                None => rewriter.outcome.stale.retain(|(id, _)| *id != outline.id),
            }
        }
        rewriter.flush_if_full()?;
    }
    rewriter.flush()?;
    Ok(rewriter.outcome)
}

/// Decides, the largest first and what others replace last: one of which all packs stay, none of them named by a larger
/// one, stays. A smaller one goes if nobody need be told where its packs are named, or the one that names them tells. All
/// others are written again, with those they overlap: whatever replaces a segment must name all of it that stays, so that a
/// reader may pass it over.
fn fates(outlines: &[Outline]) -> Vec<Fate> {
    let mut fates = vec![Fate::IsWritten; outlines.len()];
    let mut owners: BTreeMap<PackName, usize> = BTreeMap::new();
    for (number, outline) in outlines.iter().enumerate() {
        let named_by: BTreeSet<Option<usize>> = outline.packs.iter().map(|pack| owners.get(pack).copied()).collect();
        let is_free = named_by.iter().all(Option::is_none);
        if is_free && outline.is_whole && !outline.packs.is_empty() {
            owners.extend(outline.packs.iter().map(|pack| (*pack, number)));
        }
        let fate = match Vec::from_iter(named_by).as_slice() {
            _ if is_free && outline.is_whole && !outline.packs.is_empty() => Fate::Stays,
            // What it named is gone; backups that wrote it are told so by a segment that replaces it.
            [] if outline.told.is_empty() => Fate::Goes,
            [Some(owner)] if outlines.get(*owner).is_some_and(|owner| outline.told.is_subset(&owner.replaces)) => Fate::Goes,
            named_by if !named_by.is_empty() && !named_by.contains(&None) && outline.told.is_empty() => Fate::Goes,
            _ => Fate::IsWritten,
        };
        if let Some(slot) = fates.get_mut(number) {
            *slot = fate;
        }
    }
    // What is written must not overlap with what stays.
    loop {
        let is_written = |number: usize| fates.get(number) == Some(&Fate::IsWritten);
        let written: BTreeSet<PackName> = outlines
            .iter()
            .enumerate()
            .filter(|(number, _)| is_written(*number))
            .flat_map(|(_, outline)| outline.packs.iter().copied())
            .collect();
        let overlaps: BTreeSet<usize> =
            written.iter().filter_map(|pack| owners.get(pack).copied()).filter(|owner| !is_written(*owner)).collect();
        if overlaps.is_empty() {
            return fates;
        }
        for owner in overlaps {
            if let Some(slot) = fates.get_mut(owner) {
                *slot = Fate::IsWritten;
            }
        }
        // Those that went because of one that is written now are told of by what is written for it.
    }
}

/// Segments that share packs, directly or through others, together.
fn groups(outlines: Vec<&Outline>) -> Vec<Vec<&Outline>> {
    let mut groups: Vec<(BTreeSet<PackName>, Vec<&Outline>)> = Vec::new();
    for outline in outlines {
        let (shared, apart): (Vec<_>, Vec<_>) = groups.into_iter().partition(|(packs, _)| !packs.is_disjoint(&outline.packs));
        let mut group = (outline.packs.clone(), vec![outline]);
        for (packs, others) in shared {
            group.0.extend(packs);
            group.1.extend(others);
        }
        groups = apart;
        groups.push(group);
    }
    groups.into_iter().map(|(_, outlines)| outlines).collect()
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
    fn take(&mut self, id: ObjectId, segment: IndexSegment, stays: impl Fn(&PackName) -> bool) {
        let replaced = segment.replaces.into_iter().chain([id]).filter(|id| self.told.contains(id));
        self.replaces.extend(replaced);
        self.rewritten.insert(id);
        for pack in segment.packs.into_iter().filter(|pack| stays(&pack.name)) {
            if self.named.insert(pack.name) {
                self.frames += pack.table.frames.len();
                self.pending.push(pack);
            }
        }
    }

    fn flush_if_full(&mut self) -> Result<()> {
        if self.frames >= SEGMENT_FRAMES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let (packs, mut replaces) = (std::mem::take(&mut self.pending), std::mem::take(&mut self.replaces));
        let rewritten = std::mem::take(&mut self.rewritten);
        self.frames = 0;
        self.named.clear();
        if !packs.is_empty() {
            replaces.extend(rewritten);
        }
        if packs.is_empty() && replaces.is_empty() {
            return Ok(());
        }
        let segment = IndexSegment { replaces: replaces.into_iter().collect(), packs };
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

//! Index segments in levels: each session leaves small ones, and a client without a cache asks for every one of them. So a
//! writer that begins puts several of about a size together into a larger one that says which it replaces.
//!
//! Nothing is deleted and no pair of chunk and place is left out: that is for prune (docs/concurrency.md). A reader that
//! knows the larger one need not read those it replaces; one that reads them all the same learns nothing new.

use std::collections::{BTreeMap, BTreeSet};

use esker_format::ObjectId;
use esker_format::formats;
use esker_format::index_segment::{IndexSegment, IndexedPack};
use esker_format::layout::ObjectKind;

use crate::error::{RepoError, Result};
use crate::listing::Listing;
use crate::repository::Repository;

/// Segments of one level that are merged, at least; a level spans sizes of as many times.
const FAN_IN: usize = 8;
/// Segments that are merged at once, at most: each costs a request.
const MERGED_MAX: usize = 64;
/// Bytes up to which segments are of the lowest level.
const LEVEL_BYTES_MIN: u64 = 8 << 10;
/// Bytes of all that is merged into one, at most: what a reader decodes at a time.
const MERGED_BYTES_MAX: u64 = 8 << 20;

/// The segments to be merged into one, for each level that has enough of them. `replaced` are those that a segment of the
/// listing stands for already.
fn choose(segments: &BTreeMap<ObjectId, u64>, replaced: &BTreeSet<ObjectId>) -> Vec<Vec<ObjectId>> {
    let mut levels: BTreeMap<u32, Vec<(u64, ObjectId)>> = BTreeMap::new();
    for (id, size) in segments.iter().filter(|(id, size)| !replaced.contains(id) && **size < MERGED_BYTES_MAX / 2) {
        levels.entry(level_of(*size)).or_default().push((*size, *id));
    }
    let mut chosen = Vec::new();
    for mut level in levels.into_values().filter(|level| level.len() >= FAN_IN) {
        level.sort_unstable();
        let mut sum = 0;
        let fits = level.iter().take(MERGED_MAX).take_while(|(size, _)| {
            sum += size;
            sum <= MERGED_BYTES_MAX
        });
        let ids: Vec<ObjectId> = fits.map(|(_, id)| *id).collect();
        if ids.len() > 1 {
            chosen.push(ids);
        }
    }
    chosen
}

fn level_of(size: u64) -> u32 {
    (size / LEVEL_BYTES_MIN).checked_ilog(FAN_IN as u64).map_or(0, |log| log + 1)
}

impl Repository {
    /// The segments that stand for several of the listing; whoever holds a session writes them.
    ///
    /// # Errors
    /// `Store`. A segment that cannot be read is left out.
    pub(crate) fn merge_segments(&self, listing: &Listing, replaced: &BTreeSet<ObjectId>) -> Result<Vec<IndexSegment>> {
        // What a prune may be about to delete is named no more often than it is.
        if !listing.doomed.is_empty() {
            return Ok(Vec::new());
        }
        let mut merged = Vec::new();
        for ids in choose(&listing.segments, replaced) {
            let segment = self.merge(listing, &ids)?;
            if segment.replaces.len() > 1 {
                merged.push(segment);
            }
        }
        Ok(merged)
    }

    fn merge(&self, listing: &Listing, ids: &[ObjectId]) -> Result<IndexSegment> {
        let (mut merged, mut replaces) = (IndexSegment::default(), BTreeSet::new());
        for (id, read) in self.read_objects::<IndexSegment>(ObjectKind::IndexSegment, ids.iter().copied()) {
            let segment = match read {
                Ok(segment) => segment,
                Err(error @ RepoError::Store { .. }) => return Err(error),
                Err(_) => continue,
            };
            let is_newer = |pack: &IndexedPack| pack.table.format > formats::newest(pack.name.kind.object_kind());
            if segment.packs.iter().any(is_newer) {
                continue;
            }
            replaces.insert(id);
            replaces.extend(segment.replaces.into_iter().filter(|id| listing.segments.contains_key(id)));
            for pack in segment.packs {
                // Where two segments disagree about a pack, both are kept: its own table decides.
                if !merged.packs.contains(&pack) {
                    merged.packs.push(pack);
                }
            }
        }
        merged.replaces = replaces.into_iter().collect();
        Ok(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(sizes: &[u64]) -> BTreeMap<ObjectId, u64> {
        (0u64..).zip(sizes).map(|(number, size)| (ObjectId::of(&number.to_le_bytes()), *size)).collect()
    }

    #[test]
    fn a_level_is_merged_once_it_has_enough_segments() {
        let none = BTreeSet::new();
        assert!(choose(&segments(&[4000; 7]), &none).is_empty());
        assert_eq!(choose(&segments(&[4000; 8]), &none).iter().map(Vec::len).collect::<Vec<_>>(), [8]);
        assert!(choose(&segments(&[4000, 4000, 4000, 4000, 100_000, 100_000, 100_000, 100_000]), &none).is_empty());
        let two_levels = [[4000; 9], [100_000; 9]].concat();
        assert_eq!(choose(&segments(&two_levels), &none).iter().map(Vec::len).collect::<Vec<_>>(), [9, 9]);
        let replaced = segments(&[4000; 2]).into_keys().collect();
        assert!(choose(&segments(&[4000; 9]), &replaced).is_empty(), "what is replaced is not merged again");
    }

    #[test]
    fn what_is_merged_stays_within_bounds() {
        let none = BTreeSet::new();
        assert_eq!(choose(&segments(&[100; 1000]), &none)[0].len(), MERGED_MAX);
        assert_eq!(choose(&segments(&[3 << 20; 9]), &none)[0].len(), 2);
        assert!(choose(&segments(&[5 << 20; 100]), &none).is_empty(), "large segments stay as they are");
    }

    #[test]
    fn segments_merged_night_after_night_stay_few_and_are_rewritten_a_few_times_each() {
        let (mut live, mut written, nights) = (BTreeMap::new(), 0, 2000u64);
        for night in 0..nights {
            live.insert(ObjectId::of(&night.to_le_bytes()), 5000);
            for ids in choose(&live, &BTreeSet::new()) {
                let sum: u64 = ids.iter().filter_map(|id| live.remove(id)).sum();
                written += sum;
                live.insert(ObjectId::of(&[night.to_le_bytes(), sum.to_le_bytes()].concat()), sum);
            }
        }
        assert!(live.len() < 40, "{} segments", live.len());
        assert!(written < 5 * nights * 5000, "{written} bytes written for {}", nights * 5000);
    }
}

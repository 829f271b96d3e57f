//! Chunks beside those that were looked up lately. Who reads a file asks for chunks that were written one after another, and
//! so stand beside each other in packs: after two look-ups in one group of frames the whole group is kept in memory, and the
//! next chunks cost no look-up, however large the database is.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{PoisonError, RwLock};

use esker_format::ChunkId;
use esker_format::pack::Frame;
use esker_format::seal::ChunkKind;

use super::Location;
use super::rows::GROUP_FRAMES;

/// Frames kept in memory, at most: some megabytes.
const FRAMES_MAX: usize = 32 << 10;
/// Groups in which a chunk was looked up lately, at most.
const LATELY_MAX: usize = 64;
/// Chunks that stand at several places, at most; with more of them none is kept. There are hardly any.
pub(super) const SEVERAL_MAX: usize = 64 << 10;

/// A group of frames: a pack's number, and which of its groups.
pub(super) type Group = (u32, u32);

/// What is kept.
pub(super) struct Nearby {
    /// Chunks that are never kept; `None` if there are too many to know them.
    several: Option<HashSet<ChunkId>>,
    kept: RwLock<Kept>,
}

#[derive(Default)]
struct Kept {
    /// What was kept since `old` was full,
    new: Half,
    /// and what goes, all of it at once, when `new` is.
    old: Half,
    /// Groups in which one chunk was looked up, oldest first.
    lately: VecDeque<Group>,
}

#[derive(Default)]
struct Half {
    places: HashMap<ChunkId, Location>,
    groups: HashSet<Group>,
}

impl Nearby {
    /// Keeps nothing yet. `several` are chunks that stand at several places.
    pub(super) fn new(several: Option<HashSet<ChunkId>>) -> Self {
        Self { several, kept: RwLock::default() }
    }

    /// The one place of a chunk, if it is kept.
    pub(super) fn place(&self, chunk: &ChunkId) -> Option<Location> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.new.places.get(chunk).or_else(|| kept.old.places.get(chunk)).copied()
    }

    /// A chunk was looked up and found here; gives the group that should be kept now.
    pub(super) fn looked_up(&self, place: &Location) -> Option<Group> {
        self.several.as_ref()?;
        let group = (place.pack, place.frame.number / GROUP_FRAMES);
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.lately.contains(&group) {
            return (!kept.new.groups.contains(&group) && !kept.old.groups.contains(&group)).then_some(group);
        }
        kept.lately.push_back(group);
        if kept.lately.len() > LATELY_MAX {
            kept.lately.pop_front();
        }
        None
    }

    /// Keeps a group, in the place of older ones.
    pub(super) fn keep(&self, group: Group, frames: &[Frame]) {
        let Some(several) = &self.several else { return };
        let kept = &mut *self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.new.places.len() + frames.len() > FRAMES_MAX / 2 {
            std::mem::swap(&mut kept.new, &mut kept.old);
            kept.new.places.clear();
            kept.new.groups.clear();
        }
        // A sparse form stands in the row of its run, never alone.
        let whole = frames.iter().filter(|frame| frame.entry.kind != ChunkKind::SparseRun);
        let only_here = whole.filter(|frame| several.is_empty() || !several.contains(&frame.entry.chunk));
        kept.new.places.extend(only_here.map(|frame| (frame.entry.chunk, Location { pack: group.0, frame: *frame })));
        kept.new.groups.insert(group);
    }
}

#[cfg(test)]
mod tests {
    use esker_format::pack::{Codec, FrameEntry};

    use super::*;

    fn chunk(pack: u32, number: u32) -> ChunkId {
        ChunkId(*blake3::hash(&[pack.to_le_bytes(), number.to_le_bytes()].concat()).as_bytes())
    }

    fn place(pack: u32, number: u32) -> Location {
        let entry =
            FrameEntry { chunk: chunk(pack, number), kind: ChunkKind::Bytes, codec: Codec::Raw, stored_len: 1, plain_len: 1, form: None };
        Location { pack, frame: Frame { entry, number, offset: number, last: false } }
    }

    fn group(pack: u32, group: u32) -> Vec<Frame> {
        (0..GROUP_FRAMES).map(|number| place(pack, group * GROUP_FRAMES + number).frame).collect()
    }

    #[test]
    fn a_second_look_up_in_a_group_has_it_kept_and_a_lone_one_has_not() {
        let nearby = Nearby::new(Some(HashSet::from([chunk(3, 70)])));
        assert_eq!(nearby.looked_up(&place(3, 64)), None);
        assert_eq!(nearby.looked_up(&place(3, 0)), None, "another group");
        assert_eq!(nearby.looked_up(&place(3, 65)), Some((3, 1)));
        nearby.keep((3, 1), &group(3, 1));
        assert_eq!(nearby.place(&chunk(3, 127)), Some(place(3, 127)));
        assert_eq!(nearby.place(&chunk(3, 128)), None);
        assert_eq!(nearby.place(&chunk(3, 70)), None, "it stands elsewhere too");
        assert_eq!(nearby.looked_up(&place(3, 70)), None, "the group is kept already");
        assert_eq!(Nearby::new(None).looked_up(&place(3, 65)), None);
    }

    #[test]
    fn what_is_kept_stays_within_bounds() {
        let nearby = Nearby::new(Some(HashSet::new()));
        (0..2000).for_each(|pack| nearby.keep((pack, 0), &group(pack, 0)));
        let kept = nearby.kept.read().unwrap();
        let frames = kept.new.places.len() + kept.old.places.len();
        assert!((FRAMES_MAX / 2..=FRAMES_MAX).contains(&frames), "{frames}");
        drop(kept);
        assert_eq!(nearby.place(&chunk(0, 0)), None);
        assert_eq!(nearby.place(&chunk(1999, 5)), Some(place(1999, 5)));
    }
}

//! What is needed of each pack: a bit for each frame, so that ten million chunks take a few megabytes.

use std::collections::{BTreeSet, HashMap};

use esker_format::ObjectId;
use esker_format::layout::PackName;

use crate::error::Result;
use crate::index::{Index, Location, PackEntry};

/// What a pack is to this prune.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// Listed, and in no doomed list.
    Free,
    /// In this prune's list alone.
    Own,
    /// In another prune's list.
    Others,
    /// Not listed, or not of the length that the index knows.
    Absent,
}

/// One pack.
#[derive(Debug)]
pub(super) struct PackMarks {
    pub(super) entry: PackEntry,
    pub(super) standing: Standing,
    /// Frames whose chunks were visited.
    seen: Vec<u64>,
    /// Frames that are kept for a backup: each needed chunk has one such home.
    homes: Vec<u64>,
    /// Bytes of those.
    pub(super) live_bytes: u64,
    /// How many there are.
    pub(super) live_frames: u32,
    /// Bytes of those that hold entries of runs which nobody needs, about.
    pub(super) unneeded_of_runs: u64,
    /// How many of them would be rewritten as sparse forms.
    pub(super) sparse_frames: u32,
}

/// All packs.
#[derive(Default)]
pub(super) struct Marks {
    packs: Vec<PackMarks>,
    by_id: HashMap<ObjectId, usize>,
    /// Position of each pack of the index at hand, by its number there.
    by_number: HashMap<u32, usize>,
}

impl PackMarks {
    fn new(entry: PackEntry, standing: Standing) -> Self {
        Self { entry, standing, seen: Vec::new(), homes: Vec::new(), live_bytes: 0, live_frames: 0, unneeded_of_runs: 0, sparse_frames: 0 }
    }

    /// Its name.
    pub(super) fn name(&self) -> PackName {
        self.entry.name
    }

    /// Whether the frame is some needed chunk's home.
    pub(super) fn is_home(&self, frame: u32) -> bool {
        bit(&self.homes, frame)
    }

    /// Whether no backup needs anything of it.
    pub(super) fn is_dead(&self) -> bool {
        self.live_frames == 0
    }

    /// Forgets its homes: what they held stands elsewhere now.
    pub(super) fn clear_homes(&mut self) {
        (self.live_bytes, self.live_frames, self.unneeded_of_runs, self.sparse_frames) = (0, 0, 0, 0);
        self.homes.clear();
    }
}

impl Marks {
    /// Takes the packs of an index, keeping what is marked. `own` and `others` are the packs of doomed lists.
    pub(super) fn rebase(&mut self, index: &Index, own: &BTreeSet<ObjectId>, others: &BTreeSet<ObjectId>) -> Result<()> {
        self.by_number.clear();
        self.packs.iter_mut().for_each(|pack| pack.standing = Standing::Absent);
        for entry in index.packs()? {
            let standing = match entry.name.id {
                _ if index.is_absent(entry.number) => Standing::Absent,
                id if others.contains(&id) => Standing::Others,
                id if own.contains(&id) => Standing::Own,
                _ => Standing::Free,
            };
            let at = *self.by_id.entry(entry.name.id).or_insert(self.packs.len());
            match self.packs.get_mut(at) {
                Some(pack) => (pack.entry, pack.standing) = (entry, standing),
                None => self.packs.push(PackMarks::new(entry, standing)),
            }
            self.by_number.insert(entry.number, at);
        }
        Ok(())
    }

    /// Every pack.
    pub(super) fn packs(&self) -> impl Iterator<Item = &PackMarks> {
        self.packs.iter()
    }

    /// The pack with this id.
    pub(super) fn pack(&self, id: &ObjectId) -> Option<&PackMarks> {
        self.by_id.get(id).and_then(|at| self.packs.get(*at))
    }

    /// The pack with this id, to be changed.
    pub(super) fn pack_mut(&mut self, id: &ObjectId) -> Option<&mut PackMarks> {
        self.by_id.get(id).and_then(|at| self.packs.get_mut(*at))
    }

    /// The pack of a place of the index at hand.
    pub(super) fn at(&self, place: &Location) -> Option<&PackMarks> {
        self.by_number.get(&place.pack).and_then(|at| self.packs.get(*at))
    }

    /// Notes that the chunk at a place was visited; whether it was not before.
    pub(super) fn see(&mut self, place: &Location) -> bool {
        let Some(pack) = self.by_number.get(&place.pack).and_then(|at| self.packs.get_mut(*at)) else { return true };
        let is_new = !bit(&pack.seen, place.frame.number);
        set(&mut pack.seen, place.frame.number);
        is_new
    }

    /// Makes a place its chunk's home.
    pub(super) fn keep(&mut self, place: &Location) {
        let Some(pack) = self.by_number.get(&place.pack).and_then(|at| self.packs.get_mut(*at)) else { return };
        if !bit(&pack.homes, place.frame.number) {
            set(&mut pack.homes, place.frame.number);
            pack.live_bytes += u64::from(place.frame.entry.stored_len);
            pack.live_frames += 1;
        }
    }

    /// Notes how many bytes of a home hold what nobody needs.
    pub(super) fn note_unneeded(&mut self, place: &Location, bytes: u64) {
        let pack = self.by_number.get(&place.pack).and_then(|at| self.packs.get_mut(*at));
        if let Some(pack) = pack.filter(|pack| bytes > 0 && pack.is_home(place.frame.number)) {
            pack.unneeded_of_runs += bytes;
            pack.sparse_frames += 1;
        }
    }

    /// Forgets what was noted so.
    pub(super) fn forget_unneeded(&mut self) {
        self.packs.iter_mut().for_each(|pack| (pack.unneeded_of_runs, pack.sparse_frames) = (0, 0));
    }

    /// A pack that this prune wrote, all of it needed.
    pub(super) fn add_whole(&mut self, entry: PackEntry) {
        let mut pack = PackMarks::new(entry, Standing::Free);
        (0..entry.frames).for_each(|frame| set(&mut pack.homes, frame));
        (pack.live_bytes, pack.live_frames) = (entry.bytes, entry.frames);
        self.by_id.insert(entry.name.id, self.packs.len());
        self.packs.push(pack);
    }

    /// Whether every home still stands in a listed pack that no other prune wants to delete.
    pub(super) fn are_intact(&self) -> bool {
        self.packs.iter().all(|pack| pack.is_dead() || pack.standing == Standing::Free)
    }
}

fn bit(bits: &[u64], number: u32) -> bool {
    bits.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
}

fn set(bits: &mut Vec<u64>, number: u32) {
    let at = number as usize / 64;
    if bits.len() <= at {
        bits.resize(at + 1, 0);
    }
    if let Some(word) = bits.get_mut(at) {
        *word |= 1 << (number % 64);
    }
}

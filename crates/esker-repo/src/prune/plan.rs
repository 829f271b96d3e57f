//! Which packs go, and why.

use std::collections::{BTreeMap, BTreeSet};

use esker_format::index_segment::IndexedPack;
use esker_format::layout::PackName;
use esker_format::{ObjectId, SessionId};

use super::mark::Marker;
use super::marks::{PackMarks, Standing};
use super::watch::SessionLine;
use super::{Repack, Swept};
use crate::index::PackEntry;
use crate::view::View;

/// Bytes of a pack without frames,
const PACK_OVERHEAD: u64 = 100;
/// and of its table for each frame.
const FRAME_OVERHEAD: u64 = 42;

/// Why a pack goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// No backup needs anything of it.
    Unneeded,
    /// Much of it is not needed; the rest is written again.
    NeededInPart,
    /// An earlier prune wanted to delete it, and did not.
    LeftOver,
}

/// A pack that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackPlan {
    /// Which.
    pub name: PackName,
    /// Its bytes.
    pub bytes: u64,
    /// Bytes of it that backups need, and that are written again; about, where runs become sparse.
    pub needed_bytes: u64,
    /// Runs of it that are written again as sparse forms.
    pub sparse_runs: u32,
    /// Why.
    pub why: Why,
}

/// What a prune does.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The packs that go, by name.
    pub packs: Vec<PackPlan>,
    /// Bytes that nobody needs in packs that stay: of sessions at work.
    pub at_work_bytes: u64,
    /// How many packs that are.
    pub at_work_packs: u64,
    /// Bytes that nobody needs in packs that stay for the sake of others in them.
    pub unneeded_kept_bytes: u64,
    /// Bytes that backups need.
    pub needed_bytes: u64,
    /// Chunks that backups need.
    pub needed_chunks: u64,
    /// Packs in the store, and their bytes.
    pub packs_before: u64,
    /// Their bytes.
    pub bytes_before: u64,
    /// Sessions at work, which a prune would wait for.
    pub at_work: Vec<SessionLine>,
    /// Files of killed writers in the repository's folder.
    pub swept: Swept,
}

impl Plan {
    /// What goes, of sessions that are over.
    pub(super) fn of(view: &View, marker: &Marker, over: &BTreeSet<SessionId>, repack: &Repack) -> Self {
        let mut plan = Self {
            needed_chunks: marker.chunks,
            packs_before: view.listing.packs.len() as u64,
            bytes_before: view.listing.packs.values().sum(),
            ..Self::default()
        };
        let mut sparse = Vec::new();
        for pack in marker.marks.packs().filter(|pack| view.listing.packs.contains_key(&pack.name())) {
            plan.needed_bytes += pack.needed_bytes();
            match pack.standing {
                Standing::Others => plan.add(pack, Why::LeftOver),
                Standing::Absent | Standing::Own => {}
                Standing::Free if !over.contains(&pack.name().session) => {
                    plan.at_work_packs += u64::from(pack.is_dead());
                    plan.at_work_bytes += if pack.is_dead() { pack.entry.bytes } else { 0 };
                }
                Standing::Free if pack.is_dead() => plan.add(pack, Why::Unneeded),
                Standing::Free => {
                    plan.unneeded_kept_bytes += pack.unneeded_bytes();
                    sparse.push(pack);
                }
            }
        }
        plan.choose_sparse(sparse, repack);
        plan.packs.sort_by_key(|pack| pack.name);
        plan
    }

    /// Of packs that are needed in part, those of which least is needed first, as long as they may be written again.
    fn choose_sparse(&mut self, mut sparse: Vec<&PackMarks>, repack: &Repack) {
        let is_sparse = |pack: &&PackMarks| pack.unneeded_bytes() * 100 >= pack.entry.bytes * u64::from(repack.dead_percent.max(1));
        sparse.retain(is_sparse);
        sparse.sort_by_key(|pack| (pack.needed_bytes() * 1_000_000 / pack.entry.bytes.max(1), pack.name()));
        let mut left = repack.bytes_max;
        for pack in sparse {
            if pack.needed_bytes() > left {
                continue;
            }
            left -= pack.needed_bytes();
            self.unneeded_kept_bytes = self.unneeded_kept_bytes.saturating_sub(pack.unneeded_bytes());
            self.add(pack, Why::NeededInPart);
        }
    }

    fn add(&mut self, pack: &PackMarks, why: Why) {
        let (bytes, needed_bytes, sparse_runs) = (pack.entry.bytes, pack.needed_bytes(), pack.sparse_frames);
        self.packs.push(PackPlan { name: pack.name(), bytes, needed_bytes, sparse_runs, why });
    }

    /// Packs that were rewritten are told as such, and what is needed as it stood before.
    pub(super) fn with_rewritten(mut self, before: Self) -> Self {
        self.needed_bytes = before.needed_bytes;
        let rewritten: BTreeMap<PackName, PackPlan> =
            before.packs.into_iter().filter(|pack| pack.why == Why::NeededInPart).map(|pack| (pack.name, pack)).collect();
        for pack in &mut self.packs {
            if let Some(before) = rewritten.get(&pack.name) {
                *pack = before.clone();
            }
        }
        self
    }

    /// The packs that go.
    pub(super) fn going(&self) -> BTreeSet<ObjectId> {
        self.packs.iter().map(|pack| pack.name.id).collect()
    }
}

impl PackMarks {
    /// Bytes that backups need.
    pub(super) fn needed_bytes(&self) -> u64 {
        self.live_bytes.saturating_sub(self.unneeded_of_runs)
    }

    /// Bytes that no backup needs, about: what rewriting the pack would free.
    pub(super) fn unneeded_bytes(&self) -> u64 {
        let overhead = PACK_OVERHEAD + u64::from(self.live_frames) * FRAME_OVERHEAD;
        match self.live_frames == self.entry.frames && self.sparse_frames == 0 {
            true => 0,
            false => self.entry.bytes.saturating_sub(self.needed_bytes() + overhead),
        }
    }
}

/// A pack as an index would have it; it has no number yet.
pub(super) fn entry_of(pack: &IndexedPack) -> PackEntry {
    PackEntry {
        name: pack.name,
        format: pack.table.format,
        salt: pack.table.salt,
        number: 0,
        frames: u32::try_from(pack.table.frames.len()).unwrap_or(u32::MAX),
        bytes: pack.table.bytes(),
    }
}

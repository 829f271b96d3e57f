//! The newest part of the index, in memory: making a database for the few packs of one backup takes longer than the backup.

use std::collections::HashMap;

use esker_format::index_segment::IndexedPack;
use esker_format::{ChunkId, ObjectId};

use super::{Location, PackEntry};

/// Segments that are read anew by each process rather than put into a database, at most: each costs a request.
pub(super) const SEGMENTS_MAX: usize = 8;
/// Bytes of these segments, at most. A frame takes more than 32 of them.
pub(super) const SEGMENT_BYTES_MAX: u64 = 512 << 10;
/// Frames of packs that no segment names and that are kept in memory, at most.
pub(super) const ORPHAN_FRAMES_MAX: usize = 16 << 10;

/// Packs behind those of a database, or of none.
#[derive(Default)]
pub(super) struct Recent {
    /// The number of the first pack.
    first: u32,
    packs: Vec<PackEntry>,
    numbers: HashMap<ObjectId, u32>,
    places: HashMap<ChunkId, Vec<Location>>,
}

impl Recent {
    /// Behind a database whose packs have the numbers below `first`.
    pub(super) fn behind(first: u32) -> Self {
        Self { first, ..Self::default() }
    }

    /// Adds a pack that the database does not have; one that is here already stays as it is.
    pub(super) fn add(&mut self, pack: &IndexedPack) {
        let number = self.first + u32::try_from(self.packs.len()).unwrap_or(u32::MAX);
        if self.numbers.contains_key(&pack.name.id) {
            return;
        }
        self.numbers.insert(pack.name.id, number);
        self.packs.push(PackEntry {
            name: pack.name,
            format: pack.table.format,
            salt: pack.table.salt,
            number,
            frames: u32::try_from(pack.table.frames.len()).unwrap_or(u32::MAX),
            bytes: pack.table.bytes(),
        });
        for frame in pack.table.frames() {
            self.places.entry(frame.entry.stands_for()).or_default().push(Location { pack: number, frame });
        }
    }

    /// Where a chunk stands here, oldest pack first.
    pub(super) fn places(&self, chunk: &ChunkId) -> &[Location] {
        self.places.get(chunk).map_or(&[], Vec::as_slice)
    }

    /// The pack with this number, if it is one of these.
    pub(super) fn pack(&self, number: u32) -> Option<PackEntry> {
        self.packs.get(usize::try_from(number.checked_sub(self.first)?).ok()?).copied()
    }

    /// All packs.
    pub(super) fn packs(&self) -> &[PackEntry] {
        &self.packs
    }
}

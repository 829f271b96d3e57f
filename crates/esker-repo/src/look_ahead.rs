//! Which frames are fetched together, and how many such requests are on their way before they are needed: a store that is
//! far takes as long for one as for several at once.

use std::collections::VecDeque;

use bytes::Bytes;
use esker_format::layout::PackKind;
use esker_format::pack::pack_kind_of;

use crate::error::Result;
use crate::index::Location;
use crate::store::Fetching;

/// Bytes fetched in one request, at most,
const FETCH_BYTES_MAX: u64 = 8 << 20;
/// and from a folder, whose requests cost next to nothing: so much stays in the processor's cache until it is decoded.
const FETCH_BYTES_NEAR: u64 = 1 << 20;
/// Bytes between two frames that are fetched along rather than skipped,
const GAP_BYTES_MAX: u64 = 256 << 10;
/// and the share of a request that such bytes may take: one in so many.
const GAP_SHARE: u64 = 12;
/// The same for metadata of a store that is far: there is little of it, and a request takes longer than these bytes.
const GAP_BYTES_META: u64 = 1 << 20;
const GAP_SHARE_META: u64 = 1;
/// Requests of one reader on their way at once, at most, and after how many bytes no more is asked for.
const REQUESTS_AHEAD: usize = 8;
const BYTES_AHEAD: u64 = 8 << 20;

/// What one request takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    bytes_max: u64,
    is_far: bool,
}

impl Reach {
    pub(crate) const fn new(is_local: bool, is_far: bool) -> Self {
        Self { bytes_max: if is_local { FETCH_BYTES_NEAR } else { FETCH_BYTES_MAX }, is_far }
    }

    /// As much in one request as from a store elsewhere.
    pub(crate) const fn whole(self) -> Self {
        Self { bytes_max: FETCH_BYTES_MAX, ..self }
    }

    /// How many of the first places can be fetched in one request: at least one.
    pub(crate) fn together(self, places: &[Option<Location>]) -> usize {
        let Some(Some(first)) = places.first() else { return 1 };
        let is_meta = pack_kind_of(first.frame.entry.kind) == PackKind::Meta;
        let (gap_max, share) = if self.is_far && is_meta { (GAP_BYTES_META, GAP_SHARE_META) } else { (GAP_BYTES_MAX, GAP_SHARE) };
        let start = u64::from(first.frame.offset);
        let mut previous = first;
        let mut count = 1;
        let mut gaps = 0;
        for place in places.iter().skip(1) {
            let Some(place) = place else { break };
            let gap = u64::from(place.frame.offset).checked_sub(end_of(previous));
            let Some(gap) = gap.filter(|gap| place.pack == first.pack && *gap <= gap_max) else { break };
            let span = end_of(place) - start;
            gaps += gap;
            if span > self.bytes_max || gaps * share > span {
                break;
            }
            previous = place;
            count += 1;
        }
        count
    }
}

/// Where the frame at a place ends in its pack.
pub(crate) fn end_of(place: &Location) -> u64 {
    u64::from(place.frame.offset) + u64::from(place.frame.entry.stored_len)
}

/// Places that are fetched together.
pub(crate) struct Group {
    /// Position of the first.
    pub(crate) position: usize,
    /// How many.
    pub(crate) count: usize,
    /// None if the cache had it a moment ago.
    pub(crate) asked: Option<Result<Asked>>,
}

/// Bytes of a pack that were asked for.
pub(crate) enum Asked {
    /// They are here already.
    Here(Bytes),
    /// They are among those from here on.
    Coming(u64, Fetching),
}

/// Groups that are on their way, in order.
pub(crate) struct Ahead {
    groups: VecDeque<(u64, Group)>,
    requests_max: usize,
    bytes: u64,
    next: usize,
}

impl Ahead {
    pub(crate) fn new(reach: Reach) -> Self {
        Self { groups: VecDeque::new(), requests_max: if reach.is_far { REQUESTS_AHEAD } else { 1 }, bytes: 0, next: 0 }
    }

    /// The next group; before that, `begin` is asked for further ones, from the places that are left and the position of
    /// their first.
    pub(crate) fn next(
        &mut self,
        places: &[Option<Location>],
        mut begin: impl FnMut(usize, &[Option<Location>]) -> Result<Group>,
    ) -> Result<Option<Group>> {
        while self.groups.len() < self.requests_max && (self.groups.is_empty() || self.bytes < BYTES_AHEAD) {
            let Some(left) = places.get(self.next..).filter(|left| !left.is_empty()) else { break };
            let group = begin(self.next, left)?;
            let bytes = left.iter().take(group.count).flatten().map(|place| u64::from(place.frame.entry.stored_len)).sum();
            self.bytes += bytes;
            self.next += group.count;
            self.groups.push_back((bytes, group));
        }
        let Some((bytes, group)) = self.groups.pop_front() else { return Ok(None) };
        self.bytes -= bytes;
        Ok(Some(group))
    }
}

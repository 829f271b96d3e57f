//! The order of the log: records as a graph, each after those that it names.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use esker_format::ObjectId;
use esker_format::audit::AuditRecord;

/// Records, and which follows which.
pub(super) struct Graph {
    /// Earlier ones first; of two that were written at the same time, the one with the earlier clock.
    pub(super) order: Vec<ObjectId>,
    /// Who names a record as head.
    followers: BTreeMap<ObjectId, Vec<ObjectId>>,
}

impl Graph {
    pub(super) fn of(records: &BTreeMap<ObjectId, AuditRecord>) -> Self {
        let mut followers: BTreeMap<ObjectId, Vec<ObjectId>> = BTreeMap::new();
        let mut waits_for: BTreeMap<ObjectId, usize> = BTreeMap::new();
        for (id, record) in records {
            let there = record.heads.iter().filter(|head| records.contains_key(head));
            waits_for.insert(*id, there.count());
            for head in &record.heads {
                followers.entry(*head).or_default().push(*id);
            }
        }
        let place = |id: &ObjectId| Reverse((records.get(id).map_or(0, |record| record.at_ms), *id));
        let mut ready: BinaryHeap<_> = waits_for.iter().filter(|(_, count)| **count == 0).map(|(id, _)| place(id)).collect();
        let mut order = Vec::with_capacity(records.len());
        // Names are hashes of what holds the heads, so there are no circles.
        while let Some(Reverse((_, id))) = ready.pop() {
            order.push(id);
            for follower in followers.get(&id).into_iter().flatten() {
                if let Some(count) = waits_for.get_mut(follower) {
                    *count -= 1;
                    if *count == 0 {
                        ready.push(place(follower));
                    }
                }
            }
        }
        Self { order, followers }
    }

    /// Records that no other names.
    pub(super) fn heads(&self) -> BTreeSet<ObjectId> {
        self.order.iter().filter(|id| !self.followers.contains_key(id)).copied().collect()
    }

    /// Records that are named, each with who names it.
    pub(super) fn named(&self) -> impl Iterator<Item = (&ObjectId, &[ObjectId])> {
        self.followers.iter().map(|(id, followers)| (id, followers.as_slice()))
    }

    /// Records that reach none of these and that none of these reaches.
    pub(super) fn beside(&self, records: &BTreeMap<ObjectId, AuditRecord>, of: &BTreeSet<ObjectId>) -> BTreeSet<ObjectId> {
        let heads = |id: &ObjectId| records.get(id).map(|record| record.heads.clone()).unwrap_or_default();
        let before = reach(of, heads);
        let after = reach(of, |id| self.followers.get(id).cloned().unwrap_or_default());
        self.order.iter().filter(|id| !before.contains(id) && !after.contains(id)).copied().collect()
    }
}

/// All that can be reached from these, themselves included.
fn reach(from: &BTreeSet<ObjectId>, next: impl Fn(&ObjectId) -> Vec<ObjectId>) -> BTreeSet<ObjectId> {
    let mut reached = from.clone();
    let mut open: Vec<ObjectId> = from.iter().copied().collect();
    while let Some(id) = open.pop() {
        open.extend(next(&id).into_iter().filter(|id| reached.insert(*id)));
    }
    reached
}

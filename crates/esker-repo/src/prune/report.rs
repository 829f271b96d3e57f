//! What a prune did.

use esker_format::ObjectId;
use esker_format::layout::PackName;

use super::Swept;
use super::plan::{PackPlan, Plan};
use super::segments::Rewritten;
use super::watch::SessionLine;

/// The outcome of one prune. Bytes are bytes.
#[derive(Debug, Clone, Default)]
pub struct Pruned {
    /// What was to go.
    pub plan: Plan,
    /// Packs that were deleted.
    pub deleted: Vec<PackPlan>,
    /// Their bytes, and those of index segments.
    pub deleted_bytes: u64,
    /// Objects that the store refused to delete, each with its words.
    pub refused: Vec<(String, String)>,
    /// Packs of the plan that a backup made meanwhile needs.
    pub taken_back: u64,
    /// Chunks that were written again.
    pub rewritten_chunks: u64,
    /// Runs of those that were written as sparse forms.
    pub sparse_runs: u64,
    /// Bytes written for that, and for index segments.
    pub written_bytes: u64,
    /// Sessions that were taken for dead.
    pub fenced: Vec<SessionLine>,
    /// Time spent waiting for sessions.
    pub waited_ms: u64,
    /// Files of killed writers that were removed.
    pub swept: Swept,
}

impl Pruned {
    pub(super) fn begin(&mut self, plan: &Plan) {
        self.plan = plan.clone();
    }

    pub(super) fn delete(&mut self, packs: &[(PackName, u64)], segments: &Rewritten) {
        let stays = |id: &ObjectId| self.refused.iter().any(|(path, _)| path.ends_with(&id.to_string()));
        let stale = segments.stale.iter().filter(|(id, _)| !stays(id));
        self.deleted_bytes += packs.iter().map(|(_, size)| size).chain(stale.map(|(_, size)| size)).sum::<u64>();
        self.written_bytes += segments.written_bytes;
        let is_gone = |pack: &&PackPlan| packs.iter().any(|(name, _)| *name == pack.name);
        self.deleted = self.plan.packs.iter().filter(is_gone).cloned().collect();
    }
}

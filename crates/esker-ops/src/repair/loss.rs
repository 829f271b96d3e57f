//! What backups need and nobody has any more: every lost chunk, and where it belongs.

use std::collections::{BTreeMap, BTreeSet};

use esker_format::file_table::FileContent;
use esker_format::seal::ChunkKind;
use esker_format::{ChunkId, ObjectId};

use super::report::BackupLoss;

/// A file of some backup that has lost something.
pub(super) struct LossyFile {
    pub(super) host: String,
    /// Below the host's folder.
    pub(super) path: Vec<u8>,
    pub(super) content: FileContent,
    /// What of it is lost.
    pub(super) needs: FileNeeds,
}

/// What a file has lost.
#[derive(Default)]
pub(super) struct FileNeeds {
    /// Chunks of its bytes: offset, length.
    pub(super) bytes: Vec<(u64, u32)>,
    /// Pieces of its recipe, by position.
    pub(super) recipe: Vec<usize>,
    /// Pieces that can be read and whose runs cannot, by position, with these runs.
    pub(super) runs: Vec<(usize, Vec<ChunkId>)>,
    /// Pieces of a table that can be read and whose kept bytes, dictionary or other chunks cannot, by position.
    pub(super) in_table: Vec<usize>,
}

/// What is lost of a repository, as far as can be seen: a lost recipe hides what it names.
#[derive(Default)]
pub(super) struct Loss {
    /// Every lost chunk that a backup needs.
    pub(super) chunks: BTreeMap<ChunkId, ChunkKind>,
    /// Needed chunks that stand in damaged packs only.
    pub(super) at_risk: BTreeMap<ChunkId, ChunkKind>,
    /// Distinct files that lost something.
    pub(super) files: Vec<LossyFile>,
    /// Backups that lost something.
    pub(super) backups: Vec<BackupLoss>,
    /// Backups whose list of seen manifests is lost.
    pub(super) seen: BTreeSet<ObjectId>,
}

/// What an earlier look found.
pub(super) struct Suspects<'a> {
    /// Chunks of which a frame is damaged.
    pub(super) chunks: &'a BTreeSet<ChunkId>,
    /// Damaged packs, by number in the index.
    pub(super) packs: BTreeSet<u32>,
}

impl Loss {
    /// Whether nothing is lost.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

impl FileNeeds {
    /// Whether it has lost nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.recipe.is_empty() && self.runs.is_empty() && self.in_table.is_empty()
    }
}

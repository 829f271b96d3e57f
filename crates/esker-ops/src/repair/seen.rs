//! The list of backups that stood there when a backup was made: it follows from what stands now and what was forgotten.

use std::collections::{BTreeMap, BTreeSet};

use esker_format::ObjectId;
use esker_format::seal::ChunkKind;
use esker_format::table::{PieceBuilder, SeenManifest};
use esker_repo::manifests::Backup;

use super::loss::Loss;
use super::sink::Sink;
use crate::error::Result;

/// Makes lost lists again, with the backups that were forgotten since and without.
///
/// # Errors
/// `Store`, `Cache`.
pub(super) fn make_again(loss: &Loss, backups: &[Backup], forgotten: &BTreeMap<ObjectId, String>, sink: &mut Sink<'_>) -> Result<()> {
    for backup in backups.iter().filter(|backup| loss.seen.contains(&backup.id)) {
        let is_earlier = |other: &&Backup| (other.manifest.started_ms, other.id) < (backup.manifest.started_ms, backup.id);
        let standing: BTreeSet<ObjectId> = backups.iter().filter(is_earlier).map(|backup| backup.id).collect();
        let with_forgotten: BTreeSet<ObjectId> = standing.iter().chain(forgotten.keys()).copied().collect();
        for set in [standing, with_forgotten] {
            if set.len() as u64 != backup.manifest.seen.rows {
                continue;
            }
            let mut pieces = PieceBuilder::default();
            for id in set {
                if let Ok(Some(piece)) = pieces.push(SeenManifest(id)) {
                    sink.give(ChunkKind::Table, &piece)?;
                }
            }
            if let Ok(Some(piece)) = pieces.finish() {
                sink.give(ChunkKind::Table, &piece)?;
            }
        }
    }
    Ok(())
}

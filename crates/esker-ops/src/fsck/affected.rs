//! From damaged chunks to the files, partitions and backups that they touch.

use std::collections::{BTreeMap, BTreeSet};

use esker_cluster::path::{components, escaped, join};
use esker_format::ChunkId;
use esker_format::engine::{EngineRecord, ReplicaRow};
use esker_format::file_table::{FileContent, FileRow, Node};
use esker_format::manifest::HostRecord;
use esker_format::table::{TableRef, decode_piece};
use esker_repo::RepoError;
use esker_repo::manifests::{Backup, read_engine};
use esker_repo::reader::ReadContext;
use esker_repo::tables::{read_piece, read_table};

use super::Check;
use super::finding::{FILES_NAMED, Finding, Severity, help_for};
use crate::error::Result;

/// What one damage touches.
#[derive(Default)]
struct Touched {
    files: BTreeSet<String>,
    files_touched: u64,
    partitions: BTreeSet<String>,
    backups: BTreeSet<String>,
}

impl Check<'_> {
    /// Names what the damaged chunks touch; chunks of which a whole copy stands elsewhere touch nothing.
    pub(super) fn trace_damage(&mut self) -> Result<()> {
        let context = &mut ReadContext::new()?;
        let mut lost: BTreeMap<ChunkId, String> = BTreeMap::new();
        for (chunk, what) in std::mem::take(&mut self.bad_chunks) {
            self.suspects.insert(chunk);
            match self.reader.prove(context, &chunk) {
                Ok(()) => self.notice(format!("chunk {chunk}"), format!("is damaged in one place ({what}) and whole in another"), ""),
                Err(error) if error.is_damage() => drop(lost.insert(chunk, what)),
                Err(error) => return Err(error.into()),
            }
        }
        if lost.is_empty() {
            return Ok(());
        }
        let mut by_damage: BTreeMap<String, Touched> = BTreeMap::new();
        for backup in self.backups.found.clone() {
            self.job.cancel.check()?;
            let before: u64 = by_damage.values().map(|touched| touched.files_touched).sum();
            let mut loss = (0, 0);
            self.trace_backup(context, &backup, &lost, &mut by_damage, &mut loss)?;
            if loss.0 > 0 {
                self.losses.insert(backup.id, loss);
            }
            let after: u64 = by_damage.values().map(|touched| touched.files_touched).sum();
            if after > before {
                self.is_lossy = true;
                *self.touched.entry(backup.id).or_default() += after - before;
            }
        }
        for (object, touched) in by_damage {
            let known = self.findings.iter_mut().find(|finding| finding.object == object && finding.severity == Severity::Damage);
            let finding = match known {
                Some(finding) => finding,
                None => {
                    self.findings.push(Finding::new(Severity::Damage, object.clone(), "is lost or damaged".into(), help_for("packs")));
                    let Some(finding) = self.findings.last_mut() else { continue };
                    finding
                }
            };
            finding.files = touched.files.into_iter().collect();
            finding.files_touched = touched.files_touched;
            finding.partitions = touched.partitions.into_iter().collect();
            finding.backups = touched.backups.into_iter().collect();
        }
        Ok(())
    }

    fn trace_backup(
        &self,
        context: &mut ReadContext,
        backup: &Backup,
        lost: &BTreeMap<ChunkId, String>,
        by_damage: &mut BTreeMap<String, Touched>,
        loss: &mut (u64, u64),
    ) -> Result<()> {
        for host in &backup.manifest.hosts {
            let place = Place { backup, host, engine: None, partitions: &[] };
            let mut found = self.trace_table(context, &host.tree, &place, lost, by_damage, loss)?;

            for id in &host.engines {
                let engine = match read_engine(&self.reader, context, id) {
                    Ok(engine) => engine,
                    Err(error) if error.is_damage() => {
                        place.touch(&self.damage_name(id, lost), "its engines' tables", by_damage);
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                let partitions = self.partitions_of(context, &engine)?;
                let place = Place { backup, host, engine: Some(&engine), partitions: &partitions };
                found += self.trace_table(context, &engine.files, &place, lost, by_damage, loss)?;
            }
            // Files of which not even the row can be read are lost as well.
            loss.0 += host.files.saturating_sub(found);
        }
        Ok(())
    }

    /// Gives how many files it has rows of.
    fn trace_table(
        &self,
        context: &mut ReadContext,
        table: &TableRef,
        place: &Place<'_>,
        lost: &BTreeMap<ChunkId, String>,
        by_damage: &mut BTreeMap<String, Touched>,
        loss: &mut (u64, u64),
    ) -> Result<u64> {
        let mut files = 0;
        for piece in &table.pieces {
            let rows = match self.reader.read(context, piece) {
                Ok(bytes) => decode_piece::<FileRow>(&bytes).unwrap_or_default(),
                Err(error) if error.is_damage() => {
                    place.touch(&self.damage_name(piece, lost), "a part of its file table", by_damage);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            for row in rows {
                let Node::File(content) = &row.node else { continue };
                files += 1;
                let damages = self.damages_of(context, content, lost)?;
                if !damages.is_empty() {
                    *loss = (loss.0 + 1, loss.1.saturating_add(content.size));
                }
                for damage in damages {
                    place.touch(&damage, &place.path(&row.path), by_damage);
                }
            }
        }
        Ok(files)
    }

    /// The objects to blame for what a file has lost.
    fn damages_of(&self, context: &mut ReadContext, content: &FileContent, lost: &BTreeMap<ChunkId, String>) -> Result<BTreeSet<String>> {
        let mut damages = BTreeSet::new();
        for piece in &content.recipe {
            match read_piece(&self.reader, context, piece) {
                Ok(piece) => {
                    let chunks = piece.chunks().map(|chunk| chunk.id);
                    damages.extend(chunks.filter(|id| lost.contains_key(id)).map(|id| self.damage_name(&id, lost)));
                }
                Err(error) if error.is_damage() => drop(damages.insert(self.damage_name(piece, lost))),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(damages)
    }

    /// What a lost chunk is reported under: the pack that should hold it, if the index still knows, else the chunk.
    fn damage_name(&self, chunk: &ChunkId, lost: &BTreeMap<ChunkId, String>) -> String {
        if let Some(pack) = lost.get(chunk).filter(|what| what.starts_with("packs/")) {
            return pack.clone();
        }
        let place = self.index.locate_anywhere(chunk).ok().and_then(|places| places.first().copied());
        let pack = place.and_then(|place| self.index.pack(place.pack).ok());
        pack.map_or_else(|| format!("chunk {chunk}"), |pack| pack.name.path())
    }

    fn partitions_of(&self, context: &mut ReadContext, engine: &EngineRecord) -> Result<Vec<u32>> {
        let mut partitions = Vec::new();
        let read = read_table::<ReplicaRow, RepoError>(&self.reader, context, &engine.replicas, |row| {
            partitions.push(row.partition);
            Ok(())
        });
        match read {
            Err(error) if !error.is_damage() => Err(error.into()),
            _ => Ok(partitions),
        }
    }
}

struct Place<'a> {
    backup: &'a Backup,
    host: &'a HostRecord,
    engine: Option<&'a EngineRecord>,
    partitions: &'a [u32],
}

impl Place<'_> {
    fn path(&self, path: &[u8]) -> String {
        escaped(&self.engine.map_or_else(|| path.to_vec(), |engine| join(&engine.folder, path)))
    }

    fn touch(&self, damage: &str, path: &str, by_damage: &mut BTreeMap<String, Touched>) {
        let touched = by_damage.entry(damage.to_owned()).or_default();
        touched.files_touched += 1;
        touched.backups.insert(self.backup.manifest.label.clone());
        if touched.files.len() < FILES_NAMED {
            touched.files.insert(format!("{} {}/{path}", self.backup.manifest.label, self.host.name));
        }
        let space = self.engine.and_then(|engine| engine.space.as_deref());
        touched.partitions.extend(self.partitions.iter().map(|partition| format!("{}/{partition}", space.unwrap_or("-"))));
        if self.engine.is_none() {
            touched.partitions.extend(raft_log_partition(path));
        }
    }
}

/// The partition whose Raft log a path is of: `.../nebula/<space>/[checkpoints/<NAME>/]wal/<partition>/<file>`.
pub(crate) fn raft_log_partition(path: &str) -> Option<String> {
    let parts: Vec<&[u8]> = components(path.as_bytes()).collect();
    let nebula = parts.iter().position(|part| *part == b"nebula")?;
    let wal = parts.iter().rposition(|part| *part == b"wal")?;
    let text = |position: usize| parts.get(position).map(|part| String::from_utf8_lossy(part).into_owned());
    Some(format!("{}/{}", text(nebula + 1)?, text(wal + 1)?))
}

//! Manifests: reading all of them, finding one by name, deciding whether a fenced one counts, forgetting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use esker_format::audit::{Deed, Event};
use esker_format::doomed::{Forgotten, ForgottenKind};
use esker_format::engine::{EngineRecord, ReplicaRow};
use esker_format::entry_set::EntrySet;
use esker_format::file_table::{FileRow, Node};
use esker_format::layout::{ObjectKind, object_path};
use esker_format::manifest::Manifest;
use esker_format::recipe::Piece;
use esker_format::seal::ChunkKind;
use esker_format::table::{SeenManifest, TableRef, TableType, decode_piece, decode_single};
use esker_format::{ChunkId, ObjectId};

use crate::error::{RepoError, Result};
use crate::listing::{fences, ids};
use crate::reader::{ChunkReader, ReadContext};
use crate::repository::Repository;
use crate::session::Session;
use crate::tables::read_table;
use crate::view::Viewer;

/// A backup as the store holds it.
#[derive(Debug, Clone)]
pub struct Backup {
    /// Its manifest's name.
    pub id: ObjectId,
    /// The manifest.
    pub manifest: Manifest,
    /// Whether it counts.
    pub standing: Standing,
}

/// Whether a manifest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Valid,
    /// Its writer was fenced, and not all that it needs is known to be kept.
    Undecided,
}

/// All backups and what could not be read.
#[derive(Debug, Default)]
pub struct Backups {
    /// By start time, then name.
    pub found: Vec<Backup>,
    /// Manifests that are there but damaged.
    pub damaged: Vec<(ObjectId, RepoError)>,
}

impl Repository {
    /// Reads every manifest.
    ///
    /// # Errors
    /// `Store`; `Object` for a manifest of a newer format.
    pub fn backups(self: &Arc<Self>) -> Result<Backups> {
        self.backups_of(&ids(&self.store, ObjectKind::Manifest)?.into_keys().collect())
    }

    /// Reads these manifests.
    ///
    /// # Errors
    /// As `backups`.
    pub fn backups_of(self: &Arc<Self>, manifests: &BTreeSet<ObjectId>) -> Result<Backups> {
        let fenced = fences(&self.store)?;
        let mut backups = Backups::default();
        for (id, read) in self.read_objects::<Manifest>(ObjectKind::Manifest, manifests.iter().copied()) {
            match read {
                Ok(manifest) => {
                    let valid = !fenced.contains(&manifest.session) || self.is_valid_though_fenced(&manifest)?;
                    let standing = if valid { Standing::Valid } else { Standing::Undecided };
                    backups.found.push(Backup { id, manifest, standing });
                }
                // Forgotten between the listing and the reading.
                Err(RepoError::Missing { .. }) => {}
                Err(error) if error.is_damage() => backups.damaged.push((id, error)),
                Err(error) => return Err(error),
            }
        }
        backups.found.sort_by_key(|backup| (backup.manifest.started_ms, backup.id));
        Ok(backups)
    }

    /// Whether every chunk that a fenced manifest reaches stands in a listed pack that no doomed list names. Doomed lists
    /// are listed first and packs second: a pack that a later list dooms is then kept by its own prune.
    ///
    /// # Errors
    /// `Store`, `Cache`.
    pub fn is_valid_though_fenced(self: &Arc<Self>, manifest: &Manifest) -> Result<bool> {
        let reader = ChunkReader::new(self, self.view(Viewer::Writer)?.synced.index);
        let index = reader.index();
        let (mut whole, mut context) = (true, ReadContext::new()?);
        let walked = walk_uses(&reader, manifest, |chunk, entries| {
            whole &= match entries {
                None => !index.locate(&chunk)?.is_empty(),
                Some(entries) => reader.holds_entries(&index, &mut context, (&chunk, entries), |_| true)?,
            };
            Ok(())
        });
        match walked {
            Ok(()) => Ok(whole),
            Err(error) if error.is_damage() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Forgets backups: records first, then the manifests. What only they needed stays until prune.
    ///
    /// # Errors
    /// `Store`.
    pub fn forget(self: &Arc<Self>, session: &Session, backups: &[(ObjectId, String)], reason: &str) -> Result<()> {
        let record = Forgotten {
            session: session.id(),
            at_ms: self.environment.now_ms(),
            kind: ForgottenKind::Manifest,
            objects: backups.to_vec(),
            reason: reason.to_owned(),
        };
        self.write_object(ObjectKind::Forgotten, &record)?;
        let deed = Deed { objects: record.objects, detail: record.reason, ..Deed::intended(Event::Forget) };
        self.record(Some(record.session), deed)?;
        backups.iter().try_for_each(|(id, _)| self.store.delete(&object_path(ObjectKind::Manifest, id)))
    }

    /// Every object that a forgotten record names.
    ///
    /// # Errors
    /// `Store`; `Object` or `WrongName` for a damaged record.
    pub fn forgotten(&self) -> Result<BTreeMap<ObjectId, String>> {
        let mut forgotten = BTreeMap::new();
        for (_, read) in self.read_objects::<Forgotten>(ObjectKind::Forgotten, ids(&self.store, ObjectKind::Forgotten)?.into_keys()) {
            match read {
                Ok(record) => forgotten.extend(record.objects),
                // A record of packs that no backup names any more, removed since it was listed.
                Err(RepoError::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(forgotten)
    }

    /// Manifests that this client saw before, that are gone now, and that nobody forgot: the store was rolled back, or lost
    /// them. Remembers what stands now.
    ///
    /// # Errors
    /// `Store`, `Cache`.
    pub fn rolled_back(&self, now: &Backups) -> Result<Vec<ObjectId>> {
        let readable: BTreeSet<ObjectId> = now.found.iter().map(|backup| backup.id).collect();
        let unreadable: BTreeSet<ObjectId> = now.damaged.iter().map(|(id, _)| *id).collect();
        let known = self.known();
        let (location, repository) = (self.store.location(), self.config.repository);
        let remembered = known.manifests(location, repository);
        let gone: Vec<ObjectId> = remembered.iter().filter(|id| !readable.contains(id) && !unreadable.contains(id)).copied().collect();
        let (mut late, mut lost) = (Vec::new(), Vec::new());
        // Committed or forgotten since the store was listed?
        for id in gone {
            match self.store.size(&object_path(ObjectKind::Manifest, &id))? {
                Some(_) => late.push(id),
                None => lost.push(id),
            }
        }
        if !lost.is_empty() {
            let forgotten = self.forgotten()?;
            lost.retain(|id| !forgotten.contains_key(id));
        }
        // What was lost stays remembered, so that it is reported until somebody forgets it by name; what was never readable
        // here is not remembered at all.
        let keep = readable.iter().chain(&late).chain(&lost).chain(remembered.intersection(&unreadable)).copied().collect();
        if remembered != keep {
            known.remember_manifests(location, repository, &keep)?;
        }
        Ok(lost)
    }

    /// Remembers a backup that this client made.
    ///
    /// # Errors
    /// `Cache`.
    pub fn remember_backup(&self, id: ObjectId) -> Result<()> {
        let (known, location, repository) = (self.known(), self.store.location(), self.config.repository);
        let mut manifests = known.manifests(location, repository);
        manifests.insert(id);
        known.remember_manifests(location, repository, &manifests)
    }

    /// The manifests that a backup's writer saw.
    ///
    /// # Errors
    /// `ChunkLost`, `Store`.
    pub fn seen_by(&self, reader: &ChunkReader, context: &mut ReadContext, manifest: &Manifest) -> Result<Vec<ObjectId>> {
        let mut seen = Vec::new();
        read_table::<SeenManifest, RepoError>(reader, context, &manifest.seen, |row| {
            seen.push(row.0);
            Ok(())
        })?;
        Ok(seen)
    }
}

/// Reads an engine's record.
///
/// # Errors
/// `ChunkLost`, `Object`, `Store`.
pub fn read_engine(reader: &ChunkReader, context: &mut ReadContext, id: &ChunkId) -> Result<EngineRecord> {
    let bytes = reader.read(context, id)?;
    decode_single(TableType::Engine, &bytes).map_err(RepoError::object(format!("engine record {id}")))
}

/// Visits every chunk that a manifest reaches, tables and recipes included; a chunk may be visited more than once.
///
/// # Errors
/// `ChunkLost`, `Object`, `Store`, and what `visit` returns.
pub fn walk_chunks(reader: &ChunkReader, manifest: &Manifest, mut visit: impl FnMut(ChunkId) -> Result<()>) -> Result<()> {
    walk_uses(reader, manifest, |chunk, _| visit(chunk))
}

/// As `walk_chunks`; of each run with the entries that a recipe piece copies from it.
///
/// # Errors
/// As `walk_chunks`.
pub fn walk_uses(reader: &ChunkReader, manifest: &Manifest, mut visit: impl FnMut(ChunkId, Option<&EntrySet>) -> Result<()>) -> Result<()> {
    let context = &mut ReadContext::new()?;
    type Visit<'a> = dyn FnMut(ChunkId, Option<&EntrySet>) -> Result<()> + 'a;
    let walk_files = |context: &mut ReadContext, table: &TableRef, visit: &mut Visit<'_>| -> Result<()> {
        for piece in &table.pieces {
            visit(*piece, None)?;
            let bytes = reader.read(context, piece)?;
            let mut recipes = Vec::new();
            for row in decode_piece::<FileRow>(&bytes).map_err(RepoError::object(format!("table piece {piece}")))? {
                let Node::File(content) = row.node else { continue };
                content.recipe.iter().try_for_each(|piece| visit(*piece, None))?;
                recipes.extend(content.recipe);
            }
            recipes.sort_unstable();
            recipes.dedup();
            let recipes = reader.in_store_order(recipes)?;
            reader.read_each::<RepoError, _>(context, &recipes, |position, _, bytes| {
                let path = || recipes.get(position).map_or_else(String::new, |id| format!("recipe piece {id}"));
                let piece = Piece::decode(bytes).map_err(|source| RepoError::Object { path: path(), source })?;
                piece.chunks().filter(|chunk| chunk.kind != ChunkKind::Run).try_for_each(|chunk| visit(chunk.id, None))?;
                let Piece::Blocks(blocks) = &piece else { return Ok(()) };
                blocks.runs.iter().zip(blocks.used_entries()).try_for_each(|(run, used)| visit(run.id, Some(&used)))
            })?;
        }
        Ok(())
    };
    manifest.seen.pieces.iter().try_for_each(|piece| visit(*piece, None))?;
    for host in &manifest.hosts {
        walk_files(context, &host.tree, &mut visit)?;
        for id in &host.engines {
            visit(*id, None)?;
            let engine = read_engine(reader, context, id)?;
            walk_files(context, &engine.files, &mut visit)?;
            engine.replicas.pieces.iter().try_for_each(|piece| visit(*piece, None))?;
            read_table::<ReplicaRow, RepoError>(reader, context, &engine.replicas, |_| Ok(()))?;
        }
    }
    Ok(())
}

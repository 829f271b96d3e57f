//! Packs: are they there, do their tables agree with the index, is every frame whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use esker_format::layout::PackName;
use esker_format::limits::PACK_MAX;
use esker_format::pack::{FormOf, Frame, FrameDecoder, FrameOpener, FrameTable};
use esker_format::seal::SALT_LEN;
use esker_format::verification::Level;
use esker_format::{ChunkId, FormatError, ObjectId, sparse_run};
use esker_repo::RepoError;
use esker_repo::index::PackEntry;
use esker_repo::manifests::walk_chunks;

use super::Check;
use super::finding::help_for;
use crate::error::{OpsError, Result};
use crate::job::FirstFault;

/// Bytes of a pack that are fetched in one request.
const FETCH_BYTES_MAX: u64 = 8 << 20;

impl Check<'_> {
    /// Packs that a backup's writer wrote, and packs that nothing names.
    pub(super) fn packs_named_elsewhere(&mut self) -> Result<()> {
        let present: BTreeSet<ObjectId> = self.listing.packs.keys().map(|name| name.id).collect();
        let mut lost = Vec::new();
        for backup in &self.backups.found {
            let gone = backup
                .manifest
                .packs
                .iter()
                .filter(|id| !present.contains(id) && !self.forgotten.contains_key(id) && !self.doomed.contains(id));
            lost.extend(gone.map(|id| (*id, backup.id, backup.manifest.label.clone())));
        }
        for pack in self.index.packs()? {
            let Some(size) = self.listing.packs.get(&pack.name).copied().filter(|size| *size != pack.bytes) else { continue };
            // Such a pack counts as absent.
            let what = format!("has {size} bytes instead of {}", pack.bytes);
            self.missing_packs.push((pack.name.path(), what.clone(), None));
            for backup in self.backups.found.iter().filter(|backup| backup.manifest.packs.contains(&pack.name.id)) {
                self.missing_packs.push((String::new(), what.clone(), Some(backup.id)));
            }
        }
        // A pack that a segment names is a finding already, with its whole path.
        let indexed: BTreeSet<ObjectId> = self.index.packs()?.into_iter().map(|pack| pack.name.id).collect();
        for (id, backup, label) in lost {
            let path = if indexed.contains(&id) { None } else { Some(format!("packs/.../{id}")) };
            self.missing_packs.push((path.unwrap_or_default(), format!("is missing; backup {label} wrote it"), Some(backup)));
        }
        let written: BTreeSet<ObjectId> = self.backups.found.iter().flat_map(|backup| backup.manifest.packs.iter().copied()).collect();
        let orphans: Vec<PackName> = {
            let packs = self.index.packs()?;
            packs.iter().filter(|pack| self.index.is_orphan(pack.number)).map(|pack| pack.name).collect()
        };
        for name in orphans {
            if self.doomed.contains(&name.id) {
                self.notice(name.path(), "a prune that did not end was deleting it", "nothing to do: the next esker prune goes on");
            } else if written.contains(&name.id) {
                self.damage(name.path(), "no index segment names it although a backup wrote it: a segment is lost", help_for("index"));
            } else {
                self.notice(name.path(), "left by an interrupted job", "nothing to do: the next esker backup reuses it");
            }
        }
        Ok(())
    }

    /// Decides what missing packs mean: if every chunk that any backup needs stands elsewhere, nothing was lost with them.
    pub(super) fn settle_missing_packs(&mut self) -> Result<()> {
        let nothing_lost = !self.missing_packs.is_empty() && !self.tables_damaged && self.all_stand_somewhere()?;
        for (path, what, backup) in std::mem::take(&mut self.missing_packs) {
            if let Some(backup) = backup.filter(|_| !nothing_lost) {
                *self.touched.entry(backup).or_default() += 1;
            }
            match (path.is_empty(), nothing_lost) {
                (true, _) => {}
                (false, true) => self.notice(path, format!("{what}; all that backups need of it stands in other packs"), ""),
                (false, false) => self.damage(path, what, help_for("packs")),
            }
        }
        Ok(())
    }

    /// Every pack's own table decodes, fills the pack, and says what the index says.
    pub(super) fn frame_tables(&mut self) -> Result<()> {
        let indexed: BTreeMap<PackName, PackEntry> = self.index.packs()?.into_iter().map(|pack| (pack.name, pack)).collect();
        // Packs that no segment names come last: of two that are the same, the one that is named is the honest one.
        let mut packs: Vec<(PackName, u64)> = self.listing.packs.iter().map(|(name, size)| (*name, *size)).collect();
        packs.sort_by_key(|(name, _)| indexed.get(name).is_none_or(|pack| self.index.is_orphan(pack.number)));
        let mut cold = Vec::new();
        let mut salts: BTreeMap<[u8; SALT_LEN], PackName> = BTreeMap::new();
        for (name, size) in packs {
            self.job.cancel.check()?;
            match self.repository.read_frame_table(&name, size) {
                Ok(table) => {
                    // Every pack has a salt of its own, so one that has another's is its copy under a name not its own.
                    match salts.get(&table.salt) {
                        Some(other) => {
                            let what = format!("holds what {} holds: its bytes do not hash to its name", other.path());
                            self.damage(name.path(), what, "delete it: what it holds is not lost");
                        }
                        None => drop(salts.insert(table.salt, name)),
                    }
                    self.compare_with_index(&table, indexed.get(&name))?;
                }
                Err(RepoError::Missing { .. }) if self.doomed.contains(&name.id) => {}
                // A flipped bit in the head makes a pack look newer than it is; its name tells.
                Err(error) if error.is_too_new() && !self.is_named_by_hash(&name)? => {
                    self.damaged_packs.insert(name);
                    self.damage_of(&RepoError::WrongName { path: name.path() });
                }
                Err(RepoError::Cold { path }) => cold.push((path, size)),
                Err(error) => {
                    if error.is_damage() && !error.is_too_new() {
                        self.damaged_packs.insert(name);
                    }
                    self.tolerate(error)?;
                }
            }
        }
        self.cold_packs(&cold)
    }

    /// Of a pack in cold storage the index's word is taken; more than its structure nobody can check.
    fn cold_packs(&mut self, cold: &[(String, u64)]) -> Result<()> {
        let Some((first, _)) = cold.first() else { return Ok(()) };
        if self.request.level > Level::Structure {
            return Err(OpsError::ColdPacks { packs: cold.len() as u64, first: first.clone() });
        }
        let bytes: u64 = cold.iter().map(|(_, bytes)| bytes).sum();
        let what = format!("{} packs ({} MiB) are in cold storage: of their tables the index's copies were taken", cold.len(), bytes >> 20);
        self.notice("packs/data", what, "");
        Ok(())
    }

    fn is_named_by_hash(&self, name: &PackName) -> Result<bool> {
        Ok(ObjectId::of(&self.repository.store().get(&name.path(), PACK_MAX)?) == name.id)
    }

    fn compare_with_index(&mut self, table: &FrameTable, indexed: Option<&PackEntry>) -> Result<()> {
        // A pack whose segment is damaged is not indexed; the segment is a finding of its own.
        let Some(pack) = indexed else { return Ok(()) };
        let mut agrees = (pack.format, pack.salt) == (table.format, table.salt) && pack.frames as usize == table.frames.len();
        for frame in table.frames() {
            let places = self.index.locate_anywhere(&frame.entry.stands_for())?;
            agrees &= places.iter().any(|place| place.pack == pack.number && place.frame == frame);
        }
        if !agrees {
            self.damaged_packs.insert(pack.name);
            self.damage(pack.name.path(), "its frame table is not the one that the index has: the pack was swapped", help_for("packs"));
        }
        Ok(())
    }

    /// Reads every frame that was not read yet, of the packs that were asked for, those verified longest ago first.
    pub(super) fn data(&mut self, started: Instant) -> Result<()> {
        let packs = self.packs_to_read()?;
        let total = packs.len();
        let wanted = match self.request.sample_percent {
            percent if percent < 100 => (total * percent as usize).div_ceil(100),
            _ => total,
        };
        let chosen = packs.get(..wanted).unwrap_or(&packs);
        self.job.progress.phase("data", chosen.iter().map(|(_, size)| size).sum());
        let next = AtomicUsize::new(0);
        let (whole, bad, bytes) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()), AtomicU64::new(0));
        let unread = Mutex::new(Vec::new());
        let fault = FirstFault::default();
        std::thread::scope(|scope| {
            for _ in 0..self.job.threads.max(1) {
                scope.spawn(|| {
                    while let Some((name, size)) = chosen.get(next.fetch_add(1, Ordering::SeqCst)) {
                        if fault.is_set() || self.is_late(started) {
                            break;
                        }
                        let read = match self.read_before.contains(&name.id) {
                            true => Ok(Some(Vec::new())),
                            false => self.job.cancel.check().and_then(|()| self.read_pack(name, *size, &bytes)),
                        };
                        self.job.progress.advance(*size);
                        match read {
                            Ok(None) => unread.lock().unwrap_or_else(PoisonError::into_inner).push(*name),
                            Ok(Some(faults)) if faults.is_empty() => whole.lock().unwrap_or_else(PoisonError::into_inner).push(name.id),
                            Ok(Some(faults)) => bad.lock().unwrap_or_else(PoisonError::into_inner).push((*name, faults)),
                            Err(error) => fault.note(Err(error)),
                        }
                    }
                });
            }
        });
        fault.into_result()?;
        self.job.progress.finish();
        self.packs_whole = whole.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.bytes += bytes.into_inner();
        let bad = bad.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut unread = unread.into_inner().unwrap_or_else(PoisonError::into_inner);
        let deleted = self.deleted_meanwhile(&packs)?;
        unread.retain(|name| !deleted.contains(name));
        self.complete &= self.packs_whole.len() + bad.len() + unread.len() + deleted.len() == total;
        self.unread_packs.extend(unread);
        for (name, faults) in bad {
            self.bad_pack(name, faults)?;
        }
        Ok(())
    }

    /// Which of these packs a prune has deleted since they were listed.
    fn deleted_meanwhile(&self, packs: &[(PackName, u64)]) -> Result<BTreeSet<PackName>> {
        let mut deleted = BTreeSet::new();
        for (name, _) in packs.iter().filter(|(name, _)| self.doomed.contains(&name.id)) {
            if self.repository.store().size(&name.path())?.is_none() {
                deleted.insert(*name);
            }
        }
        Ok(deleted)
    }

    /// The packs of what was asked for, those verified longest ago first.
    fn packs_to_read(&mut self) -> Result<Vec<(PackName, u64)>> {
        let verified = self.repository.verifications()?.packs;
        let mut packs: Vec<(PackName, u64)> = self.listing.packs.iter().map(|(name, size)| (*name, *size)).collect();
        if self.request.backup.is_some() {
            let mut needed = BTreeSet::new();
            for backup in &self.chosen {
                let walked = walk_chunks(&self.reader, &backup.manifest, |chunk| {
                    needed.extend(self.index.locate_readable(&chunk)?.iter().map(|place| place.pack));
                    Ok(())
                });
                match walked {
                    Err(error) if !error.is_damage() => return Err(error.into()),
                    // What cannot be walked was found by the structure level.
                    _ => {}
                }
            }
            let names: BTreeSet<PackName> =
                needed.into_iter().map(|pack| self.index.pack(pack).map(|pack| pack.name)).collect::<std::result::Result<_, _>>()?;
            packs.retain(|(name, _)| names.contains(name));
        }
        packs.sort_by_key(|(name, _)| (verified.get(&name.id).copied().unwrap_or_default(), name.id));
        Ok(packs)
    }

    /// Reads the frames of a pack that were not read yet; gives the chunks that are not whole.
    /// `None` if the pack is not there or its table is not readable.
    fn read_pack(&self, name: &PackName, size: u64, bytes: &AtomicU64) -> Result<Option<Vec<(ChunkId, String)>>> {
        let table = match self.repository.read_frame_table(name, size) {
            Ok(table) => table,
            // Found by the structure level already. What was not read is not whole: the check is not complete.
            Err(error) if error.is_damage() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let seen = self.lock_read().get(name).cloned().unwrap_or_default();
        let unread = |frame: &Frame| !bit(&seen, frame.number);
        let frames: Vec<Frame> = table.frames().filter(unread).collect();
        let sealing = self.repository.sealing();
        let failed = |source| RepoError::Object { path: name.path(), source };
        let opener = FrameOpener::new(sealing, name.kind, table.format, table.salt).map_err(failed)?;
        let mut decoder = FrameDecoder::new().map_err(failed)?;
        let mut faults = Vec::new();
        let mut rest = frames.as_slice();
        while let Some(first) = rest.first() {
            self.job.cancel.check()?;
            let start = u64::from(first.offset);
            let end_of = |frame: &Frame| u64::from(frame.offset) + u64::from(frame.entry.stored_len);
            let mut previous = start;
            let near = |frame: &&Frame| {
                let next = u64::from(frame.offset) <= previous.max(start) + FETCH_BYTES_MAX / 8 && end_of(frame) - start <= FETCH_BYTES_MAX;
                previous = end_of(frame);
                next
            };
            let run = rest.iter().take_while(near).count().max(1);
            let end = rest.get(run - 1).map_or(start, end_of);
            let fetched = match self.repository.store().get_range(&name.path(), start, end) {
                Ok(fetched) => fetched,
                Err(RepoError::Missing { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            for frame in rest.get(..run).unwrap_or_default() {
                let from = usize::try_from(u64::from(frame.offset) - start).unwrap_or(usize::MAX);
                let sealed = fetched.get(from..from.saturating_add(frame.entry.stored_len as usize));
                let opened = match sealed {
                    Some(sealed) => {
                        let mut sealed = sealed.to_vec();
                        opener
                            .open(sealing, frame, &mut sealed, &mut decoder)
                            .and_then(|plain| whole_len(frame, plain))
                            .map_err(|error| error.to_string())
                    }
                    None => Err("the pack ends before the frame does".to_owned()),
                };
                match opened {
                    Ok(plain_len) => drop(bytes.fetch_add(plain_len as u64, Ordering::Relaxed)),
                    Err(fault) => faults.push((frame.entry.stands_for(), fault)),
                }
            }
            rest = rest.get(run..).unwrap_or_default();
        }
        Ok(Some(faults))
    }

    fn bad_pack(&mut self, name: PackName, faults: Vec<(ChunkId, String)>) -> Result<()> {
        self.damaged_packs.insert(name);
        let first = faults.first().map_or_else(String::new, |(_, fault)| fault.clone());
        self.damage(name.path(), format!("{} of its frames are damaged: {first}", faults.len()), help_for("packs"));
        for (chunk, _) in faults {
            self.bad_chunks.entry(chunk).or_insert_with(|| name.path());
        }
        Ok(())
    }

    /// Notes that a frame was read and found whole.
    pub(super) fn was_read(&self, pack: u32, number: u32) -> std::result::Result<(), OpsError> {
        let name = self.index.pack(pack)?.name;
        let mut read = self.lock_read();
        let bits = read.entry(name).or_default();
        let word = number as usize / 64;
        if bits.len() <= word {
            bits.resize(word + 1, 0);
        }
        if let Some(word) = bits.get_mut(word) {
            *word |= 1 << (number % 64);
        }
        Ok(())
    }
}

/// Bytes of a frame that opened; a sparse form is read as well.
fn whole_len(frame: &Frame, plain: &[u8]) -> esker_format::Result<usize> {
    let Some(FormOf { run, entries }) = frame.entry.form else { return Ok(plain.len()) };
    let held = sparse_run::decode(&run, plain)?.len();
    match held == entries as usize {
        true => Ok(plain.len()),
        false => Err(FormatError::BadValue { field: "entries of a form", found: format!("{held} where its frame says {entries}") }),
    }
}

fn bit(bits: &[u64], number: u32) -> bool {
    bits.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
}

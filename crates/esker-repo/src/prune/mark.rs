//! Marking: every chunk that a backup reaches gets a home, a place where it stays.
//!
//! A table or recipe that several backups share is walked once. Of a chunk that stands at several places one copy is kept,
//! and the others are given up only after that one was read and found whole.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use esker_format::engine::EngineRecord;
use esker_format::entry_set::EntrySet;
use esker_format::file_table::{FileRow, Node};
use esker_format::manifest::Manifest;
use esker_format::recipe::Piece;
use esker_format::seal::ChunkKind;
use esker_format::table::{SeenManifest, decode_piece};
use esker_format::{ChunkId, ObjectId};

use super::Observer;
use super::marks::{Marks, PackMarks, Standing};
use super::uses::{Use, Uses};
use crate::error::{RepoError, Result};
use crate::index::{Location, SharedIndex};
use crate::manifests::{Backup, Standing as BackupStanding, read_engine};
use crate::reader::{ChunkReader, ReadContext};
use crate::repository::Repository;
use crate::scratch::ScratchMap;

/// Pieces that are read together, so that neighbours take one request.
const PIECES_AT_ONCE: usize = 64;
/// Packs that are found to stay only for copies, at most; the next prune finds more.
const ROUNDS_MAX: usize = 64;

/// What is marked so far.
pub(super) struct Marker {
    pub(super) marks: Marks,
    reader: Arc<ChunkReader>,
    index: SharedIndex,
    context: ReadContext,
    /// Needed chunks that stand at several places.
    copies: ScratchMap,
    /// Needed chunks that only packs of other prunes' lists hold; with a value, those that only undecided backups need.
    only_doomed: ScratchMap,
    needs_rescue: bool,
    /// Needed entries of runs.
    pub(super) uses: Uses,
    /// Runs of which forms that stay hold only a part of what is needed, with the entries that they lack.
    lacking: Uses,
    /// Manifests that writers of the backups saw.
    pub(super) seen: BTreeSet<ObjectId>,
    /// Needed chunks, each once.
    pub(super) chunks: u64,
}

/// What of a chunk that cannot be found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    /// The prune stops.
    Stops,
    /// The backup is undecided: what is there of it is kept.
    IsPassed,
}

impl Marker {
    /// Nothing marked yet, over this index.
    pub(super) fn new(
        repository: &Arc<Repository>,
        index: SharedIndex,
        own: &BTreeSet<ObjectId>,
        others: &BTreeSet<ObjectId>,
    ) -> Result<Self> {
        let mut marks = Marks::default();
        marks.rebase(&index, own, others)?;
        Ok(Self {
            marks,
            reader: Arc::new(ChunkReader::new(repository, Arc::clone(&index))),
            index,
            context: ReadContext::new()?,
            copies: repository.scratch_map(),
            only_doomed: repository.scratch_map(),
            needs_rescue: false,
            uses: Uses::new(repository),
            lacking: Uses::new(repository),
            seen: BTreeSet::new(),
            chunks: 0,
        })
    }

    /// Goes on over a newer index; what was marked stays marked.
    pub(super) fn rebase(&mut self, index: SharedIndex, own: &BTreeSet<ObjectId>, others: &BTreeSet<ObjectId>) -> Result<()> {
        self.marks.rebase(&index, own, others)?;
        self.reader = Arc::new(ChunkReader::new(self.reader.repository(), Arc::clone(&index)));
        self.index = index;
        Ok(())
    }

    /// What reads through the index at hand.
    pub(super) fn reader(&self) -> Arc<ChunkReader> {
        Arc::clone(&self.reader)
    }

    /// The index at hand.
    pub(super) fn index(&self) -> SharedIndex {
        Arc::clone(&self.index)
    }

    /// Marks all that these backups need, valid ones first: a table that an undecided one shares is then walked whole.
    ///
    /// # Errors
    /// `PruneStopped` for a valid backup that is not whole; `Store`, `Cache`.
    pub(super) fn mark(&mut self, backups: &[Backup], observer: &dyn Observer) -> Result<()> {
        for (standing, lack) in [(BackupStanding::Valid, Lack::Stops), (BackupStanding::Undecided, Lack::IsPassed)] {
            for backup in backups.iter().filter(|backup| backup.standing == standing) {
                observer.check()?;
                self.manifest(&backup.manifest, lack).map_err(|error| match error {
                    error if error.is_damage() => {
                        let label = &backup.manifest.label;
                        let id = backup.id.short();
                        RepoError::PruneStopped(format!(
                            "backup {label} ({id}) is not whole: {error}; run esker fsck, or esker forget {id}"
                        ))
                    }
                    error => error,
                })?;
            }
        }
        self.choose_homes(observer).map_err(|error| match error {
            error @ RepoError::ChunkLost { .. } => RepoError::PruneStopped(format!("{error}; run esker fsck")),
            error => error,
        })
    }

    fn manifest(&mut self, manifest: &Manifest, lack: Lack) -> Result<()> {
        let seen = self.visit_all(&manifest.seen.pieces, lack)?;
        self.read(seen, lack, |marker, _, bytes| {
            let rows = decode_piece::<SeenManifest>(bytes).map_err(RepoError::object("table of seen manifests"))?;
            marker.seen.extend(rows.into_iter().map(|row| row.0));
            Ok(())
        })?;
        for host in &manifest.hosts {
            self.files(&host.tree.pieces, lack)?;
            for id in self.visit_all(&host.engines, lack)? {
                match read_engine(&self.reader(), &mut self.context, &id) {
                    Ok(EngineRecord { files, replicas, .. }) => {
                        self.files(&files.pieces, lack)?;
                        self.visit_all(&replicas.pieces, lack)?;
                    }
                    Err(error) if error.is_damage() && lack == Lack::IsPassed => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Marks a table of files with all that its files are made of.
    fn files(&mut self, pieces: &[ChunkId], lack: Lack) -> Result<()> {
        let new = self.visit_all(pieces, lack)?;
        for some in new.chunks(PIECES_AT_ONCE) {
            let mut recipes = Vec::new();
            self.read(some.to_vec(), lack, |marker, piece, bytes| {
                for row in decode_piece::<FileRow>(bytes).map_err(RepoError::object(format!("table piece {piece}")))? {
                    let Node::File(content) = row.node else { continue };
                    recipes.extend(marker.visit_all(&content.recipe, lack)?);
                }
                Ok(())
            })?;
            self.read(recipes, lack, |marker, piece, bytes| {
                let decoded = Piece::decode(bytes).map_err(RepoError::object(format!("recipe piece {piece}")))?;
                decoded.chunks().try_for_each(|chunk| marker.visit_chunk(&chunk.id, chunk.kind, lack).map(drop))?;
                let Piece::Blocks(blocks) = decoded else { return Ok(()) };
                blocks.runs.iter().zip(blocks.used_entries()).try_for_each(|(run, used)| marker.uses.add(&run.id, &used, lack))
            })?;
        }
        Ok(())
    }

    /// Reads chunks in the order in which they stand, and hands each to `take`.
    fn read(&mut self, chunks: Vec<ChunkId>, lack: Lack, mut take: impl FnMut(&mut Self, ChunkId, &[u8]) -> Result<()>) -> Result<()> {
        let reader = self.reader();
        let mut context = ReadContext::new()?;
        for some in reader.in_store_order(chunks)?.chunks(PIECES_AT_ONCE) {
            if lack == Lack::Stops {
                reader.read_each(&mut context, some, |at, _, bytes| match some.get(at) {
                    Some(chunk) => take(self, *chunk, bytes),
                    None => Ok(()),
                })?;
                continue;
            }
            for chunk in some {
                match reader.read(&mut context, chunk).and_then(|bytes| take(self, *chunk, &bytes)) {
                    Err(error) if error.is_damage() => {}
                    outcome => outcome?,
                }
            }
        }
        Ok(())
    }

    /// Visits chunks; gives those that were not visited before.
    fn visit_all(&mut self, chunks: &[ChunkId], lack: Lack) -> Result<Vec<ChunkId>> {
        let mut new = Vec::new();
        for chunk in chunks {
            if self.visit(chunk, lack)? {
                new.push(*chunk);
            }
        }
        Ok(new)
    }

    /// Gives a chunk of a table or recipe a home; whether it was not visited before.
    fn visit(&mut self, chunk: &ChunkId, lack: Lack) -> Result<bool> {
        self.visit_chunk(chunk, ChunkKind::Table, lack)
    }

    /// Gives a chunk a home, but for a run of which forms may be one: which of them is decided when it is known what of it is
    /// needed. Whether it was not visited before.
    fn visit_chunk(&mut self, chunk: &ChunkId, kind: ChunkKind, lack: Lack) -> Result<bool> {
        let (places, mut forms) = self.index.locate_with_forms(chunk)?;
        forms.retain(|_| kind == ChunkKind::Run);
        let Some(first) = places.first().or(forms.first()) else {
            let why = || "no pack in the store holds it".to_owned();
            return if lack == Lack::IsPassed { Ok(false) } else { Err(RepoError::ChunkLost { chunk: *chunk, why: why() }) };
        };
        if !self.marks.see(first) {
            return Ok(false);
        }
        self.chunks += 1;
        let of = |marks: &Marks, standing| -> Vec<Location> {
            places.iter().filter(|place| marks.at(place).is_some_and(|pack| pack.standing == standing)).copied().collect()
        };
        match of(&self.marks, Standing::Free).as_slice() {
            [] if !forms.is_empty() => {}
            [] => match of(&self.marks, Standing::Own).first() {
                Some(place) => self.marks.keep(place),
                None => {
                    self.needs_rescue = true;
                    self.only_doomed.put(&chunk.0, if lack == Lack::IsPassed { &[1] } else { &[] })?;
                }
            },
            [only] => self.marks.keep(only),
            _ => {}
        }
        if places.len() + forms.len() > 1 {
            self.copies.insert(&chunk.0)?;
        }
        Ok(true)
    }

    /// Of chunks that stand at several places that count, the copy in the pack of which most is needed is kept.
    fn choose_homes(&mut self, observer: &dyn Observer) -> Result<()> {
        let Self { marks, copies, index, .. } = self;
        copies.for_each(|chunk, _| {
            observer.check()?;
            let free = free_places(index, marks, chunk)?;
            let is_home = |place: &&Location| marks.at(place).is_some_and(|pack| pack.is_home(place.frame.number));
            if !free.iter().any(|place| is_home(&place)) {
                let live = |place: &&Location| marks.at(place).map(|pack| (pack.live_bytes, pack.name()));
                if let Some(home) = free.iter().max_by_key(live).copied() {
                    marks.keep(&home);
                }
            }
            Ok(())
        })?;
        self.drop_redundant(observer)?;
        self.settle_runs(observer)?;
        self.weigh_runs()
    }

    /// Makes forms the homes of runs that stand whole in no pack that stays for certain.
    fn settle_runs(&mut self, observer: &dyn Observer) -> Result<()> {
        let uses = std::mem::replace(&mut self.uses, Uses::new(self.reader.repository()));
        let settled = uses.for_each(|run, needed| {
            observer.check()?;
            self.settle_run(&run, &needed)
        });
        self.uses = uses;
        settled
    }

    fn settle_run(&mut self, run: &ChunkId, needed: &Use) -> Result<()> {
        let (whole, forms) = self.index.locate_with_forms(run)?;
        let standing = |place: &Location| self.marks.at(place).map(|pack| pack.standing);
        if forms.is_empty() || whole.iter().any(|place| standing(place) == Some(Standing::Free)) {
            return Ok(());
        }
        let mut free: Vec<Location> = forms.iter().filter(|place| standing(place) == Some(Standing::Free)).copied().collect();
        if let ([only], true, [_]) = (free.as_slice(), whole.is_empty(), forms.as_slice()) {
            // Nothing else is left of it, so nothing depends on what it holds.
            self.marks.keep(only);
            return Ok(());
        }
        free.sort_by_key(|place| (self.marks.at(place).map(PackMarks::name), place.frame.number));
        let lacking = self.keep_forms(run, &needed.entries, &free)?;
        if lacking.is_empty() {
            return Ok(());
        }
        let others = forms.len() > free.len();
        let own = whole.iter().find(|place| self.marks.at(place).is_some_and(|pack| pack.standing == Standing::Own));
        match own {
            Some(own) if lacking == needed.entries => self.marks.keep(own),
            _ if own.is_some() || others || !whole.is_empty() => {
                self.needs_rescue = true;
                self.lacking.join(run, &needed.of_these(&lacking))?;
            }
            _ => match needed.of_these(&lacking).firm.count() {
                0 => {}
                lost => {
                    let why = format!("{lost} of its entries stand in none of its forms");
                    return Err(RepoError::ChunkLost { chunk: *run, why });
                }
            },
        }
        Ok(())
    }

    /// Reads forms and makes those homes that hold what is needed, the one that holds most first; gives what none holds.
    fn keep_forms(&mut self, run: &ChunkId, needed: &EntrySet, forms: &[Location]) -> Result<EntrySet> {
        let mut held = Vec::new();
        for place in forms {
            match self.reader.read_form(&self.index, &mut self.context, run, place) {
                Ok(form) => held.push((*place, form.held())),
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        let mut lacking = needed.clone();
        while !lacking.is_empty() {
            let gain = |held: &EntrySet| lacking.count() - lacking.without(held).count();
            // Of several that hold as much the first: the next prune must choose the same.
            let best = held.iter().rev().max_by_key(|(_, held)| gain(held));
            let Some((place, held)) = best.filter(|(_, held)| gain(held) > 0) else { break };
            self.marks.keep(place);
            lacking = lacking.without(held);
        }
        Ok(lacking)
    }

    /// Says of each pack how much of its runs nobody needs.
    fn weigh_runs(&mut self) -> Result<()> {
        let Self { marks, uses, index, .. } = self;
        marks.forget_unneeded();
        uses.for_each(|run, needed| {
            let (whole, forms) = index.locate_with_forms(&run)?;
            whole.iter().chain(&forms).for_each(|place| marks.note_unneeded(place, needed.unneeded_bytes(place)));
            Ok(())
        })
    }

    /// Moves homes until no pack stays only for chunks that other packs, which stay anyway, hold too. So what stays would stay
    /// in the next prune, too.
    fn drop_redundant(&mut self, observer: &dyn Observer) -> Result<()> {
        for _ in 0..ROUNDS_MAX {
            observer.check()?;
            let Self { marks, copies, index, .. } = &mut *self;
            let mut movable: HashMap<ObjectId, u32> = HashMap::new();
            copies.for_each(|chunk, _| {
                if let Some((home, _)) = movable_home(index, marks, chunk)?
                    && let Some(pack) = marks.at(&home)
                {
                    *movable.entry(pack.name().id).or_default() += 1;
                }
                Ok(())
            })?;
            let is_redundant = |pack: &&PackMarks| !pack.is_dead() && movable.get(&pack.name().id) == Some(&pack.live_frames);
            let Some(id) = marks.packs().filter(is_redundant).min_by_key(|pack| (pack.live_bytes, pack.name())).map(|pack| pack.name().id)
            else {
                return Ok(());
            };
            copies.for_each(|chunk, _| {
                if let Some((home, other)) = movable_home(index, marks, chunk)?
                    && marks.at(&home).is_some_and(|pack| pack.name().id == id)
                {
                    marks.keep(&other);
                }
                Ok(())
            })?;
            if let Some(pack) = marks.pack_mut(&id) {
                pack.clear_homes();
            }
        }
        Ok(())
    }

    /// Reads each home whose chunk also stands in one of these packs, which are to go. If it is not whole, the other copies
    /// stay as well.
    ///
    /// # Errors
    /// `Store`, `Cache`.
    pub(super) fn prove_homes(&mut self, going: &BTreeSet<ObjectId>, observer: &dyn Observer) -> Result<()> {
        let Self { marks, copies, index, reader, context, only_doomed, needs_rescue, uses, lacking, .. } = self;
        let mut saved: Vec<Location> = Vec::new();
        copies.for_each(|chunk, _| {
            observer.check()?;
            let (whole, forms) = index.locate_with_forms(&chunk_id(chunk)?)?;
            let places = whole.into_iter().chain(forms);
            // Forms that are homes were all read when they were chosen.
            let (homes, given_up): (Vec<Location>, Vec<Location>) =
                places.partition(|place| marks.at(place).is_some_and(|pack| pack.is_home(place.frame.number)));
            if !given_up.iter().any(|place| marks.at(place).is_some_and(|pack| going.contains(&pack.name().id))) {
                return Ok(());
            }
            for home in homes {
                match reader.read_at(index, context, &home) {
                    Ok(_) => return Ok(()),
                    // What cannot be read now is not proven either.
                    Err(error) if error.is_damage() || matches!(error, RepoError::Cold { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            for place in given_up {
                match marks.at(&place).map(|pack| pack.standing) {
                    Some(Standing::Others) => {
                        *needs_rescue = true;
                        match place.frame.entry.form {
                            None => only_doomed.put(chunk, &[1])?,
                            Some(form) => {
                                let needed = uses.of(&form.run)?;
                                needed.map_or(Ok(()), |needed| lacking.add(&form.run, &needed.entries, Lack::IsPassed))?;
                            }
                        }
                    }
                    _ => saved.push(place),
                }
            }
            Ok(())
        })?;
        saved.iter().for_each(|place| marks.keep(place));
        Ok(())
    }

    /// Whether needed chunks stand in packs of other prunes' lists alone.
    pub(super) fn needs_rescue(&self) -> bool {
        self.needs_rescue
    }

    /// Gives each run of which forms that stay lack something to `take`, once, with what they lack.
    ///
    /// # Errors
    /// What `take` returns.
    pub(super) fn take_lacking(&mut self, take: impl FnMut(ChunkId, Use) -> Result<()>) -> Result<()> {
        let taken = std::mem::replace(&mut self.lacking, Uses::new(self.reader.repository()));
        taken.for_each(take)
    }

    /// Gives each such chunk to `take`, once.
    ///
    /// # Errors
    /// What `take` returns.
    pub(super) fn take_only_doomed(&mut self, mut take: impl FnMut(ChunkId, Lack) -> Result<()>) -> Result<()> {
        let taken = std::mem::replace(&mut self.only_doomed, self.reader.repository().scratch_map());
        self.needs_rescue = false;
        taken.for_each(|chunk, value| take(chunk_id(chunk)?, if value.is_empty() { Lack::Stops } else { Lack::IsPassed }))
    }
}

fn chunk_id(bytes: &[u8]) -> Result<ChunkId> {
    bytes.try_into().map(ChunkId).map_err(|_| RepoError::Internal("a chunk id of another length".into()))
}

/// Where a chunk has its one home, and another place in a pack that stays anyway.
fn movable_home(index: &SharedIndex, marks: &Marks, chunk: &[u8]) -> Result<Option<(Location, Location)>> {
    let places = free_places(index, marks, chunk)?;
    let is_home = |place: &Location| marks.at(place).is_some_and(|pack| pack.is_home(place.frame.number));
    let mut homes = places.iter().filter(|place| is_home(place));
    let (Some(home), None) = (homes.next(), homes.next()) else { return Ok(None) };
    let stays = |place: &&Location| place.pack != home.pack && marks.at(place).is_some_and(|pack| !pack.is_dead());
    let other = places.iter().filter(stays).max_by_key(|place| marks.at(place).map(|pack| (pack.live_bytes, pack.name())));
    Ok(other.map(|other| (*home, *other)))
}

fn free_places(index: &SharedIndex, marks: &Marks, chunk: &[u8]) -> Result<Vec<Location>> {
    let mut places = index.locate(&chunk_id(chunk)?)?;
    places.retain(|place| marks.at(place).is_some_and(|pack| pack.standing == Standing::Free));
    Ok(places)
}

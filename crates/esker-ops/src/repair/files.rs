//! Lost chunks made again from whole files: cut out of them, cut anew, or put together from the entries of tables.

use std::collections::{BTreeMap, BTreeSet};

use esker_dedup::RecipeBuilder;
use esker_dedup::sorted::recover::{RunPuzzle, entries_of};
use esker_dedup::sorted::{Budget, MergedBlocks};
use esker_dedup::sorted::{ChunkStore, Merge, SortedError, TableInput, probe, rest};
use esker_format::ChunkId;
use esker_format::limits::{CHUNK_PLAIN_MAX, TABLE_REST_MAX};
use esker_format::recipe::Piece;
use esker_format::run::Run;
use esker_format::seal::ChunkKind;
use esker_format::table_recipe::{ChunkUse, TableBlocks};
use esker_repo::Repository;
use esker_repo::reader::{ChunkReader, ReadContext};
use esker_repo::tables::read_piece;
use esker_sst::{ReadAt, TableMap, TableTail, compression};

use super::loss::{Loss, LossyFile};
use super::sink::Sink;
use crate::error::{OpsError, Result};
use crate::job::Job;

/// Runs that are put together at once; each takes about 3 MiB meanwhile.
const RUNS_AT_ONCE: usize = 48;
/// Bytes read from a file at a time.
const READ_BYTES: usize = 4 << 20;

/// A stretch of a file: where it starts, how long it is, and whether it is a hole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) is_hole: bool,
}

/// A file that may be one that a backup holds.
pub(super) trait Candidate: ReadAt {
    /// Data and holes, as the file system tells them.
    fn stretches(&self) -> Vec<Stretch>;
}

/// Where files may still stand.
pub(super) trait Files {
    /// Gives files that may be this one to `look`, the likeliest first, until it says that it has all it needs.
    ///
    /// # Errors
    /// What `look` returns, and what keeps a file from being read at all.
    fn each(&self, file: &LossyFile, look: &mut dyn FnMut(&dyn Candidate) -> Result<bool>) -> Result<()>;
}

/// What mending from files works with.
pub(super) struct Mender<'a> {
    pub(super) repository: &'a Repository,
    pub(super) reader: &'a ChunkReader,
    pub(super) loss: &'a Loss,
    pub(super) sources: &'a [&'a dyn Files],
    pub(super) job: &'a Job,
}

impl Mender<'_> {
    /// Makes again what the files at hand have.
    ///
    /// # Errors
    /// `Store`, `Cache`, `Cancelled`; a host's folder that cannot be read.
    pub(super) fn mend(&self, sink: &mut Sink<'_>) -> Result<Vec<String>> {
        self.job.progress.phase("mending from files", 0);
        let mut context = ReadContext::new()?;
        for file in &self.loss.files {
            self.job.cancel.check()?;
            self.file(file, &mut context, sink)?;
        }
        let notes = self.runs(&mut context, sink)?;
        self.job.progress.finish();
        Ok(notes)
    }

    /// Gives the candidates of a file to `look` until it is content.
    fn each(&self, file: &LossyFile, mut look: impl FnMut(&dyn Candidate) -> Result<bool>) -> Result<()> {
        let mut is_content = false;
        for source in self.sources {
            if is_content {
                break;
            }
            source.each(file, &mut |candidate| {
                is_content = look(candidate)?;
                Ok(is_content)
            })?;
        }
        Ok(())
    }

    /// All that a file alone can give.
    fn file(&self, file: &LossyFile, context: &mut ReadContext, sink: &mut Sink<'_>) -> Result<()> {
        let needs = &file.needs;
        if needs.bytes.is_empty() && needs.recipe.is_empty() && needs.in_table.is_empty() {
            return Ok(());
        }
        self.each(file, |candidate| {
            let cut_out = cut_out(&needs.bytes, candidate, sink)?;
            let known = needs.bytes.iter().all(|(offset, _)| *offset != u64::MAX);
            let mut done = cut_out && known;
            if !needs.recipe.is_empty() || !known {
                done &= self.cut_anew(candidate, sink)?;
            }
            if !needs.in_table.is_empty() || !needs.recipe.is_empty() {
                done &= self.of_table(file, candidate, context, sink)?;
            }
            Ok(done)
        })
    }

    /// Cuts a file as a backup would, holes as they are reported and as zeros; whether anything came of it.
    fn cut_anew(&self, candidate: &dyn Candidate, sink: &mut Sink<'_>) -> Result<bool> {
        let reported = candidate.stretches();
        let mut ways = vec![vec![Stretch { offset: 0, len: candidate.len(), is_hole: false }]];
        if reported.iter().any(|stretch| stretch.is_hole) {
            ways.push(reported);
        }
        let before = sink.chunks;
        for stretches in ways {
            let mut builder = RecipeBuilder::new(self.repository.config().chunker);
            let sealing = self.repository.sealing();
            let store = |sink: &mut Sink<'_>, chunk: &[u8]| -> Result<ChunkId> {
                sink.give(ChunkKind::Bytes, chunk)?;
                Ok(sealing.chunk_id(ChunkKind::Bytes, chunk))
            };
            let mut buffer = vec![0; READ_BYTES];
            for stretch in stretches {
                if stretch.is_hole {
                    builder.hole(stretch.len, |chunk| store(sink, chunk))?;
                    continue;
                }
                let (mut at, end) = (stretch.offset, stretch.offset + stretch.len);
                while at < end {
                    self.job.cancel.check()?;
                    let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
                    let bytes = buffer.get_mut(..len).unwrap_or_default();
                    if candidate.read_exact_at(bytes, at).is_err() {
                        return Ok(false);
                    }
                    builder.bytes(bytes, |chunk| store(sink, chunk))?;
                    at += len as u64;
                }
            }
            let built = builder.finish(|chunk| store(sink, chunk))?;
            for piece in built.pieces {
                if let Ok(bytes) = Piece::Bytes(piece).encode() {
                    sink.give(ChunkKind::Table, &bytes)?;
                }
            }
        }
        Ok(sink.chunks > before)
    }

    /// Kept blocks, the dictionary and what follows the blocks of a table.
    fn of_table(&self, file: &LossyFile, candidate: &dyn Candidate, context: &mut ReadContext, sink: &mut Sink<'_>) -> Result<bool> {
        let Some(map) = table_map(candidate) else { return Ok(false) };
        let before = sink.chunks;
        let mut rest_is_lost = file.needs.recipe.contains(&(file.content.recipe.len().wrapping_sub(1)));
        for position in &file.needs.in_table {
            let Some(id) = file.content.recipe.get(*position) else { continue };
            match read_piece(self.reader, context, id) {
                Ok(Piece::Blocks(piece)) => {
                    give_in_order(&piece.dictionary, map.dictionary.as_deref().unwrap_or_default(), sink)?;
                    if let Ok(found) = entries_of(&piece, &map, candidate, &mut |_| {}) {
                        give_in_order(&piece.kept, &found.kept, sink)?;
                    }
                }
                Ok(Piece::Rest(_)) => rest_is_lost = true,
                Ok(Piece::Bytes(_)) => {}
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error.into()),
            }
        }
        if rest_is_lost {
            self.rest(&map, candidate, sink)?;
        }
        Ok(sink.chunks > before)
    }

    /// What follows the data blocks, described as a backup does.
    fn rest(&self, map: &TableMap, candidate: &dyn Candidate, sink: &mut Sink<'_>) -> Result<()> {
        let chunker = self.repository.config().chunker;
        let mut store = Collector { repository: self.repository, sink };
        let mut merged: Option<MergedBlocks> = None;
        if let Ok(probe) = probe(candidate, map)? {
            let merge =
                Merge { order: probe.order, timestamp_size: probe.timestamp_size, chunker, base: Vec::new(), budget: Budget::shared_by(1) };
            let input = TableInput { file: candidate, map, probe: &probe, blocks: 0..map.len() };
            let outcome = merge.run(vec![input], &mut store)?;
            merged = outcome.tables.into_iter().next().and_then(|table| table.outcome.ok());
        }
        let Some(merged) = merged else { return Ok(()) };
        let offset = merged.pieces.last().map_or(0, |piece| piece.offset + piece.len);
        let len = candidate.len().saturating_sub(offset);
        if len > TABLE_REST_MAX {
            return Ok(());
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        if candidate.read_exact_at(&mut bytes, offset).is_err() {
            return Ok(());
        }
        for facts in [merged.facts, None] {
            let described = rest::describe(map, &bytes, offset, facts, &mut store)?;
            if let Ok(piece) = Piece::Rest(described.piece).encode() {
                store.sink.give(ChunkKind::Table, &piece)?;
            }
        }
        Ok(())
    }

    /// Puts lost runs together from every table at hand that copies from them; says of which that did not do.
    fn runs(&self, context: &mut ReadContext, sink: &mut Sink<'_>) -> Result<Vec<String>> {
        // In the order in which tables use them, so that runs that are put together at once are neighbours.
        let mut seen = BTreeSet::new();
        let used = self.loss.files.iter().flat_map(|file| file.needs.runs.iter().flat_map(|(_, runs)| runs));
        let lost: Vec<ChunkId> = used.filter(|run| sink.wants(run) && seen.insert(**run)).copied().collect();
        let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
        for batch in lost.chunks(RUNS_AT_ONCE) {
            let batch: BTreeSet<ChunkId> = batch.iter().copied().collect();
            let mut puzzles: BTreeMap<ChunkId, RunPuzzle> = BTreeMap::new();
            for file in &self.loss.files {
                self.job.cancel.check()?;
                self.entries(file, &batch, &mut puzzles, context, sink)?;
            }
            for id in &batch {
                let made = match puzzles.get(id) {
                    Some(puzzle) => puzzle.encode().map_err(|error| error.to_string()),
                    None => Err("no table that copies from it is at hand".to_owned()),
                };
                let why = match made {
                    Ok(bytes) if sink.give(ChunkKind::Run, &bytes)? => continue,
                    Ok(_) => "of its entries some stand in no table at hand".to_owned(),
                    Err(why) => why,
                };
                *reasons.entry(why).or_default() += 1;
            }
        }
        Ok(reasons.into_iter().map(|(why, count)| format!("{count} lost runs were not put together: {why}")).collect())
    }

    /// Adds the entries that a file has of these runs.
    fn entries(
        &self,
        file: &LossyFile,
        batch: &BTreeSet<ChunkId>,
        puzzles: &mut BTreeMap<ChunkId, RunPuzzle>,
        context: &mut ReadContext,
        sink: &Sink<'_>,
    ) -> Result<()> {
        let is_wanted = |run: &ChunkId| batch.contains(run) && sink.wants(run);
        let mut pieces: Vec<usize> =
            file.needs.runs.iter().filter(|(_, runs)| runs.iter().any(is_wanted)).map(|(position, _)| *position).collect();
        if pieces.is_empty() {
            return Ok(());
        }
        self.each(file, |candidate| {
            let Some(map) = table_map(candidate) else { return Ok(false) };
            let mut failed = Vec::new();
            for position in std::mem::take(&mut pieces) {
                let Some(id) = file.content.recipe.get(position) else { continue };
                let piece = match read_piece(self.reader, context, id) {
                    Ok(Piece::Blocks(piece)) => piece,
                    Ok(_) => continue,
                    Err(error) if error.is_damage() => continue,
                    Err(error) => return Err(error.into()),
                };
                if !add_entries(&piece, &map, candidate, batch, puzzles)? {
                    failed.push(position);
                }
            }
            pieces = failed;
            Ok(pieces.is_empty())
        })
    }
}

/// Cuts chunks out of a file; whether all that were wanted are had.
fn cut_out(needs: &[(u64, u32)], candidate: &dyn Candidate, sink: &mut Sink<'_>) -> Result<bool> {
    let mut is_done = true;
    for (offset, len) in needs.iter().filter(|(offset, _)| *offset != u64::MAX) {
        let len = (*len as usize).min(CHUNK_PLAIN_MAX);
        let mut bytes = vec![0; len];
        is_done &= candidate.read_exact_at(&mut bytes, *offset).is_ok() && sink.give(ChunkKind::Bytes, &bytes)?;
    }
    Ok(is_done)
}

/// Gives chunks that stand one behind the other in `bytes`.
fn give_in_order(chunks: &[ChunkUse], bytes: &[u8], sink: &mut Sink<'_>) -> Result<()> {
    let mut at = 0usize;
    for chunk in chunks {
        let end = at.saturating_add(chunk.len as usize);
        if let Some(bytes) = bytes.get(at..end).filter(|_| sink.wants(&chunk.id)) {
            sink.give(ChunkKind::Bytes, bytes)?;
        }
        at = end;
    }
    Ok(())
}

/// Adds what a table has of these runs; false if it is not the one that the piece makes.
fn add_entries(
    piece: &TableBlocks,
    map: &TableMap,
    candidate: &dyn Candidate,
    batch: &BTreeSet<ChunkId>,
    puzzles: &mut BTreeMap<ChunkId, RunPuzzle>,
) -> Result<bool> {
    let wanted: Vec<Option<ChunkId>> = piece.runs.iter().map(|run| Some(run.id).filter(|id| batch.contains(id))).collect();
    // The bytes are the piece's, by their hash: what was added before a fault is right.
    let found = entries_of(piece, map, candidate, &mut |found| {
        if let Some(Some(id)) = wanted.get(found.run) {
            puzzles.entry(*id).or_insert_with(|| RunPuzzle::new(piece.order, piece.timestamp_size)).add(&found);
        }
    });
    match found {
        Ok(_) => Ok(true),
        Err(SortedError::Read(_) | SortedError::Recipe(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Where the blocks of a table stand; `None` if it is no healthy table.
fn table_map(file: &dyn Candidate) -> Option<TableMap> {
    let tail = TableTail::read(file).ok()?;
    let mut decompress =
        |kind: u8, payload: &[u8], limit: usize, out: &mut Vec<u8>| compression::decompress(kind, &[], payload, limit, out).is_ok();
    TableMap::read(file, tail, &mut decompress).ok()
}

/// Keeps of what a merge would store only what is wanted.
struct Collector<'a, 's, 'r> {
    repository: &'a Repository,
    sink: &'s mut Sink<'r>,
}

impl ChunkStore for Collector<'_, '_, '_> {
    type Error = OpsError;

    fn load_run(&mut self, _: &ChunkId) -> Result<Option<std::sync::Arc<Run>>> {
        Ok(None)
    }

    fn store_run(&mut self, bytes: Vec<u8>) -> Result<ChunkId> {
        self.sink.give(ChunkKind::Run, &bytes)?;
        Ok(self.repository.sealing().chunk_id(ChunkKind::Run, &bytes))
    }

    fn store_bytes(&mut self, bytes: &[u8]) -> Result<ChunkUse> {
        let len = u32::try_from(bytes.len()).map_err(|_| SortedError::Recipe("a chunk over 4 GiB".into()))?;
        self.sink.give(ChunkKind::Bytes, bytes)?;
        Ok(ChunkUse { id: self.repository.sealing().chunk_id(ChunkKind::Bytes, bytes), len })
    }
}

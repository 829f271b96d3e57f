//! A stream over the entries of one table, which passes over what nobody wants to see.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use esker_dedup::sorted::{PieceEntries, Segment, segments};
use esker_format::ChunkId;
use esker_format::file_table::FileContent;
use esker_format::recipe::Piece;
use esker_format::run::Run;
use esker_format::table_recipe::{Block, TableBlocks};
use esker_sst::{Entries, TableBlockReader, TableMap, TableTail, compression};

use super::family::{InternalKey, KeyForm};
use super::ranges::{KeyRange, Upper};
use super::store::Store;
use super::stored_file::StoredFile;
use super::table::{Content, Table};
use crate::error::{OpsError, Result};

/// Runs that are fetched together before the first of them is looked at.
const RUNS_AHEAD: usize = 24;

/// The stream. It stands at an entry, or behind the last.
pub(super) struct TableCursor<'s, 'r> {
    pub(super) form: KeyForm,
    pub(super) table: Rc<Table>,
    global_sequence: Option<u64>,
    source: Source<'s, 'r>,
    /// Bytes of the table that were not looked at.
    skipped: u64,
}

enum Source<'s, 'r> {
    /// Pieces over runs, of which any may be passed over.
    Pieces(Pieces<'s, 'r>),
    /// Blocks as they are, and others that follow from runs.
    Blocks(Box<Blocks<'s, 'r>>),
    /// Entries in memory.
    Logged { entries: Arc<Run>, at: usize },
}

impl<'s, 'r> TableCursor<'s, 'r> {
    /// A stream before its first entry; `seek` moves it to one.
    ///
    /// # Errors
    /// `ChunkLost`, `Store`; `Unreadable` for what is no table.
    pub(super) fn open(store: &'s Store<'r>, table: Rc<Table>, form: KeyForm, global_sequence: Option<u64>) -> Result<Self> {
        let source = match &table.content {
            Content::Logged { entries, .. } => Source::Logged { entries: Arc::clone(entries), at: 0 },
            Content::Stored(content) => match Pieces::open(store, content, &table)? {
                Some(pieces) => Source::Pieces(pieces),
                None => Source::Blocks(Box::new(Blocks::open(store, content, &table)?)),
            },
        };
        let skipped = if matches!(source, Source::Pieces(_)) { table.size } else { 0 };
        Ok(Self { form, table, global_sequence, source, skipped })
    }

    /// Moves to the first entry whose key is in the range or behind it; false if there is none.
    ///
    /// # Errors
    /// As `open`.
    pub(super) fn seek(&mut self, range: &KeyRange) -> Result<bool> {
        let mut is_there = match &mut self.source {
            Source::Pieces(pieces) => pieces.seek(range, self.form)?,
            Source::Blocks(blocks) => blocks.seek(range, self.form)?,
            Source::Logged { entries, at } => *at < entries.len(),
        };
        while is_there && range.from.as_ref().is_some_and(|from| self.form.order.compare(self.key(), from).is_lt()) {
            is_there = self.advance()?;
        }
        Ok(is_there)
    }

    /// Moves to the next entry; false if there is none.
    ///
    /// # Errors
    /// As `open`.
    pub(super) fn advance(&mut self) -> Result<bool> {
        match &mut self.source {
            Source::Pieces(pieces) => pieces.advance(self.form),
            Source::Blocks(blocks) => blocks.advance(),
            Source::Logged { entries, at } => {
                *at += 1;
                Ok(*at < entries.len())
            }
        }
    }

    /// The key at hand, without timestamp.
    #[inline]
    pub(super) fn key(&self) -> &[u8] {
        match &self.source {
            Source::Pieces(pieces) => pieces.key(),
            Source::Blocks(blocks) => blocks.split(self.form).map(|internal| internal.key).unwrap_or_default(),
            Source::Logged { entries, at } => entries.key(*at),
        }
    }

    /// The entry at hand: its key in parts, and its value.
    #[inline]
    pub(super) fn entry(&self) -> (InternalKey<'_>, &[u8]) {
        let nothing = InternalKey { key: &[], timestamp: &[], sequence: 0, kind: 0 };
        let (mut internal, value) = match &self.source {
            Source::Pieces(pieces) => pieces.entry().unwrap_or((nothing, &[])),
            Source::Blocks(blocks) => (blocks.split(self.form).unwrap_or(nothing), blocks.value()),
            Source::Logged { entries, at } => {
                (InternalKey::of(entries.key(*at), entries.timestamp(*at), entries.trailer(*at)), entries.value(*at))
            }
        };
        if let Some(sequence) = self.global_sequence {
            internal.sequence = sequence;
        }
        (internal, value)
    }

    /// Bytes of the table that were not looked at.
    pub(super) fn skipped(&self) -> u64 {
        match &self.source {
            Source::Pieces(pieces) => self.skipped.saturating_sub(pieces.opened_bytes),
            _ => self.skipped,
        }
    }
}

/// Where a piece begins.
struct Part {
    id: ChunkId,
    from: Vec<u8>,
    len: u64,
}

/// Pieces of which every block follows from runs.
struct Pieces<'s, 'r> {
    store: &'s Store<'r>,
    parts: Vec<Part>,
    next: usize,
    open: Option<OpenPiece>,
    run: Option<(usize, Arc<Run>)>,
    position: usize,
    /// Where the range ends that was last asked for: nothing behind it is read ahead.
    until: Upper,
    opened_bytes: u64,
}

struct OpenPiece {
    entries: PieceEntries,
    segments: Vec<Segment>,
    /// Entries that were passed.
    at: u64,
    /// The runs that were at hand once.
    runs: Vec<Weak<Run>>,
}

impl<'s, 'r> Pieces<'s, 'r> {
    /// `None` if some block does not follow from runs.
    fn open(store: &'s Store<'r>, content: &FileContent, table: &Table) -> Result<Option<Self>> {
        let mut parts: Vec<Option<Part>> = content.recipe.iter().map(|_| None).collect();
        let mut is_whole = true;
        store.pieces(&content.recipe, |position, piece| {
            let id = content.recipe.get(position).copied().unwrap_or(ChunkId([0; 32]));
            match piece {
                Piece::Blocks(piece) if is_of_runs(&piece) => {
                    // A table of range deletions alone has no entries.
                    if let (Some(run), Some(part)) = (piece.runs.first(), parts.get_mut(position)) {
                        *part = Some(Part { id, from: run.first_key.clone(), len: piece.len });
                    }
                }
                Piece::Rest(_) => {}
                _ => is_whole = false,
            }
            Ok(())
        })?;
        let parts = parts.into_iter().flatten().collect();
        let until = table.upper.clone();
        Ok(is_whole.then_some(Self { store, parts, next: 0, open: None, run: None, position: 0, until, opened_bytes: 0 }))
    }

    fn seek(&mut self, range: &KeyRange, form: KeyForm) -> Result<bool> {
        self.until.clone_from(&range.upper);
        let comes_before = |key: &[u8]| range.from.as_ref().is_some_and(|from| form.order.compare(key, from).is_lt());
        let started = if self.open.is_some() { self.next.saturating_sub(1) } else { self.next };
        // A piece may end with the key that the next one begins with.
        let is_past = |pieces: &Self, number: usize| pieces.parts.get(number + 1).is_some_and(|next| comes_before(&next.from));
        let mut wanted = started;
        while is_past(self, wanted) {
            wanted += 1;
        }
        if self.open.is_none() || wanted != started {
            (self.open, self.run, self.next) = (None, None, wanted);
            if !self.open_next()? {
                return Ok(false);
            }
        }
        if let Some(open) = &mut self.open {
            let piece = open.entries.piece();
            let begins = |segment: &Segment| piece.runs.get(segment.run).is_some_and(|run| comes_before(&run.first_key));
            let passed = open.segments.partition_point(begins).checked_sub(1).and_then(|number| open.segments.get(number));
            let skipped = passed.map_or(0, |segment| segment.before.saturating_sub(open.at));
            open.entries.skip(skipped);
            open.at += skipped;
        }
        self.settle(form)
    }

    fn open_next(&mut self) -> Result<bool> {
        let Some(part) = self.parts.get(self.next) else { return Ok(false) };
        self.next += 1;
        let Piece::Blocks(piece) = self.store.piece(&part.id)? else {
            return Err(OpsError::Damage("a recipe is another than a moment ago".into()));
        };
        self.opened_bytes += part.len;
        let (segments, runs) = (segments(&piece, false), piece.runs.iter().map(|_| Weak::new()).collect());
        self.open = Some(OpenPiece { entries: PieceEntries::new(piece), segments, at: 0, runs });
        Ok(true)
    }

    #[inline]
    fn advance(&mut self, form: KeyForm) -> Result<bool> {
        if let Some(open) = &mut self.open {
            open.entries.skip(1);
            open.at += 1;
        }
        self.settle(form)
    }

    /// Makes the run of the entry at hand be there; goes on to the next piece at the end of one.
    #[inline]
    fn settle(&mut self, form: KeyForm) -> Result<bool> {
        loop {
            let Some(open) = &self.open else { return Ok(false) };
            let Some((run, position)) = open.entries.place() else {
                (self.open, self.run) = (None, None);
                if !self.open_next()? {
                    return Ok(false);
                }
                continue;
            };
            let is_new = self.run.as_ref().is_none_or(|(number, _)| *number != run);
            if is_new {
                let found = self.load(run, form)?;
                self.run = Some((run, found));
            }
            let held = self.run.as_ref().and_then(|(_, run)| held_at(run, position));
            self.position =
                held.ok_or_else(|| OpsError::Damage(format!("a recipe names entry {position} of a run that does not have it")))?;
            if is_new {
                self.check_first_key(run)?;
            }
            return Ok(true);
        }
    }

    /// Where a piece first uses a run, the run must have the key that the recipe says: no hash will tell, as nothing is rebuilt.
    fn check_first_key(&self, number: usize) -> Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        let is_first_use = open.segments.get(number).is_some_and(|segment| segment.before == open.at);
        let is_right = open.entries.piece().runs.get(number).is_some_and(|run| run.first_key == self.key());
        match is_right || !is_first_use {
            true => Ok(()),
            false => Err(OpsError::Damage("a run has another key than the recipe says".into())),
        }
    }

    /// The run with this number in the piece, and with it those that will be needed next.
    fn load(&mut self, number: usize, form: KeyForm) -> Result<Arc<Run>> {
        let missing = || OpsError::Damage("a recipe names a run that it does not have".into());
        let Some(open) = &mut self.open else { return Err(missing()) };
        if let Some(run) = open.runs.get(number).and_then(Weak::upgrade) {
            return Ok(run);
        }
        let piece = open.entries.piece();
        let later = piece.runs.iter().zip(&open.runs).enumerate().skip(number + 1).take(RUNS_AHEAD);
        let later = later.take_while(|(_, (run, _))| !self.until.is_before(&run.first_key, form.order));
        let absent = later.filter(|(_, (_, held))| held.strong_count() == 0).map(|(later, _)| later);
        let wanted: Vec<usize> = std::iter::once(number).chain(absent).collect();
        let ids: Vec<ChunkId> = wanted.iter().filter_map(|number| piece.runs.get(*number)).map(|run| run.id).collect();
        let (order, timestamp_size) = (piece.order, piece.timestamp_size);
        let found = self.store.runs(&ids)?;
        if let Some(run) = found.iter().find(|run| run.timestamp_size() != timestamp_size || run.order() != order) {
            return Err(OpsError::Damage(format!("a run of {} entries is of another order or has other timestamps", run.len())));
        }
        for (number, run) in wanted.iter().zip(&found) {
            if let Some(slot) = open.runs.get_mut(*number) {
                *slot = Arc::downgrade(run);
            }
        }
        found.into_iter().next().ok_or_else(missing)
    }

    #[inline]
    fn key(&self) -> &[u8] {
        self.run.as_ref().map(|(_, run)| run.key(self.position)).unwrap_or_default()
    }

    #[inline]
    fn entry(&self) -> Option<(InternalKey<'_>, &[u8])> {
        let ((_, run), open) = (self.run.as_ref()?, self.open.as_ref()?);
        let (trailer, timestamp) = open.entries.trailer(run, self.position);
        Some((InternalKey::of(run.key(self.position), timestamp, trailer), run.value(self.position)))
    }
}

/// Where an entry of a run stands in what there is of it.
fn held_at(run: &Run, entry: usize) -> Option<usize> {
    run.positions(u32::try_from(entry).ok()?, 1).map(|held| held.start)
}

/// Whether every block of a piece follows from runs.
pub(super) fn is_of_runs(piece: &TableBlocks) -> bool {
    !piece.blocks.iter().any(|block| matches!(block, Block::Kept(_)))
}

/// A step through a piece that keeps blocks as they are.
enum Step {
    /// So many entries that stand in runs.
    Copied(u64),
    /// The block with this number.
    Kept(usize),
}

/// All blocks of a table, by its index.
struct Blocks<'s, 'r> {
    store: &'s Store<'r>,
    name: String,
    file: StoredFile<'s, 'r>,
    map: TableMap,
    reader: TableBlockReader,
    /// The pieces that are still to come; none if all is stored as bytes.
    pieces: VecDeque<ChunkId>,
    steps: VecDeque<Step>,
    copied: Option<PieceEntries>,
    /// The next block.
    next: usize,
    entries: Entries,
    at: usize,
}

impl<'s, 'r> Blocks<'s, 'r> {
    fn open(store: &'s Store<'r>, content: &FileContent, table: &Table) -> Result<Self> {
        let file = StoredFile::open(store, content)?;
        let tail = TableTail::read(&file).map_err(|error| store.fault(&table.name, error))?;
        let decompress = &mut |kind: u8, payload: &[u8], limit: usize, out: &mut Vec<u8>| {
            compression::decompress(kind, &[], payload, limit, out).is_ok()
        };
        let map = TableMap::read(&file, tail, decompress).map_err(|error| store.fault(&table.name, error))?;
        let is_of_bytes = match content.recipe.first().map(|id| store.piece(id)).transpose()? {
            Some(Piece::Bytes(_)) | None => true,
            Some(Piece::Blocks(_) | Piece::Rest(_)) => false,
        };
        let (pieces, steps) = match is_of_bytes {
            true => (VecDeque::new(), (0..map.len()).map(Step::Kept).collect()),
            false => (content.recipe.iter().copied().collect(), VecDeque::new()),
        };
        let reader = TableBlockReader::new(&map);
        let name = table.name.clone();
        Ok(Self { store, name, file, map, reader, pieces, steps, copied: None, next: 0, entries: Entries::new(), at: 0 })
    }

    fn seek(&mut self, range: &KeyRange, form: KeyForm) -> Result<bool> {
        if let Some(from) = &range.from {
            // Keys of a block are not behind its separator.
            while let Some(Step::Kept(number)) = self.steps.front() {
                let separator = form.split_user(self.map.separator(*number)).map_or(&[][..], |(key, _)| key);
                if !form.order.compare(separator, from).is_lt() {
                    break;
                }
                self.steps.pop_front();
            }
        }
        if self.at < self.entries.len() { Ok(true) } else { self.load() }
    }

    fn advance(&mut self) -> Result<bool> {
        self.at += 1;
        if self.at < self.entries.len() { Ok(true) } else { self.load() }
    }

    /// Takes the next steps until there are entries.
    fn load(&mut self) -> Result<bool> {
        self.entries.clear();
        self.at = 0;
        while self.entries.is_empty() {
            match self.steps.pop_front() {
                Some(Step::Kept(number)) => self.read(number)?,
                Some(Step::Copied(count)) => self.copy(count)?,
                None => match self.pieces.pop_front() {
                    None => return Ok(false),
                    Some(id) => self.open_piece(&id)?,
                },
            }
        }
        Ok(true)
    }

    fn read(&mut self, number: usize) -> Result<()> {
        let Some(handle) = self.map.handle(number) else { return Ok(()) };
        let read = self.reader.read(&self.file, handle, &mut self.entries);
        read.map_err(|fault| self.store.fault(&self.name, format!("the block at offset {} {fault}", handle.offset)))
    }

    /// Takes entries out of runs.
    fn copy(&mut self, count: u64) -> Result<()> {
        let misfit = || OpsError::Damage(format!("{}: a recipe does not fit its runs", self.name));
        let Some(copied) = &mut self.copied else { return Err(misfit()) };
        let mut at_hand: Option<(usize, Arc<Run>)> = None;
        for _ in 0..count {
            let (number, position) = copied.place().ok_or_else(misfit)?;
            let run = match at_hand.take() {
                Some((known, run)) if known == number => run,
                _ => {
                    let id = copied.piece().runs.get(number).ok_or_else(misfit)?.id;
                    self.store.runs(&[id])?.into_iter().next().ok_or_else(misfit)?
                }
            };
            let position = held_at(&run, position).ok_or_else(misfit)?;
            let (trailer, timestamp) = copied.trailer(&run, position);
            let user_key = [run.key(position), timestamp].concat();
            self.entries.push_parts(&user_key, &trailer.to_le_bytes(), run.value(position));
            copied.skip(1);
            at_hand = Some((number, run));
        }
        Ok(())
    }

    /// Finds out which blocks of a piece are kept; what they are made of becomes readable.
    fn open_piece(&mut self, id: &ChunkId) -> Result<()> {
        let Piece::Blocks(piece) = self.store.piece(id)? else { return Ok(()) };
        self.file.forget_before(piece.offset);
        let (mut at, mut kept) = (piece.offset, 0u64);
        for block in &piece.blocks {
            match *block {
                Block::Zeros(len) => at += u64::from(len),
                Block::Built { entries, .. } => {
                    self.pass_blocks_before(at);
                    let end = self.map.handle(self.next).and_then(|handle| handle.end());
                    at = end.ok_or_else(|| OpsError::Damage(format!("{}: its recipe does not fit its index", self.name)))?;
                    self.next += 1;
                    self.steps.push_back(Step::Copied(u64::from(entries)));
                }
                Block::Kept(len) => {
                    self.file.add(at, u64::from(len), &piece.kept, kept);
                    self.pass_blocks_before(at);
                    at += u64::from(len);
                    kept += u64::from(len);
                    while self.map.handle(self.next).is_some_and(|handle| handle.offset < at) {
                        self.steps.push_back(Step::Kept(self.next));
                        self.next += 1;
                    }
                }
            }
        }
        self.copied = Some(PieceEntries::new(piece));
        Ok(())
    }

    fn pass_blocks_before(&mut self, offset: u64) {
        while self.map.handle(self.next).is_some_and(|handle| handle.offset < offset) {
            self.next += 1;
        }
    }

    fn split(&self, form: KeyForm) -> Option<InternalKey<'_>> {
        form.split(self.entries.key(self.at))
    }

    fn value(&self) -> &[u8] {
        self.entries.value(self.at)
    }
}

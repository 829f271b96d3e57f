//! The entries of a recipe piece one by one, and what can be told of them without their runs: for whoever wants to know what
//! a table says and not how its bytes were.

use blake3::Hasher;
use esker_format::run::Run;
use esker_format::table_recipe::{TableBlocks, TrailerSource};

/// Goes through the entries of a piece in the order of the table.
pub struct PieceEntries {
    piece: Box<TableBlocks>,
    copy: usize,
    copied: u32,
    source: usize,
    sourced: u32,
    own: usize,
}

impl PieceEntries {
    /// Begins at the first entry.
    pub fn new(piece: Box<TableBlocks>) -> Self {
        Self { piece, copy: 0, copied: 0, source: 0, sourced: 0, own: 0 }
    }

    /// The piece.
    pub fn piece(&self) -> &TableBlocks {
        &self.piece
    }

    /// Where the entry at hand stands: the number of its run in the piece, and its position there; `None` behind the last.
    #[inline]
    pub fn place(&self) -> Option<(usize, usize)> {
        let copy = self.piece.copies.get(self.copy)?;
        Some((copy.run as usize, copy.start as usize + self.copied as usize))
    }

    /// Trailer and timestamp of the entry at hand, which stands at `position` of `run`.
    #[inline]
    pub fn trailer<'a>(&'a self, run: &'a Run, position: usize) -> (u64, &'a [u8]) {
        match self.piece.trailers.get(self.source).map(|(source, _)| *source) {
            Some(TrailerSource::Own) => {
                let size = usize::from(self.piece.timestamp_size);
                let timestamp = self.piece.own_timestamps.get(self.own * size..(self.own + 1) * size);
                (self.piece.own_trailers.get(self.own).copied().unwrap_or(0), timestamp.unwrap_or_default())
            }
            Some(TrailerSource::Cleared) => (run.trailer(position) & 0xff, run.timestamp(position)),
            Some(TrailerSource::Home) | None => (run.trailer(position), run.timestamp(position)),
        }
    }

    /// Passes over so many entries.
    #[inline]
    pub fn skip(&mut self, count: u64) {
        let mut left = count;
        while let Some(copy) = self.piece.copies.get(self.copy).filter(|_| left > 0) {
            let step = left.min(u64::from(copy.count - self.copied));
            left -= step;
            self.copied += step as u32;
            if self.copied == copy.count {
                (self.copy, self.copied) = (self.copy + 1, 0);
            }
        }
        let mut left = count;
        while let Some((source, total)) = self.piece.trailers.get(self.source).filter(|_| left > 0) {
            let step = left.min(u64::from(total - self.sourced));
            left -= step;
            self.sourced += step as u32;
            if *source == TrailerSource::Own {
                self.own += step as usize;
            }
            if self.sourced == *total {
                (self.source, self.sourced) = (self.source + 1, 0);
            }
        }
    }
}

/// Entries of a piece from the first use of a run to that of the next. Its first key is that of the run's use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Number of the run in the piece.
    pub run: usize,
    /// How many entries come before it.
    pub before: u64,
    /// Tells its entries from any others: where they stand, and what their trailers are made of.
    pub signature: [u8; 16],
}

/// The segments of a piece, in order. With `exact_numbers` two segments have the same signature only if their entries have
/// the same sequence numbers; without, one whose number compaction has cleared counts as equal to its home.
pub fn segments(piece: &TableBlocks, exact_numbers: bool) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut trailers = Trailers { piece, exact_numbers, source: 0, sourced: 0, own: 0 };
    let (mut hasher, mut before, mut entries) = (Hasher::new(), 0u64, 0u64);
    let end = |hasher: &Hasher| -> [u8; 16] { hasher.finalize().as_bytes().first_chunk().copied().unwrap_or_default() };
    for copy in &piece.copies {
        let run = copy.run as usize;
        if run == segments.len() {
            if let Some(last) = segments.last_mut() {
                trailers.hash(entries, &mut hasher);
                last.signature = end(&hasher);
            }
            hasher.reset();
            before += std::mem::take(&mut entries);
            segments.push(Segment { run, before, signature: [0; 16] });
        }
        if let Some(run) = piece.runs.get(run) {
            hasher.update(&run.id.0);
        }
        hasher.update(&copy.start.to_le_bytes()).update(&copy.count.to_le_bytes());
        entries += u64::from(copy.count);
    }
    if let Some(last) = segments.last_mut() {
        trailers.hash(entries, &mut hasher);
        last.signature = end(&hasher);
    }
    segments
}

/// Where the trailers of a piece come from, as far as they were hashed.
struct Trailers<'p> {
    piece: &'p TableBlocks,
    exact_numbers: bool,
    source: usize,
    sourced: u32,
    own: usize,
}

impl Trailers<'_> {
    /// Hashes the trailers of the next entries.
    fn hash(&mut self, entries: u64, hasher: &mut Hasher) {
        let (mut left, mut kind, mut count) = (entries, 0u8, 0u64);
        while let Some((source, total)) = self.piece.trailers.get(self.source).filter(|_| left > 0) {
            let step = left.min(u64::from(total - self.sourced));
            let this = match source {
                TrailerSource::Cleared if self.exact_numbers => 1,
                TrailerSource::Home | TrailerSource::Cleared => 0,
                TrailerSource::Own => 2,
            };
            if this != kind {
                hasher.update(&[kind]).update(&count.to_le_bytes());
                (kind, count) = (this, 0);
            }
            count += step;
            if this == 2 {
                let (from, to, size) = (self.own, self.own + step as usize, usize::from(self.piece.timestamp_size));
                self.piece.own_trailers.get(from..to).unwrap_or_default().iter().for_each(|trailer| {
                    hasher.update(&trailer.to_le_bytes());
                });
                hasher.update(self.piece.own_timestamps.get(from * size..to * size).unwrap_or_default());
                self.own = to;
            }
            left -= step;
            self.sourced += step as u32;
            if self.sourced == *total {
                (self.source, self.sourced) = (self.source + 1, 0);
            }
        }
        hasher.update(&[kind]).update(&count.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use esker_format::ChunkId;
    use esker_format::table_recipe::{Copy, RunUse};

    use super::*;

    fn piece(copies: &[(u32, u32, u32)], trailers: &[(TrailerSource, u32)], own: &[u64]) -> TableBlocks {
        let runs = copies.iter().map(|copy| copy.0).max().map_or(0, |last| last + 1);
        TableBlocks {
            runs: (0..runs).map(|run| RunUse { id: ChunkId([run as u8; 32]), first_key: vec![run as u8] }).collect(),
            copies: copies.iter().map(|&(run, start, count)| Copy { run, start, count }).collect(),
            trailers: trailers.to_vec(),
            own_trailers: own.to_vec(),
            ..TableBlocks::default()
        }
    }

    #[test]
    fn entries_come_in_order_and_can_be_passed_over() {
        let (home, own) = (TrailerSource::Home, TrailerSource::Own);
        let piece = piece(&[(0, 5, 2), (1, 0, 1), (0, 9, 2)], &[(home, 1), (own, 3), (TrailerSource::Cleared, 1)], &[10, 20, 30]);
        let mut run = Run::new(Default::default(), 0);
        (0..20).for_each(|number| run.push(&[number], b"", u64::from(number) << 8 | 1, b""));
        let all = |entries: &mut PieceEntries| {
            let mut found = Vec::new();
            while let Some((number, position)) = entries.place() {
                found.push((number, position, entries.trailer(&run, position).0));
                entries.skip(1);
            }
            found
        };
        let expected = [(0, 5, 5 << 8 | 1), (0, 6, 10), (1, 0, 20), (0, 9, 30), (0, 10, 1)];
        assert_eq!(all(&mut PieceEntries::new(Box::new(piece.clone()))), expected);
        for passed in 0..=5 {
            let mut entries = PieceEntries::new(Box::new(piece.clone()));
            entries.skip(passed as u64);
            assert_eq!(all(&mut entries), expected[passed..]);
        }
    }

    #[test]
    fn a_segment_is_known_again_wherever_it_stands() {
        let (home, cleared, own) = (TrailerSource::Home, TrailerSource::Cleared, TrailerSource::Own);
        let one = piece(&[(0, 0, 4), (1, 0, 3), (0, 4, 1)], &[(home, 8)], &[]);
        let signatures = |piece: &TableBlocks, exact| segments(piece, exact).iter().map(|segment| segment.signature).collect::<Vec<_>>();
        let before: Vec<u64> = segments(&one, true).iter().map(|segment| segment.before).collect();
        assert_eq!(before, [0, 4]);
        let same_second = piece(&[(0, 2, 2), (1, 0, 3), (0, 4, 1)], &[(home, 6)], &[]);
        assert_ne!(signatures(&one, true)[0], signatures(&same_second, true)[0]);
        assert_eq!(signatures(&one, true)[1], signatures(&same_second, true)[1]);
        let zeroed = piece(&[(0, 0, 4), (1, 0, 3), (0, 4, 1)], &[(home, 1), (cleared, 7)], &[]);
        assert_eq!(signatures(&one, false), signatures(&zeroed, false));
        assert_ne!(signatures(&one, true), signatures(&zeroed, true));
        let own = |trailer| piece(&[(0, 0, 4), (1, 0, 3), (0, 4, 1)], &[(home, 5), (own, 1), (home, 2)], &[trailer]);
        assert_eq!(signatures(&own(7), false)[0], signatures(&one, false)[0]);
        assert_ne!(signatures(&own(7), false)[1], signatures(&own(8), false)[1]);
    }
}

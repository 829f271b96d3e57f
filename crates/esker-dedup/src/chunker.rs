//! Cutting a stream of bytes by content.

use esker_format::config::ChunkerParameters;
use fastcdc::v2020::FastCDC;

/// Cuts a stream that is pushed in pieces of any size; where it cuts depends on the bytes alone, not on the pieces.
#[derive(Debug)]
pub struct Chunker {
    bounds: ChunkerParameters,
    buffer: Vec<u8>,
}

impl Chunker {
    /// A chunker with checked bounds.
    pub fn new(bounds: ChunkerParameters) -> Self {
        Self { bounds, buffer: Vec::new() }
    }

    /// Adds bytes and hands every chunk that is certain to `take`.
    ///
    /// # Errors
    /// What `take` returns.
    pub fn push<E>(&mut self, bytes: &[u8], take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.buffer.extend_from_slice(bytes);
        self.cut(false, take)
    }

    /// Ends the stream: what is left goes to `take`; the chunker is then as new.
    ///
    /// # Errors
    /// What `take` returns.
    pub fn finish<E>(&mut self, take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.cut(true, take)
    }

    fn cut<E>(&mut self, end: bool, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let [min, avg, certain] = [self.bounds.min, self.bounds.avg, self.bounds.max].map(|bytes| bytes as usize);
        // A cut is certain only if the chunker saw as much as a chunk can be long, or the stream's end.
        if !end && self.buffer.len() < certain * 2 {
            return Ok(());
        }
        let mut done = 0;
        for chunk in FastCDC::new(&self.buffer, min, avg, certain) {
            if !end && self.buffer.len() - chunk.offset < certain {
                break;
            }
            done = chunk.offset + chunk.length;
            take(self.buffer.get(chunk.offset..done).unwrap_or_default())?;
        }
        self.buffer.drain(..done);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    const SMALL: ChunkerParameters = ChunkerParameters { min: 64, avg: 256, max: 1024 };

    fn cut(data: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let (mut chunker, mut chunks) = (Chunker::new(SMALL), Vec::new());
        let mut take = |chunk: &[u8]| -> Result<(), Infallible> {
            chunks.push(chunk.to_vec());
            Ok(())
        };
        for piece in data.chunks(piece) {
            chunker.push(piece, &mut take).unwrap();
        }
        chunker.finish(&mut take).unwrap();
        chunks
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn pieces_do_not_move_cuts(data in proptest::collection::vec(any::<u8>(), 0..20_000), piece in 1usize..5_000) {
            let whole = cut(&data, data.len().max(1));
            prop_assert_eq!(&whole.concat(), &data);
            prop_assert_eq!(whole, cut(&data, piece));
        }
    }

    #[test]
    fn an_insertion_moves_only_the_cuts_around_it() {
        let data = noise(200_000);
        let mut longer = data.clone();
        longer.splice(100_000..100_000, *b"inserted");
        let (before, after) = (cut(&data, 4096), cut(&longer, 4096));
        assert!(after.iter().filter(|chunk| !before.contains(chunk)).count() <= 4);
    }

    /// Cut points are shared by everyone who writes to a repository: a library that moved them would find nothing again.
    #[test]
    fn cuts_are_where_they_always_were() {
        let lengths: Vec<usize> = cut(&noise(4_000), 512).iter().map(Vec::len).collect();
        assert_eq!(lengths, GOLDEN_LENGTHS);
    }

    const GOLDEN_LENGTHS: &[usize] = &[334, 96, 313, 210, 526, 995, 125, 304, 257, 237, 427, 176];
}

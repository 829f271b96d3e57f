//! Rows that come back in the order of their keys: sorted in memory by the bufferful, merged from disk.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::folder::ScratchFolder;
use crate::error::Result;
use crate::index::cache_error;
use crate::repository::Repository;

/// Bytes of rows that are sorted at a time, and that stay in memory if there are no more.
const BUFFER_BYTES: usize = 8 << 20;
/// Sorted files that are merged into one, so that each gets a buffer of some size.
const FILES_MAX: usize = 128;
/// Bytes that are read of each file at a time,
const READ_BYTES: usize = 64 << 10;
/// and written of one.
const WRITE_BYTES: usize = 256 << 10;
/// Bytes of the lengths of key and value before each row.
const LENGTHS: usize = 6;

/// Rows that are written.
pub struct ScratchRows {
    cache: PathBuf,
    buffer: Buffer,
    folder: Option<ScratchFolder>,
    /// Sorted files, oldest first.
    files: Vec<PathBuf>,
    made: u32,
}

/// Rows in memory.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// The first bytes of each row's key, and where the row stands.
    order: Vec<(u64, u32)>,
}

impl Repository {
    /// No rows yet; if there are many, below the cache folder.
    pub fn scratch_rows(&self) -> ScratchRows {
        ScratchRows::new(&self.cache)
    }
}

impl ScratchRows {
    pub(crate) fn new(cache: &Path) -> Self {
        Self { cache: cache.to_owned(), buffer: Buffer::default(), folder: None, files: Vec::new(), made: 0 }
    }

    /// Adds a row. Its key must be shorter than 64 KiB, its value than 4 GiB.
    ///
    /// # Errors
    /// `Cache`.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if !self.buffer.order.is_empty() && self.buffer.bytes.len() + LENGTHS + key.len() + value.len() > BUFFER_BYTES {
            self.spill()?;
        }
        self.buffer.push(key, value).ok_or_else(|| cache_error(&self.cache, &"a row of scratch rows is too long"))
    }

    /// The rows in the order of their keys; equal ones in the order in which they were added.
    ///
    /// # Errors
    /// `Cache`.
    pub fn sorted(mut self) -> Result<SortedRows> {
        if self.files.is_empty() {
            self.buffer.sort();
            return SortedRows::merge(None, vec![Source::Memory { buffer: self.buffer, next: 0 }]);
        }
        self.spill()?;
        // Nobody adds any more.
        self.buffer = Buffer::default();
        SortedRows::merge(self.folder, open_all(&self.files)?)
    }

    fn spill(&mut self) -> Result<()> {
        if self.files.len() >= FILES_MAX {
            let mut merged = SortedRows::merge(None, open_all(&self.files)?)?;
            let path = self.new_path()?;
            let mut out = Out::create(&path)?;
            while let Some((key, value)) = merged.next()? {
                out.row(key, value)?;
            }
            out.finish()?;
            for file in std::mem::replace(&mut self.files, vec![path]) {
                std::fs::remove_file(&file).map_err(|error| cache_error(&file, &error))?;
            }
        }
        let path = self.new_path()?;
        self.buffer.sort();
        let mut out = Out::create(&path)?;
        for position in 0..self.buffer.order.len() {
            if let Some((key, value)) = self.buffer.row(position) {
                out.row(key, value)?;
            }
        }
        out.finish()?;
        self.files.push(path);
        self.buffer.clear();
        Ok(())
    }

    fn new_path(&mut self) -> Result<PathBuf> {
        let folder = match self.folder.take() {
            Some(folder) => folder,
            None => ScratchFolder::new(&self.cache)?,
        };
        self.made += 1;
        let path = folder.path().join(format!("rows-{}", self.made));
        self.folder = Some(folder);
        Ok(path)
    }
}

impl Buffer {
    fn push(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let (key_len, value_len) = (u16::try_from(key.len()).ok()?, u32::try_from(value.len()).ok()?);
        self.order.push((first_bytes(key), u32::try_from(self.bytes.len()).ok()?));
        self.bytes.extend_from_slice(&key_len.to_le_bytes());
        self.bytes.extend_from_slice(&value_len.to_le_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        Some(())
    }

    fn sort(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let key = |at: u32| row_at(&bytes, at).map_or(&[][..], |(key, _)| key);
        self.order.sort_unstable_by(|(a, at_a), (b, at_b)| a.cmp(b).then_with(|| key(*at_a).cmp(key(*at_b))).then_with(|| at_a.cmp(at_b)));
        self.bytes = bytes;
    }

    fn row(&self, position: usize) -> Option<(&[u8], &[u8])> {
        row_at(&self.bytes, self.order.get(position)?.1)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.order.clear();
    }
}

fn row_at(bytes: &[u8], at: u32) -> Option<(&[u8], &[u8])> {
    let (key_len, rest) = bytes.get(at as usize..)?.split_first_chunk()?;
    let (value_len, rest) = rest.split_first_chunk()?;
    let (key, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*key_len)))?;
    Some((key, rest.get(..u32::from_le_bytes(*value_len) as usize)?))
}

fn first_bytes(key: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(first)
}

/// A sorted file that is being written.
struct Out<'a> {
    path: &'a Path,
    file: BufWriter<File>,
}

impl<'a> Out<'a> {
    fn create(path: &'a Path) -> Result<Self> {
        let file = File::create_new(path).map_err(|error| cache_error(path, &error))?;
        Ok(Self { path, file: BufWriter::with_capacity(WRITE_BYTES, file) })
    }

    fn row(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let key_len = u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes();
        let value_len = u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes();
        let parts = [&key_len[..], &value_len[..], key, value];
        parts.into_iter().try_for_each(|part| self.file.write_all(part)).map_err(|error| cache_error(self.path, &error))
    }

    fn finish(mut self) -> Result<()> {
        self.file.flush().map_err(|error| cache_error(self.path, &error))
    }
}

/// Rows that are read, each once.
pub struct SortedRows {
    /// The row that was given last stands at the top.
    heads: BinaryHeap<Head>,
    sources: Vec<Source>,
    is_given: bool,
    /// Where the sources stand.
    _folder: Option<ScratchFolder>,
}

enum Source {
    Memory { buffer: Buffer, next: usize },
    File { path: PathBuf, file: BufReader<File> },
}

/// The next row of a source.
#[derive(PartialEq, Eq)]
struct Head {
    first: u64,
    key: Vec<u8>,
    value: Vec<u8>,
    source: usize,
}

impl Ord for Head {
    /// The heap gives the greatest: that is the smallest key, of the oldest source.
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |head: &Self| (head.first, head.source);
        let ((first, source), (other_first, other_source)) = (key(self), key(other));
        other_first.cmp(&first).then_with(|| other.key.cmp(&self.key)).then_with(|| other_source.cmp(&source))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl SortedRows {
    fn merge(folder: Option<ScratchFolder>, mut sources: Vec<Source>) -> Result<Self> {
        let mut heads = BinaryHeap::with_capacity(sources.len());
        for (number, source) in sources.iter_mut().enumerate() {
            let mut head = Head { first: 0, key: Vec::new(), value: Vec::new(), source: number };
            if source.read(&mut head)? {
                heads.push(head);
            }
        }
        Ok(Self { heads, sources, is_given: false, _folder: folder })
    }

    /// The next row: its key and its value.
    ///
    /// # Errors
    /// `Cache`.
    #[allow(clippy::should_implement_trait, reason = "it lends what it gives")]
    pub fn next(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        if self.is_given
            && let Some(mut head) = self.heads.peek_mut()
        {
            let has_more = match self.sources.get_mut(head.source) {
                Some(source) => source.read(&mut head)?,
                None => false,
            };
            if !has_more {
                drop(std::collections::binary_heap::PeekMut::pop(head));
            }
        }
        self.is_given = true;
        Ok(self.heads.peek().map(|head| (head.key.as_slice(), head.value.as_slice())))
    }

    /// Visits every row.
    ///
    /// # Errors
    /// `Cache`, and what `visit` returns.
    pub fn for_each<E: From<crate::RepoError>>(
        mut self,
        mut visit: impl FnMut(&[u8], &[u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        while let Some((key, value)) = self.next()? {
            visit(key, value)?;
        }
        Ok(())
    }
}

fn open_all(paths: &[PathBuf]) -> Result<Vec<Source>> {
    let open = |path: &PathBuf| {
        let file = File::open(path).map_err(|error| cache_error(path, &error))?;
        Ok(Source::File { path: path.clone(), file: BufReader::with_capacity(READ_BYTES, file) })
    };
    paths.iter().map(open).collect()
}

impl Source {
    /// Puts the next row into `head`; false if there is none.
    fn read(&mut self, head: &mut Head) -> Result<bool> {
        match self {
            Self::Memory { buffer, next } => {
                let Some((key, value)) = buffer.row(*next) else { return Ok(false) };
                head.set(key, value);
                *next += 1;
                Ok(true)
            }
            Self::File { path, file } => head.read(file).map_err(|error| cache_error(path, &error)),
        }
    }
}

impl Head {
    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.key.clear();
        self.value.clear();
        self.key.extend_from_slice(key);
        self.value.extend_from_slice(value);
        self.first = first_bytes(key);
    }

    fn read(&mut self, file: &mut BufReader<File>) -> std::io::Result<bool> {
        let mut lengths = [0; LENGTHS];
        // A file ends between two rows, or it is damaged.
        if std::io::BufRead::fill_buf(file)?.is_empty() {
            return Ok(false);
        }
        file.read_exact(&mut lengths)?;
        let [k0, k1, v0, v1, v2, v3] = lengths;
        self.key.resize(usize::from(u16::from_le_bytes([k0, k1])), 0);
        self.value.resize(u32::from_le_bytes([v0, v1, v2, v3]) as usize, 0);
        file.read_exact(&mut self.key)?;
        file.read_exact(&mut self.value)?;
        self.first = first_bytes(&self.key);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows whose keys come in no order and several times.
    fn rows(count: u32, value_len: usize) -> Vec<([u8; 4], Vec<u8>)> {
        let key = |number: u32| (number.wrapping_mul(2_654_435_761) % (count / 3 + 1)).to_be_bytes();
        (0..count).map(|number| (key(number), [&number.to_be_bytes()[..], &vec![7; value_len]].concat())).collect()
    }

    fn comes_back_sorted(cache: &Path, mut rows: Vec<([u8; 4], Vec<u8>)>) {
        let mut scratch = ScratchRows::new(cache);
        rows.iter().for_each(|(key, value)| scratch.push(key, value).unwrap());
        let mut sorted = scratch.sorted().unwrap();
        rows.sort_by_key(|(key, _)| *key);
        for (key, value) in rows {
            assert_eq!(sorted.next().unwrap().unwrap(), (&key[..], &value[..]));
        }
        assert!(sorted.next().unwrap().is_none());
        assert!(sorted.next().unwrap().is_none());
    }

    #[test]
    fn rows_come_back_in_order_from_memory_and_from_disk() {
        let cache = tempfile::tempdir().unwrap();
        let folders = || std::fs::read_dir(cache.path()).unwrap().count();
        comes_back_sorted(cache.path(), Vec::new());
        comes_back_sorted(cache.path(), rows(1000, 10));
        assert_eq!(folders(), 0);
        comes_back_sorted(cache.path(), rows(1000, 40_000));
        assert_eq!(folders(), 0, "what was on disk is gone");
    }

    #[test]
    fn many_sorted_files_are_merged_on_the_way() {
        let cache = tempfile::tempdir().unwrap();
        let mut scratch = ScratchRows::new(cache.path());
        let rows = rows(FILES_MAX as u32 * 2 + 5, 0);
        for (key, value) in &rows {
            scratch.push(key, value).unwrap();
            scratch.spill().unwrap();
        }
        assert!(scratch.files.len() <= FILES_MAX);
        let mut sorted = scratch.sorted().unwrap();
        let mut found = Vec::new();
        while let Some((key, value)) = sorted.next().unwrap() {
            found.push((key.to_vec(), value.to_vec()));
        }
        let mut wanted: Vec<_> = rows.into_iter().map(|(key, value)| (key.to_vec(), value)).collect();
        wanted.sort_by(|(a, _), (b, _)| a.cmp(b));
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_key_that_is_too_long_is_refused_and_a_long_value_is_not() {
        let cache = tempfile::tempdir().unwrap();
        let mut scratch = ScratchRows::new(cache.path());
        assert!(scratch.push(&vec![0; 1 << 16], b"value").is_err());
        scratch.push(&vec![0; (1 << 16) - 1], &vec![1; 2 * BUFFER_BYTES]).unwrap();
        scratch.push(b"key", b"value").unwrap();
        let mut sorted = scratch.sorted().unwrap();
        assert_eq!(sorted.next().unwrap().unwrap().1.len(), 2 * BUFFER_BYTES);
        assert_eq!(sorted.next().unwrap().unwrap(), (&b"key"[..], &b"value"[..]));
    }
}

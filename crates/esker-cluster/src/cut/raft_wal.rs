//! The end of a partition's Raft log, as NebulaGraph writes it.
//!
//! Files are named `<first log id, 19 digits>.wal`. A record is log id (i64), term (i64), message length (i32), cluster
//! id (i64), the message, and the length again (i32), all little-endian (NebulaGraph 3, `src/kvstore/wal/FileBasedWal`).
//! What NebulaGraph itself would cut off at its next start is no part of the log: a torn record, lengths that
//! disagree, and everything behind a gap in the ids.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use crate::path::{join, split};
use crate::{Error, Result};

/// Log id, term, length, cluster id.
const HEAD_BYTES: usize = 28;

/// A place in a Raft log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition {
    /// Id of the log entry.
    pub log_id: u64,
    /// Its Raft term.
    pub term: u64,
}

/// The folder that holds the Raft logs of an engine's partitions, `wal` beside its `data`; both relative to the root.
/// A `--wal_path` of NebulaGraph's own puts them elsewhere.
pub fn raft_wal_folder(engine: &[u8]) -> Vec<u8> {
    join(split(engine).0, b"wal")
}

/// The last record of the log in `folder` (`.../wal/<partition>`); `None` if there is no folder or no record.
///
/// # Errors
/// [`Error::Io`] if the folder or a file in it cannot be read. Damage is no error: the log ends before it.
pub fn last_wal_position(folder: &Path) -> Result<Option<LogPosition>> {
    let mut files = wal_files(folder)?;
    files.sort_unstable();
    for (first_id, path) in files.into_iter().rev() {
        if let Some(position) = last_record(first_id, &path)? {
            return Ok(Some(position));
        }
    }
    Ok(None)
}

/// The log's files with the ids in their names.
fn wal_files(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let fail = |source| Error::std("list", folder, source);
    let items = match folder.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(fail)?,
    };
    let mut files = Vec::new();
    for item in items {
        let item = item.map_err(fail)?;
        let name = item.file_name();
        let id = name.to_str().and_then(|name| name.strip_suffix(".wal")).and_then(|id| id.parse::<u64>().ok());
        if let Some(id) = id.filter(|_| item.file_type().is_ok_and(|kind| kind.is_file())) {
            files.push((id, item.path()));
        }
    }
    Ok(files)
}

/// The last sound record of one file, whose first one must have the id in its name.
fn last_record(first_id: u64, path: &Path) -> Result<Option<LogPosition>> {
    let fail = |source| Error::std("read", path, source);
    let file = File::open(path).map_err(fail)?;
    let size = file.metadata().map_err(fail)?.len();
    let mut file = BufReader::new(file);
    let mut last = None;
    let mut expected = first_id;
    while let Some(position) = record(&mut file, size).map_err(fail)? {
        if position.log_id != expected {
            break;
        }
        last = Some(position);
        expected = expected.saturating_add(1);
    }
    Ok(last)
}

/// Reads one record and passes over its message; `None` if what stands there is none.
fn record(file: &mut BufReader<File>, size: u64) -> std::io::Result<Option<LogPosition>> {
    let Some(head) = bytes::<HEAD_BYTES>(file)? else { return Ok(None) };
    let mut head = head.as_slice();
    let (Some(log_id), Some(term), Some(length)) = (number(&mut head), number(&mut head), take::<4>(&mut head)) else {
        return Ok(None);
    };
    let length = i32::from_le_bytes(length);
    let Ok(skip) = u32::try_from(length) else { return Ok(None) };
    // A length that is not true must not make us seek past the end, where reading gives no error.
    if u64::from(skip) > size.saturating_sub(file.stream_position()?) {
        return Ok(None);
    }
    file.seek_relative(i64::from(skip))?;
    let foot = bytes::<4>(file)?.map(i32::from_le_bytes);
    Ok((foot == Some(length)).then_some(LogPosition { log_id, term }))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

/// A signed number that must not be negative.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    u64::try_from(i64::from_le_bytes(take::<8>(bytes)?)).ok()
}

/// Exactly `N` bytes, or `None` at the end of the file.
fn bytes<const N: usize>(file: &mut BufReader<File>) -> std::io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    match file.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(log_id: i64, term: i64, message: &[u8]) -> Vec<u8> {
        let length = (message.len() as i32).to_le_bytes();
        let head = [&log_id.to_le_bytes()[..], &term.to_le_bytes(), &length, &7_i64.to_le_bytes()].concat();
        [&head[..], message, &length].concat()
    }

    fn log(files: &[(u64, Vec<u8>)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (first, bytes) in files {
            std::fs::write(folder.path().join(format!("{first:019}.wal")), bytes).unwrap();
        }
        folder
    }

    fn last(files: &[(u64, Vec<u8>)]) -> Option<(u64, u64)> {
        last_wal_position(log(files).path()).unwrap().map(|position| (position.log_id, position.term))
    }

    #[test]
    fn the_last_record_of_the_last_file_counts() {
        let first = [framed(1, 1, b"a"), framed(2, 1, b"")].concat();
        let second = [framed(3, 1, &[9; 5000]), framed(4, 3, b"b")].concat();
        assert_eq!(last(&[(1, first.clone()), (3, second)]), Some((4, 3)));
        assert_eq!(last(&[(1, first.clone()), (3, Vec::new())]), Some((2, 1)), "an empty last file");
        assert_eq!(last(&[]), None);
        assert_eq!(last_wal_position(Path::new("/nowhere/at/all")).unwrap(), None);
    }

    #[test]
    fn the_log_ends_before_what_nebula_would_cut_off() {
        let good = [framed(1, 1, b"a"), framed(2, 1, b"bb")].concat();
        let torn = [good.clone(), framed(3, 1, b"ccc")[..20].to_vec()].concat();
        assert_eq!(last(&[(1, torn)]), Some((2, 1)));
        let mut feet = [good.clone(), framed(3, 1, b"ccc"), framed(4, 1, b"")].concat();
        feet[good.len() + 31] ^= 1;
        assert_eq!(last(&[(1, feet)]), Some((2, 1)));
        assert_eq!(last(&[(1, [good.clone(), framed(9, 1, b"")].concat())]), Some((2, 1)), "a gap");
        assert_eq!(last(&[(5, good)]), None, "not the id of the name");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_are_read_without_harm(tail in proptest::collection::vec(any::<u8>(), 0..100), id in any::<i64>()) {
            let mut bytes = framed(1, 1, b"x");
            bytes.extend(id.to_le_bytes());
            bytes.extend(tail);
            prop_assert!(last(&[(1, bytes)]) >= Some((1, 1)));
        }
    }
}

//! What a file in an engine's folder is, told by its name.

/// The kinds of files RocksDB keeps in a database folder (`ParseFileName` in RocksDB's `file/filename.cc`, 11.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// `CURRENT`, which names the MANIFEST in force.
    Current,
    /// `MANIFEST-n`, the log of which files make up the database.
    Manifest,
    /// `OPTIONS-n`.
    Options,
    /// `IDENTITY`, the database's id.
    Identity,
    /// `n.sst` or `n.ldb`, a table of sorted entries.
    Table,
    /// `n.blob`, large values.
    Blob,
    /// `n.log`, the write-ahead log.
    Wal,
    /// Anything else; taken as bytes.
    Other,
}

impl FileKind {
    /// Tells the kind from a file's name, without its folder.
    pub fn of(name: &[u8]) -> Self {
        let numbered = |suffix: &[u8]| name.strip_suffix(suffix).is_some_and(is_number);
        let counted = |prefix: &[u8]| name.strip_prefix(prefix).is_some_and(is_number);
        match name {
            b"CURRENT" => Self::Current,
            b"IDENTITY" => Self::Identity,
            _ if counted(b"MANIFEST-") => Self::Manifest,
            _ if counted(b"OPTIONS-") => Self::Options,
            _ if numbered(b".sst") || numbered(b".ldb") => Self::Table,
            _ if numbered(b".blob") => Self::Blob,
            _ if numbered(b".log") => Self::Wal,
            _ => Self::Other,
        }
    }
}

/// A file number: one or more decimal digits.
pub(crate) fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_kinds() {
        let expected = [
            (&b"CURRENT"[..], FileKind::Current),
            (b"MANIFEST-000004", FileKind::Manifest),
            (b"MANIFEST-", FileKind::Other),
            (b"MANIFEST-4x", FileKind::Other),
            (b"OPTIONS-000007", FileKind::Options),
            (b"000012.sst", FileKind::Table),
            (b"12.ldb", FileKind::Table),
            (b"__spaces__.sst", FileKind::Other),
            (b"000013.blob", FileKind::Blob),
            (b"000014.log", FileKind::Wal),
            (b"0000000000000000001.wal", FileKind::Other),
            (b"IDENTITY", FileKind::Identity),
        ];
        for (name, kind) in expected {
            assert_eq!(FileKind::of(name), kind, "{}", String::from_utf8_lossy(name));
        }
    }
}

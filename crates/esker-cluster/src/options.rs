//! What matters of an `OPTIONS-n` file: comparators, merge operators, paths. The file itself is kept byte for byte.
//!
//! RocksDB writes an ini file (`options/options_parser.cc`): `[CFOptions "name"]` sections and `  key=value` lines.

use std::fmt;

use crate::facts::ColumnFamily;
use crate::path::escaped;
use crate::{Engine, FileKind, Result, Root};

/// No real OPTIONS file comes near this size; what is longer is read to here.
const OPTIONS_LIMIT_BYTES: u64 = 16 << 20;

/// An absolute path in an OPTIONS file. A program that loads the options elsewhere writes to that path there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignPath {
    /// The OPTIONS file, relative to the host's root.
    pub file: Vec<u8>,
    /// The option, such as `wal_dir`.
    pub option: String,
    /// Its value.
    pub value: String,
}

impl fmt::Display for ForeignPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, option, value) = (escaped(&self.file), &self.option, escaped(self.value.as_bytes()));
        write!(out, "{file} has {option}={value}: files there are not in this backup, and a restored engine that ")?;
        write!(out, "loads these options writes there")
    }
}

/// What the newest OPTIONS file of an engine tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OptionsFile {
    /// Column families in the file's order.
    pub column_families: Vec<ColumnFamily>,
    /// Absolute paths in it.
    pub foreign_paths: Vec<ForeignPath>,
}

impl OptionsFile {
    /// Reads the engine's OPTIONS file with the highest number; without one, nothing is told.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it cannot be read. What is not understood is passed over.
    pub fn newest(root: &Root, engine: &Engine) -> Result<Self> {
        let files = engine.files.iter().filter(|file| file.kind == FileKind::Options);
        let newest = files.map(|file| &file.entry.path).max_by_key(|path| number(path));
        let Some(path) = newest else { return Ok(Self::default()) };
        let text = root.read_small(path, OPTIONS_LIMIT_BYTES)?;
        Ok(Self::parse(path, &String::from_utf8_lossy(&text)))
    }

    /// Reads the text of an OPTIONS file named `file`.
    pub fn parse(file: &[u8], text: &str) -> Self {
        let mut options = Self::default();
        let mut in_family = false;
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            if line.starts_with('[') {
                in_family = options.begin_section(line);
            } else if let Some((key, value)) = line.split_once('=') {
                options.add(file, in_family, key.trim(), value.trim());
            }
        }
        options
    }

    /// Begins a section; gives whether it is a column family's.
    fn begin_section(&mut self, line: &str) -> bool {
        let family = line.strip_prefix("[CFOptions \"").and_then(|rest| rest.strip_suffix("\"]"));
        if let Some(name) = family {
            self.column_families.push(ColumnFamily { name: name.to_owned(), ..ColumnFamily::default() });
        }
        family.is_some()
    }

    fn add(&mut self, file: &[u8], in_family: bool, key: &str, value: &str) {
        let family = self.column_families.last_mut().filter(|_| in_family);
        match (key, family) {
            ("comparator", Some(family)) => family.comparator = object_name(value),
            ("merge_operator", Some(family)) => family.merge_operator = object_name(value),
            _ if value.starts_with('/') || value.contains("path=/") => {
                let (option, value) = (key.to_owned(), value.to_owned());
                self.foreign_paths.push(ForeignPath { file: file.to_vec(), option, value });
            }
            _ => {}
        }
    }
}

/// The number in `OPTIONS-n`, without leading zeros and ordered as a number of any length.
fn number(path: &[u8]) -> (usize, Vec<u8>) {
    let start = path.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |at| at.saturating_add(1));
    let digits: Vec<u8> = path.iter().skip(start).skip_while(|&&byte| byte == b'0').copied().collect();
    (digits.len(), digits)
}

/// The name of a configurable object: `X`, or `{id=X;...}`; `nullptr` is none.
fn object_name(value: &str) -> Option<String> {
    let name = match value.strip_prefix('{') {
        Some(fields) => fields.split([';', '}']).find_map(|field| field.trim().strip_prefix("id="))?,
        None => value,
    };
    (!name.is_empty() && name != "nullptr").then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_absolute_paths_are_read_and_the_rest_passed_over() {
        let text = "# comment\n[Version]\n  rocksdb_version=7.5.3\n[DBOptions]\n  wal_dir=/data/wal\n  db_log_dir=\n\
            garbage\n[CFOptions \"default\"]\n  comparator=leveldb.BytewiseComparator\n  merge_operator=nullptr\n\
            [TableOptions/BlockBasedTable \"default\"]\n  comparator=not.this.One\n\
            [CFOptions \"two\"]\n  merge_operator={id=StringAppend;delim=,;}\n  cf_paths={{path=/fast;target_size=1}}\n";
        let options = OptionsFile::parse(b"e/OPTIONS-7", text);
        let expected = [("default", Some("leveldb.BytewiseComparator"), None), ("two", None, Some("StringAppend"))];
        let families = options.column_families.iter();
        let found: Vec<_> =
            families.map(|family| (family.name.as_str(), family.comparator.as_deref(), family.merge_operator.as_deref())).collect();
        assert_eq!(found, expected);
        let paths: Vec<_> = options.foreign_paths.iter().map(|path| path.option.as_str()).collect();
        assert_eq!(paths, ["wal_dir", "cf_paths"]);
        assert!(options.foreign_paths[0].to_string().contains("e/OPTIONS-7 has wal_dir=/data/wal"));
    }

    #[test]
    fn the_newest_is_the_highest_number_not_the_last_name() {
        assert!(number(b"a1/OPTIONS-1000000") > number(b"a1/OPTIONS-999999"));
        assert!(number(b"OPTIONS-000010") > number(b"OPTIONS-000009"));
        assert!(number(b"OPTIONS-10") == number(b"OPTIONS-000010"));
    }
}

//! What a restore must know of an engine beside its files.

use crate::OptionsFile;

/// One column family.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColumnFamily {
    /// Its name; bytes that are no UTF-8 are replaced.
    pub name: String,
    /// Name of the comparator that orders its keys.
    pub comparator: Option<String>,
    /// Name of its merge operator; `None` if it has none or no OPTIONS file tells.
    pub merge_operator: Option<String>,
}

/// What an engine needs of the program that opens it, and which RocksDB can read it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineFacts {
    /// Comparator of the column family `default`.
    pub comparator: Option<String>,
    /// Merge operator of the column family `default`.
    pub merge_operator: Option<String>,
    /// All column families, `default` included, in order of their ids.
    pub column_families: Vec<ColumnFamily>,
    /// Highest `format_version` of its tables, once [`add_format_version`](Self::add_format_version) was told of any.
    pub max_format_version: Option<u32>,
    /// The database id. Clones of an engine share it, so it identifies nothing.
    pub db_id: Option<String>,
}

impl EngineFacts {
    /// Adds what an OPTIONS file tells. The MANIFEST's comparators stand: RocksDB checks those at open.
    pub fn add_options(&mut self, options: &OptionsFile) {
        for family in &mut self.column_families {
            let Some(told) = options.column_families.iter().find(|told| told.name == family.name) else { continue };
            family.merge_operator = family.merge_operator.take().or_else(|| told.merge_operator.clone());
            family.comparator = family.comparator.take().or_else(|| told.comparator.clone());
        }
        if let Some(default) = self.column_families.iter().find(|family| family.name == "default") {
            self.comparator.clone_from(&default.comparator);
            self.merge_operator.clone_from(&default.merge_operator);
        }
    }

    /// Tells of one table's `format_version`; the highest stays.
    pub fn add_format_version(&mut self, format_version: u32) {
        self.max_format_version = self.max_format_version.max(Some(format_version));
    }
}

//! The environment variables that a store may look at, taken once so that tests can give others.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Beginnings of the names that matter here.
const PREFIXES: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];
/// Other names that matter.
const NAMES: [&str; 2] = ["HOME", "IDENTITY_ENDPOINT"];

/// Names and values. Some are secrets: it has no `Debug`.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Those of this process.
    pub fn of_process() -> Self {
        let text = |name: std::ffi::OsString, value: std::ffi::OsString| Some((name.into_string().ok()?, value.into_string().ok()?));
        let wanted = |name: &str| NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        Self::from_iter(std::env::vars_os().filter_map(|(name, value)| text(name, value)).filter(|(name, _)| wanted(name)))
    }

    /// The value of the first of these names that is set and not empty.
    pub fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.0.get(*name).map(String::as_str).filter(|value| !value.is_empty()))
    }

    /// The value of a name, if it is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.first(&[name])
    }

    /// The path that a name holds, or else one below the home folder.
    pub(super) fn path(&self, name: &str, below_home: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from).or_else(|| Some(PathBuf::from(self.get("HOME")?).join(below_home)))
    }
}

impl FromIterator<(String, String)> for Variables {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

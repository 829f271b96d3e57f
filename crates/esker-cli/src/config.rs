//! Named repositories: `$XDG_CONFIG_HOME/esker/config.toml`, else `~/.config/esker/config.toml`.
//!
//! The file is the user's: it is read whole, and changed only by adding a table at its end or taking one out, so that
//! comments and order stay. What was written is read again before it takes the place of the old file.

mod file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use esker_ops::OpsError;
use serde::Deserialize;

/// The longest name.
const NAME_LEN_MAX: usize = 64;

/// What the file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Repositories by name.
    #[serde(default)]
    pub repository: BTreeMap<String, Named>,
}

/// A repository that has a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// A folder or URL.
    pub location: String,
    /// Verbs that write refuse it.
    #[serde(default)]
    pub read_only: bool,
    /// The file with its passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// Options of its store, `KEY=VALUE` each.
    #[serde(default)]
    pub store_options: Vec<String>,
}

/// Where a repository is, and what is known of it beforehand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Its name, if it was given by name.
    pub name: Option<String>,
    /// What the file says of it; only the location, if it has no name.
    pub settings: Named,
}

impl Place {
    /// What `--repo` and its like stand for: a name of the config file, else a folder or URL. What holds a `/` is never a name.
    ///
    /// # Errors
    /// `Usage` for a name that is a folder here, too, and for a config file that is not to be trusted or read.
    pub fn of(given: &str) -> Result<Self, OpsError> {
        let place = |location: &str| Self { name: None, settings: Named { location: location.to_owned(), ..Named::default() } };
        if check_name(given).is_err() {
            return Ok(place(given));
        }
        match Config::load()?.repository.remove(given) {
            None => Ok(place(given)),
            Some(_) if Path::new(given).exists() => Err(OpsError::Usage(format!(
                "{given} is a repository's name and a file or folder here: write ./{given} for that, or run esker in another folder"
            ))),
            Some(settings) => Ok(Self { name: Some(given.to_owned()), settings }),
        }
    }

    /// With these options of its store behind those of its name; the last of a kind counts.
    #[must_use]
    pub fn with_options(mut self, options: &[String]) -> Self {
        self.settings.store_options.extend_from_slice(options);
        self
    }

    /// What people call it.
    pub fn shown(&self) -> String {
        match &self.name {
            Some(name) => format!("{name} ({})", self.settings.location),
            None => self.settings.location.clone(),
        }
    }

    /// Refuses to write to what is marked read-only.
    ///
    /// # Errors
    /// `Usage`.
    pub fn check_writable(&self) -> Result<(), OpsError> {
        match self.settings.read_only {
            false => Ok(()),
            true => Err(OpsError::Usage(format!("refused: {} is marked read-only; see esker repo list", self.shown()))),
        }
    }
}

impl Config {
    /// Reads the file; there is nothing in it if it is not there.
    ///
    /// # Errors
    /// `Usage` for what cannot be understood or trusted, `Local` if it cannot be read.
    pub fn load() -> Result<Self, OpsError> {
        let Some(path) = file::path() else { return Ok(Self::default()) };
        let Some(text) = file::read(&path)? else { return Ok(Self::default()) };
        let config = Self::parse(&text, &path)?;
        if config.repository.values().any(|named| named.passphrase_file.is_some()) {
            file::check_private(&path)?;
        }
        Ok(config)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, OpsError> {
        toml::from_str(text).map_err(|error| OpsError::Usage(format!("{}: {}", path.display(), error.to_string().trim_end())))
    }

    /// Adds a name.
    ///
    /// # Errors
    /// `Usage` if it is taken or cannot be one; `Local`.
    pub fn add(name: &str, named: &Named) -> Result<(), OpsError> {
        check_name(name).map_err(OpsError::Usage)?;
        file::change(|text, path| {
            let mut wanted = Self::parse(text, path)?;
            if wanted.repository.insert(name.to_owned(), named.clone()).is_some() {
                return Err(OpsError::Usage(format!("{name} is a repository's name already: esker repo remove {name} forgets it")));
            }
            same(path, &wanted, file::with_table(text, name, named))
        })
    }

    /// Forgets a name; the repository stays as it is.
    ///
    /// # Errors
    /// `Usage` if there is no such name, `Local`.
    pub fn remove(name: &str) -> Result<Named, OpsError> {
        let mut removed = None;
        file::change(|text, path| {
            let mut wanted = Self::parse(text, path)?;
            removed = wanted.repository.remove(name);
            if removed.is_none() {
                return Err(OpsError::Usage(format!("no repository is called {name}: esker repo list shows the names")));
            }
            same(path, &wanted, file::without_table(text, name))
        })?;
        Ok(removed.unwrap_or_default())
    }
}

/// The text, if it says what is wanted.
fn same(path: &Path, wanted: &Config, text: String) -> Result<String, OpsError> {
    match Config::parse(&text, path) {
        Ok(found) if found == *wanted => Ok(text),
        _ => Err(OpsError::Usage(format!("{} is written in a way that only its writer can change: edit it by hand", path.display()))),
    }
}

/// Names are letters, digits, `-`, `_` and `.`, and begin with a letter or digit: so none looks like a path or an option.
fn check_name(name: &str) -> Result<(), String> {
    let plain = name.chars().all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character));
    if plain && name.len() <= NAME_LEN_MAX && name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(format!("{name:?} cannot be a repository's name: take letters, digits, - _ . and begin with a letter or digit"))
}

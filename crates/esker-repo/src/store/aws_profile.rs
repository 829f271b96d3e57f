//! `~/.aws/credentials` and `~/.aws/config`: the settings of one profile.
//!
//! Both are INI files. In `config` a section is called `[profile NAME]`, except `[default]`; in `credentials` just `[NAME]`.
//! Indented lines belong to the key above them and are left out.

use std::collections::BTreeMap;
use std::path::Path;

use super::variables::Variables;
use crate::error::{RepoError, Result};

/// Keys by which a profile asks for credentials in a way that needs another program or a log-in.
const FOREIGN: [&str; 5] = ["credential_process", "sso_session", "sso_start_url", "source_profile", "credential_source"];

/// One profile's settings; `credentials` go before `config`.
#[derive(Clone, Default)]
pub(super) struct Profile {
    /// Its name.
    pub(super) name: String,
    settings: BTreeMap<String, String>,
}

impl Profile {
    /// Reads a profile from where the variables say; empty if there is none of the default name.
    ///
    /// # Errors
    /// `Setting` if a profile was asked for and is not there, or a file cannot be read.
    pub(super) fn read(variables: &Variables, asked: Option<&str>) -> Result<Self> {
        let name = asked.unwrap_or("default");
        let mut profile = Self { name: name.to_owned(), settings: BTreeMap::new() };
        let mut found = false;
        let files = [("AWS_CONFIG_FILE", ".aws/config"), ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")];
        for (variable, below_home) in files {
            let Some(text) = variables.path(variable, below_home).map_or(Ok(None), |path| read_if_there(&path))? else { continue };
            let in_config = below_home.ends_with("config") && name != "default";
            let section = if in_config { format!("profile {name}") } else { name.to_owned() };
            if let Some(settings) = section_of(&text, &section) {
                found = true;
                profile.settings.extend(settings);
            }
        }
        if asked.is_some() && !found {
            return Err(RepoError::Setting(format!("there is no profile {name:?} in the AWS credentials and config files")));
        }
        Ok(profile)
    }

    /// A setting that is there and not empty.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The key by which it wants credentials in a way that is not supported.
    pub(super) fn foreign_source(&self) -> Option<&'static str> {
        FOREIGN.into_iter().find(|key| self.get(key).is_some())
    }
}

fn read_if_there(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(RepoError::Setting(format!("cannot read {}: {error}", path.display()))),
    }
}

/// The settings of a section; `None` if there is no such section.
fn section_of(text: &str, wanted: &str) -> Option<BTreeMap<String, String>> {
    let mut settings = None;
    let mut inside = false;
    for line in text.lines() {
        let is_indented = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            inside = name.split_whitespace().eq(wanted.split_whitespace());
            if inside {
                settings.get_or_insert_with(BTreeMap::new);
            }
        } else if let (true, false, Some((key, value))) = (inside, is_indented, line.split_once('=')) {
            let value = value.split(" #").next().unwrap_or_default().trim();
            settings.get_or_insert_with(BTreeMap::new).insert(key.trim().to_ascii_lowercase(), value.to_owned());
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(folder: &Path) -> Variables {
        [("HOME".to_owned(), folder.to_str().unwrap().to_owned())].into_iter().collect()
    }

    fn home(credentials: &str, config: &str) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        std::fs::write(home.path().join(".aws/credentials"), credentials).unwrap();
        std::fs::write(home.path().join(".aws/config"), config).unwrap();
        home
    }

    const CREDENTIALS: &str = "[default]\naws_access_key_id = A\naws_secret_access_key=a=/+\n\n[backup]\naws_access_key_id=B # mine\n";
    const CONFIG: &str = "[default]\nregion=eu-1\n[profile backup]\nregion = eu-2\ns3 =\n  region = no\n; note\n[profile other]\nx=1\n";

    #[test]
    fn a_profile_is_what_both_files_say_of_it() {
        let home = home(CREDENTIALS, CONFIG);
        let default = Profile::read(&variables(home.path()), None).unwrap();
        assert_eq!((default.get("aws_secret_access_key"), default.get("region")), (Some("a=/+"), Some("eu-1")));
        let backup = Profile::read(&variables(home.path()), Some("backup")).unwrap();
        assert_eq!((backup.get("aws_access_key_id"), backup.get("region")), (Some("B"), Some("eu-2")));
        assert_eq!(backup.get("aws_secret_access_key"), None);
    }

    #[test]
    fn a_profile_that_is_not_there_is_named() {
        let home = home(CREDENTIALS, CONFIG);
        let Err(error) = Profile::read(&variables(home.path()), Some("prod")) else { panic!("found") };
        assert!(error.to_string().contains("\"prod\""), "{error}");
        let nobody = tempfile::tempdir().unwrap();
        assert!(Profile::read(&variables(nobody.path()), None).unwrap().get("region").is_none());
    }
}

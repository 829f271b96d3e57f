//! The config file as a file: where it is, who may have written it, how it is changed.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use esker_ops::OpsError;
use rustix::fs::{FlockOperation, flock};

use super::Named;

/// Where the file is; `None` without a home.
pub fn path() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")));
    base.map(|base| base.join("esker/config.toml"))
}

/// The file's text; `None` if there is no file. It names places that are trusted with backups, so nobody else may have
/// written it.
pub fn read(path: &Path) -> Result<Option<String>, OpsError> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(local("read", path)(error)),
        Ok(meta) if meta.mode() & 0o022 != 0 => {
            return Err(OpsError::Usage(format!("{} can be written by others: chmod 600 it", path.display())));
        }
        Ok(meta) if meta.uid() != 0 && meta.uid() != rustix::process::geteuid().as_raw() => {
            return Err(OpsError::Usage(format!("{} belongs to somebody else", path.display())));
        }
        Ok(_) => {}
    }
    std::fs::read_to_string(path).map(Some).map_err(local("read", path))
}

/// Refuses a file that others can read, where it says where secrets are.
pub fn check_private(path: &Path) -> Result<(), OpsError> {
    let meta = std::fs::metadata(path).map_err(local("read", path))?;
    match meta.mode() & 0o077 {
        0 => Ok(()),
        _ => Err(OpsError::Usage(format!("{} names passphrase files and can be read by others: chmod 600 it", path.display()))),
    }
}

/// Replaces the file's text in one step; one process at a time.
pub fn change(new_text: impl FnOnce(&str, &Path) -> Result<String, OpsError>) -> Result<(), OpsError> {
    let path = path().ok_or_else(|| OpsError::Usage("no place for the config file: set HOME or XDG_CONFIG_HOME".into()))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(local("make", folder))?;
    let lock = folder.join("config.lock");
    let held = std::fs::File::options().create(true).append(true).open(&lock).map_err(local("open", &lock))?;
    flock(&held, FlockOperation::LockExclusive).map_err(|error| local("lock", &lock)(error.into()))?;
    let text = new_text(&read(&path)?.unwrap_or_default(), &path)?;
    // A temporary file is its owner's alone, and so is what it becomes.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(local("write", folder))?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(local("write", &path))?;
    file.persist(&path).map(drop).map_err(|error| local("write", &path)(error.error))
}

/// The text with a table for this repository at its end.
pub fn with_table(text: &str, name: &str, named: &Named) -> String {
    let mut text = text.to_owned();
    if !text.is_empty() {
        text.push_str(if text.ends_with('\n') { "\n" } else { "\n\n" });
    }
    text.push_str(&format!("{}\nlocation = {}\n", header(name), quoted(&named.location)));
    if named.read_only {
        text.push_str("read_only = true\n");
    }
    if let Some(file) = &named.passphrase_file {
        text.push_str(&format!("passphrase_file = {}\n", quoted(&file.to_string_lossy())));
    }
    if !named.store_options.is_empty() {
        let options: Vec<String> = named.store_options.iter().map(|option| quoted(option)).collect();
        text.push_str(&format!("store_options = [{}]\n", options.join(", ")));
    }
    text
}

/// The text without that table: from its head to the next head or the end.
pub fn without_table(text: &str, name: &str) -> String {
    let mut inside = false;
    let kept = text.lines().filter(|line| {
        if line.trim_start().starts_with('[') {
            let head = line.split('#').next().unwrap_or_default();
            inside = head.trim() == header(name) || head.trim() == format!("[repository.{}]", quoted(name));
        }
        !inside
    });
    let kept = kept.collect::<Vec<_>>().join("\n");
    if kept.is_empty() { kept } else { kept.trim_end().to_owned() + "\n" }
}

/// A name may hold a dot, which TOML would take apart.
fn header(name: &str) -> String {
    if name.contains('.') { format!("[repository.{}]", quoted(name)) } else { format!("[repository.{name}]") }
}

/// A TOML string; JSON's escapes are TOML's, too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn local(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> OpsError {
    let path = path.display().to_string();
    move |source| OpsError::Local { action, path, source }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::super::Config;
    use super::*;

    fn parsed(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_is_added_and_taken_out_leaves_comments_where_they_are() {
        let plain = Named { location: "/backup/esker".into(), ..Named::default() };
        let full = Named {
            location: "s3://bucket/\"odd\"\u{1f}\\path".into(),
            read_only: true,
            passphrase_file: Some("/root/secret".into()),
            store_options: vec!["region=x".into(), "endpoint=https://h:1".into()],
        };
        let mine = "# mine\n";
        let one = with_table(mine, "a.b", &plain);
        let two = with_table(&one, "prod", &full);
        let three = with_table(&two, "last", &plain);
        let config = parsed(&three);
        assert_eq!((config.repository.len(), &config.repository["a.b"], &config.repository["prod"]), (3, &plain, &full));
        let without = without_table(&three, "prod");
        assert_eq!(parsed(&without).repository.keys().collect::<Vec<_>>(), ["a.b", "last"]);
        assert!(without.starts_with(mine));
        assert_eq!(without_table(&without_table(&without, "a.b"), "last"), mine);
    }
}

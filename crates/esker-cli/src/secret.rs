//! Passphrases and recovery keys: from a file, the environment, or a prompt; never from an argument.

use std::io::IsTerminal;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use esker_format::key::{Secret, parse_recovery};
use esker_format::limits::PASSPHRASE_MAX;
use esker_ops::OpsError;
use zeroize::Zeroizing;

use crate::output::Output;

/// The environment variable that opens a repository.
pub const PASSPHRASE: &str = "ESKER_PASSPHRASE";
/// The environment variable that opens a second repository: the one that a copy or a repair reads.
pub const FROM_PASSPHRASE: &str = "ESKER_FROM_PASSPHRASE";
/// The environment variable that holds a passphrase to be added.
pub const NEW_PASSPHRASE: &str = "ESKER_NEW_PASSPHRASE";

/// The secret given by file or environment, if one is given.
///
/// # Errors
/// `Usage` for an empty or overlong one, `Local` if the file cannot be read.
pub fn given(file: Option<&Path>, variable: &str, output: &Output) -> Result<Option<Secret>, OpsError> {
    let text = match (file, std::env::var_os(variable)) {
        (Some(path), _) => read_file(path, output)?,
        (None, Some(value)) => Zeroizing::new(value.into_encoded_bytes()),
        (None, None) => return Ok(None),
    };
    secret(&text).map(Some)
}

/// Asks for the secret that opens a repository.
///
/// # Errors
/// `Usage` without a terminal.
pub fn ask(location: &str) -> Result<Secret, OpsError> {
    let text = prompt(&format!("Passphrase of {location}: "))?;
    secret(text.as_bytes())
}

/// Asks twice for a new passphrase.
///
/// # Errors
/// `Usage` without a terminal, or if the two differ.
pub fn ask_new() -> Result<Secret, OpsError> {
    let first = prompt("New passphrase: ")?;
    let second = prompt("The same again: ")?;
    if first.as_bytes() != second.as_bytes() {
        return Err(OpsError::Usage("the two passphrases differ".into()));
    }
    secret(first.as_bytes())
}

fn prompt(question: &str) -> Result<Zeroizing<String>, OpsError> {
    if !std::io::stdin().is_terminal() {
        return Err(OpsError::Usage(format!("no passphrase: give --passphrase-file FILE or {PASSPHRASE}, or run on a terminal")));
    }
    let answer = rpassword::prompt_password(question);
    answer.map(Zeroizing::new).map_err(|source| OpsError::Local { action: "read", path: "the passphrase".into(), source })
}

fn read_file(path: &Path, output: &Output) -> Result<Zeroizing<Vec<u8>>, OpsError> {
    let local = |source| OpsError::Local { action: "read", path: path.display().to_string(), source };
    let meta = std::fs::metadata(path).map_err(local)?;
    if meta.len() > PASSPHRASE_MAX as u64 + 2 {
        return Err(OpsError::Usage(format!("{} is too long to be a passphrase", path.display())));
    }
    if meta.is_file() && meta.permissions().mode() & 0o077 != 0 {
        output.say(&format!("note: {} can be read by others; chmod 600 it", path.display()));
    }
    let mut text = Zeroizing::new(std::fs::read(path).map_err(local)?);
    // An editor ends the line; the passphrase does not hold it.
    if text.last() == Some(&b'\n') {
        text.pop();
        if text.last() == Some(&b'\r') {
            text.pop();
        }
    }
    Ok(text)
}

fn secret(text: &[u8]) -> Result<Secret, OpsError> {
    if text.is_empty() {
        return Err(OpsError::Usage("the passphrase is empty".into()));
    }
    if text.len() > PASSPHRASE_MAX {
        return Err(OpsError::Usage(format!("the passphrase is longer than {PASSPHRASE_MAX} bytes")));
    }
    let recovery = std::str::from_utf8(text).ok().and_then(parse_recovery);
    Ok(recovery.map_or_else(|| Secret::Passphrase(Zeroizing::new(text.to_vec())), Secret::Recovery))
}

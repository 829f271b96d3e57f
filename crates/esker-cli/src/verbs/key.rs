//! `key list`, `key add`, `key remove`, `key passphrase`

use std::path::Path;

use esker_format::ObjectId;
use esker_format::key::{Argon2Cost, KeyKind, Secret, print_recovery};
use esker_ops::OpsError;
use esker_repo::environment::random;
use esker_repo::session::Session;
use zeroize::Zeroizing;

use super::Outcome;
use crate::args::{Global, Key, KeyAdd};
use crate::exit::Exit;
use crate::open;
use crate::output::{Output, table};
use crate::secret;

const NOT_REVOKED: &str = "note: this does not revoke the key. Whoever knew it may have kept the repository's master key; \
     only a new repository shuts them out.";

pub fn run(global: &Global, args: &Key, output: &Output) -> Outcome {
    match args {
        Key::List => list(global, output),
        Key::Add(args) => add(global, args, output),
        Key::Remove { id } => remove(global, id, output),
        Key::Passphrase(args) => change(global, args.new_passphrase_file.as_deref(), output),
    }
}

fn list(global: &Global, output: &Output) -> Outcome {
    let repository = open::open(global, output)?;
    let keys = repository.keys()?;
    let rows: Vec<(String, &str, String)> = keys
        .iter()
        .map(|key| {
            let kind = match key.kind {
                Some(KeyKind::Passphrase(_)) => "passphrase",
                Some(KeyKind::Recovery) => "recovery key",
                None => "damaged",
            };
            (key.id.to_string(), kind, key.damage.clone().unwrap_or_default())
        })
        .collect();
    let json: Vec<_> = rows.iter().map(|(id, kind, damage)| serde_json::json!({ "id": id, "kind": kind, "damage": damage })).collect();
    output.result(&json, || {
        let short = |id: &str| id.chars().take(16).collect();
        table(&["ID", "KIND", ""], rows.iter().map(|(id, kind, damage)| vec![short(id), (*kind).to_owned(), damage.clone()]).collect())
    });
    Ok(if keys.iter().any(|key| key.damage.is_some()) { Exit::Damage } else { Exit::Done })
}

fn add(global: &Global, args: &KeyAdd, output: &Output) -> Outcome {
    let (repository, current) = open_with_secret(global, output)?;
    let added = match args.recovery {
        true => Secret::Recovery(Zeroizing::new(random(repository.environment())?)),
        false => new_secret(args.new_passphrase_file.as_deref(), output)?,
    };
    let id = repository.add_key(&current, &added, Argon2Cost::DEFAULT, &args.label)?;
    let printed = match &added {
        Secret::Recovery(bits) => Some(print_recovery(bits)),
        Secret::Passphrase(_) => None,
    };
    output.result(&serde_json::json!({ "id": id.to_string(), "recovery_key": printed }), || match &printed {
        Some(key) => format!("{key}\nThis key opens the repository wherever a passphrase does. It is shown this once: keep it on paper."),
        None => format!("added key {}", id.short()),
    });
    Ok(Exit::Done)
}

fn remove(global: &Global, name: &str, output: &Output) -> Outcome {
    let repository = open::open(global, output)?;
    let keys = repository.keys()?;
    let found: Vec<ObjectId> = keys.iter().map(|key| key.id).filter(|id| name.len() >= 8 && id.to_string().starts_with(name)).collect();
    let [id] = found.as_slice() else {
        return Err(OpsError::Usage(format!("{} keys are called {name:?}: esker key list shows them", found.len())));
    };
    let session = Session::begin(&repository, "key remove")?;
    let removed = repository.remove_key(id, session.id());
    session.end(None)?;
    removed?;
    output.say(NOT_REVOKED);
    output.result(&serde_json::json!({ "removed": id.to_string() }), || format!("removed key {}", id.short()));
    Ok(Exit::Done)
}

fn change(global: &Global, file: Option<&Path>, output: &Output) -> Outcome {
    let (repository, current) = open_with_secret(global, output)?;
    let old = repository.key_of(&current)?;
    let added = new_secret(file, output)?;
    let id = repository.add_key(&current, &added, Argon2Cost::DEFAULT, "")?;
    let session = Session::begin(&repository, "key passphrase")?;
    let removed = repository.remove_key(&old, session.id());
    session.end(None)?;
    removed?;
    output.say(NOT_REVOKED);
    output.result(&serde_json::json!({ "id": id.to_string(), "removed": old.to_string() }), || {
        format!("the passphrase is changed; key {}", id.short())
    });
    Ok(Exit::Done)
}

fn new_secret(file: Option<&Path>, output: &Output) -> Result<Secret, OpsError> {
    match secret::given(file, secret::NEW_PASSPHRASE, output)? {
        Some(secret @ Secret::Passphrase(_)) => Ok(secret),
        Some(Secret::Recovery(_)) => {
            Err(OpsError::Usage("that is a recovery key, not a new passphrase: esker key add --recovery makes one".into()))
        }
        None => secret::ask_new(),
    }
}

/// Opens the repository and keeps the secret that did it.
fn open_with_secret(global: &Global, output: &Output) -> Result<(std::sync::Arc<esker_repo::Repository>, Secret), OpsError> {
    let place = open::place(global)?;
    let current = match open::secret_of(&place, global.passphrase_file.as_deref(), secret::PASSPHRASE, output)? {
        Some(secret) => secret,
        None => secret::ask(&place.shown())?,
    };
    let store = open::store(&place, false, output)?;
    let repository = esker_repo::Repository::open(store, open::options(global, Some(current.clone()))?)?;
    repository.warnings().iter().for_each(|warning| output.warn(warning));
    Ok((std::sync::Arc::new(repository), current))
}

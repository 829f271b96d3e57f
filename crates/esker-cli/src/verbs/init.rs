//! `init`

use std::sync::Arc;

use esker_format::config::ChunkerParameters;
use esker_format::key::{Argon2Cost, Secret};
use esker_ops::OpsError;
use esker_repo::store::probe::Abilities;
use esker_repo::{InitOptions, Repository};

use super::Outcome;
use crate::args::{Global, Init};
use crate::config::Place;
use crate::exit::Exit;
use crate::open;
use crate::output::{Output, facts};
use crate::secret;

/// The variable that makes key derivation cheap in tests, where it would otherwise be most of the time.
const CHEAP_KEYS: &str = "ESKER_TEST_CHEAP_KEYS";

pub fn run(global: &Global, args: &Init, output: &Output) -> Outcome {
    let place = open::place(global)?;
    let location = &place.settings.location;
    let given = open::secret_of(&place, global.passphrase_file.as_deref(), secret::PASSPHRASE, output)?;
    let secret = match (args.no_encryption, given) {
        (true, Some(_)) => return Err(OpsError::Usage("a passphrase is given together with --no-encryption".into())),
        (true, None) => None,
        (false, Some(secret)) => Some(secret),
        (false, None) => Some(secret::ask_new()?),
    };
    let like = match &args.same_keys_as {
        Some(other) => Some(like(global, other, args, secret.as_ref(), output)?),
        None => None,
    };
    let given = ChunkerParameters { min: args.chunk_min, avg: args.chunk_avg, max: args.chunk_max };
    let chunker = like.as_ref().map_or(given, |like| like.config().chunker);
    chunker.check().map_err(|error| OpsError::Usage(format!("--chunk-min, --chunk-avg, --chunk-max: {error}")))?;
    let store = open::store(&place, true, output)?;
    let cheap = std::env::var_os(CHEAP_KEYS).is_some();
    let options = InitOptions {
        argon2: if cheap { Argon2Cost::CHEAP } else { Argon2Cost::DEFAULT },
        key_label: args.key_label.clone(),
        chunker,
        pack_target: args.pack_size,
        zstd_level: args.zstd_level,
        master: like.as_ref().and_then(|like| like.sealing().master().cloned()),
        probe: !store.is_local(),
        ..InitOptions::new(secret.clone())
    };
    let repository = Repository::init(store, &options, open::options(global, secret)?)?;
    if cheap {
        output.warn(&format!("{CHEAP_KEYS} is set: the passphrase is easily guessed; for tests only"));
    }
    let (id, encrypted) = (repository.config().repository.to_string(), repository.config().encrypted);
    let abilities = (!repository.store().is_local()).then(|| repository.known().abilities(repository.store().location())).flatten();
    let json = serde_json::json!({ "repository": id, "location": location, "encrypted": encrypted, "store": abilities });
    output.result(&json, || {
        let mode = if encrypted {
            "encrypted; without a passphrase nobody reads it again: make a recovery key with esker key add --recovery"
        } else {
            "NOT encrypted: whoever reads the store reads the backups"
        };
        let store = abilities.as_ref().map_or_else(String::new, abilities_text);
        format!("repository {id} at {location}\n{mode}\n{store}")
    });
    Ok(Exit::Done)
}

/// The repository whose key and chunk sizes the new one takes.
fn like(global: &Global, location: &str, args: &Init, secret: Option<&Secret>, output: &Output) -> Result<Arc<Repository>, OpsError> {
    let other = open::open_from(global, &Place::of(location)?, args.from_passphrase_file.as_deref(), secret, output)?;
    match (other.config().encrypted, args.no_encryption) {
        (true, true) => Err(OpsError::Usage(format!("{location} is encrypted: its key is of no use with --no-encryption"))),
        (false, false) => Err(OpsError::Usage(format!("{location} is not encrypted and has no key to take: give --no-encryption"))),
        _ => Ok(other),
    }
}

/// What the store can do, a line each.
pub(super) fn abilities_text(abilities: &Abilities) -> String {
    let rows = abilities.rows().map(|(name, support, meaning)| {
        let meaning = if meaning.is_empty() { String::new() } else { format!(" ({meaning})") };
        (name, format!("{support}{meaning}"))
    });
    format!("the store can\n{}", facts(&rows))
}

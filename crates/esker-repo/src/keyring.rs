//! The key objects of a repository: passphrases and recovery keys that open it.

use esker_format::ObjectId;
use esker_format::audit::{Deed, Event, KeyFact};
use esker_format::doomed::{Forgotten, ForgottenKind};
use esker_format::key::{Argon2Cost, KeyKind, KeyObject, Secret, Unwrapped};
use esker_format::layout::{ObjectKind, object_path};
use esker_format::limits::SMALL_OBJECT_MAX;
use esker_format::seal::MasterKey;
use esker_format::signing::SigningKey;
use esker_format::{FormatError, SessionId};
use zeroize::Zeroizing;

use crate::environment::{Environment, random};
use crate::error::{RepoError, Result};
use crate::listing::ids;
use crate::repository::{Repository, read_config};
use crate::store::Store;

/// Key objects tried at most: a store full of hostile ones must not cost an argon2 each.
const KEYS_TRIED_MAX: usize = 64;

/// What opening a repository with a secret gave.
pub(crate) struct Unlocked {
    pub(crate) master: MasterKey,
    /// The key object that was opened.
    pub(crate) key: ObjectId,
    pub(crate) signing: Option<SigningKey>,
    pub(crate) warnings: Vec<String>,
}

/// A key as `key list` shows it.
#[derive(Debug, Clone)]
pub struct KeyEntry {
    /// The key object's name.
    pub id: ObjectId,
    /// How it is opened; `None` if the object is damaged.
    pub kind: Option<KeyKind>,
    /// What is wrong with it.
    pub damage: Option<String>,
    /// Whether it holds a key that signs audit records.
    pub signs: bool,
}

/// Tries the secret on every key object.
pub(crate) fn unlock(store: &Store, config: &[u8], secret: &Secret) -> Result<Unlocked> {
    let mut warnings = Vec::new();
    let mut tried = 0;
    let mut swapped = false;
    for id in ids(store, ObjectKind::Key)?.into_keys() {
        let key = match read_key(store, &id) {
            Ok(key) => key,
            Err(error) if matches!(error, RepoError::Object { .. } | RepoError::WrongName { .. } | RepoError::Missing { .. }) => {
                warnings.push(error.to_string());
                continue;
            }
            Err(error) => return Err(error),
        };
        if !key.fits(secret) || tried == KEYS_TRIED_MAX {
            continue;
        }
        tried += 1;
        match key.unwrap_with(secret) {
            Ok(content) if content.config_hash == *blake3::hash(config).as_bytes() => {
                return Ok(Unlocked { master: content.master, key: id, signing: content.signing, warnings });
            }
            // A planted key object must not shut out the honest ones.
            Ok(_) => swapped = true,
            Err(FormatError::WrongPassphrase) => {}
            Err(source) => return Err(RepoError::Object { path: object_path(ObjectKind::Key, &id), source }),
        }
    }
    if swapped {
        return Err(RepoError::ConfigSwapped { location: store.location().to_owned() });
    }
    let detail = if warnings.is_empty() { String::new() } else { format!(" ({})", warnings.join("; ")) };
    Err(RepoError::WrongPassphrase { detail })
}

fn read_key(store: &Store, id: &ObjectId) -> Result<KeyObject> {
    let path = object_path(ObjectKind::Key, id);
    let bytes = store.get(&path, SMALL_OBJECT_MAX as u64)?;
    let key = KeyObject::decode(&bytes).map_err(RepoError::object(path.clone()))?;
    if ObjectId::of(&bytes) == *id { Ok(key) } else { Err(RepoError::WrongName { path }) }
}

/// A key object that is not stored yet.
pub(crate) struct NewKey {
    pub(crate) fact: KeyFact,
    pub(crate) signing: SigningKey,
    bytes: Vec<u8>,
}

impl NewKey {
    /// Wraps the master key, and a new key that signs, under a secret.
    pub(crate) fn make(
        environment: &dyn Environment,
        master: &MasterKey,
        config: &[u8],
        secret: &Secret,
        cost: Argon2Cost,
        label: &str,
    ) -> Result<Self> {
        let failed = |source| RepoError::kind(ObjectKind::Key, source);
        let signing = SigningKey(Zeroizing::new(random(environment)?));
        let content = Unwrapped {
            master: master.clone(),
            config_hash: *blake3::hash(config).as_bytes(),
            created_ms: environment.now_ms(),
            label: label.to_owned(),
            signing: Some(signing.clone()),
        };
        let bytes = KeyObject::wrap(secret, cost, random(environment)?, &content).map_err(failed)?.encode();
        let fact = KeyFact { id: ObjectId::of(&bytes), public: Some(signing.public().map_err(failed)?) };
        Ok(Self { fact, signing, bytes })
    }

    /// Stores it.
    pub(crate) fn store(&self, store: &Store) -> Result<()> {
        store.put(&object_path(ObjectKind::Key, &self.fact.id), self.bytes.clone())
    }
}

impl Repository {
    /// The key objects.
    ///
    /// # Errors
    /// `Store`.
    pub fn keys(&self) -> Result<Vec<KeyEntry>> {
        ids(&self.store, ObjectKind::Key)?
            .into_keys()
            .map(|id| match read_key(&self.store, &id) {
                Ok(key) => Ok(KeyEntry { id, kind: Some(key.kind), damage: None, signs: key.has_signing_key() }),
                Err(error) if error.is_damage() => Ok(KeyEntry { id, kind: None, damage: Some(error.to_string()), signs: false }),
                Err(error) => Err(error),
            })
            .collect()
    }

    /// The key object that a secret opens.
    ///
    /// # Errors
    /// `WrongPassphrase` if it opens none.
    pub fn key_of(&self, secret: &Secret) -> Result<ObjectId> {
        for id in ids(&self.store, ObjectKind::Key)?.into_keys() {
            if read_key(&self.store, &id).is_ok_and(|key| key.fits(secret) && key.unwrap_with(secret).is_ok()) {
                return Ok(id);
            }
        }
        Err(RepoError::WrongPassphrase { detail: String::new() })
    }

    /// Adds a key. `current` opens the repository already; the new one is wrapped under `added`.
    ///
    /// # Errors
    /// `WrongPassphrase`, `Store`.
    pub fn add_key(&self, current: &Secret, added: &Secret, cost: Argon2Cost, label: &str) -> Result<ObjectId> {
        let (_, config, _) = read_config(&self.store)?;
        let master = unlock(&self.store, &config, current)?.master;
        let key = NewKey::make(&*self.environment, &master, &config, added, cost, label)?;
        let (keys, objects) = (vec![key.fact], vec![(key.fact.id, label.to_owned())]);
        let deed = Deed { keys, objects, ..Deed::intended(Event::KeyAdd) };
        self.record(None, deed.clone())?;
        key.store(&self.store)?;
        self.record(None, Deed { intended: false, ..deed })?;
        Ok(key.fact.id)
    }

    /// Removes a key object. Whoever used it may have kept the master key: only a new repository revokes it.
    ///
    /// # Errors
    /// `LastKey`, `Missing`, `Store`.
    pub fn remove_key(&self, id: &ObjectId, session: SessionId) -> Result<()> {
        let keys = self.keys()?;
        let path = object_path(ObjectKind::Key, id);
        if !keys.iter().any(|key| key.id == *id) {
            return Err(RepoError::Missing { path });
        }
        if !keys.iter().any(|key| key.id != *id && key.kind.is_some()) {
            return Err(RepoError::LastKey(path));
        }
        let record = Forgotten {
            session,
            at_ms: self.environment.now_ms(),
            kind: ForgottenKind::Key,
            objects: vec![(*id, String::new())],
            reason: "key removed".into(),
        };
        self.write_object(ObjectKind::Forgotten, &record)?;
        // Two who remove the last two keys at once: at least one of them sees the other's record here.
        let going = self.forgotten()?;
        if !self.keys()?.iter().any(|key| key.id != *id && key.kind.is_some() && !going.contains_key(&key.id)) {
            return Err(RepoError::LastKey(path));
        }
        self.record(Some(session), Deed { objects: vec![(*id, String::new())], ..Deed::intended(Event::KeyRemove) })?;
        self.store.delete(&path)
    }
}

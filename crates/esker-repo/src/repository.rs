//! Making and opening a repository.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use esker_format::audit::{Deed, Event};
use esker_format::config::{ChunkerParameters, Config};
use esker_format::key::{Argon2Cost, Secret};
use esker_format::layout::{CONFIG, CONFIG_COPY, ObjectKind, object_path};
use esker_format::limits::{CONTROL_PLAIN_MAX, SMALL_OBJECT_MAX};
use esker_format::seal::{MasterKey, Sealing};
use esker_format::sealed_object::{OVERHEAD, open_object, seal_object};
use esker_format::wire::Record;
use esker_format::{ObjectId, RepositoryId};
use zeroize::Zeroizing;

use crate::audit::Author;
use crate::environment::{Environment, random};
use crate::error::{RepoError, Result};
use crate::frame_cache::RUN_CACHE_BYTES;
use crate::keyring::{self, NewKey};
use crate::known::Known;
use crate::store::probe::{Abilities, PROBES};
use crate::store::{Fetching, Store};

/// Bytes at which a writer closes a pack, unless the config says otherwise.
pub const PACK_TARGET: u32 = 32 << 20;
/// Small objects of a store that is far on their way at once, at most.
const OBJECTS_AHEAD: usize = 16;

/// How `init` makes a repository.
pub struct InitOptions {
    /// The first secret; `None` makes a repository that is not encrypted.
    pub secret: Option<Secret>,
    /// The master key that the secret will open; a new one if `None`.
    pub master: Option<MasterKey>,
    /// The cost of deriving the key from a passphrase.
    pub argon2: Argon2Cost,
    /// Whose key it is.
    pub key_label: String,
    /// How bytes are cut.
    pub chunker: ChunkerParameters,
    /// Bytes at which a pack is closed.
    pub pack_target: u32,
    /// zstd's level for writers that do not say.
    pub zstd_level: i8,
    /// Whether the store is tried first, with an object that is removed again; a folder needs no trial.
    pub probe: bool,
}

impl InitOptions {
    /// The defaults, with this secret.
    pub fn new(secret: Option<Secret>) -> Self {
        Self {
            secret,
            master: None,
            argon2: Argon2Cost::DEFAULT,
            key_label: String::new(),
            chunker: ChunkerParameters::DEFAULT,
            pack_target: PACK_TARGET,
            zstd_level: 3,
            probe: false,
        }
    }
}

/// How a repository is opened.
pub struct OpenOptions {
    /// What opens it.
    pub secret: Option<Secret>,
    /// This machine's cache folder, shared by all repositories and processes.
    pub cache: PathBuf,
    /// Bytes of runs that writers may keep there; 0 empties it of them. `None` keeps `RUN_CACHE_BYTES` of a repository
    /// elsewhere, and nothing of one in a folder of this machine, which reads no faster from another folder.
    pub run_cache_bytes: Option<u64>,
    /// Bytes that local indexes may take, those of all repositories together. The one in use stays, whatever it takes.
    pub index_cache_bytes: u64,
    /// Time and randomness.
    pub environment: Arc<dyn Environment>,
}

/// An opened repository.
pub struct Repository {
    pub(crate) store: Arc<Store>,
    pub(crate) config: Config,
    pub(crate) sealing: Sealing,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) cache: PathBuf,
    /// Bytes that run frames may take in the cache; `None` if they are not kept there.
    pub(crate) run_cache_bytes: Option<u64>,
    pub(crate) index_cache_bytes: u64,
    warnings: Vec<String>,
    /// Who signs the audit records.
    pub(crate) author: Author,
}

impl Repository {
    /// Makes a repository in an empty store and opens it.
    ///
    /// The config is written last: what was interrupted before is no repository.
    ///
    /// # Errors
    /// `NotEmpty`, `Unfit`, `Store`.
    pub fn init(store: Store, init: &InitOptions, open: OpenOptions) -> Result<Self> {
        if let Some(found) = store.first_but(PROBES)? {
            let is_repository = found == CONFIG || store.size(CONFIG)?.is_some();
            let found = if is_repository { "a repository".to_owned() } else { found };
            return Err(RepoError::NotEmpty { location: store.location().to_owned(), found });
        }
        let environment = Arc::clone(&open.environment);
        if init.probe {
            let abilities = probe(&store, &*environment, &Known::new(&open.cache))?;
            if let Some(why) = abilities.lacks() {
                return Err(RepoError::Unfit { location: store.location().to_owned(), why });
            }
        }
        let config = Config {
            repository: RepositoryId(random(&*environment)?),
            encrypted: init.secret.is_some(),
            chunker: init.chunker.check().map_err(RepoError::object(CONFIG))?,
            pack_target: init.pack_target,
            zstd_level: init.zstd_level,
            created_ms: environment.now_ms(),
        };
        let bytes = config.encode();
        Config::decode(&bytes).map_err(RepoError::object(CONFIG))?;
        let mut deed = Deed::done(Event::Init);
        let (mut author, mut sealing) = (Author::default(), Sealing::Plain);
        if let Some(secret) = &init.secret {
            let master = match &init.master {
                Some(master) => master.clone(),
                None => MasterKey(Zeroizing::new(random(&*environment)?)),
            };
            let key = NewKey::make(&*environment, &master, &bytes, secret, init.argon2, &init.key_label)?;
            key.store(&store)?;
            deed.keys.push(key.fact);
            author = Author { key: Some(key.fact.id), signing: Some(key.signing) };
            sealing = Sealing::encrypted(master);
        }
        let (id, record) = author.seal(config.repository, &sealing, &*environment, &BTreeSet::new(), None, deed)?;
        store.put(&object_path(ObjectKind::Audit, &id), record)?;
        store.put(CONFIG_COPY, bytes.clone())?;
        store.put(CONFIG, bytes)?;
        Self::open(store, OpenOptions { secret: init.secret.clone(), ..open })
    }

    /// Opens a repository.
    ///
    /// # Errors
    /// `NotARepository`, `NoPassphrase`, `WrongPassphrase`, `EncryptionVanished`, `ConfigSwapped`, a config of a newer
    /// format, `Store`.
    pub fn open(store: Store, options: OpenOptions) -> Result<Self> {
        let (config, bytes, mut warnings) = read_config(&store)?;
        let known = Known::new(&options.cache);
        let location = store.location().to_owned();
        let mut author = Author::default();
        let sealing = if config.encrypted {
            let secret = options.secret.as_ref().ok_or(RepoError::NoPassphrase)?;
            let opened = keyring::unlock(&store, &bytes, secret)?;
            warnings.extend(opened.warnings);
            author = Author { key: Some(opened.key), signing: opened.signing };
            Sealing::encrypted(opened.master)
        } else {
            let why = match options.secret {
                Some(_) => Some("a passphrase was given"),
                None => known.was_encrypted(&location).then_some("this client knows it as encrypted"),
            };
            if let Some(why) = why {
                return Err(RepoError::EncryptionVanished { location, why });
            }
            Sealing::Plain
        };
        known.remember(&location, config.repository, config.encrypted)?;
        let run_cache_bytes = options.run_cache_bytes.or_else(|| (!store.is_local()).then_some(RUN_CACHE_BYTES));
        let OpenOptions { cache, environment, index_cache_bytes, .. } = options;
        let store = Arc::new(store);
        Ok(Self { store, config, sealing, environment, cache, run_cache_bytes, index_cache_bytes, warnings, author })
    }

    /// The repository's config.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How its objects are sealed.
    pub fn sealing(&self) -> &Sealing {
        &self.sealing
    }

    /// The clock and randomness it was opened with.
    pub fn environment(&self) -> &dyn Environment {
        &*self.environment
    }

    /// What was found amiss while opening.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What this client remembers of repositories.
    pub fn known(&self) -> Known {
        Known::new(&self.cache)
    }

    /// Tries what the store can do, and remembers it on this machine.
    ///
    /// # Errors
    /// `Store` if nothing can be written there, `Cache`.
    pub fn probe(&self) -> Result<Abilities> {
        probe(&self.store, &*self.environment, &self.known())
    }

    /// Reads a hash-named object: the name is checked first, then the seal.
    ///
    /// # Errors
    /// `Missing`, `WrongName`, `Object`, `Store`.
    pub fn read_object<R: Record>(&self, kind: ObjectKind, id: &ObjectId) -> Result<R> {
        self.end_object(kind, id, self.begin_object(kind, id))
    }

    /// Reads hash-named objects, in this order; several are on their way at once where the store is far.
    pub fn read_objects<R: Record>(
        &self,
        kind: ObjectKind,
        ids: impl IntoIterator<Item = ObjectId>,
    ) -> impl Iterator<Item = (ObjectId, Result<R>)> {
        let (mut ids, mut coming) = (ids.into_iter(), VecDeque::new());
        let most = if self.store.is_far() { OBJECTS_AHEAD } else { 1 };
        std::iter::from_fn(move || {
            coming.extend(ids.by_ref().take(most - coming.len()).map(|id| (id, self.begin_object(kind, &id))));
            let (id, fetching) = coming.pop_front()?;
            Some((id, self.end_object(kind, &id, fetching)))
        })
    }

    fn begin_object(&self, kind: ObjectKind, id: &ObjectId) -> Fetching {
        self.store.begin_get(&object_path(kind, id), (CONTROL_PLAIN_MAX + OVERHEAD) as u64)
    }

    fn end_object<R: Record>(&self, kind: ObjectKind, id: &ObjectId, fetching: Fetching) -> Result<R> {
        let bytes = self.store.wait_for(fetching)?;
        let path = object_path(kind, id);
        if ObjectId::of(&bytes) != *id {
            return Err(RepoError::WrongName { path });
        }
        open_object(&self.sealing, kind, "", &bytes).map_err(RepoError::object(path))
    }

    /// Writes a hash-named object and returns its name and size in bytes.
    ///
    /// # Errors
    /// `Store`, `Object` if it is over the format's limits.
    pub fn write_object<R: Record>(&self, kind: ObjectKind, record: &R) -> Result<(ObjectId, u64)> {
        let (id, bytes) = self.seal_named(kind, record)?;
        let size = bytes.len() as u64;
        self.store.put(&object_path(kind, &id), bytes)?;
        Ok((id, size))
    }

    /// A hash-named object, sealed but not written, with its name.
    pub(crate) fn seal_named<R: Record>(&self, kind: ObjectKind, record: &R) -> Result<(ObjectId, Vec<u8>)> {
        let salt = random(&*self.environment)?;
        let bytes = seal_object(&self.sealing, kind, "", salt, record).map_err(|source| RepoError::kind(kind, source))?;
        Ok((ObjectId::of(&bytes), bytes))
    }

    /// Reads an object whose path is its name; the path is sealed in.
    ///
    /// # Errors
    /// `Missing`, `Object`, `Store`.
    pub fn read_placed<R: Record>(&self, kind: ObjectKind, path: &str) -> Result<R> {
        let bytes = self.store.get(path, SMALL_OBJECT_MAX as u64)?;
        open_object(&self.sealing, kind, path, &bytes).map_err(RepoError::object(path))
    }

    /// Writes an object whose path is its name.
    ///
    /// # Errors
    /// `Store`.
    pub fn write_placed<R: Record>(&self, kind: ObjectKind, path: &str, record: &R) -> Result<()> {
        let salt = random(&*self.environment)?;
        let bytes = seal_object(&self.sealing, kind, path, salt, record).map_err(RepoError::object(path))?;
        self.store.put(path, bytes)
    }
}

fn probe(store: &Store, environment: &dyn Environment, known: &Known) -> Result<Abilities> {
    let name: [u8; 16] = random(environment)?;
    let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    let abilities = store.probe(&name)?;
    known.remember_abilities(store.location(), &abilities)?;
    Ok(abilities)
}

/// Reads `config`, or its copy if the first is lost or damaged; with what was amiss.
///
/// # Errors
/// `NotARepository` if there is neither; `Object` if a newer Esker wrote it or both are damaged.
pub fn read_config(store: &Store) -> Result<(Config, Vec<u8>, Vec<String>)> {
    let read = |path: &str| -> Result<(Config, Vec<u8>)> {
        let bytes = store.get(path, SMALL_OBJECT_MAX as u64)?.to_vec();
        Config::decode(&bytes).map(|config| (config, bytes)).map_err(RepoError::object(path))
    };
    let first = match read(CONFIG) {
        Ok((config, bytes)) => return Ok((config, bytes, Vec::new())),
        Err(error) => error,
    };
    match (read(CONFIG_COPY), &first) {
        (Ok((config, bytes)), _) => Ok((config, bytes, vec![format!("{first}; its copy {CONFIG_COPY} was used")])),
        (Err(RepoError::Missing { .. }), RepoError::Missing { .. }) => {
            let found = store.list("")?;
            if found.iter().any(|object| object.path.starts_with("packs/") || object.path.starts_with("manifests/")) {
                return Err(first);
            }
            let why = match found.first() {
                None => "it is empty".to_owned(),
                Some(found) => format!("it has no config, but holds {}", found.path),
            };
            Err(RepoError::NotARepository { location: store.location().to_owned(), why })
        }
        (Err(_), _) => Err(first),
    }
}

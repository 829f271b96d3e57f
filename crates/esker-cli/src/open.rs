//! Opening the repository that the arguments name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use esker_format::key::Secret;
use esker_ops::OpsError;
use esker_repo::repository::read_config;
use esker_repo::{INDEX_CACHE_BYTES, OpenOptions, Repository, Store, StoreOpening, StoreOptions, SystemEnvironment, Variables};

use crate::args::Global;
use crate::config::Place;
use crate::output::Output;
use crate::secret;

/// Where the repository is that the arguments name.
///
/// # Errors
/// `Usage` if none is given; as `Place::of`.
pub fn place(global: &Global) -> Result<Place, OpsError> {
    let repo = global.repo.as_deref().ok_or_else(|| OpsError::Usage("no repository: give --repo or set ESKER_REPO".into()))?;
    Ok(Place::of(repo)?.with_options(&global.store_options))
}

/// The secret given for a repository: by argument, by its entry in the config file, or in the environment.
///
/// # Errors
/// As `secret::given`.
pub fn secret_of(place: &Place, file: Option<&Path>, variable: &str, output: &Output) -> Result<Option<Secret>, OpsError> {
    secret::given(file.or(place.settings.passphrase_file.as_deref()), variable, output)
}

/// Opens the repository; asks for its passphrase on a terminal if it needs one and none is given.
///
/// # Errors
/// As `Repository::open`.
pub fn open(global: &Global, output: &Output) -> Result<Arc<Repository>, OpsError> {
    open_with_class(global, None, output)
}

/// Opens the repository for writing data of this storage class, or of the one that store options name.
///
/// # Errors
/// As `open`.
pub fn open_with_class(global: &Global, class: Option<&str>, output: &Output) -> Result<Arc<Repository>, OpsError> {
    let class = class.map(|class| format!("storage_class={class}"));
    let place = place(global)?.with_options(class.as_slice());
    let secret = secret_of(&place, global.passphrase_file.as_deref(), secret::PASSPHRASE, output)?;
    open_at(global, &place, secret, None, output)
}

/// Opens a second repository, which is only read: with a secret of its own, else with that of the first if it needs one.
///
/// # Errors
/// As `Repository::open`.
pub fn open_from(
    global: &Global,
    place: &Place,
    passphrase_file: Option<&Path>,
    other: Option<&Secret>,
    output: &Output,
) -> Result<Arc<Repository>, OpsError> {
    let secret = secret_of(place, passphrase_file, secret::FROM_PASSPHRASE, output)?;
    open_at(global, place, secret, other, output)
}

/// Opens the repository at this place with this secret. If it needs one and none is given it takes the other, or asks on a
/// terminal.
///
/// # Errors
/// As `Repository::open`.
pub fn open_at(
    global: &Global,
    place: &Place,
    mut given: Option<Secret>,
    other: Option<&Secret>,
    output: &Output,
) -> Result<Arc<Repository>, OpsError> {
    let store = store(place, false, output)?;
    if given.is_none() && read_config(&store)?.0.encrypted {
        given = Some(other.map_or_else(|| secret::ask(&place.shown()), |other| Ok(other.clone()))?);
    }
    let repository = Repository::open(store, options(global, given)?)?;
    repository.warnings().iter().for_each(|warning| output.warn(warning));
    Ok(Arc::new(repository))
}

/// Opens the store at a place.
///
/// # Errors
/// `Setting` if location, options and credentials do not fit.
pub fn store(place: &Place, create: bool, output: &Output) -> Result<Store, OpsError> {
    let options = StoreOptions::parse(&place.settings.store_options)?;
    let quiet = output.is_quiet();
    let tell = Arc::new(move |text: &str| crate::output::say(quiet, &format!("note: {text}")));
    let opening = StoreOpening { options, variables: Variables::of_process(), create, tell };
    let store = Store::open(&place.settings.location, &opening)?;
    output.count(&store);
    Ok(if place.settings.read_only { store.read_only() } else { store })
}

/// How a repository is opened with this secret.
///
/// # Errors
/// `Usage` if there is no place for the cache.
pub fn options(global: &Global, secret: Option<Secret>) -> Result<OpenOptions, OpsError> {
    let index_cache_bytes = global.index_cache_size.unwrap_or(INDEX_CACHE_BYTES);
    let environment = Arc::new(SystemEnvironment);
    Ok(OpenOptions { secret, cache: cache(global)?, run_cache_bytes: global.cache_size, index_cache_bytes, environment })
}

fn cache(global: &Global) -> Result<PathBuf, OpsError> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || variable("HOME").map(|home| home.join(".cache"));
    let folder = global.cache_dir.clone().or_else(|| variable("XDG_CACHE_HOME").or_else(home).map(|base| base.join("esker")));
    folder.ok_or_else(|| OpsError::Usage("no place for the cache: give --cache-dir or set HOME".into()))
}

//! Opening the repository that the arguments name.

use std::path::PathBuf;
use std::sync::Arc;

use esker_ops::OpsError;
use esker_repo::repository::read_config;
use esker_repo::{OpenOptions, Repository, Store, StoreOpening, StoreOptions, SystemEnvironment, Variables};

use crate::args::Global;
use crate::output::Output;
use crate::secret;

/// The repository's location.
///
/// # Errors
/// `Usage` if none is given.
pub fn location(global: &Global) -> Result<&str, OpsError> {
    global.repo.as_deref().ok_or_else(|| OpsError::Usage("no repository: give --repo or set ESKER_REPO".into()))
}

/// Opens the repository; asks for its passphrase on a terminal if it needs one and none is given.
///
/// # Errors
/// As `Repository::open`.
pub fn open(global: &Global, output: &Output) -> Result<Arc<Repository>, OpsError> {
    open_store(global, store(global, false, output)?, output)
}

/// Opens the repository for writing data of this storage class, or of the one that store options name.
///
/// # Errors
/// As `open`.
pub fn open_with_class(global: &Global, class: Option<&str>, output: &Output) -> Result<Arc<Repository>, OpsError> {
    let mut options = StoreOptions::parse(&global.store_options)?;
    if let Some(class) = class {
        options.storage_class = Some(class.to_owned());
    }
    open_store(global, store_with(global, options, false, output)?, output)
}

fn open_store(global: &Global, store: Store, output: &Output) -> Result<Arc<Repository>, OpsError> {
    let mut given = secret::given(global.passphrase_file.as_deref(), secret::PASSPHRASE, output)?;
    if given.is_none() && read_config(&store)?.0.encrypted {
        given = Some(secret::ask(store.location())?);
    }
    let repository = Repository::open(store, options(global, given)?)?;
    repository.warnings().iter().for_each(|warning| output.warn(warning));
    Ok(Arc::new(repository))
}

/// Opens the store that the arguments name.
///
/// # Errors
/// `Setting` if location, options and credentials do not fit.
pub fn store(global: &Global, create: bool, output: &Output) -> Result<Store, OpsError> {
    store_with(global, StoreOptions::parse(&global.store_options)?, create, output)
}

fn store_with(global: &Global, options: StoreOptions, create: bool, output: &Output) -> Result<Store, OpsError> {
    let quiet = output.is_quiet();
    let tell = Arc::new(move |text: &str| crate::output::say(quiet, &format!("note: {text}")));
    let opening = StoreOpening { options, variables: Variables::of_process(), create, tell };
    let store = Store::open(location(global)?, &opening)?;
    output.count(&store);
    Ok(store)
}

/// How a repository is opened with this secret.
///
/// # Errors
/// `Usage` if there is no place for the cache.
pub fn options(global: &Global, secret: Option<esker_format::key::Secret>) -> Result<OpenOptions, OpsError> {
    Ok(OpenOptions { secret, cache: cache(global)?, run_cache_bytes: global.cache_size, environment: Arc::new(SystemEnvironment) })
}

fn cache(global: &Global) -> Result<PathBuf, OpsError> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || variable("HOME").map(|home| home.join(".cache"));
    let folder = global.cache_dir.clone().or_else(|| variable("XDG_CACHE_HOME").or_else(home).map(|base| base.join("esker")));
    folder.ok_or_else(|| OpsError::Usage("no place for the cache: give --cache-dir or set HOME".into()))
}

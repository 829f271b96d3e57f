//! Opening the repository that the arguments name.

use std::path::PathBuf;
use std::sync::Arc;

use esker_format::key::Secret;
use esker_ops::OpsError;
use esker_repo::repository::read_config;
use esker_repo::{OpenOptions, Repository, Store, SystemEnvironment};

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
    open_at(global, location(global)?, secret::given(global.passphrase_file.as_deref(), secret::PASSPHRASE, output)?, output)
}

/// Opens the repository at this place with this secret; asks for one on a terminal if it needs one and none is given.
///
/// # Errors
/// As `Repository::open`.
pub fn open_at(global: &Global, location: &str, mut given: Option<Secret>, output: &Output) -> Result<Arc<Repository>, OpsError> {
    let store = store(location, false)?;
    if given.is_none() && read_config(&store)?.0.encrypted {
        given = Some(secret::ask(store.location())?);
    }
    let repository = Repository::open(store, options(global, given)?)?;
    repository.warnings().iter().for_each(|warning| output.warn(warning));
    Ok(Arc::new(repository))
}

/// Opens the store at a location.
///
/// # Errors
/// `Usage` for a scheme that this build has no store for.
pub fn store(location: &str, create: bool) -> Result<Store, OpsError> {
    let path = location.strip_prefix("file://").unwrap_or(location);
    if let Some((scheme, _)) = path.split_once("://") {
        return Err(OpsError::Usage(format!("{scheme}:// is not supported: a repository is a folder (a path or file:///path)")));
    }
    Ok(Store::open_local(path, create)?)
}

/// How a repository is opened with this secret.
///
/// # Errors
/// `Usage` if there is no place for the cache.
pub fn options(global: &Global, secret: Option<Secret>) -> Result<OpenOptions, OpsError> {
    Ok(OpenOptions { secret, cache: cache(global)?, run_cache_bytes: global.cache_size, environment: Arc::new(SystemEnvironment) })
}

fn cache(global: &Global) -> Result<PathBuf, OpsError> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || variable("HOME").map(|home| home.join(".cache"));
    let folder = global.cache_dir.clone().or_else(|| variable("XDG_CACHE_HOME").or_else(home).map(|base| base.join("esker")));
    folder.ok_or_else(|| OpsError::Usage("no place for the cache: give --cache-dir or set HOME".into()))
}

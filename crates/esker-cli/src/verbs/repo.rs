//! `repo add`, `repo list`, `repo remove`

use std::path::{Path, PathBuf};

use esker_ops::OpsError;
use esker_repo::store::{Location, StoreOptions};

use super::Outcome;
use crate::args::{Global, RepoAdd, RepoVerb};
use crate::config::{Config, Named};
use crate::exit::Exit;
use crate::human;
use crate::output::{Output, table};

pub fn run(global: &Global, args: &RepoVerb, output: &Output) -> Outcome {
    match args {
        RepoVerb::Add(args) => add(global, args, output),
        RepoVerb::List => list(output),
        RepoVerb::Remove { name } => remove(name, output),
    }
}

fn add(global: &Global, args: &RepoAdd, output: &Output) -> Outcome {
    let named = Named {
        location: absolute_location(&args.location)?,
        read_only: args.read_only,
        passphrase_file: global.passphrase_file.as_deref().map(absolute).transpose()?,
        store_options: global.store_options.clone(),
    };
    Location::parse(&named.location)?;
    StoreOptions::parse(&named.store_options)?;
    if let Some(file) = named.passphrase_file.as_deref().filter(|file| !file.exists()) {
        output.say(&format!("note: there is no {} yet", file.display()));
    }
    Config::add(&args.name, &named)?;
    output.result(&json(&args.name, &named), || {
        let mark = if named.read_only { ", which is only read" } else { "" };
        format!("{} is {}{mark}", args.name, human::text(&named.location))
    });
    Ok(Exit::Done)
}

fn list(output: &Output) -> Outcome {
    let config = Config::load()?;
    let values: Vec<_> = config.repository.iter().map(|(name, named)| json(name, named)).collect();
    output.result(&values, || {
        if config.repository.is_empty() {
            return "no repository has a name: esker repo add NAME LOCATION gives one".to_owned();
        }
        let rows = config.repository.iter().map(|(name, named)| {
            let file = named.passphrase_file.as_deref().map(|file| file.display().to_string()).unwrap_or_default();
            let mark = if named.read_only { "read-only" } else { "" };
            vec![name.clone(), named.location.clone(), mark.to_owned(), file, named.store_options.join(" ")]
        });
        table(&["NAME", "LOCATION", "", "PASSPHRASE FILE", "STORE OPTIONS"], rows.collect())
    });
    Ok(Exit::Done)
}

fn remove(name: &str, output: &Output) -> Outcome {
    let named = Config::remove(name)?;
    output.result(&serde_json::json!({ "removed": name, "location": named.location }), || {
        format!("{name} is no name any more; {} stays as it is", human::text(&named.location))
    });
    Ok(Exit::Done)
}

fn json(name: &str, named: &Named) -> serde_json::Value {
    serde_json::json!({
        "name": name,
        "location": named.location,
        "read_only": named.read_only,
        "passphrase_file": named.passphrase_file,
        "store_options": named.store_options,
    })
}

/// A name must mean the same in every folder.
fn absolute_location(location: &str) -> Result<String, OpsError> {
    if location.contains("://") {
        return Ok(location.to_owned());
    }
    let path = absolute(Path::new(location))?;
    path.into_os_string().into_string().map_err(|path| OpsError::Usage(format!("{} is not UTF-8", path.display())))
}

fn absolute(path: &Path) -> Result<PathBuf, OpsError> {
    std::path::absolute(path).map_err(|source| OpsError::Local { action: "find", path: path.display().to_string(), source })
}

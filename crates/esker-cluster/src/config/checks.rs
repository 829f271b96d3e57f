//! What TOML cannot say about a cluster file.

use std::collections::BTreeSet;
use std::hash::Hash;

use toml::Spanned;

use super::matching::pattern;
use super::{ClusterFile, Space};
use crate::PartitionScheme;

/// Partition numbers have 24 bits in NebulaGraph's keys.
const PARTITION_LIMIT: u32 = 1 << 24;

/// Where in the text, and what is wrong there.
type Fault = (usize, String);

impl ClusterFile {
    pub(super) fn check(&self) -> Result<(), Fault> {
        check_name(0, "cluster", &self.cluster)?;
        self.check_hosts()?;
        self.check_spaces()?;
        self.check_engines()?;
        self.check_cuts()
    }

    fn check_hosts(&self) -> Result<(), Fault> {
        for host in &self.hosts {
            let name = host.get_ref().name.as_str();
            check_name(start(host), "host name", name)?;
            if name.contains('/') || name.contains('\0') || name == "." || name == ".." {
                return Err((start(host), format!("host name {name:?} cannot be the name of a folder")));
            }
        }
        check_unique("host name", &self.hosts, |host| Some(host.name.clone()))
    }

    fn check_spaces(&self) -> Result<(), Fault> {
        for space in &self.spaces {
            let Space { name, id, path } = space.get_ref();
            check_name(start(space), "space name", name)?;
            match (id, path) {
                (None, None) => return Err((start(space), format!("space {name:?} has neither `id` nor `path`"))),
                (_, Some(path)) => check_pattern(start(space), path)?,
                (Some(_), None) => {}
            }
        }
        check_unique("space id", &self.spaces, |space| space.id)
    }

    fn check_engines(&self) -> Result<(), Fault> {
        for rule in &self.engines {
            check_pattern(start(rule), &rule.get_ref().path)?;
            let Some(host) = &rule.get_ref().host else { continue };
            if !self.hosts.iter().any(|known| known.get_ref().name == *host) {
                return Err((start(rule), format!("engine names host {host:?}, which is not described")));
            }
        }
        Ok(())
    }

    fn check_cuts(&self) -> Result<(), Fault> {
        for cut in &self.cuts {
            if self.scheme == PartitionScheme::None {
                return Err((start(cut), "a cut needs `scheme = \"nebula\"`".to_owned()));
            }
            if cut.get_ref().partition.is_some_and(|partition| partition >= PARTITION_LIMIT) {
                return Err((start(cut), format!("partition must be below {PARTITION_LIMIT}")));
            }
        }
        check_unique("cut", &self.cuts, |cut| Some((cut.space.clone(), cut.partition)))
    }
}

fn start<T>(value: &Spanned<T>) -> usize {
    value.span().start
}

fn check_name(offset: usize, what: &str, name: &str) -> Result<(), Fault> {
    if name.is_empty() { Err((offset, format!("{what} is empty"))) } else { Ok(()) }
}

fn check_pattern(offset: usize, text: &str) -> Result<(), Fault> {
    pattern(text).map(drop).map_err(|cause| (offset, format!("path {text:?} is no pattern: {cause}")))
}

fn check_unique<T, K>(what: &str, values: &[Spanned<T>], key: impl Fn(&T) -> Option<K>) -> Result<(), Fault>
where
    K: Ord + Hash + std::fmt::Debug,
{
    let mut seen = BTreeSet::new();
    for value in values {
        let Some(key) = key(value.get_ref()) else { continue };
        if seen.contains(&key) {
            return Err((start(value), format!("{what} {key:?} is given twice")));
        }
        seen.insert(key);
    }
    Ok(())
}

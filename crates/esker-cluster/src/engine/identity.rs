//! By what an engine is known from one backup to the next: its space and data path, never its checkpoint's name.
//!
//! NebulaGraph keeps an engine at `<data path>/nebula/<space id>/data` and its checkpoints at
//! `<data path>/nebula/<space id>/checkpoints/<NAME>/data`; both give the same identity.

use crate::engine::kind::is_number;
use crate::path::{components, escaped};

/// What tells an engine from the others of its host. Cluster and host are the caller's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The space, if the path or the cluster file tells it; a NebulaGraph space id in decimal otherwise a name.
    pub space: Option<String>,
    /// The data path, relative to the host's root and escaped to text; `.` is the root itself.
    pub data_path: String,
}

impl Identity {
    /// Derives the identity from an engine's folder relative to the host's root.
    pub fn of_folder(path: &[u8]) -> Self {
        let parts: Vec<&[u8]> = components(path).collect();
        if let Some((space, before)) = nebula_space(&parts) {
            return Self { space: Some(escaped(space)), data_path: joined(before) };
        }
        Self { space: None, data_path: joined(&without_checkpoints(&parts)) }
    }

    /// The identity that keeps the whole path, for folders whose own one is taken.
    pub(crate) fn of_whole_path(space: Option<String>, path: &[u8]) -> Self {
        let parts: Vec<&[u8]> = components(path).collect();
        Self { space, data_path: joined(&parts) }
    }
}

/// The space id and what stands before `nebula`, if the path has NebulaGraph's form.
fn nebula_space<'a, 'p>(parts: &'a [&'p [u8]]) -> Option<(&'p [u8], &'a [&'p [u8]])> {
    let (before, space) = match parts {
        [before @ .., b"nebula", space, b"checkpoints", _, b"data"] => (before, *space),
        [before @ .., b"nebula", space, b"data"] => (before, *space),
        _ => return None,
    };
    is_number(space).then_some((space, before))
}

/// Drops every `checkpoints/<NAME>`.
fn without_checkpoints<'p>(parts: &[&'p [u8]]) -> Vec<&'p [u8]> {
    let mut kept = Vec::with_capacity(parts.len());
    let mut parts = parts.iter();
    while let Some(&part) = parts.next() {
        if part == b"checkpoints" {
            parts.next();
        } else {
            kept.push(part);
        }
    }
    kept
}

fn joined(parts: &[&[u8]]) -> String {
    if parts.is_empty() {
        return ".".to_owned();
    }
    escaped(&parts.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkpoints_name_never_is_part_of_the_identity() {
        let expected = [
            ("data0/nebula/12/checkpoints/BACKUP_1/data", Some("12"), "data0"),
            ("data0/nebula/12/data", Some("12"), "data0"),
            ("mnt/d1/nebula/7/data", Some("7"), "mnt/d1"),
            ("nebula/0/checkpoints/x/data", Some("0"), "."),
            ("nebula/twelve/data", None, "nebula/twelve/data"),
            ("app/checkpoints/day00/db", None, "app/db"),
            ("checkpoints/day01", None, "."),
            ("", None, "."),
            ("db\n1", None, "db\\n1"),
        ];
        for (path, space, data_path) in expected {
            let identity = Identity::of_folder(path.as_bytes());
            assert_eq!(identity.space.as_deref(), space, "{path}");
            assert_eq!(identity.data_path, data_path, "{path}");
        }
    }
}

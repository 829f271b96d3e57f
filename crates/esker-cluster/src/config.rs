//! The cluster file: hosts, spaces, engines, the partition scheme, and cuts.
//!
//! A TOML file, given as `--cluster FILE.toml`. Only `cluster` is required.
//!
//! ```toml
//! # The cluster's name; engines are known by it from one backup to the next.
//! cluster = "social"
//! # How engines are partitioned: "nebula", or "none" (the default).
//! scheme = "nebula"
//!
//! # One table per host: its name, and the folder that is backed up, everything below it.
//! [[host]]
//! name = "storaged0"
//! folder = "/mnt/checkpoints/storaged0"
//!
//! # Names for spaces: by NebulaGraph's space id, or by a pattern for the engine's folder below the host's.
//! # `*` and `?` stay within one component, `**` does not.
//! [[space]]
//! name = "people"
//! id = 12
//!
//! [[space]]
//! name = "sessions"
//! path = "sessions/*/db"
//!
//! # What paths do not tell of single engines. `host` may be left out to mean every host.
//! [[engine]]
//! host = "storaged0"
//! path = "fast/day??"
//! space = "people"
//! data_path = "fast"
//!
//! # A cut to check: engine commit id <= log_id <= last id of the Raft log. Without `partition`: all of the space.
//! [[cut]]
//! space = "people"
//! partition = 3
//! log_id = 81723
//! ```

mod checks;
mod matching;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::{Error, PartitionScheme, Result};

/// A cluster file that was read and checked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterFile {
    /// The cluster's name.
    pub cluster: String,
    /// How its engines are partitioned.
    #[serde(default)]
    pub scheme: PartitionScheme,
    #[serde(default, rename = "host")]
    hosts: Vec<Spanned<Host>>,
    #[serde(default, rename = "space")]
    spaces: Vec<Spanned<Space>>,
    #[serde(default, rename = "engine")]
    engines: Vec<Spanned<EngineRule>>,
    #[serde(default, rename = "cut")]
    cuts: Vec<Spanned<GivenCut>>,
}

/// A host and the folder of it that is backed up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// The host's name; a restore makes a folder of this name.
    pub name: String,
    /// The folder; a relative one is relative to the working directory.
    pub folder: PathBuf,
}

/// A name for a space.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Space {
    /// The name.
    pub name: String,
    /// NebulaGraph's id of it.
    pub id: Option<u32>,
    /// Pattern for the folders of its engines, relative to the host's.
    pub path: Option<String>,
}

/// What an engine's path does not tell.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineRule {
    /// On which host; on every one if left out.
    pub host: Option<String>,
    /// Pattern for the engine's folder, relative to the host's; `.` is that folder itself.
    pub path: String,
    /// Its space.
    pub space: Option<String>,
    /// Its data path.
    pub data_path: Option<String>,
}

/// A cut that every replica must satisfy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GivenCut {
    /// The space, by the name or id by which its engines are known.
    pub space: String,
    /// The partition; all of the space if left out.
    pub partition: Option<u32>,
    /// The Raft log id up to which the backup is wanted.
    pub log_id: u64,
}

impl ClusterFile {
    /// Reads and checks a cluster file.
    ///
    /// # Errors
    /// [`Error::ClusterFile`] with the line; [`Error::Io`] if it cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::std("read", path, source))?;
        Self::parse(path, &text)
    }

    /// Reads and checks the text of a cluster file; `path` is for errors.
    ///
    /// # Errors
    /// [`Error::ClusterFile`] with the line: TOML that does not parse, unknown or missing fields, names that are empty
    /// or given twice, patterns that are none, cuts without the `nebula` scheme.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let wrong = |cause: String| Error::ClusterFile { path: path.to_path_buf(), cause };
        let file: Self = toml::from_str(text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
        file.check().map_err(|(offset, cause)| wrong(format!("line {}: {cause}", line_of(text, offset))))?;
        Ok(file)
    }

    /// The hosts, in the file's order; their names differ.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().map(Spanned::get_ref)
    }

    /// The cuts given, in the file's order.
    pub fn cuts(&self) -> impl Iterator<Item = &GivenCut> {
        self.cuts.iter().map(Spanned::get_ref)
    }

    /// The cut given for a partition of a space: one for that very partition before one for all.
    pub fn cut_for(&self, space: &str, partition: u32) -> Option<u64> {
        let of_space = || self.cuts.iter().map(Spanned::get_ref).filter(|cut| cut.space == space);
        let own = of_space().find(|cut| cut.partition == Some(partition));
        own.or_else(|| of_space().find(|cut| cut.partition.is_none())).map(|cut| cut.log_id)
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.bytes().take(offset).filter(|&byte| byte == b'\n').count();
    before.saturating_add(1)
}

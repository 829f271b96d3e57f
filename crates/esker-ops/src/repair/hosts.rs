//! Live hosts: folders that may still hold files of a backup, under whatever checkpoint's name.

use std::collections::HashMap;
use std::path::PathBuf;

use esker_cluster::path::split;
use esker_cluster::{Entry, Kind, Root, SegmentKind, SourceFile, walk};
use esker_sst::ReadAt;

use super::files::{Candidate, Files, Stretch};
use super::loss::LossyFile;
use crate::backup::without_checkpoint;
use crate::error::Result;
use crate::job::Job;

/// Files of one size that are tried, at most.
const CANDIDATES_MAX: usize = 16;
/// How often a folder is listed in which files come and go.
const LIST_TRIES: u32 = 3;

/// The files of all hosts by their size.
pub(super) struct Hosts {
    hosts: Vec<Host>,
    by_size: HashMap<u64, Vec<(usize, usize)>>,
}

struct Host {
    name: String,
    root: Root,
    entries: Vec<Entry>,
}

impl Hosts {
    /// Lists the hosts' folders. An engine that is at work is no hindrance: a table that has its bytes is not written any
    /// more, and what is taken is proven by its hash.
    ///
    /// # Errors
    /// `Cluster` for a folder that cannot be listed.
    pub(super) fn list(folders: &[(String, PathBuf)], job: &Job) -> Result<Self> {
        let mut hosts = Vec::new();
        let mut by_size: HashMap<u64, Vec<(usize, usize)>> = HashMap::new();
        for (name, folder) in folders {
            job.cancel.check()?;
            let root = Root::open(folder)?;
            let entries = list(&root)?;
            for (number, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.kind == Kind::File) {
                by_size.entry(entry.size).or_default().push((hosts.len(), number));
            }
            hosts.push(Host { name: name.clone(), root, entries });
        }
        Ok(Self { hosts, by_size })
    }
}

fn list(root: &Root) -> Result<Vec<Entry>> {
    let mut tries = 1;
    loop {
        match walk(root) {
            Err(_) if tries < LIST_TRIES => tries += 1,
            listed => return Ok(listed?),
        }
    }
}

impl Files for Hosts {
    fn each(&self, file: &LossyFile, look: &mut dyn FnMut(&dyn Candidate) -> Result<bool>) -> Result<()> {
        let path = without_checkpoint(&file.path);
        let mut found: Vec<(bool, bool, bool, &Host, &Entry)> = Vec::new();
        for (host, entry) in self.by_size.get(&file.content.size).into_iter().flatten() {
            let Some(host) = self.hosts.get(*host) else { continue };
            let Some(entry) = host.entries.get(*entry) else { continue };
            let of_host = host.name == file.host;
            let of_path = without_checkpoint(&entry.path) == path;
            let of_name = split(&entry.path).1 == split(&file.path).1;
            found.push((of_host && of_path, of_host && of_name, of_name, host, entry));
        }
        found.sort_by_key(|(path, name, any, ..)| std::cmp::Reverse((*path, *name, *any)));
        for (.., host, entry) in found.into_iter().take(CANDIDATES_MAX) {
            // A file that changed or went since the listing is none.
            let Ok(source) = SourceFile::open(&host.root, entry) else { continue };
            if look(&LiveFile(source))? {
                break;
            }
        }
        Ok(())
    }
}

struct LiveFile<'r>(SourceFile<'r>);

impl ReadAt for LiveFile<'_> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.0.read_at(offset, buf).map_err(std::io::Error::other)
    }

    fn len(&self) -> u64 {
        self.0.size()
    }
}

impl Candidate for LiveFile<'_> {
    fn stretches(&self) -> Vec<Stretch> {
        let segments = self.0.segments().map_while(std::result::Result::ok);
        segments
            .map(|segment| Stretch { offset: segment.offset, len: segment.length, is_hole: segment.kind == SegmentKind::Hole })
            .collect()
    }
}

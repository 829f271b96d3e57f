//! What a store can do, tried with small objects of its own. Esker needs range reads and a store that shows what it
//! acknowledged; conditional writes and deletions it does without, and says so.

use std::fmt;

use object_store::{Error, PutMode, PutOptions, PutPayload};
use serde::{Deserialize, Serialize};

use super::{RequestKind, Store};
use crate::error::{RepoError, Result};

/// The folder of probes in a store. What stands in it is no part of a repository.
pub const PROBES: &str = "probe";
/// Bytes of the probe's object.
const PROBE_BYTES: usize = 4096;
/// The range of it that is read.
const RANGE: std::ops::Range<usize> = 1000..3000;

/// What became of one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Support {
    /// It works.
    Yes,
    /// The store takes it and does something else.
    Ignored,
    /// The store refuses it.
    Refused,
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yes => "yes",
            Self::Ignored => "ignored",
            Self::Refused => "refused",
        })
    }
}

/// What a store can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abilities {
    /// A write that must not replace an object does not: `Ignored` if it replaces it.
    pub conditional_create: Support,
    /// A part of an object can be read.
    pub range_reads: Support,
    /// What was written can be read at once, and what was replaced or deleted is so at once.
    pub read_after_write: Support,
    /// A listing shows what was written and not what was deleted.
    pub listing: Support,
    /// An object can be replaced: `Refused` where objects are locked, which is fine.
    pub overwrite: Support,
    /// An object can be deleted: `Refused` by append-only credentials.
    pub delete: Support,
}

impl Abilities {
    /// Each ability with its name and what it means for a repository.
    pub fn rows(&self) -> [(&'static str, Support, &'static str); 6] {
        let pick = |support, yes, ignored, refused| match support {
            Support::Yes => yes,
            Support::Ignored => ignored,
            Support::Refused => refused,
        };
        let not_relied_on = "not needed: no name is used twice";
        [
            ("conditional create", self.conditional_create, pick(self.conditional_create, not_relied_on, not_relied_on, not_relied_on)),
            (
                "range reads",
                self.range_reads,
                pick(self.range_reads, "", "needed: nothing could be restored", "needed: nothing could be restored"),
            ),
            ("read after write", self.read_after_write, pick(self.read_after_write, "", "needed: backups could be lost", "")),
            ("listing", self.listing, pick(self.listing, "", "needed: backups could be lost", "")),
            (
                "overwrite",
                self.overwrite,
                pick(self.overwrite, "credentials that may overwrite can destroy backups", "", "good: what is stored cannot be replaced"),
            ),
            (
                "delete",
                self.delete,
                pick(
                    self.delete,
                    "",
                    "forget will not work",
                    "forget will not work with these credentials, and neither will anybody who steals them delete",
                ),
            ),
        ]
    }

    /// What a repository cannot do without and this store lacks.
    pub fn lacks(&self) -> Option<&'static str> {
        let needed = [
            (self.range_reads, "it cannot read a part of an object"),
            (self.read_after_write, "it does not show at once what was written"),
            (self.listing, "its listings do not show what was written"),
        ];
        needed.into_iter().find(|(support, _)| *support != Support::Yes).map(|(_, why)| why)
    }
}

impl Store {
    /// Tries what the store can do, with an object of this name in the folder of probes; it is removed again unless the store
    /// refuses to.
    ///
    /// # Errors
    /// `Store` if an object cannot be written or read at all.
    pub fn probe(&self, name: &str) -> Result<Abilities> {
        let path = format!("{PROBES}/{name}");
        let (first, second) = (pattern(name, 1), pattern(name, 2));
        self.put(&path, first.clone())?;
        let read_after_write = self.reads(&path, &first)?;
        let listed = self.lists(&path, true)?;
        // Without it nothing works: a request that failed once is no proof.
        let range = || self.get_range(&path, RANGE.start as u64, RANGE.end as u64);
        let range_reads = match range().or_else(|_| range()) {
            Ok(bytes) => yes_or_ignored(Some(bytes.as_ref()) == first.get(RANGE)),
            Err(RepoError::Store { .. }) => Support::Refused,
            Err(error) => return Err(error),
        };
        let conditional_create = self.create_again(&path, &second);
        let overwrite = match self.put(&path, second.clone()) {
            Ok(()) => yes_or_ignored(self.reads(&path, &second)?),
            Err(RepoError::Store { .. }) => Support::Refused,
            Err(error) => return Err(error),
        };
        let delete = match self.delete(&path) {
            Ok(()) => yes_or_ignored(self.size(&path)?.is_none()),
            Err(RepoError::Store { .. }) => Support::Refused,
            Err(error) => return Err(error),
        };
        let unlisted = delete != Support::Yes || self.lists(&path, false)?;
        Ok(Abilities {
            conditional_create,
            range_reads,
            read_after_write: yes_or_ignored(read_after_write),
            listing: yes_or_ignored(listed && unlisted),
            overwrite,
            delete,
        })
    }

    fn reads(&self, path: &str, bytes: &[u8]) -> Result<bool> {
        match self.get(path, PROBE_BYTES as u64) {
            Ok(read) => Ok(read == bytes),
            Err(RepoError::Missing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn lists(&self, path: &str, there: bool) -> Result<bool> {
        let found = self.list(PROBES)?;
        let object = found.iter().find(|object| object.path == path);
        Ok(object.is_some() == there && object.is_none_or(|object| object.size == PROBE_BYTES as u64))
    }

    fn create_again(&self, path: &str, bytes: &[u8]) -> Support {
        let payload = PutPayload::from(bytes.to_vec());
        let mode = PutOptions::from(PutMode::Create);
        let outcome = self.run(RequestKind::Put, path, |store, at| async move {
            match store.put_opts(&at, payload, mode).await {
                Ok(_) => Ok(Support::Ignored),
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Support::Yes),
                Err(error) => Err(error),
            }
        });
        outcome.unwrap_or(Support::Refused)
    }
}

const fn yes_or_ignored(yes: bool) -> Support {
    if yes { Support::Yes } else { Support::Ignored }
}

/// Bytes that differ by name and number.
fn pattern(name: &str, number: u8) -> Vec<u8> {
    name.bytes().chain([number]).cycle().take(PROBE_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;
    use std::sync::Arc;

    #[test]
    fn a_store_that_can_everything_is_told_so_and_left_as_it_was() {
        let store = Store::new(Arc::new(InMemory::new()), "memory").unwrap();
        let abilities = store.probe("0123").unwrap();
        assert!(abilities.rows().iter().all(|(_, support, _)| *support == Support::Yes), "{abilities:?}");
        assert_eq!(abilities.lacks(), None);
        assert_eq!(store.list("").unwrap(), []);
    }
}

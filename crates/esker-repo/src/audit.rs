//! The log of what was done to the repository (format-spec chapter 18): each job appends a record that names the records it
//! saw, so that none of them can go without a trace.
//!
//! Finding the heads takes one listing: what this client has seen already it remembers, and of the rest it reads the newest
//! few. Whatever it misses, it names too few or too many heads, and both are sound: a record that nobody follows is merely not
//! protected by a later one.

use std::collections::{BTreeMap, BTreeSet};

use esker_format::audit::{AuditRecord, Deed, Event, KeyFact};
use esker_format::layout::{ObjectKind, object_path};
use esker_format::limits::{AUDIT_HEADS_MAX, NAME_MAX};
use esker_format::seal::Sealing;
use esker_format::sealed_object::seal_object;
use esker_format::signing::SigningKey;
use esker_format::wire::Record;
use esker_format::{ObjectId, RepositoryId, SessionId};

use crate::environment::{Environment, random};
use crate::error::{RepoError, Result};
use crate::listing::ids;
use crate::repository::Repository;
use crate::session::{WRITTEN_BY, host_name};

/// Records read at most to find the heads. Of more that this client has not seen, the newest are read.
const READ_MAX: usize = 16;

/// Records that this client has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenLog {
    /// All of them.
    pub all: BTreeSet<ObjectId>,
    /// Those that no other names.
    pub heads: BTreeSet<ObjectId>,
}

impl SeenLog {
    /// Adds a record that follows others.
    pub fn follow(&mut self, id: ObjectId, heads: &[ObjectId]) {
        self.all.insert(id);
        self.heads.retain(|head| !heads.contains(head));
        self.heads.insert(id);
    }
}

/// With which key object a repository is open.
#[derive(Clone, Default)]
pub(crate) struct Author {
    pub(crate) key: Option<ObjectId>,
    pub(crate) signing: Option<SigningKey>,
}

impl Author {
    /// A sealed record and its name.
    pub(crate) fn seal(
        &self,
        repository: RepositoryId,
        sealing: &Sealing,
        environment: &dyn Environment,
        heads: &BTreeSet<ObjectId>,
        session: Option<SessionId>,
        deed: Deed,
    ) -> Result<(ObjectId, Vec<u8>)> {
        let mut record = AuditRecord {
            repository,
            heads: heads.iter().take(usize::try_from(AUDIT_HEADS_MAX).unwrap_or(usize::MAX)).copied().collect(),
            at_ms: environment.now_ms(),
            user: user_name(),
            host: host_name(),
            written_by: WRITTEN_BY.to_owned(),
            session,
            key: self.key,
            deed,
            signature: None,
        };
        let failed = |source| RepoError::kind(ObjectKind::Audit, source);
        if let Some(key) = &self.signing {
            record.sign(key).map_err(failed)?;
        }
        let bytes = seal_object(sealing, ObjectKind::Audit, "", random(environment)?, &record).map_err(failed)?;
        Ok((ObjectId::of(&bytes), bytes))
    }
}

/// Who runs this program, as the environment claims.
fn user_name() -> String {
    let claimed = ["LOGNAME", "USER"].iter().find_map(|name| std::env::var(name).ok()).filter(|name| !name.is_empty());
    claimed.filter(|name| name.len() <= NAME_MAX).unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

impl Repository {
    /// Appends a record of what was done, or is about to be done.
    ///
    /// # Errors
    /// `Store`, `Cache`.
    pub fn record(&self, session: Option<SessionId>, deed: Deed) -> Result<ObjectId> {
        let mut seen = self.seen_log()?;
        if seen.all.is_empty() {
            let begin = self.begin_of_log()?;
            self.append(&mut seen, session, begin)?;
        }
        self.append(&mut seen, session, deed)
    }

    /// Writes a hash-named object whose record is written first, and returns its name.
    ///
    /// # Errors
    /// As `record` and `write_object`.
    pub fn write_recorded<R: Record>(
        &self,
        session: Option<SessionId>,
        kind: ObjectKind,
        object: &R,
        deed: impl FnOnce(ObjectId) -> Deed,
    ) -> Result<ObjectId> {
        let (id, bytes) = self.seal_named(kind, object)?;
        self.record(session, deed(id))?;
        self.store.put(&object_path(kind, &id), bytes)?;
        Ok(id)
    }

    fn append(&self, seen: &mut SeenLog, session: Option<SessionId>, deed: Deed) -> Result<ObjectId> {
        let (repository, environment) = (self.config.repository, &*self.environment);
        let (id, bytes) = self.author.seal(repository, &self.sealing, environment, &seen.heads, session, deed)?;
        self.store.put(&object_path(ObjectKind::Audit, &id), bytes)?;
        let heads: Vec<ObjectId> = seen.heads.iter().copied().collect();
        seen.follow(id, &heads);
        self.known().remember_log(self.store.location(), repository, seen)?;
        Ok(id)
    }

    /// The log as far as this client needs to know it to append to it.
    fn seen_log(&self) -> Result<SeenLog> {
        let mut seen = self.known().log(self.store.location(), self.config.repository);
        let new: Vec<ObjectId> = self.audit_newest_first()?.into_iter().filter(|id| !seen.all.contains(id)).collect();
        let mut followed = BTreeSet::new();
        for (id, read) in self.read_objects::<AuditRecord>(ObjectKind::Audit, new.iter().copied().take(READ_MAX)) {
            match read {
                Ok(record) if record.repository != self.config.repository => continue,
                Ok(record) => followed.extend(record.heads),
                // Named all the same: that it was there is what counts.
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
            seen.heads.insert(id);
        }
        seen.all.extend(new);
        seen.heads.retain(|id| !followed.contains(id));
        Ok(seen)
    }

    fn audit_newest_first(&self) -> Result<Vec<ObjectId>> {
        let folder = ObjectKind::Audit.folder();
        let id_of = |path: &str| path.strip_prefix(folder)?.strip_prefix('/').and_then(|name| ObjectId::from_hex(name).ok());
        Ok(self.store.list_newest_first(folder)?.iter().filter_map(|path| id_of(path)).collect())
    }

    /// What stands in a repository that is older than its log.
    fn begin_of_log(&self) -> Result<Deed> {
        let mut deed = Deed::done(Event::Begin);
        for id in ids(&self.store, ObjectKind::Key)?.into_keys() {
            let public = self.own_key().filter(|own| own.id == id).and_then(|own| own.public);
            deed.keys.push(KeyFact { id, public });
        }
        for kind in [ObjectKind::Manifest, ObjectKind::Note, ObjectKind::Verification] {
            deed.objects.extend(ids(&self.store, kind)?.into_keys().map(|id| (id, kind.folder().to_owned())));
        }
        Ok(deed)
    }

    /// The key object that opened the repository, with its public key.
    pub fn own_key(&self) -> Option<KeyFact> {
        let public = self.author.signing.as_ref().and_then(|key| key.public().ok());
        self.author.key.map(|id| KeyFact { id, public })
    }
}

/// Every audit record that there is.
#[derive(Debug, Default)]
pub struct Log {
    /// Those that can be read, by name.
    pub records: BTreeMap<ObjectId, AuditRecord>,
    /// Those that cannot.
    pub damaged: BTreeMap<ObjectId, RepoError>,
}

impl Repository {
    /// Reads the whole log.
    ///
    /// # Errors
    /// `Store`.
    pub fn read_log(&self) -> Result<Log> {
        let mut log = Log::default();
        for (id, read) in self.read_objects(ObjectKind::Audit, ids(&self.store, ObjectKind::Audit)?.into_keys()) {
            match read {
                Ok(record) => drop(log.records.insert(id, record)),
                Err(error) if error.is_damage() => drop(log.damaged.insert(id, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(log)
    }
}

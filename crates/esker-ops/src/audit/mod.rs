//! `audit`: proves the log of what was done, and compares it with what the repository holds (format-spec chapter 18).
//!
//! The log alone needs `config`, `keys/` and `audit/`, so it can be audited offline, in a folder with a copy of those.

mod account;
mod order;
mod trust;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use esker_format::ObjectId;
use esker_format::audit::{AuditRecord, Deed, Event};
use esker_format::layout::{ObjectKind, object_path};
use esker_repo::Repository;
use esker_repo::audit::{Log, SeenLog};
use serde::Serialize;

use crate::error::{OpsError, Result};
use crate::fsck::Severity;
use crate::job::Job;

use account::Holdings;
use order::Graph;
use trust::{Worth, judge};

/// What to audit.
#[derive(Debug, Clone, Default)]
pub struct AuditRequest {
    /// Only the log, not what else the repository holds.
    pub log_only: bool,
    /// Records that somebody noted earlier: they must be there, and all must be in order with them.
    pub heads: Vec<ObjectId>,
    /// Objects whose finding is known and meant: a record says so from now on.
    pub acknowledge: Vec<ObjectId>,
}

/// The outcome. Times are milliseconds since 1970 by the writers' clocks.
#[derive(Debug, Clone, Serialize)]
pub struct AuditReport {
    /// The repository's id.
    pub repository: String,
    /// Whether only the log was looked at.
    pub log_only: bool,
    /// Records that can be read.
    pub records: u64,
    /// Of those: signed by a key that stood then.
    pub signed: u64,
    /// Of those: not signed, because their key is older than the log or there is no key.
    pub unsigned: u64,
    /// Records that no other names: who notes them finds later whether the log was cut short.
    pub heads: Vec<String>,
    /// What was done, in order.
    pub entries: Vec<AuditEntry>,
    /// What is missing, forged, out of order, or not accounted for.
    pub findings: Vec<AuditFinding>,
    /// How long it took.
    pub duration_ms: u64,
}

impl AuditReport {
    /// Whether anything is missing, forged, out of order, or not accounted for.
    pub fn is_damaged(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Damage)
    }
}

/// One record.
#[derive(Debug, Clone, Serialize)]
pub struct AuditEntry {
    /// Its name.
    pub id: String,
    /// When.
    pub at_ms: u64,
    /// Whose it is, as claimed.
    pub user: String,
    /// Where, as claimed.
    pub host: String,
    /// The program.
    pub written_by: String,
    /// The job's session.
    pub session: Option<String>,
    /// The key object that opened the repository.
    pub key: Option<String>,
    /// What was done.
    pub event: &'static str,
    /// Whether the record was written before that was done.
    pub intended: bool,
    /// To what, with labels.
    pub objects: Vec<AuditObject>,
    /// How much of what the event counts.
    pub count: u64,
    /// Its bytes.
    pub bytes: u64,
    /// More.
    pub detail: String,
    /// `signed`, `unsigned`, `late` (by a key after its removal) or `forged`.
    pub proof: &'static str,
}

/// What a record is about.
#[derive(Debug, Clone, Serialize)]
pub struct AuditObject {
    /// Its id.
    pub id: String,
    /// Its label.
    pub label: String,
}

/// What is amiss.
#[derive(Debug, Clone, Serialize)]
pub struct AuditFinding {
    /// How bad it is.
    pub severity: Severity,
    /// The object, by its path in the repository.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub help: String,
}

impl AuditFinding {
    fn damage(object: String, what: impl Into<String>, help: &str) -> Self {
        Self { severity: Severity::Damage, object, what: what.into(), help: help.to_owned() }
    }

    fn notice(object: String, what: impl Into<String>, help: &str) -> Self {
        Self { severity: Severity::Notice, ..Self::damage(object, what, help) }
    }

    fn of_record(id: &ObjectId, what: impl Into<String>, help: &str) -> Self {
        Self::damage(record_path(id), what, help)
    }
}

fn record_path(id: &ObjectId) -> String {
    object_path(ObjectKind::Audit, id)
}

const LOOK_FOR_IT: &str = "look for it in a copy of the store; esker audit --acknowledge ID if it is known why";

/// Audits a repository's log.
///
/// # Errors
/// `Usage` for an acknowledgement of what is no finding; `Store`, `Cache`. What is amiss is no error but a finding.
pub fn audit(repository: &Arc<Repository>, request: &AuditRequest, job: &Job) -> Result<AuditReport> {
    let started = Instant::now();
    job.progress.phase("reading the log", 0);
    let holdings = if request.log_only { None } else { Some(Holdings::of(repository)?) };
    let log = repository.read_log()?;
    job.progress.finish();
    let audit = Audit::of(repository, log);
    let mut findings = audit.findings_of_log(repository, request)?;
    if let Some(holdings) = &holdings {
        let counting = audit.records.iter().filter(|(id, _)| audit.is_accounted_by(id)).map(|(_, record)| record);
        findings.extend(holdings.compare(repository, counting)?);
    }
    audit.excuse(&mut findings);
    audit.remember(repository)?;
    if !request.acknowledge.is_empty() {
        acknowledge(repository, &request.acknowledge, &mut findings)?;
    }
    findings.sort_by_key(|finding| finding.severity);
    let count = |worth: &Worth| audit.worths.values().filter(|found| *found == worth).count() as u64;
    Ok(AuditReport {
        repository: repository.config().repository.to_string(),
        log_only: request.log_only,
        records: audit.records.len() as u64,
        signed: count(&Worth::Signed),
        unsigned: count(&Worth::Unproven),
        heads: audit.graph.heads().iter().map(ToString::to_string).collect(),
        entries: audit.graph.order.iter().filter_map(|id| audit.entry(id)).collect(),
        findings,
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// Records that an operator knows of findings.
fn acknowledge(repository: &Repository, ids: &[ObjectId], findings: &mut [AuditFinding]) -> Result<()> {
    let mut deed = Deed::done(Event::Acknowledge);
    for id in ids {
        let of_id = |finding: &&mut AuditFinding| finding.object.ends_with(&id.to_string());
        let found: Vec<_> = findings.iter_mut().filter(of_id).collect();
        let Some(first) = found.first() else {
            return Err(OpsError::usage(format!("{id} has no finding that could be acknowledged")));
        };
        deed.objects.push((*id, first.object.split('/').next().unwrap_or_default().to_owned()));
        found.into_iter().for_each(excused);
    }
    repository.record(None, deed)?;
    Ok(())
}

fn excused(finding: &mut AuditFinding) {
    if finding.severity == Severity::Damage {
        finding.severity = Severity::Notice;
        finding.what.push_str(" (acknowledged)");
        finding.help.clear();
    }
}

/// The log, ordered and judged.
struct Audit {
    records: BTreeMap<ObjectId, AuditRecord>,
    damaged: BTreeMap<ObjectId, String>,
    graph: Graph,
    worths: BTreeMap<ObjectId, Worth>,
    encrypted: bool,
}

impl Audit {
    fn of(repository: &Repository, log: Log) -> Self {
        let Log { records, damaged } = log;
        let damaged = damaged.into_iter().map(|(id, error)| (id, error.to_string())).collect();
        let graph = Graph::of(&records);
        let config = repository.config();
        let worths = judge(&records, &graph, config.repository, config.encrypted);
        Self { records, damaged, graph, worths, encrypted: config.encrypted }
    }

    /// Whether what a record names is accounted for. What a removed key signed is reported once, and not with all it names.
    fn is_accounted_by(&self, id: &ObjectId) -> bool {
        self.worths.get(id).is_some_and(|worth| worth.counts() || *worth == Worth::Late)
    }

    fn is_there(&self, id: &ObjectId) -> bool {
        self.records.contains_key(id) || self.damaged.contains_key(id)
    }

    fn findings_of_log(&self, repository: &Repository, request: &AuditRequest) -> Result<Vec<AuditFinding>> {
        let mut findings = Vec::new();
        for (id, error) in &self.damaged {
            let text = error.strip_prefix(&record_path(id)).unwrap_or(error).trim_start_matches([':', ' ']).to_owned();
            findings.push(AuditFinding::of_record(
                id,
                text,
                "esker fsck --repair --from COPY brings it back from a copy of the repository",
            ));
        }
        self.missing(repository, &mut findings)?;
        self.roots(&mut findings);
        self.own_key(repository, &mut findings);
        for id in &self.graph.order {
            self.judged(id, &mut findings);
        }
        self.beside_removals(&mut findings);
        self.pinned(&request.heads, &mut findings);
        self.unsigned(&mut findings);
        Ok(findings)
    }

    /// Records that others name, or that this client saw, and that are gone.
    fn missing(&self, repository: &Repository, findings: &mut Vec<AuditFinding>) -> Result<()> {
        let mut missing: BTreeMap<ObjectId, String> = BTreeMap::new();
        for (id, followers) in self.graph.named().filter(|(id, _)| !self.is_there(id)) {
            let by = followers.first().map(ObjectId::short).unwrap_or_default();
            missing.insert(*id, format!("is missing: record {by} follows it"));
        }
        let seen = repository.known().log(repository.store().location(), repository.config().repository);
        for id in seen.all.iter().filter(|id| !self.is_there(id)) {
            missing.entry(*id).or_insert_with(|| "is missing: this client saw it".to_owned());
        }
        for (id, what) in missing {
            // Another process may have written it since the log was listed.
            if repository.store().size(&record_path(&id))?.is_none() {
                findings.push(AuditFinding::of_record(&id, what, LOOK_FOR_IT));
            }
        }
        Ok(())
    }

    /// The log begins once.
    fn roots(&self, findings: &mut Vec<AuditFinding>) {
        let roots = self.records.iter().filter(|(id, record)| record.heads.is_empty() && self.worths.get(id).is_some_and(Worth::counts));
        let roots: Vec<(&ObjectId, Event)> = roots.map(|(id, record)| (id, record.deed.event)).collect();
        let has_init = roots.iter().any(|(_, event)| *event == Event::Init);
        if self.records.is_empty() {
            let what = "is empty: nothing was done since a version of esker that keeps a log came into use, or the log was deleted";
            findings.push(AuditFinding::notice(ObjectKind::Audit.folder().to_owned(), what, ""));
        }
        for (id, _) in &roots {
            match (has_init, roots.len()) {
                (true, 2..) => {
                    findings.push(AuditFinding::of_record(id, "is one of several that say that they made the repository", LOOK_FOR_IT));
                }
                (false, _) => {
                    let what = "the log begins here: what was done to the repository before is not in it";
                    findings.push(AuditFinding::notice(record_path(id), what, ""));
                }
                _ => {}
            }
        }
    }

    /// The key that opened the repository must be the one that the log knows.
    fn own_key(&self, repository: &Repository, findings: &mut Vec<AuditFinding>) {
        let Some(own) = repository.own_key() else { return };
        let counting = self.records.iter().filter(|(id, _)| self.worths.get(id).is_some_and(Worth::counts));
        let introduced = counting.flat_map(|(id, record)| record.deed.keys.iter().map(move |key| (id, key)));
        for (id, _) in introduced.filter(|(_, key)| key.id == own.id && key.public != own.public) {
            let what = "gives this key another public key than it has: somebody wrote a log of his own";
            findings.push(AuditFinding::of_record(id, what, LOOK_FOR_IT));
        }
    }

    fn judged(&self, id: &ObjectId, findings: &mut Vec<AuditFinding>) {
        let Some(record) = self.records.get(id) else { return };
        let what = format!("({} by {}@{})", record.deed.event.name(), record.user, record.host);
        match self.worths.get(id) {
            Some(Worth::Forged(why)) => {
                let help = "somebody who can write to the store, and who has the repository's master key if it is encrypted, put it there";
                findings.push(AuditFinding::of_record(id, format!("is FORGED {what}: {why}"), help));
            }
            Some(Worth::Late) => {
                let help = "if a job ran while its key was removed, esker audit --acknowledge ID; else somebody still uses that key";
                findings.push(AuditFinding::of_record(id, format!("was written with a key after its removal {what}"), help));
            }
            _ => {}
        }
    }

    /// Records of a key that do not know of its removal.
    fn beside_removals(&self, findings: &mut Vec<AuditFinding>) {
        let removals = self
            .records
            .iter()
            .filter(|(id, record)| record.deed.event == Event::KeyRemove && self.worths.get(id).is_some_and(Worth::counts));
        for (removal, record) in removals {
            let keys: BTreeSet<ObjectId> = record.deed.objects.iter().map(|(id, _)| *id).collect();
            for id in self.graph.beside(&self.records, &BTreeSet::from([*removal])) {
                let of_removed = |record: &&AuditRecord| record.key.is_some_and(|key| keys.contains(&key));
                if let Some(record) = self.records.get(&id).filter(of_removed) {
                    let what = format!(
                        "{} by a key that record {} removed, and neither knows of the other: written at that time, or backdated",
                        record.deed.event.name(),
                        removal.short()
                    );
                    findings.push(AuditFinding::notice(record_path(&id), what, ""));
                }
            }
        }
    }

    /// Heads that somebody noted.
    fn pinned(&self, pins: &[ObjectId], findings: &mut Vec<AuditFinding>) {
        for pin in pins.iter().filter(|pin| !self.is_there(pin)) {
            let what = "is missing: it was noted as a head of the log, so the log was cut short";
            findings.push(AuditFinding::of_record(pin, what, LOOK_FOR_IT));
        }
        let there: BTreeSet<ObjectId> = pins.iter().filter(|pin| self.records.contains_key(pin)).copied().collect();
        if there.is_empty() {
            return;
        }
        for id in self.graph.beside(&self.records, &there) {
            let what = "neither stood when the heads were noted nor follows them: written at that time, or backdated";
            findings.push(AuditFinding::notice(record_path(&id), what, ""));
        }
    }

    fn unsigned(&self, findings: &mut Vec<AuditFinding>) {
        let unsigned = self.worths.iter().filter(|(_, worth)| **worth == Worth::Unproven);
        let mut keys: BTreeMap<ObjectId, u64> = BTreeMap::new();
        for key in unsigned.filter_map(|(id, _)| self.records.get(id)?.key) {
            *keys.entry(key).or_default() += 1;
        }
        for (key, count) in keys {
            let what = format!("{count} records that it wrote are not proven: it signs nothing, or what introduced it is missing");
            let help = "esker key passphrase makes a key that signs in its place";
            findings.push(AuditFinding::notice(object_path(ObjectKind::Key, &key), what, help));
        }
        if !self.encrypted && !self.records.is_empty() {
            let what = "the repository has no keys, so no record is signed: whoever can write to the store can add any";
            findings.push(AuditFinding::notice(ObjectKind::Audit.folder().to_owned(), what, ""));
        }
    }

    /// Turns findings into notices that an operator acknowledged.
    fn excuse(&self, findings: &mut [AuditFinding]) {
        let counts = |(id, record): &(&ObjectId, &AuditRecord)| {
            record.deed.event == Event::Acknowledge && self.worths.get(id).is_some_and(Worth::counts)
        };
        let known: BTreeSet<String> = self
            .records
            .iter()
            .filter(counts)
            .flat_map(|(_, record)| record.deed.objects.iter().map(|(id, folder)| format!("{folder}/{id}")))
            .collect();
        findings.iter_mut().filter(|finding| known.contains(&finding.object)).for_each(excused);
    }

    /// This client remembers what it saw, and what it saw before.
    fn remember(&self, repository: &Repository) -> Result<()> {
        let (known, location, id) = (repository.known(), repository.store().location(), repository.config().repository);
        let before = known.log(location, id);
        let mut now = SeenLog { all: before.all.clone(), heads: self.graph.heads() };
        // Heads that are gone stay heads, so that the next record names them, and nobody forgets that they were there.
        now.heads.extend(before.heads.iter().filter(|id| !self.records.contains_key(id)));
        now.all.extend(self.records.keys().chain(self.damaged.keys()));
        if now != before {
            known.remember_log(location, id, &now)?;
        }
        Ok(())
    }

    fn entry(&self, id: &ObjectId) -> Option<AuditEntry> {
        let record = self.records.get(id)?;
        let deed = &record.deed;
        Some(AuditEntry {
            id: id.to_string(),
            at_ms: record.at_ms,
            user: record.user.clone(),
            host: record.host.clone(),
            written_by: record.written_by.clone(),
            session: record.session.map(|session| session.to_string()),
            key: record.key.map(|key| key.to_string()),
            event: deed.event.name(),
            intended: deed.intended,
            objects: deed.objects.iter().map(|(id, label)| AuditObject { id: id.to_string(), label: label.clone() }).collect(),
            count: deed.count,
            bytes: deed.bytes,
            detail: deed.detail.clone(),
            proof: self.worths.get(id).map_or("", Worth::name),
        })
    }
}

//! `forget`: which backups stay and which go, by policy or by name; holds and tags.
//!
//! Forgetting removes a manifest, after a record that says so. What only that backup needed stays in the store until
//! prune. A held backup is never forgotten; by policy neither the newest of its cluster nor the last that was verified.

use std::collections::BTreeSet;
use std::sync::Arc;

use esker_format::ObjectId;
use esker_format::verification::Level;
use esker_repo::Repository;
use esker_repo::listing::Listing;
use esker_repo::manifests::{Backup, Backups, Standing};
use esker_repo::notes::{NoteState, Verifications};
use esker_repo::session::Session;
use jiff::civil::DateTime;
use serde::Serialize;

use crate::error::{OpsError, Result};
use crate::select::find_among;
use crate::time::civil;

/// Which backups of each cluster stay; what no rule keeps goes. All times are UTC.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The newest so many.
    pub last: u32,
    /// The newest of each of the newest so many hours that have one.
    pub hourly: u32,
    /// Days.
    pub daily: u32,
    /// ISO weeks.
    pub weekly: u32,
    /// Months.
    pub monthly: u32,
    /// Years.
    pub yearly: u32,
    /// Everything begun within so many milliseconds before the cluster's newest backup.
    pub within_ms: Option<u64>,
    /// Backups with any of these tags.
    pub tags: Vec<String>,
}

impl Policy {
    /// Whether no rule is set: such a policy would keep nothing.
    pub fn is_empty(&self) -> bool {
        let counts = [self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly];
        counts.iter().all(|count| *count == 0) && self.within_ms.is_none() && self.tags.is_empty()
    }
}

/// What to forget.
#[derive(Debug, Clone, Default)]
pub struct ForgetRequest {
    /// Backups by name; the policy is not looked at then.
    pub names: Vec<String>,
    /// What stays.
    pub policy: Policy,
    /// Only this cluster.
    pub cluster: Option<String>,
    /// Only say what would go.
    pub dry_run: bool,
    /// Forget by name also the last backup of a cluster that was verified.
    pub force: bool,
}

/// What stayed and what went.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ForgetReport {
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Backups that stay, with the rules that keep them.
    pub kept: Vec<Decision>,
    /// Backups that went.
    pub forgotten: Vec<Decision>,
}

/// What was decided about one backup.
#[derive(Debug, Clone, Serialize)]
pub struct Decision {
    /// Its id.
    pub id: String,
    /// Its label.
    pub label: String,
    /// Its cluster.
    pub cluster: String,
    /// When it began, milliseconds since 1970.
    pub started_ms: u64,
    /// Why it stays; of one that went, what is odd about it.
    pub reasons: Vec<String>,
}

/// Forgets backups.
///
/// # Errors
/// `Usage` for an empty policy, an unknown name, a held backup named, or the last verified one named without force; `Store`.
pub fn forget(repository: &Arc<Repository>, request: &ForgetRequest) -> Result<ForgetReport> {
    let backups = repository.backups()?;
    let notes = repository.notes()?;
    if let Some(damaged) = notes.damaged.first() {
        // A note that cannot be read may be a hold.
        return Err(OpsError::Damage(format!("{damaged}: it may hold a backup, so nothing is forgotten; run esker fsck")));
    }
    let nothing = NoteState::default();
    let note = |id: &ObjectId| notes.by_backup.get(id).unwrap_or(&nothing);
    let verified = verified(&backups, &repository.verifications()?);
    let mut report = ForgetReport { dry_run: request.dry_run, ..ForgetReport::default() };
    let mut go = Vec::new();
    if request.names.is_empty() {
        if request.policy.is_empty() {
            return Err(OpsError::usage("name backups, or say what to keep (--keep-last and the like)"));
        }
        let of_cluster = |backup: &&Backup| request.cluster.as_ref().is_none_or(|cluster| *cluster == backup.manifest.cluster);
        let chosen: Vec<&Backup> = backups.found.iter().filter(of_cluster).collect();
        let clusters: BTreeSet<&str> = chosen.iter().map(|backup| backup.manifest.cluster.as_str()).collect();
        for cluster in clusters {
            let newest_first: Vec<&Backup> = chosen.iter().rev().copied().filter(|backup| backup.manifest.cluster == cluster).collect();
            let mut decided = keep(&request.policy, &newest_first, |backup| note(&backup.id).tags(&backup.manifest).to_vec());
            let goes = |backup: &Backup, reasons: &[String]| reasons.is_empty() && !note(&backup.id).held;
            let mut good = decided.iter_mut().filter(|(backup, _)| verified.contains(&backup.id)).peekable();
            if let Some((backup, reasons)) = good.next()
                && goes(backup, reasons)
                && good.all(|(backup, reasons)| goes(backup, reasons))
            {
                reasons.push("last verified".into());
            }
            for (backup, mut reasons) in decided {
                if note(&backup.id).held {
                    reasons.push("held".into());
                }
                if backup.standing == Standing::Undecided {
                    reasons.push("undecided".into());
                }
                let decision = decision(backup, reasons);
                if decision.reasons.is_empty() {
                    go.push((backup.id, backup.manifest.label.clone()));
                    report.forgotten.push(decision);
                } else {
                    report.kept.push(decision);
                }
            }
        }
    } else {
        let mut unreadable: Vec<ObjectId> = backups.damaged.iter().map(|(id, _)| *id).collect();
        unreadable.extend(repository.rolled_back(&backups)?);
        let mut named = Vec::new();
        for name in &request.names {
            let (id, label) = match find_among(&backups, name) {
                Ok(backup) => {
                    if note(&backup.id).held {
                        return Err(OpsError::usage(format!("{name} is held: esker forget --unhold {name} first")));
                    }
                    named.push(backup.id);
                    report.forgotten.push(decision(&backup, Vec::new()));
                    (backup.id, backup.manifest.label)
                }
                // A manifest that cannot be read, or that the store lost, has no label; its id still names it.
                // One that this client never saw is named by its whole id.
                Err(error) => match lost(repository, &backups, &unreadable, name)? {
                    Some(id) => {
                        let reasons = vec!["unreadable or lost".to_owned()];
                        let (id_text, nothing) = (id.to_string(), String::new());
                        report.forgotten.push(Decision { id: id_text, label: nothing.clone(), cluster: nothing, started_ms: 0, reasons });
                        (id, String::new())
                    }
                    None => return Err(error),
                },
            };
            go.push((id, label));
        }
        if !request.force {
            refuse_the_last_verified(&backups, &verified, &named)?;
        }
    }
    if !request.dry_run && !go.is_empty() {
        let session = Session::begin(repository, "forget")?;
        let reason = if request.names.is_empty() { "policy" } else { "by name" };
        let forgot = repository.forget(&session, &go, reason);
        // It commits nothing, so its fate is known however it went, and no prune need wait for it.
        let ended = session.end(None);
        forgot.and(ended)?;
    }
    Ok(report)
}

/// A backup that cannot be read, or that is gone, by the beginning of its id, or by all of it. Not what is known to be no
/// backup: a record would excuse the loss of a pack of that name.
fn lost(repository: &Repository, backups: &Backups, unreadable: &[ObjectId], name: &str) -> Result<Option<ObjectId>> {
    if let Some(known) = unreadable.iter().find(|id| name.len() >= 8 && id.to_string().starts_with(name)) {
        return Ok(Some(*known));
    }
    let Ok(id) = ObjectId::from_hex(name) else { return Ok(None) };
    let is_pack = backups.found.iter().any(|backup| backup.manifest.packs.contains(&id))
        || Listing::read(repository.store())?.packs.keys().any(|pack| pack.id == id);
    Ok((!is_pack && !repository.forgotten()?.contains_key(&id)).then_some(id))
}

/// Backups that were found whole at level files or deeper, and not damaged since.
fn verified(backups: &Backups, verifications: &Verifications) -> BTreeSet<ObjectId> {
    let is_good = |backup: &&Backup| {
        let verified = verifications.by_backup.get(&backup.id);
        let is_whole = verified.is_some_and(|verified| verified.whole.is_some_and(|(level, _)| level >= Level::Files));
        backup.standing == Standing::Valid && is_whole && verified.is_some_and(|verified| verified.damaged.is_none())
    };
    backups.found.iter().filter(is_good).map(|backup| backup.id).collect()
}

/// # Errors
/// `Usage` if of some cluster's verified backups none would be left.
fn refuse_the_last_verified(backups: &Backups, verified: &BTreeSet<ObjectId>, named: &[ObjectId]) -> Result<()> {
    for backup in backups.found.iter().filter(|backup| named.contains(&backup.id) && verified.contains(&backup.id)) {
        let cluster = &backup.manifest.cluster;
        let of_cluster = |other: &&Backup| other.manifest.cluster == *cluster && verified.contains(&other.id);
        if backups.found.iter().filter(of_cluster).all(|other| named.contains(&other.id)) {
            let label = &backup.manifest.label;
            return Err(OpsError::usage(format!(
                "{label} is the last backup of cluster {cluster} that was verified: verify another one first (esker fsck NAME --level files), or give --force"
            )));
        }
    }
    Ok(())
}

/// Holds or releases a backup.
///
/// # Errors
/// `Usage` if it is not found; `Store`.
pub fn hold(repository: &Arc<Repository>, name: &str, hold: bool) -> Result<Decision> {
    annotate(repository, name, |state, manifest| (hold, state.tags(manifest).to_vec()))
}

/// Adds and removes tags of a backup.
///
/// # Errors
/// `Usage` if it is not found; `Store`.
pub fn retag(repository: &Arc<Repository>, name: &str, add: &[String], remove: &[String]) -> Result<Decision> {
    annotate(repository, name, |state, manifest| {
        let mut tags: BTreeSet<String> = state.tags(manifest).iter().cloned().collect();
        tags.extend(add.iter().cloned());
        tags.retain(|tag| !remove.contains(tag));
        (state.held, tags.into_iter().collect())
    })
}

fn annotate(
    repository: &Arc<Repository>,
    name: &str,
    change: impl FnOnce(&NoteState, &esker_format::manifest::Manifest) -> (bool, Vec<String>),
) -> Result<Decision> {
    let backup = find_among(&repository.backups()?, name)?;
    let state = repository.notes()?.by_backup.remove(&backup.id).unwrap_or_default();
    let (hold, tags) = change(&state, &backup.manifest);
    let session = Session::begin(repository, "note")?;
    repository.write_note(Some(session.id()), (backup.id, &backup.manifest.label), &state, hold, tags.clone())?;
    session.end(None)?;
    let mut reasons = tags;
    reasons.extend(hold.then(|| "held".to_owned()));
    Ok(decision(&backup, reasons))
}

fn decision(backup: &Backup, reasons: Vec<String>) -> Decision {
    Decision {
        id: backup.id.to_string(),
        label: backup.manifest.label.clone(),
        cluster: backup.manifest.cluster.clone(),
        started_ms: backup.manifest.started_ms,
        reasons,
    }
}

/// Why each of one cluster's backups stays; `backups` are newest first.
fn keep<'a>(policy: &Policy, backups: &[&'a Backup], tags: impl Fn(&Backup) -> Vec<String>) -> Vec<(&'a Backup, Vec<String>)> {
    let mut decided: Vec<(&Backup, Vec<String>)> = backups.iter().map(|backup| (*backup, Vec::new())).collect();
    let valid = backups.iter().find(|backup| backup.standing == Standing::Valid);
    let newest_ms = valid.map_or(0, |backup| backup.manifest.started_ms);
    let mut last = policy.last;
    for (backup, reasons) in &mut decided {
        // An undecided backup must not use up a place that a valid one needs.
        if backup.standing == Standing::Valid && last > 0 {
            last -= 1;
            reasons.push("last".into());
        }
        let age_ms = newest_ms.saturating_sub(backup.manifest.started_ms);
        if policy.within_ms.is_some_and(|within| age_ms <= within) {
            reasons.push("within".into());
        }
        if tags(backup).iter().any(|tag| policy.tags.contains(tag)) {
            reasons.push("tag".into());
        }
    }
    type Period = fn(DateTime) -> [i16; 4];
    let periods: [(&str, u32, Period); 5] = [
        ("hourly", policy.hourly, |t| [t.year(), i16::from(t.month()), i16::from(t.day()), i16::from(t.hour())]),
        ("daily", policy.daily, |t| [t.year(), i16::from(t.month()), i16::from(t.day()), 0]),
        ("weekly", policy.weekly, |t| [t.date().iso_week_date().year(), i16::from(t.date().iso_week_date().week()), 0, 0]),
        ("monthly", policy.monthly, |t| [t.year(), i16::from(t.month()), 0, 0]),
        ("yearly", policy.yearly, |t| [t.year(), 0, 0, 0]),
    ];
    for (name, mut places, period) in periods {
        let mut previous = None;
        for (backup, reasons) in decided.iter_mut().filter(|(backup, _)| backup.standing == Standing::Valid) {
            let this = period(civil(backup.manifest.started_ms));
            if places > 0 && previous != Some(this) {
                previous = Some(this);
                places -= 1;
                reasons.push(name.into());
            }
        }
    }
    // A policy of tags alone would otherwise forget all that a cluster has.
    if let Some((_, reasons)) = decided.iter_mut().find(|(backup, _)| backup.standing == Standing::Valid)
        && reasons.is_empty()
    {
        reasons.push("newest".into());
    }
    decided
}

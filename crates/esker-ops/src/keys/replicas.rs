//! `fsck --replicas`: replicas of a partition that stand at the same Raft commit id must hold the same entries.
//!
//! They may hold them in other tables, with other sequence numbers, and hold more of what is deleted or overwritten. System
//! keys are each replica's own. Replicas at different commit ids hold different entries rightly; that is no damage.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use esker_format::engine::{EngineRecord, PartitionScheme, ReplicaRow};
use esker_repo::Repository;
use esker_repo::manifests::Backup;
use esker_repo::reader::ChunkReader;
use serde::Serialize;

use super::compare::{Effort, FamilyOf, Task, compare};
use super::diff::record;
use super::engine::{EngineView, FamilyView};
use super::hex;
use super::partition::{is_of_replica, partition_of, ranges_of};
use super::store::Store;
use super::visible::Comparison;
use crate::error::{OpsError, Result};
use crate::job::{Job, Protection};
use crate::rows::replicas_of;
use crate::select::{LATEST, find_among};

/// Keys that differ which a report names, at most, for two replicas.
const KEYS_NAMED: usize = 10;

/// The outcome.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ReplicasReport {
    /// The backup's label.
    pub backup: String,
    /// Its id.
    pub id: String,
    /// Every partition, by space.
    pub partitions: Vec<PartitionReplicas>,
    /// Partitions of which all replicas stand at one commit id and hold the same.
    pub equal: u64,
    /// Partitions of which replicas at one commit id differ.
    pub diverged: u64,
    /// Partitions without such, of which some replicas stand at different commit ids.
    pub apart: u64,
    /// Partitions of which the backup has one replica.
    pub single: u64,
    /// Partitions of which nobody can tell who has no merge operator or could not read something.
    pub undecided: u64,
    /// What could not be compared, and why.
    pub not_compared: Vec<String>,
    /// Bytes of the tables of the engines that were compared, once for each comparison.
    pub table_bytes: u64,
    /// Of those, bytes of which no entry had to be looked at.
    pub skipped_bytes: u64,
    /// Entries that were looked at.
    pub entries_read: u64,
    /// Tables of one side that were open at once, at most: what memory goes by.
    pub tables_open: u64,
    /// Plain bytes of runs and chunks of files that were read.
    pub read_bytes: u64,
    /// Whether a session kept prune away meanwhile; not so without the right to write.
    pub protected: bool,
}

/// A partition and its replicas.
#[derive(Debug, Clone, Serialize)]
pub struct PartitionReplicas {
    /// The space, if known.
    pub space: Option<String>,
    /// The partition.
    pub partition: u32,
    /// `equal`, `diverged`, `apart`, `single` or `undecided`, as in the report.
    pub state: &'static str,
    /// Where the replicas stand.
    pub replicas: Vec<ReplicaAt>,
    /// Replicas at one commit id that differ.
    pub divergences: Vec<Divergence>,
}

/// A replica's position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplicaAt {
    /// The host.
    pub host: String,
    /// The data path of its engine.
    pub data_path: String,
    /// Raft log id up to which it has applied.
    pub commit_id: u64,
    /// The term of that entry.
    pub term: u64,
}

/// How a replica differs from the first one at the same commit id.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Divergence {
    /// The first one's host.
    pub first: String,
    /// This one's host.
    pub second: String,
    /// Their commit id.
    pub commit_id: u64,
    /// Whether the entry of that id has another term.
    pub other_term: bool,
    /// Keys that only the first has.
    pub only_first: u64,
    /// Keys that only the second has.
    pub only_second: u64,
    /// Keys that both have, with other values.
    pub different: u64,
    /// Keys that both have of which nobody can tell.
    pub undecided: u64,
    /// The first keys that differ, in hexadecimal digits.
    pub keys: Vec<String>,
}

impl Divergence {
    /// Whether the two differ; if not, it is not known.
    pub fn differs(&self) -> bool {
        self.other_term || self.only_first + self.only_second + self.different > 0
    }
}

impl ReplicasReport {
    /// Whether replicas at one commit id differ.
    pub fn is_diverged(&self) -> bool {
        self.diverged > 0
    }

    /// Whether something could not be told.
    pub fn is_incomplete(&self) -> bool {
        self.undecided > 0 || !self.not_compared.is_empty()
    }

    fn add_effort(&mut self, effort: Effort) {
        self.table_bytes += effort.table_bytes;
        self.skipped_bytes += effort.skipped_bytes;
        self.entries_read += effort.entries;
        self.tables_open = self.tables_open.max(effort.open);
    }
}

/// An engine that holds replicas.
struct Holder {
    host: String,
    engine: EngineRecord,
    replicas: BTreeMap<u32, ReplicaRow>,
}

impl Holder {
    /// Whether it is the engine of NebulaGraph's meta service, all of whose keys are of partition 0.
    fn is_of_meta(&self) -> bool {
        self.replicas.len() == 1 && self.replicas.contains_key(&0)
    }
}

/// Partitions of two engines that are to be compared, by the engines' numbers.
type Pairs = BTreeMap<(usize, usize), BTreeSet<u32>>;

/// Compares the replicas in a backup; the newest one if `None`.
///
/// # Errors
/// `Usage` if the backup is not found; `ChunkLost`, `Store`, `Cancelled`.
pub fn compare_replicas(repository: &Arc<Repository>, backup: Option<&str>, protect: bool, job: &Job) -> Result<ReplicasReport> {
    let backup = find_among(&repository.backups()?, backup.unwrap_or(LATEST))?;
    let protection = if protect { Protection::begin(repository, "fsck") } else { Protection::none() };
    let outcome = compare_all(repository, &backup, job);
    let is_bad = outcome.as_ref().map_or_else(OpsError::is_damage, ReplicasReport::is_diverged);
    if is_bad && protection.is_lost()? {
        return Err(OpsError::Overtaken("check"));
    }
    outcome.map(|report| ReplicasReport { protected: protection.is_on(), ..report })
}

fn compare_all(repository: &Arc<Repository>, backup: &Backup, job: &Job) -> Result<ReplicasReport> {
    let reader = ChunkReader::open(repository)?;
    let store = Store::new(&reader, job)?;
    let mut report = ReplicasReport { backup: backup.manifest.label.clone(), id: backup.id.to_string(), ..ReplicasReport::default() };
    let mut spaces: BTreeMap<Option<String>, Vec<Holder>> = BTreeMap::new();
    for host in &backup.manifest.hosts {
        for id in &host.engines {
            let engine = record(&store, id)?;
            if engine.scheme != PartitionScheme::Nebula {
                let name = engine.space.as_deref().unwrap_or("-");
                report.not_compared.push(format!("{}: {name} {}: its keys do not tell partitions", host.name, engine.data_path));
                continue;
            }
            let replicas = store.with_context(|context| replicas_of(store.reader, context, &engine))?;
            let replicas = replicas.into_iter().map(|replica| (replica.partition, replica)).collect();
            spaces.entry(engine.space.clone()).or_default().push(Holder { host: host.name.clone(), engine, replicas });
        }
    }
    for (space, holders) in &spaces {
        Space { store: &store, space, holders }.compare(&mut report)?;
    }
    report.read_bytes = store.read_bytes();
    Ok(report)
}

struct Space<'p, 'r> {
    store: &'p Store<'r>,
    space: &'p Option<String>,
    holders: &'p [Holder],
}

impl Space<'_, '_> {
    fn compare(&self, report: &mut ReplicasReport) -> Result<()> {
        let pairs = self.pairs();
        let mut found: BTreeMap<u32, Vec<Divergence>> = BTreeMap::new();
        let mut unread: BTreeSet<u32> = BTreeSet::new();
        // One holder is the first of several pairs, which follow one another.
        let mut held = None;
        for ((number, second), partitions) in &pairs {
            let (Some(first), Some(second)) = (self.holders.get(*number), self.holders.get(*second)) else { continue };
            let in_first = self.view_of(&mut held, *number, first);
            match in_first.and_then(|in_first| self.compare_pair((first, in_first), second, partitions, report)) {
                Ok(divergences) => {
                    divergences.into_iter().for_each(|(partition, divergence)| found.entry(partition).or_default().push(divergence))
                }
                Err(OpsError::Unreadable(why)) => {
                    let space = self.space.as_deref().unwrap_or("-");
                    report.not_compared.push(format!("space {space}, {} with {}: {why}", first.host, second.host));
                    unread.extend(partitions);
                }
                Err(error) => return Err(error),
            }
        }
        let all: BTreeSet<u32> = self.holders.iter().flat_map(|holder| holder.replicas.keys().copied()).collect();
        for partition in all {
            let divergences = found.remove(&partition).unwrap_or_default();
            let is_unread = unread.contains(&partition);
            report.partitions.push(self.partition(partition, divergences, is_unread));
        }
        for partition in report.partitions.iter().rev().take_while(|partition| partition.space == *self.space) {
            match partition.state {
                "equal" => report.equal += 1,
                "diverged" => report.diverged += 1,
                "apart" => report.apart += 1,
                "single" => report.single += 1,
                _ => report.undecided += 1,
            }
        }
        Ok(())
    }

    /// Each replica with the first one that stands at the same commit id.
    fn pairs(&self) -> Pairs {
        let mut firsts: BTreeMap<(u32, u64), usize> = BTreeMap::new();
        let mut pairs = Pairs::new();
        for (number, holder) in self.holders.iter().enumerate() {
            for (partition, replica) in &holder.replicas {
                let first = *firsts.entry((*partition, replica.commit_id)).or_insert(number);
                if first != number {
                    pairs.entry((first, number)).or_default().insert(*partition);
                }
            }
        }
        pairs
    }

    /// The view of the holder of this number: the one that is held, if it is of that one.
    fn view_of<'v>(&self, held: &'v mut Option<(usize, EngineView)>, number: usize, holder: &Holder) -> Result<&'v EngineView> {
        if held.as_ref().is_some_and(|(of, _)| *of != number) {
            *held = None;
        }
        match held {
            Some((_, view)) => Ok(view),
            None => Ok(&held.insert((number, self.read(holder)?)).1),
        }
    }

    fn read(&self, holder: &Holder) -> Result<EngineView> {
        EngineView::read(self.store, &holder.host, &holder.engine)
    }

    /// The partitions of two engines that differ.
    fn compare_pair(
        &self,
        (first, in_first): (&Holder, &EngineView),
        second: &Holder,
        partitions: &BTreeSet<u32>,
        report: &mut ReplicasReport,
    ) -> Result<BTreeMap<u32, Divergence>> {
        let in_second = self.read(second)?;
        let mut found: BTreeMap<u32, Divergence> = BTreeMap::new();
        let of = |partition: u32| {
            let position = |holder: &Holder| holder.replicas.get(&partition).map_or((0, 0), |row| (row.commit_id, row.commit_term));
            let ((commit_id, term), (_, other)) = (position(first), position(second));
            let (first, second) = (first.host.clone(), second.host.clone());
            Divergence { first, second, commit_id, other_term: term != other, ..Divergence::default() }
        };
        let is_of_meta = first.is_of_meta() && second.is_of_meta();
        let only = (!is_of_meta).then(|| ranges_of(partitions.iter().copied()));
        let task = Task { only: only.as_deref(), exact_numbers: true };
        let families: BTreeSet<&String> = in_first.families.keys().chain(in_second.families.keys()).collect();
        let absent = FamilyView::default();
        for family in families {
            let [one, other] = [in_first, &in_second]
                .map(|view| FamilyOf { family: view.families.get(family).unwrap_or(&absent), blobs: Rc::clone(&view.blobs) });
            let effort = compare(self.store, &one, &other, &task, &mut |difference| {
                let partition = if is_of_meta { Some(0) } else { partition_of(difference.key) };
                let Some(partition) = partition.filter(|_| !is_of_replica(difference.key)) else { return Ok(()) };
                let divergence = found.entry(partition).or_insert_with(|| of(partition));
                match difference.comparison {
                    Comparison::Added => divergence.only_second += 1,
                    Comparison::Deleted => divergence.only_first += 1,
                    Comparison::Changed => divergence.different += 1,
                    Comparison::Undecided | Comparison::Equal => divergence.undecided += 1,
                }
                if divergence.keys.len() < KEYS_NAMED && difference.comparison != Comparison::Undecided {
                    divergence.keys.push(hex(difference.key));
                }
                Ok(())
            })?;
            report.add_effort(effort);
        }
        for partition in partitions {
            let divergence = of(*partition);
            if divergence.other_term {
                found.entry(*partition).or_insert(divergence);
            }
        }
        Ok(found)
    }

    fn partition(&self, partition: u32, divergences: Vec<Divergence>, is_unread: bool) -> PartitionReplicas {
        let replicas: Vec<ReplicaAt> = self
            .holders
            .iter()
            .filter_map(|holder| {
                let row = holder.replicas.get(&partition)?;
                let (host, data_path) = (holder.host.clone(), holder.engine.data_path.clone());
                Some(ReplicaAt { host, data_path, commit_id: row.commit_id, term: row.commit_term })
            })
            .collect();
        let ids: BTreeSet<u64> = replicas.iter().map(|replica| replica.commit_id).collect();
        let state = if divergences.iter().any(Divergence::differs) {
            "diverged"
        } else if is_unread || !divergences.is_empty() {
            "undecided"
        } else if ids.len() > 1 {
            "apart"
        } else if replicas.len() > 1 {
            "equal"
        } else {
            "single"
        };
        PartitionReplicas { space: self.space.clone(), partition, state, replicas, divergences }
    }
}

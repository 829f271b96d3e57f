//! What a record is worth: a chain of trust from `init`, along the order of the log (format-spec chapter 18, "Trust").

use std::collections::BTreeMap;
use std::sync::Arc;

use esker_format::audit::{AuditRecord, Event};
use esker_format::signing::PublicKey;
use esker_format::{ObjectId, RepositoryId};

use super::order::Graph;

/// What is known of a key object at some point of the log.
#[derive(Clone, Copy, PartialEq, Eq)]
struct KeyState {
    public: Option<PublicKey>,
    removed: bool,
}

/// What a record follows.
#[derive(Clone, Default, PartialEq, Eq)]
struct Known {
    keys: BTreeMap<ObjectId, KeyState>,
    /// Whether a record that it follows cannot be read: nobody knows which keys that one introduced.
    has_gap: bool,
}

/// What a record is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Worth {
    /// Signed by a key that stood then.
    Signed,
    /// Not signed, or by a key that nobody knows because a record is missing. Taken for true.
    Unproven,
    /// Signed by a key after its removal.
    Late,
    /// Not of this repository's log.
    Forged(&'static str),
}

impl Worth {
    /// Whether what it says is taken for true.
    pub(super) fn counts(&self) -> bool {
        matches!(self, Self::Signed | Self::Unproven)
    }

    /// The word for it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::Unproven => "unsigned",
            Self::Late => "late",
            Self::Forged(_) => "forged",
        }
    }
}

/// Judges every record.
pub(super) fn judge(
    records: &BTreeMap<ObjectId, AuditRecord>,
    graph: &Graph,
    repository: RepositoryId,
    encrypted: bool,
) -> BTreeMap<ObjectId, Worth> {
    let mut known: BTreeMap<ObjectId, Arc<Known>> = BTreeMap::new();
    let mut worths = BTreeMap::new();
    let mut has_init = false;
    for id in graph.order.iter().filter(|id| is_init(records, id)).chain(graph.order.iter().filter(|id| !is_init(records, id))) {
        let Some(record) = records.get(id) else { continue };
        let before = merged(record.heads.iter().map(|head| known.get(head)));
        let worth = match record.deed.event {
            _ if record.repository != repository => Worth::Forged("it is of another repository"),
            Event::Begin if has_init => Worth::Forged("it says that the log begins with it, and the log begins with init"),
            _ => worth(record, &before, encrypted),
        };
        has_init |= record.deed.event == Event::Init && worth.counts();
        known.insert(*id, if worth.counts() { after(record, before) } else { before });
        worths.insert(*id, worth);
    }
    worths
}

/// Whether the record is one that nothing can come before.
fn is_init(records: &BTreeMap<ObjectId, AuditRecord>, id: &ObjectId) -> bool {
    records.get(id).is_some_and(|record| record.deed.event == Event::Init && record.heads.is_empty())
}

fn merged<'a>(mut heads: impl Iterator<Item = Option<&'a Arc<Known>>>) -> Arc<Known> {
    let Some(first) = heads.next() else { return Arc::default() };
    let mut merged = first.map_or_else(|| Arc::new(Known { has_gap: true, ..Known::default() }), Arc::clone);
    for head in heads {
        match head {
            Some(head) if **head == *merged => {}
            Some(head) => {
                let merged = Arc::make_mut(&mut merged);
                merged.has_gap |= head.has_gap;
                for (id, state) in &head.keys {
                    merged.keys.entry(*id).or_insert(*state).removed |= state.removed;
                }
            }
            None => Arc::make_mut(&mut merged).has_gap = true,
        }
    }
    merged
}

fn after(record: &AuditRecord, mut known: Arc<Known>) -> Arc<Known> {
    if matches!(record.deed.event, Event::Init | Event::Begin | Event::KeyAdd) {
        for key in &record.deed.keys {
            let state = KeyState { public: key.public, removed: false };
            Arc::make_mut(&mut known).keys.entry(key.id).or_insert(state);
        }
    }
    if record.deed.event == Event::KeyRemove {
        for (id, _) in &record.deed.objects {
            if let Some(state) = Arc::make_mut(&mut known).keys.get_mut(id) {
                state.removed = true;
            }
        }
    }
    known
}

fn worth(record: &AuditRecord, known: &Known, encrypted: bool) -> Worth {
    let begins = matches!(record.deed.event, Event::Init | Event::Begin);
    if begins != record.heads.is_empty() {
        return Worth::Forged(if begins { "it says that the log begins with it, and follows other records" } else { "it follows nothing" });
    }
    if !encrypted {
        let is_bare = record.key.is_none() && record.signature.is_none();
        return if is_bare { Worth::Unproven } else { Worth::Forged("it names a key, and the repository has none") };
    }
    let Some(key) = record.key else { return Worth::Forged("it names no key") };
    let introduced = record.deed.keys.iter().find(|fact| begins && fact.id == key);
    let state = introduced.map(|fact| KeyState { public: fact.public, removed: false }).or_else(|| known.keys.get(&key).copied());
    let Some(state) = state else {
        return if known.has_gap { Worth::Unproven } else { Worth::Forged("nobody introduced its key") };
    };
    let is_proven = match state.public {
        Some(public) if record.is_signed_by(&public) => true,
        Some(_) => return Worth::Forged("it is not signed by its key"),
        None if record.signature.is_some() => return Worth::Forged("its key signs nothing"),
        // Whoever made the repository signs for it.
        None if record.deed.event == Event::Init => return Worth::Forged("it is not signed"),
        None => false,
    };
    match (state.removed, is_proven) {
        (true, _) => Worth::Late,
        (false, true) => Worth::Signed,
        (false, false) => Worth::Unproven,
    }
}

//! What goes wrong and when, and what has been asked for so far.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use object_store::path::Path;
use object_store::{Error, Result};

use super::{Alteration, STORE_NAME};

/// A kind of operation on a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// An object put in one piece, in any mode.
    Put,
    /// A multipart upload begun.
    StartMultipart,
    /// One part of an upload.
    PutPart,
    /// An upload completed: here its object appears.
    CompleteMultipart,
    /// An upload given up.
    AbortMultipart,
    /// An object or a range of it read; several ranges may count once each or be coalesced.
    Get,
    /// An object's metadata read.
    Head,
    /// A prefix listed; the recorded path is the prefix.
    List,
    /// An object deleted; of a bulk delete each object counts.
    Delete,
    /// An object copied; the recorded path is the target. A rename is a copy and a delete.
    Copy,
}

impl Operation {
    fn takes_space(self) -> bool {
        use Operation::{CompleteMultipart, Copy, Put, PutPart, StartMultipart};
        matches!(self, Put | StartMultipart | PutPart | CompleteMultipart | Copy)
    }
}

/// On which side of its effect an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It fails and nothing has happened.
    NotDone,
    /// It happened, and the caller is told that it failed: a reply lost on the way.
    Done,
}

#[derive(Debug)]
struct Fault {
    /// Counts only these operations; all if `None`.
    of: Option<Operation>,
    nth: u64,
    effect: Effect,
}

/// What happens once, before an operation of this kind on a path that begins so.
struct Event {
    before: Operation,
    prefix: String,
    /// How many of these operations come first.
    after: u64,
    act: Box<dyn FnOnce() + Send>,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "before {:?} of {}, after {} of them", self.before, self.prefix, self.after)
    }
}

#[derive(Debug, Default)]
struct State {
    count: u64,
    counts: HashMap<Operation, u64>,
    journal: Vec<(Operation, Path)>,
    fetched: Vec<(Path, u64)>,
    faults: Vec<Fault>,
    gone_from: Option<u64>,
    full_from: Option<u64>,
    refuses_deletes: bool,
    refuses_overwrites: bool,
    hidden_from_list: HashSet<Path>,
    hidden_from_get: HashSet<Path>,
    alterations: HashMap<Path, Alteration>,
    event: Option<Event>,
}

/// The plan of a [`FaultyStore`](super::FaultyStore): a handle that the test keeps, cheap to clone.
/// Operations are numbered from 1.
#[derive(Debug, Clone, Default)]
pub struct FaultPlan(Arc<Mutex<State>>);

impl FaultPlan {
    /// Operations so far, failed ones included.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().count
    }

    /// The operations so far and their paths, failed ones included.
    #[must_use]
    pub fn journal(&self) -> Vec<(Operation, Path)> {
        self.state().journal.clone()
    }

    /// Bytes of the objects below `prefix` that reads were answered with; what is read twice counts twice.
    #[must_use]
    pub fn bytes_fetched(&self, prefix: &str) -> u64 {
        self.state().fetched.iter().filter(|(path, _)| path.as_ref().starts_with(prefix)).map(|(_, bytes)| bytes).sum()
    }

    pub(super) fn note_fetched(&self, path: &Path, bytes: u64) {
        self.state().fetched.push((path.clone(), bytes));
    }

    /// Counts and records from the start again; faults stay, by the new numbers.
    pub fn restart_count(&self) {
        let mut state = self.state();
        state.count = 0;
        state.counts.clear();
        state.journal.clear();
        state.fetched.clear();
    }

    /// Fails the operation of number `nth`.
    pub fn fail_nth(&self, nth: u64, effect: Effect) {
        let of = None;
        self.state().faults.push(Fault { of, nth, effect });
    }

    /// Fails the `nth` operation of one kind.
    pub fn fail_nth_of(&self, operation: Operation, nth: u64, effect: Effect) {
        let of = Some(operation);
        self.state().faults.push(Fault { of, nth, effect });
    }

    /// Fails everything from operation `nth` on: the store is gone, or the caller has died.
    pub fn fail_all_from(&self, nth: u64) {
        self.state().gone_from = Some(nth);
    }

    /// Fails every operation that takes space, from operation `nth` on, with `StorageFull`.
    pub fn disk_full_from(&self, nth: u64) {
        self.state().full_from = Some(nth);
    }

    /// Refuses all deletes with `PermissionDenied`.
    pub fn refuse_deletes(&self) {
        self.state().refuses_deletes = true;
    }

    /// Refuses puts, uploads and copies onto an object that exists with `PermissionDenied`; a put
    /// in `Create` mode still gets its `AlreadyExists`.
    pub fn refuse_overwrites(&self) {
        self.state().refuses_overwrites = true;
    }

    /// Refuses deletes and overwrites, as credentials that may only append do.
    pub fn append_only(&self) {
        self.refuse_deletes();
        self.refuse_overwrites();
    }

    /// Leaves an object out of listings; it can still be read.
    pub fn hide_from_list(&self, path: &Path) {
        self.state().hidden_from_list.insert(path.clone());
    }

    /// Answers reads of an object with `NotFound`; it is still listed.
    pub fn hide_from_get(&self, path: &Path) {
        self.state().hidden_from_get.insert(path.clone());
    }

    /// Serves other bytes than those stored, in reads and in the sizes of listings.
    pub fn alter(&self, path: &Path, alteration: Alteration) {
        self.state().alterations.insert(path.clone(), alteration);
    }

    /// Does something before the first of these operations on a path that begins so.
    pub fn before_first(&self, operation: Operation, prefix: &str, act: impl FnOnce() + Send + 'static) {
        self.before_nth(operation, prefix, 1, act);
    }

    /// Does something before the `nth` of these operations on paths that begin so.
    pub fn before_nth(&self, operation: Operation, prefix: &str, nth: u64, act: impl FnOnce() + Send + 'static) {
        let event = Event { before: operation, prefix: prefix.to_owned(), after: nth - 1, act: Box::new(act) };
        self.state().event = Some(event);
    }

    /// Lets happen what is to happen before this operation.
    pub(super) fn come_to(&self, operation: Operation, path: &Path) {
        let due = |event: &mut Event| {
            let is_one = event.before == operation && path.as_ref().starts_with(&event.prefix);
            let is_due = is_one && event.after == 0;
            event.after -= u64::from(is_one && !is_due);
            is_due
        };
        let event = self.state().event.take_if(due);
        if let Some(event) = event {
            // It may use stores, which a thread of this one's runtime may not wait for.
            std::thread::spawn(event.act).join().unwrap();
        }
    }

    /// Removes every fault, refusal, hiding, alteration and event; count and journal go on.
    pub fn heal(&self) {
        let mut state = self.state();
        *state = State {
            count: state.count,
            counts: std::mem::take(&mut state.counts),
            journal: std::mem::take(&mut state.journal),
            ..State::default()
        };
    }

    /// Counts and records an operation. An error means it fails before its effect; an error inside
    /// `Ok` is to be returned once the effect is done.
    pub(super) fn admit(&self, operation: Operation, path: &Path) -> Result<Option<Error>> {
        let mut state = self.state();
        state.count += 1;
        *state.counts.entry(operation).or_default() += 1;
        state.journal.push((operation, path.clone()));
        let (number, number_of_kind) = (state.count, state.counts[&operation]);
        let reached = |from: Option<u64>| from.is_some_and(|from| number >= from);
        if reached(state.gone_from) {
            return Err(failure(io::ErrorKind::NotConnected, operation, path));
        }
        if operation.takes_space() && reached(state.full_from) {
            return Err(failure(io::ErrorKind::StorageFull, operation, path));
        }
        let due = state.faults.iter().find(|fault| match fault.of {
            None => fault.nth == number,
            Some(of) => of == operation && fault.nth == number_of_kind,
        });
        let reset = || failure(io::ErrorKind::ConnectionReset, operation, path);
        match due.map(|fault| fault.effect) {
            None => Ok(None),
            Some(Effect::NotDone) => Err(reset()),
            Some(Effect::Done) => Ok(Some(reset())),
        }
    }

    pub(super) fn refuses_deletes(&self) -> bool {
        self.state().refuses_deletes
    }

    pub(super) fn refuses_overwrites(&self) -> bool {
        self.state().refuses_overwrites
    }

    pub(super) fn hides_from_list(&self, path: &Path) -> bool {
        self.state().hidden_from_list.contains(path)
    }

    pub(super) fn hides_from_get(&self, path: &Path) -> bool {
        self.state().hidden_from_get.contains(path)
    }

    pub(super) fn alteration(&self, path: &Path) -> Option<Alteration> {
        self.state().alterations.get(path).cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

fn failure(kind: io::ErrorKind, operation: Operation, path: &Path) -> Error {
    Error::Generic { store: STORE_NAME, source: io::Error::new(kind, format!("planned {kind} at {operation:?} of {path}")).into() }
}

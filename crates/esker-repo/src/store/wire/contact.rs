//! Whether a store answers at all, so that a wrong address ends soon and an outage is waited for aloud.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time in which a store must answer for the first time. One that has answered before is waited for longer.
const FIRST_CONTACT: Duration = Duration::from_secs(15);
/// Failures in a row that are not worth a word.
const QUIET: Duration = Duration::from_secs(5);
/// Time between two words about the same outage.
const TELL_INTERVAL: Duration = Duration::from_secs(30);

/// Who hears that a store does not answer.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// The state of one store's line, shared by its clients.
pub(super) struct Contact {
    answered: AtomicBool,
    outage: Mutex<Option<Outage>>,
    tell: Tell,
}

struct Outage {
    since: Instant,
    told: Option<Instant>,
}

impl Contact {
    pub(super) fn new(tell: Tell) -> Self {
        Self { answered: AtomicBool::new(false), outage: Mutex::new(None), tell }
    }

    /// The store answered sensibly.
    pub(super) fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
        self.outage.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// A request failed for now; gives whether it is worth another try.
    pub(super) fn failed(&self, why: &str) -> bool {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let outage = outage.get_or_insert(Outage { since: now, told: None });
        let lasts = now - outage.since;
        let again = self.answered.load(Ordering::Relaxed) || lasts < FIRST_CONTACT;
        if again && lasts >= QUIET && outage.told.is_none_or(|told| now - told >= TELL_INTERVAL) {
            outage.told = Some(now);
            (self.tell)(&format!("the store has not answered for {} s ({why}); trying again", lasts.as_secs()));
        }
        again
    }
}

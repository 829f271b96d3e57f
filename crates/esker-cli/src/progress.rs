//! How far a verb is: a bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use esker_ops::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::human;

/// Time between two plain lines of one phase.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// The progress display that fits where standard error goes.
pub fn display(quiet: bool) -> std::sync::Arc<dyn Progress> {
    if quiet {
        std::sync::Arc::new(esker_ops::Silent)
    } else if std::io::stderr().is_terminal() {
        std::sync::Arc::new(Bar(Mutex::new(None)))
    } else {
        std::sync::Arc::new(Lines(Mutex::new(None)))
    }
}

struct Bar(Mutex<Option<ProgressBar>>);

impl Progress for Bar {
    fn phase(&self, name: &str, total: u64) {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let template = match total {
            0 => "{msg:<10} {spinner} {elapsed}",
            _ => "{msg:<10} [{bar:30}] {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta} left",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }

    fn advance(&self, bytes: u64) {
        if let Some(bar) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            bar.inc(bytes);
        }
    }

    fn finish(&self) {
        if let Some(bar) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }
}

/// One phase as plain lines.
struct Phase {
    name: String,
    total: u64,
    done: u64,
    began: Instant,
    said: Instant,
}

struct Lines(Mutex<Option<Phase>>);

impl Phase {
    fn say(&self) {
        let elapsed_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let left_ms = match self.done {
            0 => None,
            done => u64::try_from(u128::from(elapsed_ms) * u128::from(self.total.saturating_sub(done)) / u128::from(done)).ok(),
        };
        let left = left_ms.map_or_else(String::new, |ms| format!(", {} left", human::duration_ms(ms)));
        let (done, total, rate) = (human::bytes(self.done), human::bytes(self.total), human::rate(self.done, elapsed_ms));
        // Nobody is left to tell if standard error is gone.
        let _ = writeln!(std::io::stderr(), "{}: {done} of {total}, {rate}{left}", self.name);
    }
}

impl Progress for Lines {
    fn phase(&self, name: &str, total: u64) {
        let now = Instant::now();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Phase { name: name.to_owned(), total, done: 0, began: now, said: now });
    }

    fn advance(&self, bytes: u64) {
        if let Some(phase) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            phase.done += bytes;
            if phase.total > 0 && phase.said.elapsed() >= LINE_INTERVAL {
                phase.said = Instant::now();
                phase.say();
            }
        }
    }

    fn finish(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

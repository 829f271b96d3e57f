//! Where Esker must stand against the best of its peers, verb by verb.

use crate::contest::{Score, Verb};
use crate::report::{Pair, pair};

/// Times as fast as the fastest peer, at least.
const SPEED_TARGETS: [(Verb, f64); 4] =
    [(Verb::FirstBackup, 1.0), (Verb::Incrementals, 1.0), (Verb::Restore, 1.5), (Verb::Verification, 1.5)];
/// Peak memory of any verb, less than this.
pub const PEAK_TARGET_MIB: u64 = 512;

/// Prints a line for each target; whether all were reached.
pub fn print_targets(scores: &[Score]) -> bool {
    let pairs: Option<Vec<Pair>> = Verb::ALL.iter().map(|&verb| pair(scores, verb)).collect();
    let Some(pairs) = pairs else {
        println!("No targets: they compare esker with at least one peer.");
        return true;
    };
    let mut reached = true;
    for (verb, at_least) in SPEED_TARGETS {
        let Pair { esker, best_peer, fastest } = &pairs[verb as usize];
        let speed = best_peer.seconds / esker.seconds;
        let what = match at_least {
            1.0 => format!("{}: no slower than the best peer ({fastest}); times as fast", verb.words()),
            _ => format!("{}: at least {at_least} times as fast as the best peer ({fastest})", verb.words()),
        };
        reached &= print_target(&what, speed >= at_least, &format!("{speed:.2}"));
    }
    let peak_mib = pairs.iter().map(|pair| pair.esker.peak_bytes >> 20).max().unwrap_or(0);
    let what = format!("memory: under {PEAK_TARGET_MIB} MiB for every verb");
    print_target(&what, peak_mib < PEAK_TARGET_MIB, &format!("{peak_mib} MiB")) && reached
}

/// Prints one line and passes `reached` on.
pub fn print_target(what: &str, reached: bool, measured: &str) -> bool {
    println!("{}  {what}: {measured}", if reached { "pass" } else { "FAIL" });
    reached
}
